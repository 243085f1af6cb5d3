/** What is said of disks that were copied. */
import { formatBytes, formatMs } from '../units.ts';

/** Disks that were brought to be as the guest's are. */
export interface CopiedDisks {
  /** How large they are, in all. */
  readonly bytes: number;
  /** What of that the other host had already. */
  readonly equalBytes: number;
  /** What went over the link for it, encoded. */
  readonly sentBytes: number;
  readonly ms: number;
}

/** The same for programs (docs/JSON.md). */
export function copiedData({ bytes, equalBytes, sentBytes, ms }: CopiedDisks) {
  return { bytes, equal_bytes: equalBytes, sent_bytes: sentBytes, ms: Math.round(ms) };
}

/** `2.1 GB in 41.0 s: 2.0 GB were there already, 23.1 MB sent` */
export function copiedText({ bytes, equalBytes, sentBytes, ms }: CopiedDisks): string {
  const there = `${formatBytes(equalBytes)} were there already`;
  return `${formatBytes(bytes)} in ${formatMs(ms)}: ${there}, ${formatBytes(sentBytes)} sent`;
}
