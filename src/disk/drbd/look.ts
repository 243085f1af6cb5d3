/** What is said of a guest's disk that is a DRBD device. */
import type { LookAt } from '../look.ts';
import { type DrbdTools, findDrbd } from './find.ts';
import { checkpointProblem } from './usable.ts';

/** Asks DRBD; rejects when one of its commands fails. Disks that are none of its own it leaves. */
export function lookAtDrbd(tools: DrbdTools): LookAt {
  return async (device) => {
    if (device.sort !== 'drbd') return null;
    const found = await findDrbd(tools, device.minor);
    const problem = 'unusable' in found ? found.unusable : checkpointProblem(found);
    if (problem !== null) {
      return { text: `cannot be used: ${problem.text}`, advice: problem.advice, isToCome: false };
    }
    const text = 'is on DRBD with protocol D, which cannot be copied yet';
    return { text, advice: null, isToCome: true };
  };
}
