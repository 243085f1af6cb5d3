/** Where `tsremus status --metrics` writes to. */
import { randomBytes } from 'node:crypto';
import { chmodSync, renameSync, unlinkSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { storageError } from '../host/errors.ts';

/**
 * Replaces the file as a whole, so that whoever reads it meanwhile finds the old or the new one; it
 * is read by others than root. Throws OperationError('storage').
 */
export function replaceFile(path: string, text: string): void {
  // The node exporter reads what ends in .prom, and this does not.
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(8).toString('hex')}`);
  try {
    writeFileSync(temporary, text, { flag: 'wx' });
    chmodSync(temporary, 0o644);
    renameSync(temporary, path);
  } catch (error) {
    removeIfThere(temporary);
    throw storageError(error, 'write', path);
  }
}

function removeIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // It never came to be.
  }
}
