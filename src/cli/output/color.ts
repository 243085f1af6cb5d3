/**
 * Whether to colour, decided once per stream: --color > NO_COLOR > FORCE_COLOR/CLICOLOR_FORCE >
 * a terminal that is not dumb. chalk would not heed NO_COLOR, so it is told its level.
 * Colour only ever repeats what a word says.
 */
import { Chalk, type ChalkInstance } from 'chalk';
import type { Stream } from '../io.ts';

export const colorChoices = ['auto', 'always', 'never'] as const;
export type ColorChoice = (typeof colorChoices)[number];

type Environment = Readonly<Record<string, string | undefined>>;

/** The decision for one stream. */
export function wantsColor(choice: ColorChoice, env: Environment, isTty: boolean): boolean {
  if (choice !== 'auto') return choice === 'always';
  if (env['NO_COLOR']) return false;
  const forced = env['FORCE_COLOR'] ?? env['CLICOLOR_FORCE'];
  if (forced !== undefined && forced !== '') return forced !== '0' && forced !== 'false';
  return isTty && env['TERM'] !== 'dumb';
}

/** A painter for `stream`; paints nothing where colour is not wanted. */
export function painter(choice: ColorChoice, env: Environment, stream: Stream): ChalkInstance {
  return new Chalk({ level: wantsColor(choice, env, stream.isTty) ? 1 : 0 });
}
