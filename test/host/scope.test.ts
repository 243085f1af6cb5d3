import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { exit } from '../../src/cli/exit-codes.ts';
import { unitStopMs } from '../../src/core/limits.ts';
import { scopeCall, unitIn } from '../../src/host/scope.ts';

const unit = join(import.meta.dirname, '../../share/systemd/tsremus@.service');
const text = readFileSync(unit, 'utf8');
const settingOf = (key: string) => new RegExp(`^${key}=(.*)$`, 'm').exec(text)?.[1] ?? '';

describe('the unit of a process', () => {
  it('is the last part of its group, in every layout of control groups', () => {
    const scope = '/user.slice/user-0.slice/session-3.scope';
    expect(unitIn(`0::${scope}\n`)).toBe('session-3.scope');
    expect(unitIn(`9:pids:/x.scope\n1:name=systemd:${scope}\n0::/y.scope\n`)).toBe(
      'session-3.scope',
    );
    expect(unitIn('0::/system.slice/system-tsremus.slice/tsremus@web1.service\n')).toBe(
      'tsremus@web1.service',
    );
    for (const none of ['', '0::/', '0::/user.slice', '1:cpu:/a.scope\n']) {
      expect(unitIn(none)).toBeNull();
    }
  });

  it('is made by one call, whose arguments are counted', () => {
    const call = scopeCall(7, {
      unit: 'a.scope',
      description: 'tsremus: the copy of web 1',
      after: ['b.scope', 'ssh.service'],
      before: [],
      killSignal: 'SIGURG',
      stopMs: 90_000,
    });
    expect(call.slice(call.indexOf('--'))).toEqual([
      ...['--', 'a.scope', 'fail', '9', 'PIDs', 'au', '1', '7'],
      ...['Description', 's', 'tsremus: the copy of web 1'],
      ...['After', 'as', '2', 'b.scope', 'ssh.service', 'Before', 'as', '0'],
      ...['KillSignal', 'i', '23', 'TimeoutStopUSec', 't', '90000000'],
      ...['OOMPolicy', 's', 'continue', 'CollectMode', 's', 'inactive-or-failed'],
      ...['MemorySwapMax', 't', '0', '0'],
    ]);
  });
});

describe('tsremus@.service', () => {
  // Proves: its time for an order is what the program needs for one.
  it('waits as long as an order takes', () => {
    expect(1_000 * Number(settingOf('TimeoutStopSec'))).toBe(unitStopMs);
  });

  // Proves: nothing is begun again that is a person's to decide or to mend, and an end in order is
  // no failure.
  it('begins nothing again that is left to a person', () => {
    const left = [
      ...[exit.locked, exit.noSuchDomain, exit.refused, exit.takenOver, exit.held, exit.usage],
      ...[exit.unavailable, exit.notRoot, exit.config],
    ];
    expect(settingOf('RestartPreventExitStatus').split(' ').map(Number)).toEqual(left);
    const inOrder = [exit.interrupted, exit.terminated];
    expect(settingOf('SuccessExitStatus').split(' ').map(Number)).toEqual(inOrder);
  });

  it('is what systemd-analyze verify wants', (context) => {
    const dir = mkdtempSync(join(tmpdir(), 'tsremus-unit-'));
    const path = join(dir, 'tsremus@.service');
    // It looks for the program, which is not installed here.
    writeFileSync(path, text.replace('/usr/sbin/tsremus', process.execPath));
    const words = ['verify', '--man=no', join(dir, 'tsremus@web1.service')];
    const done = spawnSync('systemd-analyze', words, { encoding: 'utf8' });
    rmSync(dir, { recursive: true });
    if (done.error) context.skip('systemd-analyze is not installed');
    // Of other units of this machine it speaks as well.
    expect(done.stderr.split('\n').filter((line) => line.includes('tsremus'))).toEqual([]);
  });
});
