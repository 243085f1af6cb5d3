/**
 * What a primary measures of its epochs: the last few one by one, all of them as histograms. The
 * seed is in neither: it is not what an epoch costs.
 */

import { Histogram } from '../../core/histogram.ts';
import { pendingMaxMax } from '../../core/limits.ts';
import { formatBytes, formatMs } from '../../core/units.ts';
import type {
  EpochFigures,
  Histograms,
  PagesByKind,
  RecentFigures,
} from '../../registry/status.ts';
import type { DrainedEpoch, SentEpoch } from '../../stream/pump.ts';
import { RecentMost } from './recent-most.ts';

/** An epoch that the guest has left behind, with what it cost the guest. */
export interface MeasuredEpoch extends DrainedEpoch {
  readonly pauseMs: number;
  /** How long of the pause the stream waited for room. */
  readonly stalledMs: number;
}

const epochsMax = 16;
/** A stall that is over is shown for so long, ms. */
const stallShownMs = 10_000;
/** Epochs whose acknowledgement is awaited: as many as may be in flight. */
const inFlightMax = pendingMaxMax;

const measures = ['pause', 'encode', 'transfer', 'acknowledge', 'period'] as const;
type Measure = (typeof measures)[number];

function tenths(ms: number): number {
  return Math.round(ms * 10) / 10;
}

/** What the log says where the scheduler's `isDeferred` holds; the word is the man page's. */
export const deferred = 'deferred: the next checkpoint waits for an acknowledgement';

export class SessionFigures {
  readonly #times: Readonly<Record<Measure, Histogram>> = {
    pause: new Histogram(),
    encode: new Histogram(),
    transfer: new Histogram(),
    acknowledge: new Histogram(),
    period: new Histogram(),
  };
  readonly #raw = new Histogram();
  readonly #wire = new Histogram();
  readonly #epochs: EpochFigures[] = [];
  readonly #leftAtMs = new Map<number, number>();
  #drainedAtMs: number | null = null;
  readonly #pauses = new RecentMost();
  readonly #lags = new RecentMost();
  #acknowledgedAtMs: number | null = null;
  #pages: PagesByKind = { unchanged: 0, zero: 0, delta: 0, raw: 0 };
  #drainedBytes = 0;
  #stalls = 0;
  #stalledMs = 0;
  /** The epoch that keeps the guest waiting now. */
  #stalled: { readonly epoch: number; readonly waitingBytes: number } | null = null;
  #stallEndedAtMs = Number.NEGATIVE_INFINITY;

  /** The guest runs again at `nowMs`. */
  drained(epoch: MeasuredEpoch, nowMs: number): void {
    this.#drainedBytes += epoch.bytes;
    if (epoch.epoch === 0) return;
    if (this.#drainedAtMs !== null) this.#times.period.add(nowMs - this.#drainedAtMs);
    this.#drainedAtMs = nowMs;
    this.#times.pause.add(epoch.pauseMs);
    this.#pauses.add(tenths(epoch.pauseMs), nowMs);
    this.#stalled = null;
    if (epoch.stalledMs > 0) {
      this.#stalls += 1;
      this.#stalledMs += epoch.stalledMs;
      this.#stallEndedAtMs = nowMs;
    }
    if (this.#epochs.length === epochsMax) this.#epochs.shift();
    this.#epochs.push({
      epoch: epoch.epoch,
      pause_ms: tenths(epoch.pauseMs),
      bytes: epoch.bytes,
      sent_bytes: null,
      pages: epoch.pages,
    });
  }

  /** The end of the epoch goes into the link at `nowMs`. */
  leaving(epoch: number, nowMs: number): void {
    if (epoch > 0) this.#leftAtMs.set(epoch, nowMs);
    this.#leftAtMs.delete(epoch - inFlightMax);
  }

  /** The end of the epoch is with the transport. */
  sent(epoch: SentEpoch): void {
    const { same, zero, delta, copy } = epoch.pages;
    this.#pages = {
      unchanged: this.#pages.unchanged + same,
      zero: this.#pages.zero + zero,
      delta: this.#pages.delta + delta,
      raw: this.#pages.raw + copy,
    };
    if (epoch.epoch === 0) return;
    this.#times.encode.add(epoch.encodeMs);
    this.#times.transfer.add(epoch.transferMs);
    this.#raw.add(epoch.rawBytes);
    this.#wire.add(epoch.wireBytes);
    const at = this.#epochs.findIndex((one) => one.epoch === epoch.epoch);
    const found = this.#epochs[at];
    if (found !== undefined) this.#epochs[at] = { ...found, sent_bytes: epoch.wireBytes };
  }

  /** The backup acknowledged the epoch at `nowMs`. */
  acknowledged(epoch: number, nowMs: number): void {
    if (this.#acknowledgedAtMs !== null) {
      this.#lags.add(Math.max(0, Math.round(nowMs - this.#acknowledgedAtMs)), nowMs);
    }
    this.#acknowledgedAtMs = nowMs;
    const leftAtMs = this.#leftAtMs.get(epoch);
    if (leftAtMs === undefined) return;
    this.#leftAtMs.delete(epoch);
    this.#times.acknowledge.add(Math.max(0, nowMs - leftAtMs));
  }

  /** The epoch keeps the guest suspended: so many bytes wait, and no more may. */
  stalled(epoch: number, waitingBytes: number): void {
    this.#stalled = { epoch, waitingBytes };
  }

  /**
   * What keeps the guest from running as it should: the word `stalled` of the man page and one
   * sentence without final stop; null: nothing.
   * A stall is told of for a while after its end, since who looks comes by now and then.
   */
  degraded(nowMs: number): string | null {
    if (this.#stalled !== null) {
      const { epoch, waitingBytes } = this.#stalled;
      const waiting = formatBytes(waitingBytes);
      return `stalled: epoch ${epoch} keeps the guest suspended, ${waiting} wait to be sent`;
    }
    if (nowMs - this.#stallEndedAtMs > stallShownMs) return null;
    const checkpoints = this.#stalls === 1 ? '1 checkpoint' : `${this.#stalls} checkpoints`;
    return (
      `stalled: ${checkpoints} kept the guest suspended until there was room in memory, ` +
      `${formatMs(this.#stalledMs)} in all`
    );
  }

  /** The last few, oldest first. */
  get epochs(): readonly EpochFigures[] {
    return this.#epochs;
  }

  /** The worst of what has just been; the status is written less often than checkpoints come. */
  recent(nowMs: number): RecentFigures {
    return { pause_ms_max: this.#pauses.at(nowMs), lag_ms_max: this.#lags.at(nowMs) };
  }

  /** Pages sent since the session began, the seed's too. */
  get pages(): PagesByKind {
    return this.#pages;
  }

  /** Of the stream, of all epochs that the guest has left behind. */
  get drainedBytes(): number {
    return this.#drainedBytes;
  }

  /** Checkpoints that kept the guest waiting for room, and for how long in all. */
  get stalls(): { readonly count: number; readonly ms: number } {
    return { count: this.#stalls, ms: Math.round(this.#stalledMs) };
  }

  histograms(): Histograms {
    const { pause, encode, transfer, acknowledge, period } = this.#times;
    return {
      pause_ms: pause.summary(),
      encode_ms: encode.summary(),
      transfer_ms: transfer.summary(),
      acknowledge_ms: acknowledge.summary(),
      period_ms: period.summary(),
      raw_bytes: this.#raw.summary(),
      sent_bytes: this.#wire.summary(),
    };
  }
}
