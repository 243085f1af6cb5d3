/** Whether another toolstack's process looks after a guest, from a /proc that was made up. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { otherWatcher, type Places } from '../../../src/hypervisor/xen/other-watcher.ts';

let at: Places;
let root: string;
const guest = { domid: 7, name: 'web1', uuid: '11111111-2222-3333-4444-555555555555' };

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'tsremus-watcher-'));
  at = { procDir: join(root, 'proc'), xenLibDir: join(root, 'xen') };
  mkdirSync(at.procDir);
  mkdirSync(at.xenLibDir);
});

afterEach(() => rmSync(root, { recursive: true }));

function runs(pid: number, comm: string, output: string): void {
  const dir = join(at.procDir, String(pid));
  mkdirSync(join(dir, 'fd'), { recursive: true });
  writeFileSync(join(dir, 'comm'), `${comm}\n`);
  symlinkSync(output, join(dir, 'fd', '1'));
}

describe('another watcher', () => {
  it('is there none', () => {
    runs(10, 'xl', '/dev/pts/0'); // somebody types xl list
    runs(11, 'xl', '/var/log/xen/xl-web10.log'); // another guest's
    runs(12, 'less', '/var/log/xen/xl-web1.log');
    mkdirSync(join(at.procDir, '13')); // ends just now
    expect(otherWatcher(guest, at)).toBeNull();
  });

  it.each(['xl-web1.log', 'xl-web1.log.1'])("is xl's daemon, known by its log %s", (file) => {
    runs(10, 'xl', `/var/log/xen/${file}`);
    expect(otherWatcher(guest, at)).toBe("xl's daemon");
  });

  it('is libvirt, for the domains that it started', () => {
    const file = (domid: number) => `userdata-d.${domid}.${guest.uuid}.libvirt-xml`;
    writeFileSync(join(at.xenLibDir, file(6)), ''); // a number that the guest had before
    expect(otherWatcher(guest, at)).toBeNull();
    writeFileSync(join(at.xenLibDir, file(7)), '');
    expect(otherWatcher(guest, at)).toBe('libvirt');
  });
});
