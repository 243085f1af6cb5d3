/** What `tsremus protect` says on its way: events, each state once, and the seed's progress. */
import { type HostNames, type PlacedLine, placedText } from '../../core/check/line.ts';
import type { SessionState } from '../../core/health/facts.ts';
import { type Agreement, mayOpenUnanswered } from '../../core/permission/tie.ts';
import { askClause } from '../../core/texts/advice.ts';
import { protectedText } from '../../core/texts/events.ts';
import { copiedData, copiedText } from '../../core/texts/resync.ts';
import type { FirstCopy } from '../../disk/port.ts';
import type { Clock } from '../../host/clock.ts';
import type { Log } from '../../host/log.ts';
import type { ProtectReporter } from '../options.ts';
import { disksProgress, paceOf, seedPercent } from '../progress.ts';

export interface ProtectNewsParts {
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly reporter: ProtectReporter;
  readonly log: Log;
  readonly guest: { readonly name: string; readonly memoryBytes: number };
  /** The backup's. */
  readonly host: string;
  readonly withoutWitness: Agreement;
}

type TellLine = (text: string, data: Readonly<Record<string, unknown>>) => void;

/** Each line that warns, with what to type. */
export function tellWarned(lines: readonly PlacedLine[], hosts: HostNames, tell: TellLine): void {
  for (const line of lines) {
    const { level, name, where, next } = line;
    if (level === 'warn') tell(placedText(line, hosts), { name, where, next });
  }
}

export class ProtectNews {
  readonly #parts: ProtectNewsParts;
  #told: SessionState | null = null;
  #seedBegan = 0;
  /** The memory's copy begins at once, or after those of the disks. */
  #memoryFromMs: number | null = null;

  constructor(parts: ProtectNewsParts) {
    this.#parts = parts;
  }

  /** `kind` and `text` as in ProtectReporter. */
  tell(kind: string, text: string): void {
    this.#parts.log.info(text);
    this.#parts.reporter.event(kind, text);
  }

  /** What of the hosts does not do well; all else is not worth a line. */
  checked(lines: readonly PlacedLine[], hosts: HostNames): void {
    const { log, reporter } = this.#parts;
    tellWarned(lines, hosts, (text, data) => {
      log.info(text);
      reporter.event('check', text, data);
    });
  }

  /** Says what the session has come to, once each time; being late is for `status` to say. */
  cameTo(state: SessionState, reason: string | null): void {
    const { guest, host, withoutWitness } = this.#parts;
    const wayOut = mayOpenUnanswered(withoutWitness, 'nothing')
      ? `it goes on here by itself if ${host} stays silent`
      : askClause(guest.name);
    const texts: Partial<Record<SessionState, string>> = {
      protected: protectedText(host),
      ending: `asking ${host} for leave to go on here`,
      held: `held${reason === null ? '' : `: ${reason}`}; ${wayOut}`,
    };
    const text = texts[state];
    if (text === undefined || state === this.#told) return;
    this.#told = state;
    this.tell(state, text);
  }

  seedBegins(): void {
    this.#seedBegan = this.#parts.clock.nowMs();
    this.#memoryFromMs = null;
  }

  /** So many bytes of the seed were read so far. */
  seedMoved(bytes: number): void {
    const { clock, guest, reporter } = this.#parts;
    this.#memoryFromMs ??= clock.nowMs();
    const paced = paceOf(bytes, guest.memoryBytes, clock.nowMs() - this.#memoryFromMs);
    reporter.seedProgress({ percent: seedPercent(bytes, guest.memoryBytes), bytes, ...paced });
  }

  /** All of them, and the memory's copy begins. */
  disksCopied({ totalBytes: bytes, equalBytes }: FirstCopy, sentBytes: number): void {
    const { clock, log, reporter } = this.#parts;
    const copied = { bytes, equalBytes, sentBytes, ms: clock.nowMs() - this.#seedBegan };
    const text = `the disks are copied: ${copiedText(copied)}`;
    log.info(text);
    reporter.event('disks-copied', text, copiedData(copied));
  }

  /** The disks come first; they are so far. */
  disksMoved(copy: FirstCopy): void {
    const { clock, reporter } = this.#parts;
    reporter.seedProgress(disksProgress(copy, clock.nowMs() - this.#seedBegan));
  }
}
