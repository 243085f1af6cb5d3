/** What is said of disks that were copied, or compared. */
import { formatBytes, formatMs, formatSeconds } from '../units.ts';
import { hostWord } from './quote.ts';

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

/** A part of a disk that is not the same on both hosts, bytes. */
export interface DifferentRange {
  readonly disk: string;
  readonly at: number;
  readonly bytes: number;
}

/** What a comparison of disks found. */
export interface Difference {
  readonly bytes: number;
  readonly differentBytes: number;
  /** The first of them, in their order; `more` are left out. */
  readonly ranges: readonly DifferentRange[];
  readonly more: number;
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

/** The result of a resync, two sentences: what was done, and how long it holds. */
export function resyncedText(
  { domain, peer, asOf }: { readonly domain: string; readonly peer: string; readonly asOf: string },
  copied: CopiedDisks,
): readonly string[] {
  return [
    `the disks of ${domain} on ${peer} are as they were here at ${asOf}: ${copiedText(copied)}`,
    `what ${domain} writes from now on is not copied, until it is protected`,
  ];
}

/** Of one that was ended before. */
export function resyncEndedText(domain: string, peer: string): string {
  const goesOn = 'the next one goes on from what is there';
  return `ended: the disks of ${domain} on ${peer} are not whole, and ${goesOn}`;
}

/** The result of a comparison. */
export function comparedText(
  domain: string,
  peer: string,
  { bytes, differentBytes, ms }: Difference,
): string {
  const looked = `${formatBytes(bytes)} in ${formatMs(ms)}`;
  return differentBytes === 0
    ? `the disks of ${domain} on ${peer} are as they are here: ${looked}`
    : `the disks of ${domain} on ${peer} differ in ${formatBytes(differentBytes)}: ${looked}`;
}

/** `xvda: 65536 bytes at 4194304` */
export function rangeText({ disk, at, bytes }: DifferentRange): string {
  return `${disk}: ${bytes} bytes at ${at}`;
}

/** How far a resync or a comparison is, by what it says in the run directory (registry). */
export interface Resyncing {
  readonly domain: string;
  readonly role: 'primary' | 'backup';
  readonly peer: string;
  readonly compare_only: boolean;
  readonly bytes: number;
  readonly total_bytes: number;
  readonly bytes_per_second: number;
  readonly seconds_left: number | null;
}

/** `resync 37 %` */
export function resyncWord({ compare_only: isCompared, bytes, total_bytes }: Resyncing): string {
  const percent = total_bytes > 0 ? Math.min(99, Math.floor((100 * bytes) / total_bytes)) : 0;
  return `${isCompared ? 'comparing' : 'resync'} ${percent} %`;
}

/** A sentence. */
export function resyncingText(resync: Resyncing): string {
  const { role, compare_only: isCompared, seconds_left: left } = resync;
  const peer = hostWord(resync.peer);
  const copied = role === 'primary' ? `copied to ${peer}` : `copied from ${peer}`;
  const what = isCompared ? `compared with those of ${peer}` : copied;
  if (resync.total_bytes === 0) return `its disks are to be ${what}`;
  const done = `${formatBytes(resync.bytes)} of ${formatBytes(resync.total_bytes)}`;
  const pace = `${formatBytes(resync.bytes_per_second)}/s`;
  const yet = left === null ? '' : `, ${formatSeconds(left)} left`;
  return `its disks are ${what}: ${done}, ${pace}${yet}`;
}
