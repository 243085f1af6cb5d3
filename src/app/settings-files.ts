/** /etc/tsremus/tsremus.toml and conf.d: read for the commands that begin a session, or show it. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
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

export const configDirectoryVariable = 'TSREMUS_CONFIG_DIR';
export const configDirectoryDefault = '/etc/tsremus';

const filesMax = 256;
const fileBytesMax = 1 << 20;

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

/** The main file, then those of conf.d by their names; the last one that says something holds. */
function textsIn(dir: string): (readonly [path: string, text: string])[] {
  const folder = join(dir, 'conf.d');
  const names = orNothing(folder, () => readdirSync(folder)) ?? [];
  const snippets = names.filter((name) => name.endsWith('.toml') && !name.startsWith('.')).sort();
  const paths = [
    join(dir, 'tsremus.toml'),
    ...snippets.slice(0, filesMax).map((name) => join(folder, name)),
  ];
  return paths.flatMap((path) => {
    const text = orNothing(path, () => readFileSync(path, 'utf8'));
    if (text === null) return [];
    if (text.length <= fileBytesMax) return [[path, text] as const];
    throw new UsageError(`${path} is larger than ${fileBytesMax} bytes`, undefined, 'file');
  });
}

/** The line of a fault that the parser found, and its words. */
function notToml(path: string, error: unknown): UsageError {
  const { line = 1, message = '' } = error as { readonly line?: number; readonly message?: string };
  const [first = ''] = message.replace(/^Invalid TOML document: /, '').split('\n');
  const why = cleanText(first, 200);
  return new UsageError(`${path}, line ${line}: this is no TOML: ${why}`, undefined, 'file');
}

/** The values of this host's files. Throws UsageError with file and line, OperationError. */
export async function fileValues(env: Environment): Promise<readonly FileValue[]> {
  const texts = textsIn(pathOf(configDirectoryVariable, configDirectoryDefault, env));
  if (texts.length === 0) return [];
  const { parse } = await import('smol-toml');
  const files = texts.map(([path, text]): SettingsFile => {
    try {
      return { path, text, table: parse(text) };
    } catch (error) {
      throw notToml(path, error);
    }
  });
  return valuesOf(files);
}

/** The environment as a session has it: what the files say is there where it says nothing. */
export async function sessionEnvironment(env: Environment): Promise<Environment> {
  return underEnvironment(await fileValues(env), env);
}
