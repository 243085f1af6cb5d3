/**
 * Whether memory of this process may be swapped out: a heartbeat would wait for a disk, and the
 * other host would take over. What keeps it in is the group that it is in (cgroups(7)): systemd
 * sets MemorySwapMax=0 of our units.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface SwapFiles {
  /** /proc/swaps: a line for each, after one of headings. */
  readonly swaps: string;
  /** /proc/self/cgroup */
  readonly groups: string;
  /** Where the unified tree of groups is mounted. */
  readonly tree: string;
}

const systemFiles: SwapFiles = {
  swaps: '/proc/swaps',
  groups: '/proc/self/cgroup',
  tree: '/sys/fs/cgroup',
};

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** The group of the unified tree and those above it, the innermost first. */
function groupsOf(text: string): string[] {
  const own = /^0::(\/.*)$/m.exec(text)?.[1];
  if (own === undefined) return [];
  const parts = own.split('/').filter((part) => part !== '');
  return parts.map((_, index) => parts.slice(0, parts.length - index).join('/'));
}

/** True: this host has somewhere to swap to, and nothing keeps this process from it. */
export function maySwap(files: SwapFiles = systemFiles): boolean {
  const hasSwap = read(files.swaps).trim().split('\n').length > 1;
  if (!hasSwap) return false;
  const max = (group: string) => read(join(files.tree, group, 'memory.swap.max')).trim();
  return !groupsOf(read(files.groups)).some((group) => max(group) === '0');
}
