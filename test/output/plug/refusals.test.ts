/**
 * What is said where a host cannot hold output, with stand-ins for ip, tc and modprobe: small
 * executables that are first in PATH and do as FAIL says.
 */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { OperationError } from '../../../src/host/errors.ts';
import { run } from '../../../src/host/runner.ts';
import { PlugBuffer } from '../../../src/output/plug/buffer.ts';
import { openDevices } from '../../../src/output/plug/interfaces.ts';
import { type BufferTools, setUpBuffer } from '../../../src/output/plug/set-up.ts';
import { readState } from '../../../src/output/plug/state-file.ts';
import type { Run } from '../../../src/output/plug/tools.ts';
import { store, time } from '../../fixtures/here.ts';

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

/** Sets a buffer up with these stand-ins: how that ended, the news, and what tc was told. */
async function tried(scripts: Partial<typeof fine>) {
  for (const [name, script] of Object.entries({ ...fine, ...scripts })) {
    if (script !== '') standIn(name, script);
  }
  // Only what the stand-ins themselves need beside them.
  for (const tool of ['cat', 'echo']) symlinkSync(`/bin/${tool}`, join(dir, 'bin', tool));
  const told: string[] = [];
  const news: string[] = [];
  let isMade = false;
  const runs: Run = async ([program = '', ...args], options) => {
    const input = options?.input ?? '';
    if (program === 'tc') told.push(...input.split('\n').filter(Boolean));
    const env = { PATH: join(dir, 'bin') };
    // Only a hang takes as long.
    const bounds = { ...options, timeoutMs: 300_000, env };
    const answer = await run([join(dir, 'bin', program), ...args], bounds);
    if (program === 'ip') isMade = / type ifb$/m.test(input);
    return answer;
  };
  const driver = {
    ...{ handle: 1, add: () => 0, async release() {}, pass: async () => 0, close() {} },
    ...{
      hold() {},
      async unhold() {},
      watch() {},
      async unwatch() {},
      mend: async () => ({ left: [], current: 0 }),
    },
  };
  const devices = openDevices(join(dir, 'sys'));
  const tools: BufferTools = {
    ...time,
    store,
    run: runs,
    openPlug: () => ({ ...driver, look: () => Promise.reject(new Error('not asked')) }),
    // The stand-in for ip makes no devices.
    devices: {
      ...devices,
      index: (name) => (/^tsr/.test(name) && isMade ? 18 : devices.index(name)),
    },
  };
  const request = {
    ...{ domain: 'web1', domid: 3, uuid: '6a7b', session: 'abc', interfaceCount: 1, script: null },
    ...{ limitBytes: 1 << 26, statePath: join(dir, 'state.json') },
    onNews: (text: string) => news.push(text),
  };
  const ended: unknown = await setUpBuffer(request, tools).catch((thrown: unknown) => thrown);
  return { ended, news, told, statePath: request.statePath };
}

async function refusal(scripts: Partial<typeof fine>): Promise<OperationError> {
  const { ended, statePath } = await tried(scripts);
  if (!(ended instanceof OperationError)) throw ended;
  // Whatever it was: nothing is left behind.
  expect(await readState(store, statePath)).toBeNull();
  return ended;
}

const notRoot = process.geteuid?.() !== 0;

describe('a host that cannot hold output', () => {
  it.skipIf(notRoot).each([
    ['sch_plug|ifb', 'ifb, sch_plug'],
    ['act_mirred', 'act_mirred'],
    // Neither way to take every frame.
    ['cls_matchall|cls_u32', 'cls_matchall (or cls_u32)'],
    ['act_mirred|cls_matchall|cls_u32', 'act_mirred, cls_matchall (or cls_u32)'],
  ])('because its kernel has no %s is told which kernel has', async (absent, named) => {
    const error = await refusal({ modprobe: `case $2 in ${absent}) exit 1;; esac` });
    expect(error.code).toBe('no-buffer');
    expect(error.message).toBe(`this kernel has no ${named}: output cannot be held`);
    expect(error.hint).toContain('apt-get install linux-image-amd64');
    expect(error.hint).toContain('linux-modules-extra-$(uname -r)');
  });

  // Proves: a module that is there and not taken is no matter of another kernel.
  it.skipIf(notRoot)('because modprobe fails says why, and not to install one', async () => {
    const said = "modprobe: ERROR: could not insert 'sch_plug': Key was rejected by service";
    const error = await refusal({
      modprobe: `case $2 in sch_plug) echo "${said}" >&2; exit 1;; act_mirred) exit 1;; esac`,
    });
    expect(error.code).toBe('no-buffer');
    expect(error.message).toBe(
      `this kernel does not take sch_plug: output cannot be held; modprobe says: ${said}`,
    );
    expect(error.hint).toContain('sysctl kernel.modules_disabled');
    expect(error.hint).not.toContain('apt-get install');
  });

  it('because modprobe is not installed is told the package', async () => {
    const error = await refusal({ modprobe: '' });
    expect(error.message).toMatch(/^cannot load the modules .*modprobe is not installed$/);
    expect(error.hint).toBe('apt-get install iproute2 kmod');
  });

  it.each(['ip', 'tc'] as const)(
    'because %s is not installed is told the package',
    async (name) => {
      const error = await refusal({ [name]: '' });
      expect(error.code).toBe('no-buffer');
      expect(error.message).toMatch(new RegExp(`^cannot .*: .*/${name} is not installed$`));
      expect(error.hint).toBe('apt-get install iproute2 kmod');
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

describe('a kernel without cls_matchall', () => {
  // It knows the action of web0, whose number is 17, and takes every filter that LINES lets by.
  const tc = (lines: string) => `case "$*" in
*actions*) echo '[{"total acts":1},{"actions":[{"index":1073741841,"to_dev":"tsr3.0a"}]}]';;
*-batch*) while read line; do case "$line" in ${lines}
esac; done;;
*) echo '[]';;
esac`;
  const refusing = '*matchall*) echo "Error: TC classifier not found." >&2; exit 2;;';
  const redirect = 'action mirred egress redirect dev tsr3.0a index 1073741841';
  const u32 = `filter add dev web0 ingress protocol all prio 1 u32 match u32 0 0 at -4 ${redirect}`;

  it('is asked for no matchall where modprobe knows none, which the log says', async () => {
    const modprobe = 'case $2 in cls_matchall) exit 1;; esac';
    const { ended, news, told } = await tried({ modprobe, tc: tc(refusing) });
    expect(ended).toBeInstanceOf(PlugBuffer);
    (ended as PlugBuffer).close();
    expect(told).toEqual(['qdisc add dev web0 clsact', u32]);
    expect(news).toEqual(['this kernel has no cls_matchall: u32 takes every frame instead']);
  });

  it('is found out by its refusal, too', async () => {
    const { ended, news, told } = await tried({ tc: tc(refusing) });
    expect(ended).toBeInstanceOf(PlugBuffer);
    (ended as PlugBuffer).close();
    expect(told.at(-1)).toBe(u32);
    expect(news).toHaveLength(1);
    expect(news[0]).toMatch(/classifier not found.*; u32 takes every frame instead of matchall$/);
  });

  // Proves: an interface is never left with a redirect that takes nothing.
  it('and without u32 is a refusal', async () => {
    const neither = '*filter*) echo "Error: TC classifier not found." >&2; exit 2;;';
    const error = await refusal({ tc: tc(neither) });
    expect(error.code).toBe('no-buffer');
    expect(error.message).toMatch(/^cannot buffer the output of web0: .*classifier not found\.$/);
  });
});
