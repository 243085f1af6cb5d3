/**
 * Flags and environment -> settings. A flag wins over its TSREMUS_* variable, that over the
 * default. Pure: the environment is handed in, and nothing is read or printed here.
 */

import {
  awaitGuestSecondsMax,
  heartbeatTimeoutMsMax,
  heartbeatTimeoutMsMin,
  holdMsMax,
  holdMsMin,
  intervalMsMax,
  intervalMsMin,
  maxMemoryBytesMax,
  maxMemoryBytesMin,
  overheadPercentDefault,
  overheadPercentMax,
  overheadPercentMin,
  pendingDefault,
  pendingMaxMax,
} from '../core/limits.ts';
import { type Agreement, agreementDefault, agreements } from '../core/permission/tie.ts';
import type { SaveHelper } from '../core/save-helper.ts';
import { saveHelperDefault, saveHelpers } from '../core/save-helper.ts';
import { UsageError } from './usage-error.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** One setting that is a whole number. */
export interface NumberSetting {
  readonly flag: string;
  readonly variable: string;
  readonly unit: 'milliseconds' | 'seconds' | 'percent' | 'epochs';
  /** What holds when nothing is said; a word where that is no number. */
  readonly fallback: number | 'auto';
  /** For hints. */
  readonly example: number;
  readonly min: number;
  readonly max: number;
  /** What else 0 means where a user may expect that. */
  readonly zero?: string;
}

export const intervalSetting = {
  flag: '--interval',
  variable: 'TSREMUS_INTERVAL',
  unit: 'milliseconds',
  fallback: 'auto',
  example: 200,
  min: intervalMsMin,
  max: intervalMsMax,
  // main_remus() of xl parses with atoi and reads 0 as "not given".
  zero: 'xl remus takes it for 200',
} as const satisfies NumberSetting;

export const maxOverheadSetting = {
  flag: '--max-overhead',
  variable: 'TSREMUS_MAX_OVERHEAD',
  unit: 'percent',
  fallback: overheadPercentDefault,
  example: 20,
  min: overheadPercentMin,
  max: overheadPercentMax,
} as const satisfies NumberSetting;

export const maxPendingSetting = {
  flag: '--max-pending',
  variable: 'TSREMUS_MAX_PENDING',
  unit: 'epochs',
  fallback: pendingDefault,
  example: 2,
  min: 1,
  max: pendingMaxMax,
} as const satisfies NumberSetting;

export const heartbeatTimeoutSetting = {
  flag: '--heartbeat-timeout',
  variable: 'TSREMUS_HEARTBEAT_TIMEOUT',
  unit: 'milliseconds',
  fallback: 1_000,
  example: 1_000,
  min: heartbeatTimeoutMsMin,
  max: heartbeatTimeoutMsMax,
} as const satisfies NumberSetting;

export const holdSetting = {
  flag: '--hold',
  variable: 'TSREMUS_HOLD',
  unit: 'milliseconds',
  fallback: 3_000,
  example: 3_000,
  min: holdMsMin,
  max: holdMsMax,
} as const satisfies NumberSetting;

/** Every setting that is a number: the man page is checked against this list. */
export const numberSettings: readonly NumberSetting[] = [
  intervalSetting,
  maxOverheadSetting,
  maxPendingSetting,
  heartbeatTimeoutSetting,
  holdSetting,
];

/** How long `protect` waits for a guest that does not run yet: at boot, say. */
export const awaitGuestSetting = {
  flag: '--await-guest',
  variable: 'TSREMUS_AWAIT_GUEST',
  unit: 'seconds',
  fallback: 0,
  example: 300,
  min: 0,
  max: awaitGuestSecondsMax,
} as const satisfies NumberSetting;

/** Who goes on when the other host cannot be asked. */
export const withoutWitnessFlag = '--without-witness';
export const withoutWitnessVariable = 'TSREMUS_WITHOUT_WITNESS';

/** What makes the checkpoints. */
export const saveHelperFlag = '--save-helper';
export const saveHelperVariable = 'TSREMUS_SAVE_HELPER';

/** What a session may use of a host's memory; the backup has its own. */
export const maxMemoryFlag = '--max-memory';
export const maxMemoryVariable = 'TSREMUS_MAX_MEMORY';

/** Where a session's state is kept while this host is up. */
export const runDirectoryVariable = 'TSREMUS_RUN_DIR';
export const runDirectoryDefault = '/run/tsremus';

/** Where records are kept that outlive a boot. */
export const stateDirectoryVariable = 'TSREMUS_STATE_DIR';
export const stateDirectoryDefault = '/var/lib/tsremus';

/** The default of -s. */
export const sshCommandVariable = 'TSREMUS_SSH_COMMAND';

/** What the backup is called with -b. */
export const nowhere = 'nowhere';
/** With -b, what keeps nothing; a host puts in the very program that measures. */
export const blackholeDefault = 'tsremus receive --blackhole';

/** Where a value was said: a flag, a variable, or a key of `tsremus set`. */
export interface Said {
  readonly text: string;
  /** As the user knows it. */
  readonly name: string;
  readonly origin: 'arguments' | 'environment';
  /** What stands between name and value. */
  readonly joint: ' ' | '=';
}

/** A value of the flag, else of the environment, else null. */
export function said(
  setting: { readonly flag: string; readonly variable: string },
  flag: string | undefined,
  env: Environment,
): Said | null {
  if (flag !== undefined) {
    return { text: flag, name: setting.flag, origin: 'arguments', joint: ' ' };
  }
  const set = env[setting.variable];
  // An empty variable is an unset one, as everywhere in a shell.
  return set ? { text: set, name: setting.variable, origin: 'environment', joint: '=' } : null;
}

/** The number that was said; throws UsageError with the range. */
export function parseNumber({ text, name, origin, joint }: Said, setting: NumberSetting): number {
  const { unit, min, max, example, zero } = setting;
  const range = `${unit}, ${min} to ${max}`;
  const hint = { name, joint, value: `${example}` };
  if (!/^[0-9]{1,9}$/.test(text)) {
    const shown = JSON.stringify(text.slice(0, 40));
    throw new UsageError(`${name}: ${shown} is not a whole number of ${range}`, hint, origin);
  }
  const value = Number(text);
  if (value === 0 && zero !== undefined) {
    throw new UsageError(`${name}: 0 is not a time (${zero})`, hint, origin);
  }
  if (value < min || value > max) {
    throw new UsageError(`${name}: ${value} is out of range (${range})`, hint, origin);
  }
  return value;
}

/** The value of a setting: from the flag, else from the environment, else its default. */
export function numberOf(
  setting: NumberSetting & { readonly fallback: number },
  flag: string | undefined,
  env: Environment,
): number {
  const value = said(setting, flag, env);
  return value === null ? setting.fallback : parseNumber(value, setting);
}

/** The interval that was said: a number of milliseconds, or `auto`. */
export function parseInterval(value: Said): number | 'auto' {
  return value.text === 'auto' ? 'auto' : parseNumber(value, intervalSetting);
}

/** The interval: from the flag, else from the environment, else `auto`. */
export function intervalOf(flag: string | undefined, env: Environment): number | 'auto' {
  const value = said(intervalSetting, flag, env);
  return value === null ? intervalSetting.fallback : parseInterval(value);
}

/** Who goes on unanswered: from the flag, else from the environment, else the backup. */
export function withoutWitness(flag: string | undefined, env: Environment): Agreement {
  const setting = { flag: withoutWitnessFlag, variable: withoutWitnessVariable };
  return oneOf(agreements, agreementDefault, said(setting, flag, env));
}

/** What makes the checkpoints: from the flag, else from the environment, else our own. */
export function saveHelper(flag: string | undefined, env: Environment): SaveHelper {
  const setting = { flag: saveHelperFlag, variable: saveHelperVariable };
  return oneOf(saveHelpers, saveHelperDefault, said(setting, flag, env));
}

function oneOf<Word extends string>(
  words: readonly Word[],
  fallback: Word,
  value: Said | null,
): Word {
  if (value === null) return fallback;
  const { text, name, origin, joint } = value;
  const found = words.find((one) => one === text);
  if (found !== undefined) return found;
  const shown = JSON.stringify(text.slice(0, 40));
  const hint = { name, joint, value: fallback };
  throw new UsageError(`${name}: ${shown} is none of ${words.join(', ')}`, hint, origin);
}

const suffixes = ['', 'K', 'M', 'G', 'T'];

/** Bytes of `--max-memory`, with or without K, M, G or T (powers of 1024); null: not said. */
export function maxMemory(flag: string | undefined, env: Environment): number | null {
  const value = said({ flag: maxMemoryFlag, variable: maxMemoryVariable }, flag, env);
  if (value === null) return null;
  const { text, name, origin, joint } = value;
  const hint = { name, joint, value: '512M' };
  const [, digits = '', suffix = ''] = /^([0-9]{1,15})([KMGT]?)$/i.exec(text) ?? [];
  if (digits === '') {
    const shown = JSON.stringify(text.slice(0, 40));
    throw new UsageError(`${name}: ${shown} is not a size such as 512M or 2G`, hint, origin);
  }
  const bytes = Number(digits) * 1024 ** suffixes.indexOf(suffix.toUpperCase());
  if (bytes < maxMemoryBytesMin || bytes > maxMemoryBytesMax) {
    throw new UsageError(`${name}: ${text} is out of range (64M to 16T)`, hint, origin);
  }
  return bytes;
}

/** An absolute path from the environment, or the default; throws UsageError for another one. */
export function pathOf(variable: string, fallback: string, env: Environment): string {
  const set = env[variable];
  if (!set) return fallback;
  if (set.startsWith('/')) return set;
  const shown = JSON.stringify(set.slice(0, 60));
  throw new UsageError(
    `${variable}: ${shown} is not an absolute path`,
    { name: variable, joint: '=', value: fallback },
    'environment',
  );
}

/** One of some words from the environment; null: not said. Throws UsageError for another one. */
export function wordOf<Word extends string>(
  variable: string,
  words: readonly Word[],
  env: Environment,
): Word | null {
  const set = env[variable];
  if (!set) return null;
  const found = words.find((word) => word === set);
  if (found !== undefined) return found;
  const shown = JSON.stringify(set.slice(0, 40));
  throw new UsageError(
    `${variable}: ${shown} is none of ${words.join(', ')}`,
    { name: variable, joint: '=', value: words[0] ?? '' },
    'environment',
  );
}

/** Where records are kept. */
export function stateDirectory(env: Environment): string {
  return pathOf(stateDirectoryVariable, stateDirectoryDefault, env);
}

/** The folder of status files and control sockets. */
export function runDirectory(env: Environment): string {
  return pathOf(runDirectoryVariable, runDirectoryDefault, env);
}

/** What carries the stream: null is plain `ssh`, the empty string runs HOST as a command. */
export function sshCommand(flag: string | undefined, env: Environment): string | null {
  return flag ?? (env[sshCommandVariable] || null);
}
