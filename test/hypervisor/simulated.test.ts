/** The simulator's hypervisor keeps the port's contract, and each mistake breaks it. */
import { describe, expect, it } from 'vitest';
import type { GuestRef, Hypervisor } from '../../src/hypervisor/port.ts';
import { realMachines } from '../sim/machines.ts';
import { planOf } from '../sim/plan.ts';
import { World } from '../sim/world.ts';
import { type Bench, clauses } from './contract.ts';

/** Any will do; a buffer would have its own rules. */
const plan = { ...planOf(1), faults: [], otherWay: null, again: null };

function bench(mend: (hypervisor: Hypervisor) => Hypervisor = (one) => one): Bench {
  const world = new World(plan, realMachines, false);
  const process = world.a.start('suite', world);
  return {
    hypervisor: mend(world.a.hypervisor.portFor(process)),
    name: world.guestName,
    until: (isDone) => world.until(isDone),
    powerOff: () => world.a.hypervisor.endGuest(world.domain, 'poweroff'),
    epochOf: () => world.restore?.builtFrom ?? Number.NaN,
    close: async () => process.exit(),
  };
}

async function brokenBy(mend: (hypervisor: Hypervisor) => Hypervisor): Promise<string[]> {
  const broken: string[] = [];
  for (const clause of clauses) {
    const made = bench(mend);
    await clause.run(made).catch(() => broken.push(clause.name));
    await made.close();
  }
  return broken;
}

describe("the simulator's hypervisor", () => {
  it.each(clauses)('$name', async (clause) => {
    const made = bench();
    await clause.run(made);
    await made.close();
  });
});

const any = (hypervisor: Hypervisor, more: Partial<Hypervisor>): Hypervisor => ({
  ...hypervisor,
  ...more,
});

const mistakes: Readonly<Record<string, (hypervisor: Hypervisor) => Hypervisor>> = {
  'the number is the guest': (one) =>
    any(one, {
      async info(ref: GuestRef) {
        const there = await one.numbered(ref.id);
        return there === null ? null : one.info(there);
      },
    }),
  'one unpause undoes all pauses': (one) =>
    any(one, {
      async unpause(ref) {
        await one.unpause(ref);
        await one.unpause(ref);
      },
    }),
  'a rename that nobody sees': (one) => any(one, { rename: async () => {} }),
  'a checkpoint at any time': (one) =>
    any(one, {
      startSave(ref, options) {
        const save = one.startSave(ref, options);
        return {
          checkpoint: () => {
            save.checkpoint();
            return true;
          },
          read: (out) => save.read(out),
          abort: () => save.abort(),
        };
      },
    }),
  'reads past the end of an epoch': (one) =>
    any(one, {
      startSave(ref, options) {
        const save = one.startSave(ref, options);
        return {
          checkpoint: () => save.checkpoint(),
          read(out) {
            let read = 0;
            for (let n = -1; n !== 0; read += n) n = save.read(out.subarray(read));
            return read;
          },
          abort: () => save.abort(),
        };
      },
    }),
  'applies what it is fed': (one) =>
    any(one, {
      startRestore(spec, options) {
        const restore = one.startRestore(spec, options);
        return {
          feed(data) {
            const position = restore.feed(data);
            if (position?.atBoundary && position.epochs > 1) restore.apply(position.epochEnd);
            return position;
          },
          apply: () => {},
          finish: () => restore.finish(),
          discard: () => restore.discard(),
        };
      },
    }),
  'a copy that runs at once': (one) =>
    any(one, {
      startRestore: (spec, options) =>
        one.startRestore(spec, {
          ...options,
          onEvent(event) {
            if (event.kind === 'built') void one.unpause(event.copy);
            options.onEvent(event);
          },
        }),
    }),
};

describe('the contract', () => {
  it.each(Object.entries(mistakes))('finds: %s', async (_, mend) => {
    expect(await brokenBy(mend)).not.toEqual([]);
  });
});
