/**
 * How far the seed is, on stderr. On a terminal one line that rewrites itself, at most four times
 * a second; elsewhere (a log, cron) one line per tenth, so that the log stays readable.
 */

import { formatBytes, formatSeconds } from '../../core/units.ts';
import type { SeedProgress } from '../../session/options.ts';
import type { Stream } from '../io.ts';

const redrawMsMin = 250;

/** `seed 42 %, 310 MB`, or `copying disks: 31 % of 2.0 GiB` */
function amountText({ percent: said, bytes, disksBytes, isCompared }: SeedProgress): string {
  const percent = String(Math.floor(Math.max(0, Math.min(100, said)))).padStart(2);
  if (disksBytes === undefined) return `seed ${percent} %, ${formatBytes(bytes)}`;
  const done = isCompared ? 'comparing' : 'copying';
  return `${done} disks: ${percent} % of ${formatBytes(disksBytes)}`;
}

/** `web1: seed 42 %, 310 MB, 18 MB/s, 23 s left` */
export function progressText(domain: string, progress: SeedProgress): string {
  const parts = [amountText(progress), `${formatBytes(progress.bytesPerSecond)}/s`];
  if (progress.secondsLeft !== null) parts.push(`${formatSeconds(progress.secondsLeft)} left`);
  return `${domain}: ${parts.join(', ')}`;
}

export class ProgressLine {
  readonly #stream: Stream;
  readonly #domain: string;
  readonly #nowMs: () => number;
  #drawnMs = Number.NEGATIVE_INFINITY;
  /** Length of what stands on the terminal's last line. */
  #drawn = 0;
  #tenth = -1;
  #isOfDisks = false;

  constructor(stream: Stream, domain: string, nowMs: () => number) {
    this.#stream = stream;
    this.#domain = domain;
    this.#nowMs = nowMs;
  }

  update(progress: SeedProgress): void {
    if (this.#stream.isTty) this.#redraw(progress);
    else this.#log(progress);
  }

  /** Makes room for another line on the same terminal. */
  clear(): void {
    if (this.#drawn === 0) return;
    this.#stream.write(`\r${' '.repeat(this.#drawn)}\r`);
    this.#drawn = 0;
  }

  #redraw(progress: SeedProgress): void {
    const nowMs = this.#nowMs();
    if (progress.percent < 100 && nowMs - this.#drawnMs < redrawMsMin) return;
    this.#drawnMs = nowMs;
    // A line as wide as the terminal would wrap, and \r would not get back to its start.
    const text = progressText(this.#domain, progress).slice(0, this.#stream.columns - 1);
    this.#stream.write(`\r${text.padEnd(this.#drawn)}`);
    this.#drawn = text.length;
  }

  #log(progress: SeedProgress): void {
    const isOfDisks = progress.disksBytes !== undefined;
    // The memory begins at zero again.
    if (isOfDisks !== this.#isOfDisks) this.#tenth = -1;
    this.#isOfDisks = isOfDisks;
    const tenth = Math.floor(progress.percent / 10);
    if (tenth <= this.#tenth) return;
    this.#tenth = tenth;
    this.#stream.write(`${progressText(this.#domain, progress)}\n`);
  }
}
