/**
 * Counts real frames that get out between somebody's taking a part of the buffer away and its being
 * blocked, on the kernel of this machine (root, sch_plug, ifb, tcpdump): a JSON line for each kind.
 * The guest sends without a break; nothing is ever released before it is held again, so every frame
 * that comes out until then has escaped. `--alone`: without the second hold. `--kind NAME`: that
 * kind. For the lab's hosts: test/lab/scenarios/buffer-lost.ts.
 */
import { constants } from 'node:os';
import { NativeError } from '../../../src/native/loader.ts';
import { setUpBuffer } from '../../../src/output/plug/set-up.ts';
import type { OutputLoss } from '../../../src/output/port.ts';
import type { Bench, Sabotage } from './contract.ts';
import { sabotages } from './contract.ts';
import { realBench } from './real-bench.ts';

const isAlone = process.argv.includes('--alone');
const at = process.argv.indexOf('--kind');
const only = at < 0 ? null : process.argv[at + 1];
/** Frames at once, before anything else has its turn. */
const burst = 20;
/** Sent before somebody does something, and after it is held again. */
const framesAround = 200;
const noBuffers = constants.errno.ENOBUFS;
/** Only a hang takes as long. */
const hangMs = 120_000;

/** What one kind let out. */
interface LostFigures {
  readonly kind: Sabotage;
  /** Frames sent from when it began until it held again. */
  readonly sent: number;
  readonly escaped: number;
  /** Of those, sent after the loss was told: it was blocked by then. */
  readonly escapedLate: number;
  /** Whether it was said that frames may have got out. */
  readonly said: boolean;
  /** From when it began until all held again, ms. */
  readonly mendedMs: number;
  /** Sent once it held again: they came after their epoch was acknowledged, or did not. */
  readonly missing: number;
  readonly news: readonly string[];
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

/** Whether the frame went in; the kernel takes no more than it has room for, and drops the rest. */
function wasTaken(bench: Bench, name: string, number: number): boolean {
  try {
    bench.send(name, number);
    return true;
  } catch (error) {
    if (error instanceof NativeError && error.errno === noBuffers) return false;
    throw error;
  }
}

async function lose(bench: Bench, kind: Sabotage): Promise<LostFigures> {
  const name = bench.interfaces[0] ?? '';
  const [news, losses]: [string[], OutputLoss[]] = [[], []];
  const openPlug: typeof bench.tools.openPlug = (onNews) => {
    const driver = bench.tools.openPlug(onNews);
    if (!isAlone) return driver;
    const hold = () => {
      throw new Error('it is to be without');
    };
    return { ...driver, hold };
  };
  const { domid, statePath } = bench;
  const buffer = await setUpBuffer(
    {
      ...{ domain: 'web1', domid, uuid: '6a7b', session: 'abc', script: null },
      ...{ interfaceCount: 1, limitBytes: 1 << 28, statePath },
      onNews: (text) => news.push(text),
    },
    { ...bench.tools, openPlug },
  );
  bench.barrier(0);
  let sent = 0;
  const send = async (isDone: () => boolean) => {
    const endMs = performance.now() + hangMs;
    while (!isDone()) {
      for (let more = 0; more < burst && wasTaken(bench, name, sent); more++) sent++;
      await turn();
      if (performance.now() > endMs) throw new Error(`${kind} is not mended: ${news.join('; ')}`);
    }
  };
  await send(() => sent >= framesAround);
  let toldAt = Number.POSITIVE_INFINITY;
  buffer.onLoss((loss) => {
    losses.push(loss);
    if (loss.kind === 'lost') toldAt = Math.min(toldAt, sent);
  });
  const [beganMs, from] = [performance.now(), sent];
  const newsBefore = news.length;
  const done = bench.sabotage(kind, name);
  const isNoLoss = kind === 'second-hold';
  await send(() =>
    isNoLoss ? news.length > newsBefore || isAlone : losses.at(-1)?.kind === 'mended',
  );
  const mendedMs = performance.now() - beganMs;
  await done;
  const until = sent;
  await send(() => sent >= until + framesAround);
  const out = await bench.arrived(name);
  const after = Array.from({ length: sent - until }, (_, index) => until + index);
  let missing = after;
  const endMs = performance.now() + hangMs;
  // A barrier may find that the last release still empties, and seals nothing then.
  for (let epoch = 1; missing.length > 0 && performance.now() < endMs; epoch++) {
    bench.barrier(epoch);
    await buffer.release(epoch);
    const all = new Set(await bench.arrived(name));
    missing = after.filter((number) => !all.has(number));
  }
  await buffer.open();
  return {
    kind,
    sent: until - from,
    escaped: out.length,
    escapedLate: out.filter((number) => number >= toldAt).length,
    said: losses.some((loss) => loss.kind === 'lost' && loss.escaped),
    mendedMs: Math.round(mendedMs),
    missing: missing.length,
    news,
  };
}

for (const kind of sabotages) {
  if (only !== null && kind !== only) continue;
  const bench = await realBench({ interfaceCount: 1 });
  try {
    process.stdout.write(`${JSON.stringify(await lose(bench, kind))}\n`);
  } finally {
    await bench.close();
  }
}
process.exit(0);
