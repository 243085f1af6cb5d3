/**
 * What a client outside sees of a guest: round-trip time, requests answered, throughput, at each
 * interval between checkpoints and without protection. Figures of emulated hosts: compare them with
 * each other, never with real ones.
 *
 *     const lab = await openLab('bench');
 *     const rows = await benchNetwork(lab, { say: console.log });
 */
import { type GuestKind, type Lab, LabError, sleep } from './lab.ts';
import { peek, protect, protectExit, waitForEpoch } from './session.ts';
import { type NumberAnswer, pullFromGuest, startTalk } from './traffic.ts';

export interface NetworkBenchOptions {
  readonly kind?: GuestKind;
  /** Pages that the guest rewrites per second. */
  readonly rate?: number;
  /** Values of -i; null is no protection. */
  readonly intervals?: readonly (string | null)[];
  /** Each of the three measurements takes so long. */
  readonly seconds?: number;
  /** With false: -n, what the checkpoints alone cost. */
  readonly buffered?: boolean;
  readonly say?: (line: string) => void;
}

/** One row of the table. Times in ms as the client measured them. */
export interface NetworkFigures {
  /** Of -i; null: not protected. */
  readonly interval: string | null;
  readonly buffered: boolean;
  /** A client that asks, waits for the answer and asks again. */
  readonly roundTripP50Ms: number;
  readonly roundTripP90Ms: number;
  readonly roundTripMaxMs: number;
  readonly alonePerSecond: number;
  /** A client that asks 250 times a second whatever comes back: answered per second. */
  readonly pipelinedPerSecond: number;
  /** One TCP connection from the guest to the client. */
  readonly throughputBytesPerSecond: number;
  readonly longestSilenceMs: number;
  /** How often epochs were acknowledged meanwhile; null: not protected. */
  readonly epochEveryMs: number | null;
  /** The newest epochs' mean pause; null: not protected. */
  readonly pauseMs: number | null;
}

const guest = 'g1';
const seedTimeoutMs = 300_000;
export const benchIntervals: readonly (string | null)[] = [null, '25', '50', '100', '200', 'auto'];

function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

/** Answers of one client that was left alone for a while. */
async function answersOf(window: number, seconds: number): Promise<readonly NumberAnswer[]> {
  const intervalUs = window === 1 ? 0 : 4000;
  const talk = await startTalk(guest, { window, intervalUs });
  try {
    await talk.waitForAnswers(1, 0, 60_000);
    const fromMs = Date.now();
    await sleep(seconds * 1000);
    if (talk.broken !== null) throw new LabError(`the client's connection: ${talk.broken}`);
    return talk.answers.filter(({ askedMs }) => askedMs >= fromMs);
  } finally {
    await talk.stop();
  }
}

type ClientFigures = Omit<NetworkFigures, 'interval' | 'buffered' | 'epochEveryMs' | 'pauseMs'>;

/** What a client sees of the guest as it is now; three times `seconds`. */
async function measureClient(seconds: number): Promise<ClientFigures> {
  const alone = await answersOf(1, seconds);
  const times = alone.map(({ timeMs, askedMs }) => timeMs - askedMs).sort((x, y) => x - y);
  const pipelined = await answersOf(65_000, seconds);
  const pulled = await pullFromGuest(guest, seconds);
  if (pulled.broken) throw new LabError('the guest ended the connection that was measured');
  return {
    roundTripP50Ms: quantile(times, 0.5),
    roundTripP90Ms: quantile(times, 0.9),
    roundTripMaxMs: times.at(-1) ?? Number.NaN,
    alonePerSecond: alone.length / seconds,
    pipelinedPerSecond: pipelined.length / seconds,
    throughputBytesPerSecond: (pulled.bytes * 1000) / pulled.ms,
    longestSilenceMs: pulled.gapMaxMs,
  };
}

async function measureProtected(
  lab: Lab,
  interval: string,
  seconds: number,
  buffered: boolean,
): Promise<NetworkFigures> {
  await protect(lab, 'a', guest, { args: ['-i', interval], buffered });
  await waitForEpoch(lab, 'a', guest, 2, seedTimeoutMs);
  const before = await peek(lab, 'a', guest, 'primary');
  const beganMs = Date.now();
  const figures = await measureClient(seconds);
  const after = await peek(lab, 'a', guest, 'primary');
  const tookMs = Date.now() - beganMs;
  const stopped = await lab.ssh('a', `tsremus stop ${guest}`, { timeoutMs: 60_000 });
  if (stopped.code !== 0) throw new LabError(`stop: ${stopped.stderr.trim()}`);
  await protectExit(lab, 'a', guest, 30_000);
  const pauses = after?.epochs.map((epoch) => epoch.pause_ms) ?? [];
  return {
    interval,
    buffered,
    ...figures,
    epochEveryMs: tookMs / Math.max(1, (after?.epoch ?? 0) - (before?.epoch ?? 0)),
    pauseMs: pauses.reduce((sum, ms) => sum + ms, 0) / Math.max(1, pauses.length),
  };
}

/** All rows, one after the other, on a guest made for it. Destroys all other guests. */
export async function benchNetwork(
  lab: Lab,
  options: NetworkBenchOptions = {},
): Promise<NetworkFigures[]> {
  const { kind = 'pv', rate = 2000, intervals = benchIntervals, seconds = 10 } = options;
  const { buffered = true, say = () => {} } = options;
  await lab.clean();
  await lab.createGuest('a', guest, kind, { rate });
  const rows: NetworkFigures[] = [];
  for (const interval of intervals) {
    const row: NetworkFigures =
      interval === null
        ? {
            interval,
            buffered: false,
            ...(await measureClient(seconds)),
            epochEveryMs: null,
            pauseMs: null,
          }
        : await measureProtected(lab, interval, seconds, buffered);
    rows.push(row);
    say(JSON.stringify(row));
  }
  await lab.clean();
  return rows;
}
