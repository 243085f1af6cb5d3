import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { maySwap } from '../../src/host/swap.ts';

const dir = mkdtempSync(join(tmpdir(), 'tsremus-swap-'));
afterAll(() => rmSync(dir, { recursive: true }));

const headings = 'Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n';
const device = '/dev/dm-1                               partition\t1003516\t\t0\t\t-2\n';

let hosts = 0;

function host(swaps: string, groups: string, max: Record<string, string>) {
  hosts += 1;
  const at = (name: string) => join(dir, `${hosts}-${name}`);
  writeFileSync(at('swaps'), swaps);
  writeFileSync(at('groups'), groups);
  for (const [group, text] of Object.entries(max)) {
    mkdirSync(join(at('tree'), group), { recursive: true });
    writeFileSync(join(at('tree'), group, 'memory.swap.max'), text);
  }
  return { swaps: at('swaps'), groups: at('groups'), tree: at('tree') };
}

describe('a process may be swapped out', () => {
  const own = '0::/system.slice/tsremus-protect-1.scope\n';
  const scope = 'system.slice/tsremus-protect-1.scope';
  it.each([
    ['never without swap', headings, own, {}, false],
    ['in a group that may', headings + device, own, { [scope]: 'max\n' }, true],
    ['not in one that may not', headings + device, own, { [scope]: '0\n' }, false],
    [
      'not below one that may not',
      headings + device,
      own,
      { [scope]: 'max\n', 'system.slice': '0\n' },
      false,
    ],
    ['where groups do not limit it', headings + device, own, {}, true],
    ['in the tree of before', headings + device, '1:name=systemd:/init.scope\n', {}, true],
  ] as const)('%s', (_, swaps, groups, max, expected) => {
    expect(maySwap(host(swaps, groups, max))).toBe(expected);
  });
});
