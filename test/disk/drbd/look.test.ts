/**
 * What is said of a disk on DRBD, by DRBD's own commands. Proves: every reason for which its epochs
 * could not be trusted is found, named, and has a line to type; and a DRBD that has no protocol D
 * is asked nothing that it does not know.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { lookAtDrbd } from '../../../src/disk/drbd/look.ts';
import { parseProc, parseShow } from '../../../src/disk/drbd/status.ts';
import { drbdTools } from '../../../src/disk/drbd/tools.ts';
import { diskRefusals } from '../../../src/disk/look.ts';
import type { GuestDisk } from '../../../src/hypervisor/port.ts';
import { DrbdStandIn, type DrbdText, device, usable } from './stand-in.ts';

let drbd: DrbdStandIn;

beforeEach(() => {
  drbd = new DrbdStandIn();
  vi.stubEnv('PATH', `${drbd.bin}:${process.env['PATH']}`);
});

afterEach(() => {
  vi.unstubAllEnvs();
  drbd.close();
});

const disk: GuestDisk = { name: 'xvda', target: device, format: 'raw', script: null };

function refusals() {
  return diskRefusals(drbd.files(), [lookAtDrbd(drbdTools(drbd.files()))], [disk]);
}

const notAt = (change: string) => new RegExp(`^(?!.*${change})`);

describe('a disk on DRBD', () => {
  it('is refused as not built where DRBD is ready for checkpoints', async () => {
    expect(await refusals()).toEqual([
      {
        disk: 'xvda',
        text: '/dev/drbd1 is on DRBD with protocol D, which cannot be copied yet',
        advice: null,
        isToCome: true,
      },
    ]);
    expect(drbd.calls()).toEqual([
      'drbdadm sh-dev all',
      'drbdadm sh-resource all',
      'drbdsetup /dev/drbd1 show',
    ]);
  });

  const net = (pattern: RegExp, ...more: string[]) => ({
    net: [...(usable.net ?? []).filter((line) => pattern.test(line)), ...more],
  });

  it.each<[Partial<DrbdText>, RegExp, RegExp]>([
    [{ protocol: 'A', counters: '' }, /by protocol A, .* protocol D$/, /^drbdadm adjust web1 {2}#/],
    [{ protocol: 'B', counters: '' }, /by protocol B/, /protocol D in its/],
    [{ protocol: 'C', counters: '' }, /by protocol C/, /protocol D in its/],
    [{ counters: '' }, /counts no checkpoints$/, /^man tsremus-protect/],
    [net(notAt('on-congestion'), 'on-congestion   \tpull-ahead;'), /\(on-congestion\)/, /block in/],
    [net(notAt('on-congestion'), 'on-congestion   \tdisconnect;'), /\(on-congestion\)/, /block in/],
    [net(notAt('two-primaries')), /lets only one host be Primary/, /allow-two-primaries/],
    [{ net: null }, /has no other host$/, /^drbdadm up web1/],
    [{ connection: 'Unconfigured' }, /device is down$/, /^drbdadm up web1/],
    [{ connection: 'StandAlone' }, /not Connected but StandAlone$/, /^drbdadm connect web1/],
    [{ connection: 'WFConnection' }, /but WFConnection$/, /^drbdadm connect web1/],
    [{ connection: 'SyncSource' }, /but SyncSource$/, /^cat \/proc\/drbd/],
    [{ connection: 'NetworkFailure' }, /but NetworkFailure$/, /^drbdadm connect web1/],
    [{ disks: 'UpToDate/Inconsistent' }, /other host's half is Inconsistent/, /^cat/],
    [{ disks: 'Diskless/UpToDate' }, /this host's half is Diskless/, /^cat/],
    [{ roles: 'Secondary/Primary' }, /is Secondary on this host/, /^drbdadm primary web1$/],
    [{ roles: 'Primary/Primary' }, /is Primary on the other/, /^drbdadm secondary web1 {2}#/],
    [{ roles: 'Primary/Unknown' }, /is Unknown on the other/, /^drbdadm secondary web1/],
  ])('is refused when it says %j', async (change, text, advice) => {
    drbd.says({ ...usable, ...change });
    const [refusal, ...others] = await refusals();
    expect(others).toEqual([]);
    expect(refusal?.text).toMatch(/^\/dev\/drbd1 cannot be used: /);
    expect(refusal?.text).toMatch(text);
    expect(refusal?.advice).toMatch(advice);
    expect(refusal?.isToCome).toBe(false);
  });

  it.each(['8.4.11', '9.1.16', '8.2.6'])(
    'is refused with DRBD %s, and asks it nothing',
    async (version) => {
      drbd.says({ ...usable, version, protocol: 'C', counters: '' });
      const [refusal] = await refusals();
      expect(refusal?.text).toBe(
        `/dev/drbd1 cannot be used: DRBD ${version} has no protocol D, only 8.3 has`,
      );
      expect(refusal?.advice).toMatch(/^man tsremus-protect {2}# LIMITS/);
      expect(drbd.calls()).toEqual([]);
    },
  );

  it('is refused where DRBD is not loaded', async () => {
    drbd.says(null);
    const [refusal] = await refusals();
    expect(refusal?.text).toMatch(/DRBD does not answer on this host$/);
    expect(refusal?.advice).toMatch(/^modprobe drbd/);
  });

  it('is called by its minor where the lists of resources do not tell', async () => {
    drbd.lists([device], ['web1', 'web2']);
    drbd.says({ ...usable, connection: 'StandAlone' });
    expect((await refusals())[0]?.advice).toMatch(/^drbdadm connect minor-1 /);
    drbd.lists([device], ['$(reboot)']);
    expect((await refusals())[0]?.advice).toMatch(/^drbdadm connect minor-1 /);
  });

  it('is an error where a command of DRBD fails', async () => {
    writeFileSync(join(drbd.bin, 'drbdsetup'), '#!/bin/sh\necho no such device >&2\nexit 20\n');
    await expect(refusals()).rejects.toMatchObject({
      code: 'command-failed',
      message: 'drbdsetup /dev/drbd1 show: exit code 20: no such device',
    });
  });
});

describe('what DRBD prints', () => {
  it('is read with every device of it', () => {
    const text =
      'version: 8.3.11rc1 (api:88/proto:86-96)\nGIT-hash: x\n' +
      ' 0: cs:Connected ro:Primary/Secondary ds:UpToDate/UpToDate C r-----\n' +
      '    ns:0 nr:0 lo:0 ep:1 wo:b oos:4\n' +
      '12: cs:SyncSource ro:Primary/Primary ds:UpToDate/Inconsistent D r-----\n' +
      '    ns:0 nr:0 lo:0 ep:1 wo:b def:17 chkpt:4711 oos:100\n' +
      "\t[>....................] sync'ed:  0.3% (1/2)M\n";
    const status = parseProc(text);
    expect(status?.version).toEqual({ text: '8.3.11rc1', major: 8, minor: 3 });
    expect(status?.devices).toEqual([
      {
        ...{ minor: 0, connection: 'Connected', protocol: 'C', countsCheckpoints: false },
        ...{ roles: ['Primary', 'Secondary'], disks: ['UpToDate', 'UpToDate'] },
      },
      {
        ...{ minor: 12, connection: 'SyncSource', protocol: 'D', countsCheckpoints: true },
        ...{ roles: ['Primary', 'Primary'], disks: ['UpToDate', 'Inconsistent'] },
      },
    ]);
  });

  it.each(['', 'nothing', 'version: new\n 0: cs:Connected'])('is none when it says %j', (text) => {
    expect(parseProc(text)).toBeNull();
  });

  it('has the defaults of 8.3 where it does not say', () => {
    expect(parseShow('net {\n}\nprotocol D;')).toEqual({
      ...{ protocol: 'D', hasNet: true, allowsTwoPrimaries: false, onCongestion: 'block' },
    });
    expect(parseShow('').protocol).toBe('');
  });
});
