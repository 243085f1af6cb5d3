/**
 * Defaults of sessions that an administrator wrote down (tsremus.toml(5)): what stands in the files
 * becomes what the variables would say, where those say nothing. Pure: tables and texts in.
 *
 * Where a session keeps its state is not among them: `stop`, `failover` and a primary that asks
 * must find it whatever was written there last, and read no such file.
 */
import { bufferLimit, bufferLimitVariable } from './buffer-limit.ts';
import {
  type Environment,
  heartbeatTimeoutSetting,
  holdSetting,
  intervalOf,
  intervalSetting,
  maxMemory,
  maxMemoryVariable,
  maxOverheadSetting,
  maxPendingSetting,
  type NumberSetting,
  numberOf,
  sshCommandVariable,
  withoutWitness,
  withoutWitnessVariable,
} from './settings.ts';
import { UsageError } from './usage-error.ts';
import { nearest } from './variables.ts';

type TypeName = 'number' | 'text';

interface FileKey {
  /** As in the file: the flag of `tsremus protect` without its dashes. */
  readonly key: string;
  readonly variable: string;
  readonly types: readonly TypeName[];
  /** What holds when nothing is said, for people. */
  readonly fallback: string;
  /** The check of the variable; throws UsageError. */
  readonly check: (env: Environment) => unknown;
}

function numberKey(setting: NumberSetting & { readonly fallback: number }): FileKey {
  return {
    key: setting.flag.slice(2),
    variable: setting.variable,
    types: ['number'],
    fallback: `${setting.fallback}`,
    check: (env) => numberOf(setting, undefined, env),
  };
}

export const fileKeys: readonly FileKey[] = [
  {
    key: 'interval',
    variable: intervalSetting.variable,
    types: ['number', 'text'],
    fallback: 'auto',
    check: (env) => intervalOf(undefined, env),
  },
  numberKey(maxOverheadSetting),
  numberKey(maxPendingSetting),
  {
    key: 'max-memory',
    variable: maxMemoryVariable,
    types: ['number', 'text'],
    fallback: 'a quarter',
    check: (env) => maxMemory(undefined, env),
  },
  {
    key: 'buffer-limit',
    variable: bufferLimitVariable,
    types: ['number', 'text'],
    fallback: '64M',
    check: (env) => bufferLimit(undefined, env),
  },
  numberKey(heartbeatTimeoutSetting),
  numberKey(holdSetting),
  {
    key: 'without-witness',
    variable: withoutWitnessVariable,
    types: ['text'],
    fallback: 'backup',
    check: (env) => withoutWitness(undefined, env),
  },
  {
    key: 'ssh-command',
    variable: sshCommandVariable,
    types: ['text'],
    fallback: 'ssh',
    check: () => {},
  },
];

/** A file as it was read: its text, and the table that it means. */
export interface SettingsFile {
  readonly path: string;
  readonly text: string;
  readonly table: Readonly<Record<string, unknown>>;
}

/** A value of a file, and where it stands. */
export interface FileValue {
  readonly key: string;
  readonly variable: string;
  readonly text: string;
  readonly path: string;
  readonly line: number;
}

/** The line of a key, or of the table of that name; 1 where it cannot be told. */
function lineOf({ text }: SettingsFile, key: string): number {
  const escaped = key.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  const here = new RegExp(`^\\s*(?:\\[+\\s*)?["']?${escaped}["']?\\s*[=.\\]]`);
  const at = text.split('\n').findIndex((line) => here.test(line));
  return at < 0 ? 1 : at + 1;
}

function wrong(file: SettingsFile, key: string, why: string): UsageError {
  const where = `${file.path}, line ${lineOf(file, key)}`;
  return new UsageError(`${where}: ${why}`, undefined, 'file');
}

function unknownKey(file: SettingsFile, key: string): UsageError {
  const shown = JSON.stringify(key.slice(0, 40));
  const names = fileKeys.map((one) => one.key);
  const meant = nearest(key.slice(0, 40).replaceAll('_', '-').toLowerCase(), names);
  const told = meant === null ? `known are ${names.join(', ')}` : `is ${meant} meant?`;
  return wrong(file, key, `${shown} is no setting (${told})`);
}

function typeOf(value: unknown): TypeName | null {
  if (typeof value === 'string') return 'text';
  return typeof value === 'number' || typeof value === 'bigint' ? 'number' : null;
}

/** The text that the variable would have. */
function textOf(file: SettingsFile, one: FileKey, value: unknown): string {
  const type = typeOf(value);
  if (type === null || !one.types.includes(type)) {
    const wanted = one.types.map((name) => `a ${name}`).join(' or ');
    throw wrong(file, one.key, `${one.key} is no ${wanted.slice(2)}`);
  }
  const text = String(value);
  if (text === '') throw wrong(file, one.key, `${one.key} is empty`);
  try {
    one.check({ [one.variable]: text });
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw wrong(file, one.key, error.message.replace(one.variable, one.key));
  }
  return text;
}

/**
 * What the files say, a later one over an earlier one. Throws UsageError that names file, line and,
 * of a key that there is not, the nearest that there is.
 */
export function valuesOf(files: readonly SettingsFile[]): readonly FileValue[] {
  const found = new Map<string, FileValue>();
  for (const file of files) {
    for (const [key, value] of Object.entries(file.table)) {
      const one = fileKeys.find((known) => known.key === key);
      if (one === undefined) throw unknownKey(file, key);
      const text = textOf(file, one, value);
      const { variable } = one;
      found.set(key, { key, variable, text, path: file.path, line: lineOf(file, key) });
    }
  }
  return [...found.values()];
}

/** The environment, with what the files say where that says nothing. */
export function underEnvironment(values: readonly FileValue[], env: Environment): Environment {
  const unsaid = values.filter(({ variable }) => !env[variable]);
  return { ...env, ...Object.fromEntries(unsaid.map(({ variable, text }) => [variable, text])) };
}

/** A setting as it holds for the next session, and who says so. */
export interface ShownSetting {
  readonly name: string;
  readonly value: string;
  readonly origin: 'environment' | 'file' | 'default';
  /** The variable, or the file with its line; null: the default. */
  readonly where: string | null;
}

/** Every setting of a session. Throws UsageError for a variable that cannot be. */
export function shownSettings(
  values: readonly FileValue[],
  env: Environment,
): readonly ShownSetting[] {
  return fileKeys.map(({ key: name, variable, fallback, check }) => {
    const set = env[variable];
    if (set) {
      check(env);
      return { name, value: set, origin: 'environment', where: variable };
    }
    const said = values.find(({ key }) => key === name);
    if (said === undefined) return { name, value: fallback, origin: 'default', where: null };
    const where = `${said.path}, line ${said.line}`;
    return { name, value: said.text, origin: 'file', where };
  });
}
