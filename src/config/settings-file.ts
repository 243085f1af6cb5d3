/**
 * Defaults of sessions that an administrator wrote down (tsremus.toml(5)): what stands in the files
 * becomes what the variables would say, where those say nothing. Pure: tables and texts in. The
 * file of a guest comes last of them, and has keys of its own (guest-file.ts).
 *
 * Where a session keeps its state is not among them: `stop`, `failover` and a primary that asks
 * must find it whatever was written there last, and read no such file.
 */
import { saveHelperDefault } from '../core/save-helper.ts';
import { bufferLimit, bufferLimitVariable, netbufScript } from './buffer-limit.ts';
import { resyncRate } from './resync-rate.ts';
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
  saveHelper,
  saveHelperVariable,
  sshCommandVariable,
  withoutWitness,
  withoutWitnessVariable,
} from './settings.ts';
import { UsageError } from './usage-error.ts';
import { nearest } from './variables.ts';

type TypeName = 'number' | 'text' | 'flag' | 'list';

const typeWords: Readonly<Record<TypeName, string>> = {
  number: 'a number',
  text: 'a text',
  flag: 'true or false',
  list: 'a list of texts',
};

interface AnyKey {
  /** As in the file: the flag of `tsremus protect` without its dashes. */
  readonly key: string;
  readonly types: readonly TypeName[];
  /** What holds when nothing is said, for people. */
  readonly fallback: string;
}

/** One that a variable may say, too. */
interface FileKey extends AnyKey {
  readonly variable: string;
  /** The check of the variable; throws UsageError. */
  readonly check: (env: Environment) => unknown;
}

/** One that stands in the file of a guest alone. */
interface GuestKey extends AnyKey {
  /** Of a text; throws UsageError. */
  readonly checkText?: (text: string) => unknown;
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
    key: 'save-helper',
    variable: saveHelperVariable,
    types: ['text'],
    fallback: saveHelperDefault,
    check: (env) => saveHelper(undefined, env),
  },
  {
    key: 'ssh-command',
    variable: sshCommandVariable,
    types: ['text'],
    fallback: 'ssh',
    check: () => {},
  },
];

/** What is said of one guest, and of no other: where its copy is, and what it gives up. */
export const guestKeys: readonly GuestKey[] = [
  { key: 'peer', types: ['text'], fallback: '-' },
  { key: 'no-compression', types: ['flag'], fallback: 'false' },
  { key: 'no-wait', types: ['flag'], fallback: 'false' },
  { key: 'netbuf-script', types: ['text'], fallback: '-', checkText: netbufScript },
  { key: 'no-check', types: ['flag'], fallback: 'false' },
  { key: 'force-unsafe', types: ['flag'], fallback: 'false' },
  { key: 'no-network', types: ['flag'], fallback: 'false' },
  { key: 'no-disk', types: ['flag'], fallback: 'false' },
  { key: 'allow', types: ['list'], fallback: '-' },
  { key: 'disk', types: ['list'], fallback: '-' },
  { key: 'resync-rate', types: ['text'], fallback: '-', checkText: resyncRate },
];

/** A file as it was read: its text, and the table that it means. */
export interface SettingsFile {
  readonly path: string;
  readonly text: string;
  /** It is a guest's own. */
  readonly isOfGuest?: boolean;
  readonly table: Readonly<Record<string, unknown>>;
}

/** A value of a file, and where it stands. */
export interface FileValue {
  readonly key: string;
  /** Null: none says it. */
  readonly variable: string | null;
  readonly text: string;
  /** As the file has it. */
  readonly value: unknown;
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

export function wrong(file: SettingsFile, key: string, why: string): UsageError {
  const where = `${file.path}, line ${lineOf(file, key)}`;
  return new UsageError(`${where}: ${why}`, undefined, 'file');
}

function unknownKey(file: SettingsFile, key: string): UsageError {
  const shown = JSON.stringify(key.slice(0, 40));
  if (guestKeys.some((one) => one.key === key)) {
    return wrong(file, key, `${shown} is of one guest: it goes into guests.d/NAME.toml`);
  }
  const known = file.isOfGuest ? [...guestKeys, ...fileKeys] : fileKeys;
  const names = known.map((one) => one.key);
  const meant = nearest(key.slice(0, 40).replaceAll('_', '-').toLowerCase(), names);
  const told = meant === null ? `known are ${names.join(', ')}` : `is ${meant} meant?`;
  return wrong(file, key, `${shown} is no setting (${told})`);
}

function typeOf(value: unknown): TypeName | null {
  if (typeof value === 'string') return 'text';
  if (typeof value === 'boolean') return 'flag';
  if (Array.isArray(value) && value.every((one) => typeof one === 'string')) return 'list';
  return typeof value === 'number' || typeof value === 'bigint' ? 'number' : null;
}

/** The text that the variable would have, or that is shown. */
function textOf(file: SettingsFile, one: AnyKey, value: unknown): string {
  const type = typeOf(value);
  if (type === null || !one.types.includes(type)) {
    const wanted = one.types.map((name) => typeWords[name]).join(' or ');
    throw wrong(file, one.key, `${one.key} is no ${wanted.replace(/^a /, '')}`);
  }
  const text = Array.isArray(value) ? value.join(' ') : String(value);
  // Of a guest it is the empty -s, with which its peer is a whole command.
  const mayBeEmpty = file.isOfGuest === true && one.key === 'ssh-command';
  if (text === '' && !mayBeEmpty) throw wrong(file, one.key, `${one.key} is empty`);
  return text;
}

/** Runs a check of what stands in the file, whose error speaks of another place. */
function checked(file: SettingsFile, key: string, name: string, check: () => unknown): void {
  try {
    check();
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw wrong(file, key, error.message.replace(name, key));
  }
}

function fileValue(file: SettingsFile, key: string, value: unknown): FileValue {
  const own = file.isOfGuest ? guestKeys.find((known) => known.key === key) : undefined;
  const common = fileKeys.find((known) => known.key === key);
  const one = own ?? common;
  if (one === undefined) throw unknownKey(file, key);
  const text = textOf(file, one, value);
  const where = { path: file.path, line: lineOf(file, key) };
  const variable = common?.variable ?? null;
  if (common !== undefined) {
    checked(file, key, common.variable, () => common.check({ [common.variable]: text }));
  } else if (own?.checkText !== undefined) {
    checked(file, key, `--${key} (-N)`, () => own.checkText?.(text));
  }
  return { key, variable, text, value, ...where };
}

/**
 * What the files say, a later one over an earlier one. Throws UsageError that names file, line and,
 * of a key that there is not, the nearest that there is.
 */
export function valuesOf(files: readonly SettingsFile[]): readonly FileValue[] {
  const found = new Map<string, FileValue>();
  for (const file of files) {
    for (const [key, value] of Object.entries(file.table)) {
      found.set(key, fileValue(file, key, value));
    }
  }
  return [...found.values()];
}

/** The environment, with what the files say where that says nothing. */
export function underEnvironment(values: readonly FileValue[], env: Environment): Environment {
  const unsaid = values.flatMap(({ variable, text }) =>
    variable === null || env[variable] ? [] : [[variable, text] as const],
  );
  return { ...env, ...Object.fromEntries(unsaid) };
}

/** A setting as it holds for the next session, and who says so. */
export interface ShownSetting {
  readonly name: string;
  readonly value: string;
  readonly origin: 'environment' | 'file' | 'default';
  /** The variable, or the file with its line; null: the default. */
  readonly where: string | null;
}

/**
 * Every setting of a session; of `guest`: those of a guest, too. Throws UsageError for a variable
 * that cannot be.
 */
export function shownSettings(
  values: readonly FileValue[],
  env: Environment,
  ofGuest = false,
): readonly ShownSetting[] {
  const inFile = ({ key: name, fallback }: AnyKey): ShownSetting => {
    const said = values.find(({ key }) => key === name);
    if (said === undefined) return { name, value: fallback, origin: 'default', where: null };
    const where = `${said.path}, line ${said.line}`;
    return { name, value: said.text, origin: 'file', where };
  };
  const common = fileKeys.map((one): ShownSetting => {
    const { key: name, variable, check } = one;
    const value = env[variable];
    if (!value) return inFile(one);
    check(env);
    return { name, value, origin: 'environment', where: variable };
  });
  return [...(ofGuest ? guestKeys.map(inFile) : []), ...common];
}
