/**
 * Finds libxenlight by its soname, whatever Xen version is installed. Its soname carries the Xen
 * version (libxenlight.so.4.17), so there is no name that is always right.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Environment, pathOf, wordOf } from '../../config/settings.ts';

/** Folders of the distributions that ship Xen, and of `make install`. */
const folders = [
  '/usr/lib/x86_64-linux-gnu',
  '/usr/lib64',
  '/usr/lib',
  '/usr/local/lib/x86_64-linux-gnu',
  '/usr/local/lib64',
  '/usr/local/lib',
];

const soname = /^libxenlight\.so\.(\d+)\.(\d+)(?:\.\d+)*$/;

function readVersion(): string | null {
  try {
    const part = (name: string) => readFileSync(`/sys/hypervisor/version/${name}`, 'utf8').trim();
    return `${part('major')}.${part('minor')}`;
  } catch {
    return null;
  }
}

/** True in a dom0 (or any Xen domain). */
export function isXen(): boolean {
  try {
    return readFileSync('/sys/hypervisor/type', 'utf8').trim() === 'xen';
  } catch {
    return false;
  }
}

/**
 * Candidates to open, best first: TSREMUS_LIBXL alone if it is set; else the library of the
 * running hypervisor's version; else every installed one, newest first. May be empty.
 */
export function libxenlightCandidates(env: NodeJS.ProcessEnv, dirs = folders): string[] {
  const given = env['TSREMUS_LIBXL'];
  if (given) return [given];
  const found: { path: string; version: [number, number] }[] = [];
  for (const dir of dirs) {
    let names: string[];
    try {
      names = readdirSync(dir);
    } catch {
      continue;
    }
    for (const name of names) {
      const match = soname.exec(name);
      if (match === null) continue;
      found.push({ path: join(dir, name), version: [Number(match[1]), Number(match[2])] });
    }
  }
  const running = readVersion();
  const rank = (v: [number, number]) => (`${v[0]}.${v[1]}` === running ? 1e6 : v[0] * 1000 + v[1]);
  found.sort((x, y) => rank(y.version) - rank(x.version) || x.path.length - y.path.length);
  return found.map((entry) => entry.path);
}

/** Throws UsageError for a value that would be passed over. */
export function checkVariables(env: Environment): void {
  wordOf('TSREMUS_LIBXL_LOG', ['debug', 'info'], env);
  // A name without a slash is looked for where the system keeps its libraries.
  if (env['TSREMUS_LIBXL']?.includes('/')) {
    pathOf('TSREMUS_LIBXL', '/usr/lib/libxenlight.so', env);
  }
}
