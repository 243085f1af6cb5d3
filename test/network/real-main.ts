/**
 * Runs the contract on the kernel of this machine and prints a JSON line for each clause, then the
 * time that a barrier and a release take. Exit code 1 when a clause failed. For the lab's hosts:
 * test/lab/scenarios/plug-contract.ts.
 */
import { NativeLibrary } from '../../src/native/library.ts';
import { setUpBuffer } from '../../src/network/set-up.ts';
import { type Clause, clauses } from './contract.ts';
import { realBench } from './real-bench.ts';

const print = (line: object) => process.stdout.write(`${JSON.stringify(line)}\n`);

async function tried(clause: Clause): Promise<boolean> {
  const bench = await realBench({ interfaceCount: clause.interfaceCount });
  const beganMs = performance.now();
  try {
    await clause.run(bench);
    print({ clause: clause.name, ok: true, ms: Math.round(performance.now() - beganMs) });
    return true;
  } catch (error) {
    print({ clause: clause.name, ok: false, why: String(error instanceof Error && error.stack) });
    return false;
  } finally {
    await bench.close();
  }
}

/** Microseconds of a barrier and of a release over that many interfaces. */
async function measure(interfaceCount: number): Promise<void> {
  const bench = await realBench({ interfaceCount });
  const native = new NativeLibrary();
  let handle = -1;
  const openPlug = () => {
    const driver = bench.tools.openPlug();
    handle = driver.handle;
    return driver;
  };
  const { statePath } = bench;
  const buffer = await setUpBuffer(
    {
      ...{ domain: 'web1', domid: bench.domid, uuid: '6a7b', session: 'abc', script: null },
      ...{ interfaceCount, limitBytes: 1 << 26, statePath, onNews: () => {} },
    },
    { ...bench.tools, openPlug },
  );
  const epochs = 500;
  let [barrierMs, releaseMs] = [0, 0];
  for (let epoch = 0; epoch < epochs; epoch++) {
    const atMs = performance.now();
    native.plugBarrier(handle, epoch);
    const sealedMs = performance.now();
    buffer.release(epoch);
    barrierMs += sealedMs - atMs;
    releaseMs += performance.now() - sealedMs;
  }
  const us = (ms: number) => Math.round((ms / epochs) * 1000);
  print({ interfaces: interfaceCount, barrier_us: us(barrierMs), release_us: us(releaseMs) });
  await buffer.open();
  await bench.close();
}

const only = process.argv[2] ?? '';
let failed = 0;
for (const clause of clauses.filter(({ name }) => name.includes(only))) {
  if (!(await tried(clause))) failed += 1;
}
if (only === '') for (const count of [1, 3]) await measure(count);
process.exitCode = failed > 0 ? 1 : 0;
