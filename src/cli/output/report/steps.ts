/** Figures of a session as so many steps as a picture has room for. Pure. */
import type { Figures } from '../../../registry/figures-record.ts';
import { gapMsMin, type Span } from './plot.ts';

/** Some time, with what was measured in it; null: nothing. */
export interface Step extends Span {
  readonly state: string;
  readonly epochs: number;
  readonly pauseMsMean: number | null;
  readonly pauseMsMax: number | null;
  readonly lagMsMax: number | null;
  readonly epochBytes: number | null;
  readonly epochSentBytes: number | null;
  readonly bytesPerSecond: number;
  readonly waitingBytes: number | null;
  readonly outputBytes: number | null;
}

function spanOf({ time, ms }: Figures): Span {
  const toMs = Date.parse(time);
  return { fromMs: toMs - ms, toMs };
}

function most(values: readonly (number | null)[]): number | null {
  return values.reduce(
    (max, value) => (value === null ? max : Math.max(max ?? value, value)),
    null,
  );
}

/** The mean of an epoch, of means that are of so many epochs each. */
function mean(some: readonly Figures[], of: (one: Figures) => number | null): number | null {
  const known = some.filter((one) => of(one) !== null && one.epochs > 0);
  const count = known.reduce((sum, { epochs }) => sum + epochs, 0);
  const sum = known.reduce((total, one) => total + (of(one) ?? 0) * one.epochs, 0);
  return count === 0 ? null : sum / count;
}

function stepOf(some: readonly Figures[]): Step | null {
  const [first, last] = [some[0], some.at(-1)];
  if (first === undefined || last === undefined) return null;
  const ms = some.reduce((sum, one) => sum + one.ms, 0);
  const bytes = some.reduce((sum, one) => sum + one.bytes_sent, 0);
  return {
    fromMs: spanOf(first).fromMs,
    toMs: spanOf(last).toMs,
    state: last.state,
    epochs: some.reduce((sum, { epochs }) => sum + epochs, 0),
    pauseMsMean: mean(some, (one) => one.pause_ms_mean),
    pauseMsMax: most(some.map((one) => one.pause_ms_max)),
    lagMsMax: most(some.map((one) => one.lag_ms_max)),
    epochBytes: mean(some, (one) => one.epoch_bytes_mean),
    epochSentBytes: mean(some, (one) => one.epoch_sent_bytes_mean),
    bytesPerSecond: ms === 0 ? 0 : (1_000 * bytes) / ms,
    waitingBytes: most(some.map((one) => one.waiting_bytes_max)),
    outputBytes: most(some.map((one) => one.output_bytes_max)),
  };
}

/** At most about `countMax`, neighbours put together; never over a gap. */
export function stepsOf(figures: readonly Figures[], countMax: number): readonly Step[] {
  const each = Math.max(1, Math.ceil(figures.length / countMax));
  const groups: Figures[][] = [];
  for (const one of figures) {
    const group = groups.at(-1);
    const before = group?.at(-1);
    const isGap = before === undefined || spanOf(one).fromMs - spanOf(before).toMs >= gapMsMin;
    if (group === undefined || isGap || group.length === each) groups.push([one]);
    else group.push(one);
  }
  return groups.flatMap((group) => stepOf(group) ?? []);
}
