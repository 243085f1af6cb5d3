/**
 * The contract of the output buffer on a model of the kernel. The same clauses run on a real one
 * in the lab: test/lab/scenarios/plug-contract.ts.
 */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { setUpBuffer } from '../../../src/output/plug/set-up.ts';
import type { OutputBuffer } from '../../../src/output/port.ts';
import { clauses } from './contract.ts';
import { fakeBench } from './fake-kernel.ts';

describe.each([
  ['', true],
  [' of a kernel without cls_matchall', false],
])('the output buffer%s', (_, hasMatchall) => {
  it.each(clauses.map((clause) => [clause.name, clause] as const))('%s', async (_name, clause) => {
    const bench = await fakeBench({ interfaceCount: clause.interfaceCount });
    bench.kernel.hasMatchall = hasMatchall;
    try {
      await clause.run(bench);
      expect(bench.kernel.actions.size).toBe(0);
    } finally {
      await bench.close();
    }
  });
});

/** A buffer that holds, with how often it has looked at the plugs. */
async function counted(work: (buffer: OutputBuffer, looks: () => number) => Promise<void>) {
  const bench = await fakeBench({ interfaceCount: 1 });
  let looks = 0;
  const openPlug: typeof bench.tools.openPlug = (onNews) => {
    const driver = bench.tools.openPlug(onNews);
    const look = driver.look.bind(driver);
    driver.look = (port) => {
      looks += 1;
      return look(port);
    };
    return driver;
  };
  const { domid, statePath } = bench;
  const request = {
    ...{ domain: 'web1', domid, uuid: '6a7b', session: 'abc', interfaceCount: 1 },
    ...{ limitBytes: 1 << 22, script: null, statePath, onNews: () => {} },
  };
  try {
    const buffer = await setUpBuffer(request, { ...bench.tools, openPlug });
    bench.barrier(0);
    await work(buffer, () => looks);
    await buffer.open();
  } finally {
    await bench.close();
  }
}

describe('what waits in the output buffer', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  });

  afterEach(() => {
    vi.useRealTimers();
  });

  // Proves: a guest that says nothing costs next to nothing. It was looked at fifty times a second.
  it('is seldom looked at while there is nothing', async () => {
    await counted(async (_buffer, looks) => {
      await vi.advanceTimersByTimeAsync(700);
      expect(looks()).toBeLessThanOrEqual(2);
    });
  });

  // Proves: auto mode learns of the first packet, and of what a release left, without waiting.
  it('is looked at when it is told of, and after a release', async () => {
    await counted(async (buffer, looks) => {
      for (const tell of [() => buffer.look(), () => buffer.release(0), () => buffer.look()]) {
        const before = looks();
        let told = 0;
        buffer.listen(() => {
          told += 1;
        });
        void tell();
        await vi.advanceTimersByTimeAsync(60);
        expect(looks()).toBeGreaterThan(before);
        expect(told).toBeGreaterThan(0);
      }
    });
  });
});
