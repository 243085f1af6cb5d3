/**
 * The primary's side alone, as a process of its own: saves one simxl guest through libtsremus,
 * reads every epoch and throws it away. What it measures is the pause and the drain; nothing
 * encodes, nothing is sent.
 *
 *     saver.ts '{"guest":"g1","steps":[{"burst":1000,"epochs":20}],"everyMs":0}'
 *
 * The guest rewrites `burst` pages after every resume. One line of JSON on stdout is the result.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { NativeEvent } from '../../src/native/events.ts';
import { XenLibrary } from '../../src/native/xen.ts';

export interface SaverStep {
  readonly burst: number;
  readonly epochs: number;
}

export interface SaverPlan {
  readonly guest: string;
  readonly steps: readonly SaverStep[];
  /** From one checkpoint's beginning to the next one's, ms; 0: as fast as it goes. */
  readonly everyMs: number;
}

export interface SaverEpoch {
  readonly bytes: number;
  readonly pages: number;
  /** From the first byte to the CHECKPOINT record, ns. */
  readonly drainNs: number;
  /** From there to CHECKPOINT_END, ns: the guest is resumed in between. */
  readonly resumeNs: number;
  /** How long the guest stood still by its own clock, ns. */
  readonly pauseNs: number;
  /** When the epoch ended, ms since the first of its step. */
  readonly atMs: number;
}

export interface SaverResult {
  readonly seed: { readonly bytes: number; readonly seconds: number };
  readonly steps: readonly (readonly SaverEpoch[])[];
  /** Most memory that the process ever had, bytes, and what it has at the end. */
  readonly rssMaxBytes: number;
  readonly rssBytes: number;
  readonly cpuSeconds: number;
  readonly seconds: number;
}

/** Bigger than any epoch: what is measured is the drain, not the reader. */
const limitBytes = 16 * 2 ** 30;
/** After a change of the burst: one epoch that ends the old one, one that warms the buffers. */
const warmEpochs = 2;

const tool = (...args: string[]) => execFileSync(process.env['SIMXL_TOOL'] ?? '', args);

function statusKb(key: string): number {
  const found = new RegExp(`^${key}:\\s+(\\d+) kB`, 'm').exec(
    readFileSync('/proc/self/status', 'utf8'),
  );
  return Number(found?.[1] ?? 0);
}

type Drained = Omit<SaverEpoch, 'pauseNs'>;

class Saver {
  readonly #library: XenLibrary;
  readonly #handle: number;
  readonly #scratch = Buffer.alloc(4 << 20);
  readonly #seedEnd: Promise<NativeEvent>;
  #onEpoch: (event: NativeEvent) => void = () => {};
  #onEnded: () => void = () => {};
  #seeding = true;

  constructor(library: XenLibrary, domid: number) {
    this.#library = library;
    this.#seedEnd = new Promise((resolve) => {
      this.#onEpoch = resolve;
    });
    this.#handle = library.saveStart(domid, limitBytes, [], (event) => this.#take(event));
  }

  #take(event: NativeEvent): void {
    if (event.kind === 'failed') throw new Error(event.text);
    // Later epochs are read when they are whole: a reader would share the processor with the drain.
    if (event.kind === 'data' && this.#seeding) this.#readAll();
    if (event.kind === 'epoch-end') {
      this.#seeding = false;
      this.#readAll();
      this.#onEpoch(event);
    }
    if (event.kind === 'ended') this.#onEnded();
  }

  #readAll(): void {
    while (this.#library.saveRead(this.#handle, this.#scratch) > 0);
  }

  async seed(): Promise<number> {
    return (await this.#seedEnd).b;
  }

  async epoch(): Promise<NativeEvent> {
    const end = new Promise<NativeEvent>((resolve) => {
      this.#onEpoch = resolve;
    });
    if (!this.#library.saveCheckpoint(this.#handle)) throw new Error('an epoch is under way');
    return end;
  }

  async end(): Promise<void> {
    const ended = new Promise<void>((resolve) => {
      this.#onEnded = resolve;
    });
    this.#library.saveAbort(this.#handle);
    await ended;
    await this.#library.saveFree(this.#handle);
  }
}

async function runStep(saver: Saver, plan: SaverPlan, step: SaverStep): Promise<Drained[]> {
  tool('burst', plan.guest, String(step.burst));
  for (let n = 0; n < warmEpochs; n++) await saver.epoch();
  const epochs: Drained[] = [];
  const startMs = performance.now();
  for (let n = 0; n < step.epochs; n++) {
    const waitMs = startMs + n * plan.everyMs - performance.now();
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
    const { b, c, d, e } = await saver.epoch();
    epochs.push({
      bytes: b,
      pages: c,
      drainNs: e,
      resumeNs: d - e,
      atMs: performance.now() - startMs,
    });
  }
  return epochs;
}

/** The guest's last pauses belong to the last epochs. */
function withPauses(guest: string, epochs: readonly Drained[]): SaverEpoch[] {
  const info = JSON.parse(tool('info', guest).toString()) as { pauses_ns: number[] };
  const pauses = info.pauses_ns.slice(-epochs.length);
  return epochs.map((epoch, at) => ({ ...epoch, pauseNs: pauses[at] ?? Number.NaN }));
}

async function run(plan: SaverPlan): Promise<SaverResult> {
  const library = new XenLibrary();
  await library.openXen(process.env['TSREMUS_LIBXL'] ?? '');
  const startMs = performance.now();
  const saver = new Saver(library, await library.domainId(plan.guest));
  const bytes = await saver.seed();
  const seed = { bytes, seconds: (performance.now() - startMs) / 1000 };
  const began = { ms: performance.now(), cpu: process.cpuUsage() };
  const steps: SaverEpoch[][] = [];
  for (const step of plan.steps) {
    steps.push(withPauses(plan.guest, await runStep(saver, plan, step)));
  }
  const cpu = process.cpuUsage(began.cpu);
  const result = {
    seed,
    steps,
    rssMaxBytes: statusKb('VmHWM') * 1024,
    rssBytes: statusKb('VmRSS') * 1024,
    cpuSeconds: (cpu.user + cpu.system) / 1e6,
    seconds: (performance.now() - began.ms) / 1000,
  };
  await saver.end();
  return result;
}

process.stdout.write(
  `${JSON.stringify(await run(JSON.parse(process.argv[2] ?? '{}') as SaverPlan))}\n`,
);
