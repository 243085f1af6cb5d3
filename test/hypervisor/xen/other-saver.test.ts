// Goal: whoever saves or moves a guest is known, and a save of ours is not taken for somebody's.
// Method: a /proc of files.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { otherSaver } from '../../../src/hypervisor/xen/other-saver.ts';

let dir = '';
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'tsremus-proc-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

function runs(pid: number, argv: readonly string[], parent = 1, maps = ''): void {
  const name = (argv[0] ?? '').split('/').at(-1) ?? '';
  mkdirSync(join(dir, String(pid)));
  const files = { cmdline: `${argv.join('\0')}\0`, comm: `${name.slice(0, 15)}\n`, maps };
  const stat = `${pid} (${name}) S ${parent} 1 1 0`;
  for (const [file, text] of Object.entries({ ...files, stat })) {
    writeFileSync(join(dir, String(pid), file), text);
  }
}

const helper = (domid: number) => [
  ...(['/usr/lib/xen-4.17/bin/libxl-save-helper', '--save-domain', '21', '-1'] as const),
  ...[String(domid), '1', '7', '0'],
];
const guest = { domid: 5, name: 'web1' };
const found = () => otherSaver(guest, dir);

it('nobody saves it', () => {
  runs(10, ['xl', 'list']);
  runs(11, ['xl', 'save', 'web2', '/tmp/x']);
  runs(12, ['cat', 'save', 'web1']);
  runs(13, helper(55), 11);
  expect(found()).toBeNull();
  expect(otherSaver(guest, join(dir, 'nothing'))).toBeNull();
});

it('xl does, by name or number, before and after its helper', () => {
  runs(10, ['xl', 'save', 'web1', '/tmp/x']);
  runs(11, helper(5), 10);
  expect(found()).toBe('xl save (process 10)');
  rmSync(join(dir, '11'), { recursive: true });
  expect(found()).toBe('xl save (process 10)');
  rmSync(join(dir, '10'), { recursive: true });
  runs(12, ['xl', 'migrate', '--live', '5', 'hostb']);
  expect(found()).toBe('xl migrate (process 12)');
});

it('another program does, by the helper that it runs', () => {
  runs(10, ['/usr/sbin/libvirtd']);
  runs(11, helper(5), 10);
  expect(found()).toBe('libvirtd (process 10)');
});

it('a helper of ours, or of a program that is gone, is nobody', () => {
  runs(10, ['node', 'main.js', 'protect', 'web1'], 1, '7f00 r-xp /opt/native/libtsremus.so\n');
  runs(11, helper(5), 10);
  runs(12, helper(5), 1);
  expect(found()).toBeNull();
});
