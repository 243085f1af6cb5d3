/**
 * What is said where a host cannot hold output, with stand-ins for ip, tc and modprobe: small
 * executables that are first in PATH and do as FAIL says.
 */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { OperationError } from '../../src/host/errors.ts';
import { run } from '../../src/host/runner.ts';
import { openDevices } from '../../src/network/interfaces.ts';
import { type BufferTools, setUpBuffer } from '../../src/network/set-up.ts';
import { readState } from '../../src/network/state-file.ts';
import type { Run } from '../../src/network/tools.ts';

let dir: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'tsremus-no-buffer-'));
  mkdirSync(join(dir, 'bin'));
  // A dom0 in which guest 3 has one interface.
  mkdirSync(join(dir, 'sys/class/net/web0'), { recursive: true });
  mkdirSync(join(dir, 'sys/devices/vif-3-0'), { recursive: true });
  writeFileSync(join(dir, 'sys/class/net/web0/ifindex'), '17\n');
  symlinkSync('../../../devices/vif-3-0', join(dir, 'sys/class/net/web0/device'));
});

afterEach(() => rmSync(dir, { recursive: true, force: true }));

function standIn(name: string, script: string): void {
  const path = join(dir, 'bin', name);
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
}

const fine = { modprobe: 'exit 0', ip: 'cat >/dev/null', tc: 'cat >/dev/null; echo "[]"' };

async function refusal(scripts: Partial<typeof fine>): Promise<OperationError> {
  for (const [name, script] of Object.entries({ ...fine, ...scripts })) {
    if (script !== '') standIn(name, script);
  }
  // Only what the stand-ins themselves need beside them.
  for (const tool of ['cat', 'echo']) symlinkSync(`/bin/${tool}`, join(dir, 'bin', tool));
  const runs: Run = ([program = '', ...args], options) =>
    run([join(dir, 'bin', program), ...args], {
      timeoutMs: 20_000,
      ...options,
      env: { PATH: join(dir, 'bin') },
    });
  const driver = { handle: 1, add: () => 0, release() {}, pass: () => 0, close() {} };
  const tools: BufferTools = {
    run: runs,
    openPlug: () => ({ ...driver, look: () => Promise.reject(new Error('not asked')) }),
    devices: openDevices(join(dir, 'sys')),
  };
  const request = {
    ...{ domain: 'web1', domid: 3, uuid: '6a7b', session: 'abc', interfaceCount: 1, script: null },
    ...{ limitBytes: 1 << 26, statePath: join(dir, 'state.json'), onNews: () => {} },
  };
  const error: unknown = await setUpBuffer(request, tools).then(
    () => new Error('it was set up'),
    (thrown) => thrown,
  );
  // Whatever it was: nothing is left behind.
  expect(await readState(request.statePath)).toBeNull();
  if (!(error instanceof OperationError)) throw error;
  return error;
}

describe('a host that cannot hold output', () => {
  it.skipIf(process.geteuid?.() !== 0)('because of its kernel is told which one can', async () => {
    const error = await refusal({ modprobe: 'case $2 in sch_plug|ifb) exit 1;; esac' });
    expect(error.code).toBe('no-buffer');
    expect(error.message).toBe('this kernel has no ifb, sch_plug: output cannot be held');
    expect(error.hint).toContain('linux-image-amd64');
  });

  it.each(['ip', 'tc'] as const)(
    'because %s is not installed is told the package',
    async (name) => {
      const error = await refusal({ [name]: '' });
      expect(error.code).toBe('no-buffer');
      expect(error.message).toMatch(new RegExp(`^cannot .*: .*/${name} is not installed$`));
      expect(error.hint).toBe('apt install iproute2 kmod');
    },
  );

  it('because we are not root says so', async () => {
    const ip = 'cat >/dev/null; echo "RTNETLINK answers: Operation not permitted" >&2; exit 2';
    const error = await refusal({ ip });
    expect(error.code).toBe('not-root');
    expect(error.message).toBe('cannot buffer the output of web0: only root may');
  });

  it('quotes why a command failed, not where', async () => {
    const ip = `cat >/dev/null; echo 'RTNETLINK answers: File exists
Command failed -:1' >&2; exit 1`;
    const error = await refusal({ ip });
    expect(error.code).toBe('no-buffer');
    expect(error.message).toMatch(/^cannot buffer the output of web0: .*ip says: .*File exists$/);
  });

  it('because tc is too old says which one is needed', async () => {
    const error = await refusal({ tc: 'echo qdisc noqueue 0: dev web0' });
    expect(error.message).toContain('which is not JSON');
    expect(error.hint).toContain('iproute2 5.0');
  });

  it('because of filters of somebody else names them', async () => {
    const error = await refusal({ tc: `echo '[{"kind":"ingress","dev":"web0"}]'` });
    expect(error.message).toBe('web0 has an ingress qdisc already (ingress) that is not ours');
    expect(error.hint).toContain('tc filter show dev web0 ingress');
  });
});
