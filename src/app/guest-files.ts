/** guests.d: what `tsremus protect --save` writes there. */
import { mkdir, open, rename, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { changedText, changesOf, guestValues } from '../config/guest-file.ts';
import type { Environment } from '../config/settings.ts';
import type { SettingsFile } from '../config/settings-file.ts';
import { notSavedText, savedText } from '../core/texts/declared.ts';
import { errnoCode, errorText, storageError } from '../host/errors.ts';
import type { ProtectReporter } from '../session/options.ts';
import { guestFile, guestFilePath } from './settings-files.ts';

type Table = Readonly<Record<string, unknown>>;

const fileMode = 0o644;
const head = '# Written by protect --save: see tsremus.toml(5).\n';

/** Replaces a file as a whole, or makes it; on disk when this resolves. */
async function writeWhole(path: string, text: string): Promise<void> {
  const draft = `${path}.new`;
  try {
    await mkdir(dirname(path), { recursive: true });
    // One that a killed process left.
    await unlink(draft).catch((error) => {
      if (errnoCode(error) !== 'ENOENT') throw error;
    });
    const file = await open(draft, 'wx', fileMode);
    try {
      await file.chmod(fileMode); // whatever the umask
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(draft, path);
  } catch (error) {
    throw storageError(error, 'write', path);
  }
}

async function newText(old: SettingsFile | null, table: Table, typed: Table): Promise<string> {
  const { stringify, parse } = await import('smol-toml');
  const line = (key: string, value: unknown) => stringify({ [key]: value }).trimEnd();
  const changed = changedText(old?.text ?? head, changesOf(old?.table ?? {}, typed), line);
  // What was changed line by line has to mean what was meant.
  if (changed !== null && isSame(parse(changed), table)) return changed;
  return `${head}${stringify(table)}`;
}

function isSame(one: Table, other: Table): boolean {
  const sorted = (table: Table) => JSON.stringify(Object.entries(table).sort());
  return sorted(one) === sorted(other);
}

/**
 * Puts what was typed into the file of the guest called `name`: what else stands there stays.
 * Resolves with a sentence that says what changed. Rejects with UsageError, OperationError.
 */
export async function saveGuest(name: string, typed: Table, env: Environment): Promise<string> {
  const path = guestFilePath(name, env) ?? '';
  const old = await guestFile(name, env);
  const changes = changesOf(old?.table ?? {}, typed);
  if (changes.length === 0) return savedText(path, changes, false);
  const table = { ...old?.table, ...typed };
  // A file that the next session would refuse is not written.
  guestValues({ path, text: '', table });
  await writeWhole(path, await newText(old, table, typed));
  return savedText(path, changes, old === null);
}

/**
 * What `reporter` hears; the guest's file is written once its first copy begins: then the guest is
 * there, and the other host has taken it. Nothing waits for that.
 */
export function savingFor(
  reporter: ProtectReporter,
  name: string,
  typed: Table,
  env: Environment,
): ProtectReporter {
  let isBegun = false;
  return {
    seedProgress: (progress) => reporter.seedProgress(progress),
    event(kind, text, data) {
      reporter.event(kind, text, data);
      if (kind !== 'connected' || isBegun) return;
      isBegun = true;
      saveGuest(name, typed, env).then(
        (said) => reporter.event('saved', said),
        (error: unknown) => reporter.event('not-saved', notSavedText(errorText(error))),
      );
    },
  };
}
