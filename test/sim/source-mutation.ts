/**
 * One deliberate bug in the sources that ship: an exact piece of text in one file, replaced while
 * the simulator, or a unit test, is put together. Nothing of it is known to the sources.
 */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

export interface Mutation {
  /** Below src. */
  readonly file: string;
  /** Stands there once. */
  readonly from: string;
  readonly to: string;
}

export function mutatedPath({ file }: Mutation): string {
  return join(root, 'src', file);
}

/** The file's text with the bug; throws when the piece of text does not stand there once. */
export function mutated(mutation: Mutation): string {
  const { file, from, to } = mutation;
  const pieces = readFileSync(mutatedPath(mutation), 'utf8').split(from);
  const [before, after] = pieces;
  if (pieces.length !== 2 || before === undefined || after === undefined) {
    throw new Error(`src/${file} has ${pieces.length - 1} times:\n${from}`);
  }
  return before + to + after;
}
