/** What the device model of a copy said is found for the sentence that says why it is not there. */
import { mkdirSync, mkdtempSync, renameSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, expect, it } from 'vitest';
import { listenToModel } from '../../../src/hypervisor/xen/device-model.ts';

let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'tsremus-model-'));
  mkdirSync(join(root, 'var/log/xen'), { recursive: true });
});

/** As libxl does: a new file, and the old one under another name. */
function write(text: string): void {
  const path = join(root, 'var/log/xen/qemu-dm-web1--incoming.log');
  writeFileSync(`${path}.new`, text);
  renameSync(`${path}.new`, path);
}

const listen = () => listenToModel('web1--incoming', root);

it('is the last line of its log, on one line and not too long', () => {
  const said = listen();
  write(`VNC server running on ::1:5900\nno /dev/net/tun\u001b[2J ${'x'.repeat(500)}\n`);
  expect(said()).toMatch(/^no \/dev\/net\/tun \[2J x+\.\.\.$/);
  expect(Buffer.byteLength(said() ?? '')).toBeLessThanOrEqual(150);
});

it('is nothing where it has no log, said nothing, or started well', () => {
  const said = listen();
  expect(said()).toBe(null);
  write('');
  expect(said()).toBe(null);
  write('VNC server running on 127.0.0.1:5900\n');
  expect(said()).toBe(null);
});

it('is not what an earlier copy of that name said', () => {
  write('qemu: could not load kernel\n');
  const said = listen();
  expect(said()).toBe(null);
  write('no room\nVNC server running on ::1:5900\n');
  expect(said()).toBe('no room');
});
