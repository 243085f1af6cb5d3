/**
 * What a session tells the window that shows it (src/app/window.ts): a line of JSON each, in order.
 * Both ends are of the same program; a line that is none of these is passed over.
 */
import type { ProtectResult, SeedProgress } from './options.ts';

/** How the session failed before there was an outcome, in the command line's own words. */
export interface ToldFailure {
  readonly code: string;
  readonly message: string;
  readonly hints: readonly string[];
  /** Of the table of exit codes. */
  readonly exit: number;
  /** Of a bug. */
  readonly stack: string | null;
}

export type Told =
  | { readonly kind: 'seed'; readonly progress: SeedProgress }
  | {
      readonly kind: 'event';
      readonly event: string;
      readonly text: string;
      readonly data?: Readonly<Record<string, unknown>> | undefined;
    }
  /** So many events were dropped because the window did not read them. */
  | { readonly kind: 'unread'; readonly events: number }
  /** The last one, as the next. */
  | { readonly kind: 'ended'; readonly result: ProtectResult }
  | { readonly kind: 'failed'; readonly failure: ToldFailure };

/** With the time of day at which it was told. */
export interface ToldAt {
  readonly at: Date;
  readonly told: Told;
}

const kinds: ReadonlySet<unknown> = new Set<Told['kind']>([
  'seed',
  'event',
  'unread',
  'ended',
  'failed',
]);

/** With its end of line. */
export function toldLine({ at, told }: ToldAt): string {
  return `${JSON.stringify({ at: at.toISOString(), told })}\n`;
}

/** Null for what is no such line. */
export function parseTold(line: string): ToldAt | null {
  try {
    const { at, told } = JSON.parse(line) as { at: string; told: Told };
    const time = new Date(at);
    return kinds.has(told.kind) && !Number.isNaN(time.getTime()) ? { at: time, told } : null;
  } catch {
    return null;
  }
}
