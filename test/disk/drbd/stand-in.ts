/**
 * A host's DRBD as its users see it: the commands as executables, /proc/drbd and sysfs as files
 * below a folder of its own. What they print is laid out as DRBD 8.3.11 with protocol D prints it
 * (drbd_proc.c, drbd_seq_show; user/drbdsetup.c, show_scmd).
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DeviceFiles } from '../../../src/disk/backing.ts';
import { deviceFiles } from '../../../src/disk/backing.ts';

export interface DrbdText {
  readonly version: string;
  readonly connection: string;
  readonly roles: string;
  readonly disks: string;
  readonly protocol: string;
  /** With protocol D: the counters that only remus-drbd has. */
  readonly counters: string;
  /** Lines of the section `net`; null: there is none. */
  readonly net: readonly string[] | null;
}

export const usable: DrbdText = {
  version: '8.3.11',
  connection: 'Connected',
  roles: 'Primary/Secondary',
  disks: 'UpToDate/UpToDate',
  protocol: 'D',
  counters: 'def:0 chkpt:1 ',
  net: [
    'timeout         \t30; # 1/10 seconds',
    'max-buffers     \t8192;',
    'ping-timeout    \t20; # 1/10 seconds',
    'allow-two-primaries;',
    'on-congestion   \tblock _is_default;',
  ],
};

export const minor = 1;
export const device = `/dev/drbd${minor}`;

function procText({ version, connection, roles, disks, protocol, counters }: DrbdText): string {
  const state = `cs:${connection} ro:${roles} ds:${disks} ${protocol} r-----`;
  return [
    `version: ${version} (api:88/proto:86-96)`,
    'GIT-hash: 2c2f2fc build by root@a, 2026-01-01 00:00:00',
    '',
    ' 0: cs:Unconfigured',
    `${String(minor).padStart(2)}: ${connection === 'Unconfigured' ? 'cs:Unconfigured' : state}`,
    `    ns:10 nr:0 dw:10 dr:664 al:1 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:b ${counters}oos:0`,
    '',
  ].join('\n');
}

function showText({ protocol, net }: DrbdText): string {
  const section = net === null ? [] : ['net {', ...net.map((line) => `\t${line}`), '}'];
  return [
    'disk {',
    '\tsize            \t0s _is_default; # bytes',
    '\ton-io-error     \tpass_on;',
    '}',
    ...section,
    `protocol ${protocol};`,
    '_this_host {',
    `\tdevice\t\t\tminor ${minor};`,
    '\tdisk\t\t\t"/dev/vgdrbd/web1";',
    '}',
    '',
  ].join('\n');
}

export class DrbdStandIn {
  readonly root = mkdtempSync(join(tmpdir(), 'tsremus-drbd-'));
  readonly bin = join(this.root, 'bin');

  constructor() {
    const sys = join(this.root, 'sys/devices/virtual/block/drbd1');
    for (const dir of [this.bin, join(this.root, 'proc'), join(this.root, 'sys/dev/block')]) {
      mkdirSync(dir, { recursive: true });
    }
    mkdirSync(sys, { recursive: true });
    symlinkSync(
      `../../devices/virtual/block/drbd${minor}`,
      join(this.root, `sys/dev/block/147:${minor}`),
    );
    this.#command('drbdadm', 'cat "$dir/$1-$2" || exit 1');
    this.#command('drbdsetup', '[ "$2" = show ] && cat "$dir/show"');
    this.lists([device, '/dev/drbd2'], ['web1', 'web2']);
    this.says(usable);
  }

  #command(name: string, body: string): void {
    const lines = ['#!/bin/sh', `dir='${this.root}'`, `echo "${name} $*" >>"$dir/calls"`, body, ''];
    writeFileSync(join(this.bin, name), lines.join('\n'), { mode: 0o755 });
  }

  /** What drbdadm lists, as `sh-dev all` and `sh-resource all`. */
  lists(devices: readonly string[], resources: readonly string[]): void {
    writeFileSync(join(this.root, 'sh-dev-all'), `${devices.join('\n')}\n`);
    writeFileSync(join(this.root, 'sh-resource-all'), `${resources.join('\n')}\n`);
  }

  /** What it prints from here on; null: its module is not loaded. */
  says(text: DrbdText | null): void {
    rmSync(join(this.root, 'proc/drbd'), { force: true });
    if (text === null) return;
    writeFileSync(join(this.root, 'proc/drbd'), procText(text));
    writeFileSync(join(this.root, 'show'), showText(text));
  }

  /** The commands that were run. */
  calls(): string[] {
    const text = readFileSync(join(this.root, 'calls'), { encoding: 'utf8', flag: 'a+' });
    return text.split('\n').filter(Boolean);
  }

  /** Of this host; only root may make a block device, so it is told here what `path` is. */
  files(path = device): DeviceFiles {
    const files = deviceFiles(this.root);
    return {
      ...files,
      stat: async (asked) =>
        asked === path ? { kind: 'block', rdev: (147 << 8) | minor } : files.stat(asked),
    };
  }

  close(): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}
