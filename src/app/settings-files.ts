/**
 * /etc/tsremus: tsremus.toml and conf.d, and guests.d with a file per declared guest. Read for the
 * commands that begin a session, or show it.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type GuestFlags, guestValues, underTyped } from '../config/guest-file.ts';
import { type Environment, pathOf } from '../config/settings.ts';
import {
  type FileValue,
  type SettingsFile,
  underEnvironment,
  valuesOf,
} from '../config/settings-file.ts';
import { UsageError } from '../config/usage-error.ts';
import { errnoCode, storageError } from '../host/errors.ts';
import { cleanText } from '../host/text.ts';
import { isDomainName } from '../link/identity.ts';

export const configDirectoryVariable = 'TSREMUS_CONFIG_DIR';
export const configDirectoryDefault = '/etc/tsremus';

const filesMax = 256;
const fileBytesMax = 1 << 20;
const ending = '.toml';

function configDirectory(env: Environment): string {
  return pathOf(configDirectoryVariable, configDirectoryDefault, env);
}

/** What is not there says nothing; what cannot be read may say anything. */
function orNothing<T>(path: string, read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    const errno = errnoCode(error);
    if (errno === 'ENOENT' || errno === 'ENOTDIR') return null;
    throw storageError(error, 'read', path);
  }
}

/** Of a folder those that count, by their names. */
function namesIn(folder: string): readonly string[] {
  const names = orNothing(folder, () => readdirSync(folder)) ?? [];
  return names.filter((name) => name.endsWith(ending) && !name.startsWith('.')).sort();
}

interface FileText {
  readonly path: string;
  readonly text: string;
}

/** None where it is not there. */
function textAt(path: string): readonly FileText[] {
  const text = orNothing(path, () => readFileSync(path, 'utf8'));
  if (text === null) return [];
  if (text.length <= fileBytesMax) return [{ path, text }];
  throw new UsageError(`${path} is larger than ${fileBytesMax} bytes`, undefined, 'file');
}

/** The main file, then those of conf.d; the last one that says something holds. */
function hostTexts(dir: string): readonly FileText[] {
  const folder = join(dir, 'conf.d');
  const snippets = namesIn(folder).slice(0, filesMax);
  const paths = [join(dir, 'tsremus.toml'), ...snippets.map((name) => join(folder, name))];
  return paths.flatMap(textAt);
}

/** The line of a fault that the parser found, and its words. */
function notToml(path: string, error: unknown): UsageError {
  const { line = 1, message = '' } = error as { readonly line?: number; readonly message?: string };
  const [first = ''] = message.replace(/^Invalid TOML document: /, '').split('\n');
  const why = cleanText(first, 200);
  return new UsageError(`${path}, line ${line}: this is no TOML: ${why}`, undefined, 'file');
}

async function parsed(texts: readonly FileText[]): Promise<readonly SettingsFile[]> {
  if (texts.length === 0) return [];
  const { parse } = await import('smol-toml');
  return texts.map(({ path, text }) => {
    try {
      return { path, text, table: parse(text) };
    } catch (error) {
      throw notToml(path, error);
    }
  });
}

/** The values of this host's files. Throws UsageError with file and line, OperationError. */
export async function fileValues(env: Environment): Promise<readonly FileValue[]> {
  return valuesOf(await parsed(hostTexts(configDirectory(env))));
}

/** The environment as a session has it: what the files say is there where it says nothing. */
export async function sessionEnvironment(env: Environment): Promise<Environment> {
  return underEnvironment(await fileValues(env), env);
}

/** Where the guest called `name` is declared; null: such a name cannot have a file. */
export function guestFilePath(name: string, env: Environment): string | null {
  // A number or a UUID that was typed is no name of a file that anybody wrote.
  return isDomainName(name) ? join(configDirectory(env), 'guests.d', `${name}${ending}`) : null;
}

/** The file of a declared guest as it was read; null: there is none. */
export async function guestFile(name: string, env: Environment): Promise<SettingsFile | null> {
  const path = guestFilePath(name, env);
  if (path === null) return null;
  const [file = null] = await parsed(textAt(path));
  return file;
}

/** The names of all guests that are declared here. Throws OperationError where that is unknown. */
export function declaredGuests(env: Environment): readonly string[] {
  const names = namesIn(join(configDirectory(env), 'guests.d'));
  return names.map((name) => name.slice(0, -ending.length)).filter(isDomainName);
}

/** Those of this host's files and of the guest's own, which win. Throws as `fileValues` does. */
export async function guestSettings(name: string, env: Environment): Promise<readonly FileValue[]> {
  const file = await guestFile(name, env);
  const own = file === null ? [] : guestValues(file);
  const common = await fileValues(env);
  return [...common.filter(({ key }) => own.every((one) => one.key !== key)), ...own];
}

/** What was typed for a guest, and the environment, with what the files say where they do not. */
export async function underFiles<Flags extends GuestFlags>(
  name: string,
  host: string | undefined,
  flags: Flags,
  env: Environment,
) {
  const values = await guestSettings(name, env);
  return { ...underTyped(values, host, flags, env), env: underEnvironment(values, env) };
}
