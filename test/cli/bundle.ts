/** The program as it is released, built into a folder of a test's own. */
import { join } from 'node:path';
import { bundleInto } from '../../scripts/build.mjs';

export const repository = join(import.meta.dirname, '../..');
export const nativePackages = ['ffi-napi', 'ref-napi', 'zstd-codec'];

/** Bundles the program into FOLDER/dist, and says of what. */
export function bundleProgram(folder: string) {
  return bundleInto(join(folder, 'dist'), '1.2.3');
}
