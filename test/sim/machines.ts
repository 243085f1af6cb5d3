/** What a run is made of besides the world: the real parts, each of which a mutant replaces. */
import { stepBackup } from '../../src/core/backup/backup.ts';
import { stepPrimary } from '../../src/core/primary/primary.ts';
import { cleanUpDeed } from './clean-up.ts';
import { OutputBuffer } from './output-buffer.ts';

export interface Machines {
  readonly stepPrimary: typeof stepPrimary;
  readonly stepBackup: typeof stepBackup;
  readonly OutputBuffer: typeof OutputBuffer;
  /** When the save loop sets the barrier. */
  readonly barrierAt: 'suspended' | 'resumed';
  readonly cleanUpDeed: typeof cleanUpDeed;
}

export const realMachines: Machines = {
  stepPrimary,
  stepBackup,
  OutputBuffer,
  barrierAt: 'suspended',
  cleanUpDeed,
};
