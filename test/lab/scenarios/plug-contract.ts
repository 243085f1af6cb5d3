/**
 * The output buffer on the kernel of a real dom0: its contract, and how much of a
 * guest's output one epoch can hold.
 */
import { type HeldLoad, heldLoads, measureHeld, runInHost } from '../host-program.ts';
import { small } from './clients.ts';
import type { Scenario } from './scenario.ts';
import type { Trial } from './trial.ts';

interface Line {
  readonly clause?: string;
  readonly ok?: boolean;
  readonly why?: string;
  readonly interfaces?: number;
  readonly barrier_us?: number;
  readonly release_us?: number;
}

async function contract(trial: Trial, args: readonly string[] = []): Promise<void> {
  const program = 'test/output/plug/real-main.ts';
  const ran = await runInHost<Line>(trial.lab, 'a', program, args, 600_000);
  for (const { clause, ok, why, interfaces, barrier_us, release_us } of ran.lines) {
    if (clause !== undefined) trial.check(clause, ok === true, why);
    if (interfaces === undefined) continue;
    trial.measure(`barrier_us_${interfaces}`, barrier_us ?? 0);
    trial.measure(`release_us_${interfaces}`, release_us ?? 0);
  }
  trial.check('the whole contract ran', ran.code === 0, ran.stderr);
}

export const plugContract: Scenario = {
  name: 'plug-contract',
  proves: 'the output buffer does what it has to on the kernel of a real dom0',
  tier: 'turn',
  shows: ['output-commit'],
  trials: { ci: 1, soak: 2 },
  seconds: 130,
  run: (trial) => contract(trial),
};

export const plugContractFallback: Scenario = {
  name: 'plug-contract-fallback',
  proves: 'the same with u32 instead of matchall and a resident tc instead of netlink',
  tier: 'soak',
  shows: ['output-commit'],
  trials: { ci: 0, soak: 1 },
  seconds: 80,
  run: (trial) => contract(trial, ['--fallback']),
};

/** Slots of a transmit ring: as many packets stand in it when netback gives none back. */
const ringSlots = 256;

/** Held packets keep no slot of the guest's ring: one epoch holds more than the ring does. */
async function heldBeyondRing(trial: Trial): Promise<void> {
  const guest = await trial.createGuest('a', 'pv', 0, undefined, small);
  for (const load of Object.keys(heldLoads) as HeldLoad[]) {
    for (const { setUp, packets, bytes, stalled } of await measureHeld(trial.lab, guest, load)) {
      const name = `${load.replace(' ', '_')}_${setUp}`;
      trial.say(`${name}: ${packets} packets, ${bytes} bytes${stalled ? ', then nothing' : ''}`);
      trial.measure(`${name}_held`, packets);
      trial.measure(`${name}_bytes`, bytes);
      // A TCP connection sends no more than its window without an answer.
      if (setUp !== 'tap' || load === 'segments') continue;
      trial.check(`more than ${2 * ringSlots} ${load} held`, packets > 2 * ringSlots, packets);
    }
  }
}

export const heldSlots: Scenario = {
  name: 'held-slots',
  proves: 'an epoch holds more packets than the ring of the guest has slots',
  tier: 'soak',
  shows: [],
  trials: { ci: 0, soak: 1 },
  seconds: 80,
  run: heldBeyondRing,
};
