/** Names on this host that a shell may complete. What cannot be found out is no name. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';
import type { Environment } from '../config/settings.ts';
import { run } from '../host/runner.ts';
import { hasControl } from '../host/text.ts';
import { thisHost, thisRegistry } from './host.ts';
import { declaredGuests } from './settings-files.ts';

/** Whoever presses a key waits for it. */
const toolMsMax = 3_000;
const filesMax = 64;
const fileBytesMax = 1 << 20;

/** Once each, and none that could write to a terminal. */
function usable(names: readonly string[]): string[] {
  return [...new Set(names)].filter((name) => name !== '' && !hasControl(name)).sort();
}

/** Name, number, memory, processors, state, time: xl pads the name, which may have blanks. */
const guestLine = /^(.+?)\s+(\d+)\s+\d+\s+\d+\s+\S+\s+[\d.]+$/;

async function guests(env: Environment): Promise<readonly string[]> {
  try {
    const path = [env['PATH'], '/usr/sbin', '/sbin'].filter(Boolean).join(':');
    const options = { timeoutMs: toolMsMax, env: { ...env, PATH: path } };
    const { stdout } = await run(['xl', 'list'], options);
    const found = stdout.split('\n').map((line) => guestLine.exec(line));
    return usable(
      found.flatMap((line) => (line === null || line[2] === '0' ? [] : [line[1] ?? ''])),
    );
  } catch {
    return [];
  }
}

async function protectedGuests(env: Environment): Promise<readonly string[]> {
  try {
    const { sessions } = thisRegistry(thisHost(env)).sessions();
    return usable(sessions.map(({ status }) => status.domain));
  } catch {
    return [];
  }
}

async function declaredNames(env: Environment): Promise<readonly string[]> {
  try {
    return usable(declaredGuests(env));
  } catch {
    return [];
  }
}

/** Files that a pattern of Include means (ssh_config); only its last part may have a star. */
function included(pattern: string, base: string): string[] {
  const path = isAbsolute(pattern) ? pattern : join(base, pattern);
  const last = path.slice(path.lastIndexOf('/') + 1);
  if (!last.includes('*')) return [path];
  const parts = last.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'));
  const meant = new RegExp(`^${parts.join('.*')}$`);
  try {
    return readdirSync(dirname(path))
      .filter((name) => meant.test(name))
      .map((name) => join(dirname(path), name));
  } catch {
    return [];
  }
}

/** ssh_config(5): names after Host that are no patterns, and files after Include. */
function hostsIn(path: string, base: string, read: Set<string>): string[] {
  if (read.has(path) || read.size >= filesMax) return [];
  read.add(path);
  let text: string;
  try {
    text = readFileSync(path, 'utf8').slice(0, fileBytesMax);
  } catch {
    return [];
  }
  return text.split('\n').flatMap((line) => {
    const [, key = '', rest = ''] = /^\s*(host|include)(?:\s+|\s*=\s*)(.*)$/i.exec(line) ?? [];
    const words = rest.split(/\s+/).map((word) => word.replace(/^"(.*)"$/, '$1'));
    if (key.toLowerCase() === 'host') return words.filter((word) => !/[*?!]/.test(word));
    if (key === '') return [];
    return words.flatMap((word) =>
      included(word, base).flatMap((file) => hostsIn(file, base, read)),
    );
  });
}

async function hosts(env: Environment): Promise<readonly string[]> {
  const read = new Set<string>();
  const home = join(env['HOME'] ?? '/root', '.ssh');
  return usable([
    ...hostsIn(join(home, 'config'), home, read),
    ...hostsIn('/etc/ssh/ssh_config', '/etc/ssh', read),
  ]);
}

/** Each is found out when it is asked for. */
export function liveNames(env: Environment) {
  return {
    guests: () => guests(env),
    protectedGuests: () => protectedGuests(env),
    declaredGuests: () => declaredNames(env),
    hosts: () => hosts(env),
  };
}
