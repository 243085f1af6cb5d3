/**
 * share/xen/block-tsremus with stand-ins for losetup, dmsetup and Xen's own scripts, and what
 * src/disk/block-script.ts knows of it.
 */
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { blockScriptOf, devicePathOf } from '../../src/disk/block-script.ts';
import { goOnAlone, markPath, markSource } from '../../src/disk/mirror/mark.ts';
import { store } from '../fixtures/here.ts';

const script = join(import.meta.dirname, '../../share/xen/block-tsremus');

let dir: string;
let image: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'tsremus-block-'));
  for (const folder of ['bin', 'volumes', 'loops', 'scripts']) mkdirSync(join(dir, folder));
  image = join(dir, 'web 1.img');
  writeFileSync(image, 'x');
  const programs = {
    // A loop device is a file of its name that holds the path of what is under it.
    losetup: `case "$*" in
      *--associated*) cd "$dir/loops"; grep -lx -- "\${*: -1}" * 2>/dev/null | sed 's|^|/dev/|' ;;
      *--find*) printf '%s\\n' "\${*: -1}" >"$dir/loops/loop3"; echo /dev/loop3 ;;
      *--detach*) rm "$dir/loops/loop3" ;;
    esac`,
    // A volume is a file of its name that holds its table and how often it is open.
    dmsetup: `name="\${*: -1}"
    case "$1 $4" in
      'create '*) printf '%s\\n0\\n' "$4" >"$dir/volumes/$2"; [ ! -e "$dir/refuses" ] ;;
      'info -o') [ -e "$dir/volumes/$name" ] || exit 1; sed -n 2p "$dir/volumes/$name" ;;
      'deps '*) echo '1 dependencies	: (loop3)' ;;
      'remove '*) rm "$dir/volumes/$name" ;;
    esac`,
    blockdev: 'echo 2048',
    'xenstore-read': 'cat "$dir/params"',
    'xenstore-ls': 'cat "$dir/others" 2>/dev/null',
    stat: 'echo fd:5',
  };
  for (const [name, body] of Object.entries(programs)) {
    const lines = ['#!/bin/bash', `dir='${dir}'`, `echo "${name} $*" >>"$dir/calls"`, body, ''];
    writeFileSync(join(dir, 'bin', name), lines.join('\n'), { mode: 0o755 });
  }
  // Of Xen's block-common.sh, what the script calls.
  const common = `command=$1
    xenstore_read() { xenstore-read "$@"; }
    fatal() { echo "fatal: $*"; exit 1; }
    log() { echo "log: $*"; }
    write_dev() { echo "device: $1"; }
    claim_lock() { :; }; release_lock() { :; }`;
  writeFileSync(join(dir, 'scripts/block-common.sh'), common);
  symlinkSync(script, join(dir, 'scripts/block-tsremus'));
});

afterEach(() => rmSync(dir, { recursive: true }));

function calls(): string[] {
  return readFileSync(join(dir, 'calls'), { encoding: 'utf8', flag: 'a+' })
    .split('\n')
    .filter(Boolean);
}

/** The script with these words; with `xenbus` as Xen runs it. */
function run(words: readonly string[], xenbus: string | null = null) {
  // The stand-ins come first all the same: what the script puts in front of PATH has none of them.
  const text = readFileSync(script, 'utf8')
    .replace('PATH="', `PATH="${dir}/bin:`)
    .replace('/var/lib/tsremus', join(dir, 'state'));
  const path = join(dir, 'scripts/run');
  writeFileSync(path, text, { mode: 0o755 });
  const env = { PATH: process.env['PATH'], ...(xenbus === null ? {} : { XENBUS_PATH: xenbus }) };
  const { status, stdout, stderr } = spawnSync(path, words, { env, encoding: 'utf8' });
  return { status, out: stdout.trim(), err: stderr.trim() };
}

const volume = () => devicePathOf({ script: 'block-tsremus', target: image });
const backend = '/local/domain/0/backend/vbd/7/51712';

describe('a disk of the script', () => {
  it('is one by its name, in the folder of Xen or another', () => {
    expect(blockScriptOf({ script: 'block-tsremus' })).toBe('/etc/xen/scripts/block-tsremus');
    expect(blockScriptOf({ script: '/opt/x/block-tsremus' })).toBe('/opt/x/block-tsremus');
    for (const other of [null, 'block', 'block-drbd', 'my-block-tsremus']) {
      expect(blockScriptOf({ script: other })).toBeNull();
    }
    expect(devicePathOf({ script: null, target: '/dev/vg0/web1' })).toBe('/dev/vg0/web1');
  });

  // Proves: both sides know it by one name, whatever letters its path has.
  it.each(['a', 'web-1.img', 'Größe ü.img', `${'x'.repeat(60)}.raw`])(
    'is the same volume here and there: %s',
    (base) => {
      image = join(dir, base);
      writeFileSync(image, 'x');
      const { status, out } = run(['open', image]);
      expect(status).toBe(0);
      expect(out).toBe(volume());
      expect(out.length).toBeLessThan('/dev/mapper/'.length + 100);
    },
  );

  it('has a script that is written as shellcheck has it', ({ skip }) => {
    skip(!existsSync('/usr/bin/shellcheck'), 'shellcheck is not installed');
    const { status, stdout } = spawnSync('shellcheck', [script], { encoding: 'utf8' });
    expect(stdout).toBe('');
    expect(status).toBe(0);
  });

  it('is opened once, and closed unless somebody has it', () => {
    expect(run(['open', image])).toMatchObject({ status: 0, out: volume() });
    const made = calls().filter((line) => line.startsWith('dmsetup create'));
    expect(made).toEqual([
      expect.stringMatching(
        /^dmsetup create block-web_1_img-\w{12} --table 0 2048 linear \/dev\/l/,
      ),
    ]);
    expect(run(['open', image])).toMatchObject({ status: 0, out: volume() });
    expect(calls().filter((line) => line.startsWith('dmsetup create'))).toEqual(made);
    const file = join(dir, 'volumes', volume().slice('/dev/mapper/'.length));
    writeFileSync(file, 'table\n1\n');
    expect(run(['close', image]).status).toBe(0);
    expect(readFileSync(file, 'utf8')).toBe('table\n1\n');
    writeFileSync(file, 'table\n0\n');
    expect(run(['close', image]).status).toBe(0);
    expect(calls().at(-1)).toBe('losetup --detach /dev/loop3');
    expect(run(['close', image]).status).toBe(0);
  });

  it('is refused in words where it is no disk, or another one has it', () => {
    expect(run(['open', join(dir, 'gone')])).toMatchObject({
      status: 1,
      err: expect.stringMatching(/gone is neither a file nor a block device$/),
    });
    writeFileSync(join(dir, 'loops/loop9'), `${image}\n`);
    expect(run(['open', image])).toMatchObject({
      status: 1,
      err: `block-tsremus: ${image} is in use, by /dev/loop9`,
    });
    expect(calls().some((line) => /create|--find/.test(line))).toBe(false);
  });

  it('leaves no loop device where no volume could be made', () => {
    writeFileSync(join(dir, 'refuses'), '');
    expect(run(['open', image])).toMatchObject({ status: 1 });
    expect(calls().at(-1)).toBe('losetup --detach /dev/loop3');
  });

  it('is given to a guest, and taken away behind it', () => {
    writeFileSync(join(dir, 'params'), image);
    expect(run(['add'], backend)).toMatchObject({ status: 0, out: `device: ${volume()}` });
    expect(run(['remove'], backend).status).toBe(0);
    expect(calls().at(-1)).toBe('losetup --detach /dev/loop3');
  });

  // Proves: a file has no flag of LVM's, so after a boot this is all that keeps a guest from a disk
  // that is torn, or whose copy may have gone on elsewhere.
  it('is not given to a guest while its mark refuses it', async () => {
    image = join(dir, 'web "1\\.img');
    writeFileSync(image, 'x');
    writeFileSync(join(dir, 'params'), image);
    const place = { store, stateDirectory: join(dir, 'state') };
    const of = { uuid: '11111111-2222-3333-4444-555555555555', disk: 'xvda', path: image };
    const disk = { ...of, lvm: null, domain: 'web1' };
    const peer = { host: 'hostb', sshCommand: null, heartbeatTimeoutMs: 1000 };
    expect(run(['add'], backend).out).toBe(`device: ${volume()}`);
    run(['remove'], backend);
    await markSource(place, disk, { session: 'a', peer });
    const mark = markPath(place.stateDirectory, of.uuid, of.disk);
    const why = "is no guest's for now: tsremus status says why";
    expect(run(['add'], backend)).toMatchObject({
      status: 1,
      out: `fatal: block-tsremus: ${image} ${why} (${mark})`,
    });
    // A session makes the volume all the same, for the copy.
    expect(run(['open', image]).status).toBe(0);
    await goOnAlone(place, of.uuid, 'a');
    expect(run(['add'], backend).out).toBe(`device: ${volume()}`);
  });

  // Proves: the kernel's back end opens a device whoever has it, so nobody else would look.
  it('is not given to two guests', () => {
    writeFileSync(join(dir, 'params'), image);
    const others = [
      '/local/domain/0/backend/vbd/5/51712/physical-device = "fd:6"',
      '/local/domain/0/backend/vbd/6/51712/physical-device = "fd:5"',
    ];
    writeFileSync(join(dir, 'others'), others.join('\n'));
    const { status, out } = run(['add'], backend);
    expect(status).toBe(1);
    expect(out).toMatch(
      /^fatal: .* is another guest's, \/local\/domain\/0\/backend\/vbd\/6\/51712$/,
    );
  });
});
