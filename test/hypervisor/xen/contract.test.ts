/**
 * libxenlight's binding over simxl keeps the port's contract: the same native library, event loop
 * and stream as on Xen.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, it } from 'vitest';
import type { Hypervisor } from '../../../src/hypervisor/port.ts';
import { openXen } from '../../../src/hypervisor/xen/xen.ts';
import { simPair } from '../../simxl/sim-host.ts';
import { type Bench, clauses } from '../contract.ts';

let pair: ReturnType<typeof simPair>;
let xen: Hypervisor;

/** This process belongs to host a: the library keeps the host that it was opened for. */
beforeAll(async () => {
  pair = simPair();
  Object.assign(process.env, pair.a.env);
  xen = await openXen(process.env);
});

afterAll(() => pair.close());

const name = 'guest';

function bench(): Bench {
  pair.a.create(name, { rate: 2_000 });
  return {
    hypervisor: xen,
    name,
    async until(isDone) {
      while (!isDone()) await sleep(2);
    },
    powerOff: () => void pair.a.run('poweroff', name),
    epochOf: ({ id }) => pair.a.list().find(({ domid }) => domid === id)?.epoch ?? Number.NaN,
    close: async () => void pair.a.run('destroy-all'),
  };
}

describe("libxenlight's binding", () => {
  it.each(clauses)('$name', async (clause) => {
    const made = bench();
    try {
      await clause.run(made);
    } finally {
      await made.close();
    }
  });
});
