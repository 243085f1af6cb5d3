/**
 * The checks of output commit, on evidence alone. Pure: what a test saw goes in, what was wrong
 * comes out; commit-check.test.ts shows each check a case that it must find.
 *
 * Which epoch a frame belongs to, the guest itself says: each frame of its flows carries how often
 * the guest had been suspended (guest/pauses.c). Epoch 0 is the seed and ends with the first
 * suspension, so what was said after k suspensions of a protection is of epoch k. A process that
 * did not get to run between two suspensions counts one too few, never one too many. Answers of the
 * guest's kernel are younger than their requests: what was asked for when k checkpoints had been
 * made is of epoch k or a later one. All of these are lower bounds. When an epoch was acknowledged
 * is in the primary's log, by the same clock as the capture's. (The guest's own clock says nothing
 * here: it loses time while its host is busy and gets it back at a suspension, up to some 100 ms.)
 */
import type { FrameKind, FrameRecord } from './frame-records.ts';
import type { GuestMark, NumberAnswer } from './traffic.ts';

/** What the primary's log at level debug says of epochs, ms of the host's wall clock. */
export interface EpochTimes {
  readonly acknowledgedMs: ReadonlyMap<number, number>;
  /** When each checkpoint, the seed's included, was certainly made. */
  readonly checkpointMs: readonly number[];
  /** When the buffer was opened with a permission; null: never. */
  readonly openedMs: number | null;
}

/** The log's times are cut off to whole ms. */
const logResolutionMs = 1;

/** Reads a session's log as it is in the file. */
export function parseEpochTimes(log: string): EpochTimes {
  const acknowledgedMs = new Map<number, number>();
  const checkpointMs: number[] = [];
  let openedMs: number | null = null;
  for (const line of log.split('\n')) {
    const match = /^[A-Z]+ (\S+Z) (?: *-> )?(ack|checkpoint|open-buffer)\b ?(\d*)/.exec(line);
    if (match === null) continue;
    const timeMs = Date.parse(match[1] as string);
    const epoch = Number(match[3]);
    if (match[2] === 'ack') acknowledgedMs.set(epoch, timeMs);
    else if (match[2] === 'checkpoint') checkpointMs.push(timeMs + logResolutionMs);
    else openedMs ??= timeMs;
  }
  return { acknowledgedMs, checkpointMs, openedMs };
}

/** A frame that left too early. */
export interface EarlyFrame {
  readonly kind: FrameKind;
  readonly vlan: number;
  readonly epoch: number;
  readonly leftMs: number;
  /** Before the acknowledgement; null: its epoch was never acknowledged. */
  readonly earlyMs: number | null;
}

export interface FrameVerdict {
  /** Frames of epochs after the seed that were looked at, by kind; `vlan` counts apart. */
  readonly checked: Readonly<Record<string, number>>;
  /** Epochs of which at least one frame was looked at. */
  readonly epochs: number;
  readonly early: number;
  readonly firstEarly: readonly EarlyFrame[];
  /** Of the frames that did not leave early: how long after the acknowledgement, ms. */
  readonly soonestMs: number;
}

const firstEarlyMax = 5;
const answerTo: Partial<Record<FrameKind, FrameKind>> = {
  ping4: 'ping4-ask',
  ping6: 'ping6-ask',
  arp: 'arp-ask',
};

/** How many of these ascending times are not after `ms`. */
function countUpTo(times: readonly number[], ms: number): number {
  let [low, high] = [0, times.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((times[middle] as number) <= ms) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * Looks at every frame of one guest that left its host. `guest` is the last byte of its MACs,
 * `suspendsBefore` how often it had been suspended before it was protected.
 */
export function checkFrames(
  records: readonly FrameRecord[],
  times: EpochTimes,
  guest: number,
  suspendsBefore: number,
): FrameVerdict {
  const checked: Record<string, number> = {};
  const epochs = new Set<number>();
  const firstEarly: EarlyFrame[] = [];
  let early = 0;
  let soonestMs = Number.POSITIVE_INFINITY;
  const askedMs = new Map<string, number[]>();
  for (const record of records) {
    if ((record.guest & 0xff) !== guest) continue;
    const { kind, timeMs: leftMs, vlan } = record;
    if (!record.fromGuest) {
      if (kind.endsWith('-ask')) push(askedMs, `${kind} ${record.key}`, leftMs);
      continue;
    }
    // What the guest says on the other host comes in here when it is meant for everybody.
    if (!record.leaves) continue;
    const epoch =
      kind === 'flow'
        ? record.suspends - suspendsBefore
        : countUpTo(times.checkpointMs, requestOf(record, askedMs));
    if (epoch < 1) continue;
    const name = vlan === 0 ? kind : 'vlan';
    checked[name] = (checked[name] ?? 0) + 1;
    epochs.add(epoch);
    const ackMs = times.acknowledgedMs.get(epoch) ?? Number.POSITIVE_INFINITY;
    const freeMs = Math.min(ackMs, times.openedMs ?? Number.POSITIVE_INFINITY);
    if (leftMs >= freeMs) {
      soonestMs = Math.min(soonestMs, leftMs - freeMs);
      continue;
    }
    early += 1;
    const earlyMs = ackMs === Number.POSITIVE_INFINITY ? null : ackMs - leftMs;
    if (firstEarly.length < firstEarlyMax) firstEarly.push({ kind, vlan, epoch, leftMs, earlyMs });
  }
  return { checked, epochs: epochs.size, early, firstEarly, soonestMs };
}

function push(lists: Map<string, number[]>, key: string, value: number): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [value]);
  else list.push(value);
}

/** When the request of an answer passed the host; answers come in the order of their requests. */
function requestOf(record: FrameRecord, askedMs: Map<string, number[]>): number {
  const ask = answerTo[record.kind];
  const requestMs = ask && askedMs.get(`${ask} ${record.key}`)?.shift();
  return requestMs ?? Number.NEGATIVE_INFINITY;
}

function isFlowOf(record: FrameRecord, guest: number): boolean {
  const { kind, fromGuest, leaves } = record;
  return kind === 'flow' && fromGuest && leaves && (record.guest & 0xff) === guest;
}

/** How one flow of a guest went on: what was lost or came twice, by its sequence. */
export interface FlowVerdict {
  readonly frames: number;
  /** Between the first and the last. */
  readonly missing: number;
  readonly again: number;
  /** Came once, but after a later one. */
  readonly late: number;
}

/** The frames of one flow of one guest, as they left. */
export function checkFlow(
  records: readonly FrameRecord[],
  guest: number,
  flow: number,
): FlowVerdict {
  const seen = new Set<number>();
  let [frames, late] = [0, 0];
  let [first, last] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const record of records) {
    if (!isFlowOf(record, guest) || record.flow !== flow) continue;
    const { flowSequence } = record;
    frames += 1;
    if (flowSequence < last && !seen.has(flowSequence)) late += 1;
    seen.add(flowSequence);
    first = Math.min(first, flowSequence);
    last = Math.max(last, flowSequence);
  }
  const missing = frames === 0 ? 0 : last - first + 1 - seen.size;
  return { frames, missing, again: frames - seen.size, late };
}

/** What a client saw of the guest's counter over one connection, across a failover. */
export interface NumbersVerdict {
  readonly answers: number;
  /** Answers whose number is not the one before and one more, or that another boot gave. */
  readonly breaks: number;
  readonly firstBreak: { readonly before: NumberAnswer; readonly after: NumberAnswer } | null;
  /** The longest time between two answers, and between a request and its answer, ms. */
  readonly silenceMs: number;
  readonly slowestMs: number;
}

export function checkNumbers(answers: readonly NumberAnswer[]): NumbersVerdict {
  let breaks = 0;
  let firstBreak: NumbersVerdict['firstBreak'] = null;
  let [silenceMs, slowestMs] = [0, 0];
  let before: NumberAnswer | null = null;
  for (const after of answers) {
    slowestMs = Math.max(slowestMs, after.timeMs - after.askedMs);
    if (before !== null) {
      silenceMs = Math.max(silenceMs, after.timeMs - before.timeMs);
      if (after.number !== before.number + 1 || after.boot !== before.boot) {
        breaks += 1;
        firstBreak ??= { before, after };
      }
    }
    before = after;
  }
  return { answers: answers.length, breaks, firstBreak, silenceMs, slowestMs };
}

/**
 * Numbers that a client was told before `survivorMs` and that the survivor does not know: of all
 * suspensions that it remembers its activation is the last one. Nothing of the dead host may come
 * after `survivorMs`, and nothing of the survivor before it: its answers to what it had been asked
 * already come in one burst, before any beacon.
 */
export function countUnsaid(
  answers: readonly NumberAnswer[],
  survivorMs: number,
  history: readonly GuestMark[],
  family: 4 | 6,
): number {
  const known = history.at(-1)?.numbers[family === 4 ? 0 : 1] ?? 0;
  const seen = answers.filter((answer) => answer.timeMs < survivorMs).map(({ number }) => number);
  return Math.max(0, (seen.at(-1) ?? 0) - known);
}
