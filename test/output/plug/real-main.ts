/**
 * Runs the contract on the kernel of this machine and prints a JSON line for each clause, then the
 * time that a barrier and a release take. Exit code 1 when a clause failed. With an argument only
 * the clauses that have it in their names; with --times only the times; --fallback as the first one
 * does it by way of u32 and tc. For the lab's hosts: test/lab/scenarios/plug-contract.ts.
 */
import { PlugLibrary } from '../../../src/native/plug.ts';
import { setUpBuffer } from '../../../src/output/plug/set-up.ts';
import { toolRunner } from '../../../src/output/plug/tools.ts';
import { type Clause, clauses } from './contract.ts';
import { realBench } from './real-bench.ts';

const runTool = toolRunner(process.env);
const isFallback = process.argv[2] === '--fallback';
const print = (line: object) => process.stdout.write(`${JSON.stringify(line)}\n`);

async function tried(clause: Clause): Promise<boolean> {
  const bench = await realBench({ interfaceCount: clause.interfaceCount }, isFallback);
  const beganMs = performance.now();
  try {
    await clause.run(bench);
    print({ clause: clause.name, ok: true, ms: Math.round(performance.now() - beganMs) });
    return true;
  } catch (error) {
    const why = String(error instanceof Error ? error.stack : error);
    print({ clause: clause.name, ok: false, why: `${why}\n${await counts()}` });
    return false;
  } finally {
    await bench.close();
  }
}

/** What every device and queue took and gave, to see where a frame went. */
async function counts(): Promise<string> {
  const lists = [
    ['ip', '-s', '-s', 'link', 'show'],
    ['tc', '-s', 'qdisc', 'show'],
  ];
  const shown = await Promise.all(lists.map((argv) => runTool(argv).catch(String)));
  return shown.map((one) => (typeof one === 'string' ? one : one.stdout)).join('\n');
}

/** Microseconds of a barrier and of a release over that many interfaces. */
async function measure(interfaceCount: number): Promise<void> {
  const bench = await realBench({ interfaceCount }, isFallback);
  const native = new PlugLibrary();
  let handle = -1;
  const openPlug = () => {
    const driver = bench.tools.openPlug(() => {});
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
    await buffer.release(epoch);
    barrierMs += sealedMs - atMs;
    releaseMs += performance.now() - sealedMs;
  }
  const us = (ms: number) => Math.round((ms / epochs) * 1000);
  print({ interfaces: interfaceCount, barrier_us: us(barrierMs), release_us: us(releaseMs) });
  await buffer.open();
  await bench.close();
}

const only = process.argv[isFallback ? 3 : 2] ?? '';
const isPossible = ({ isTold = false }: Clause) => !(isFallback && isTold);
const asked = only === '--times' ? [] : clauses.filter(({ name }) => name.includes(only));
const chosen = asked.filter(isPossible);
let failed = 0;
for (const clause of chosen) {
  if (!(await tried(clause))) failed += 1;
}
if (only === '' || only === '--times') for (const count of [1, 3]) await measure(count);
process.exitCode = failed > 0 ? 1 : 0;
