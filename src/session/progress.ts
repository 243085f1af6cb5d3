/** How far a copy is: shown while it goes on, in status and to whoever waits. */
import type { FirstCopy } from '../disk/port.ts';
import type { ResyncFigures } from '../registry/resync-status.ts';
import type { SeedProgress } from './options.ts';

/** Percent of a seed, at most 99 until it is acknowledged. */
export function seedPercent(bytes: number, totalBytes: number): number {
  if (totalBytes <= 0) return 0;
  return Math.min(99, Math.floor((100 * bytes) / totalBytes));
}

/** What it made in a second so far, and how long it takes yet; null: that is not known. */
export function paceOf(bytes: number, totalBytes: number, forMs: number) {
  const seconds = forMs / 1000;
  const bytesPerSecond = seconds > 0 ? bytes / seconds : 0;
  const left = totalBytes - bytes;
  const secondsLeft = bytesPerSecond > 0 && left > 0 ? left / bytesPerSecond : null;
  return { bytesPerSecond, secondsLeft };
}

/** Of disks that are copied since `forMs`. */
export function disksProgress(
  { doneBytes: bytes, totalBytes }: Pick<FirstCopy, 'doneBytes' | 'totalBytes'>,
  forMs: number,
): SeedProgress {
  const percent = seedPercent(bytes, totalBytes);
  return { percent, bytes, ...paceOf(bytes, totalBytes, forMs), disksBytes: totalBytes };
}

/** The same as a resync says it in its status; null: it has not begun to copy. */
export function resyncFigures(progress: SeedProgress | null): ResyncFigures {
  if (progress === null) {
    return { bytes: 0, total_bytes: 0, bytes_per_second: 0, seconds_left: null };
  }
  const { bytes, disksBytes = 0, bytesPerSecond, secondsLeft } = progress;
  return {
    ...{ bytes, total_bytes: disksBytes },
    bytes_per_second: Math.round(bytesPerSecond),
    seconds_left: secondsLeft === null ? null : Math.round(secondsLeft),
  };
}
