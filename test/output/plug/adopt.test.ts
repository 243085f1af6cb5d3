/** What a session left behind in every state that a death can leave it in, on the model kernel. */
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { adoptBuffer } from '../../../src/output/plug/adopt.ts';
import { aliasOf, parseAlias } from '../../../src/output/plug/device-note.ts';
import { setUpBuffer } from '../../../src/output/plug/set-up.ts';
import { readState, writeState } from '../../../src/output/plug/state-file.ts';
import type { OutputBuffer } from '../../../src/output/port.ts';
import type { Bench } from './contract.ts';
import { type FakeKernel, fakeBench } from './fake-kernel.ts';

type FakeBench = Bench & { kernel: FakeKernel };

async function on(interfaceCount: number, work: (bench: FakeBench) => Promise<void>) {
  const bench = await fakeBench({ interfaceCount });
  try {
    await work(bench);
  } finally {
    await bench.close();
  }
}

const peer = { host: 'hostb', ssh_command: null, heartbeat_timeout_ms: 700 };

function make(bench: FakeBench): Promise<OutputBuffer> {
  return setUpBuffer(
    {
      ...{ domain: 'web1', domid: bench.domid, uuid: '6a7b', session: 'abc', script: null },
      interfaceCount: bench.interfaces.length,
      ...{ limitBytes: 1 << 22, statePath: bench.statePath, onNews: () => {} },
      ...{ peer, watch: false },
    },
    bench.tools,
  );
}

/** Sends three frames in epoch 1, seals them, and three more; then the process dies. */
async function leave(bench: FakeBench): Promise<void> {
  const buffer = await make(bench);
  for (const epoch of [0, 1, null]) {
    const from = epoch === null ? 3 : 0;
    if (epoch !== null) bench.barrier(epoch);
    if (epoch === 1) continue;
    for (const name of bench.interfaces) {
      for (let at = from; at < from + 3; at++) bench.send(name, at);
    }
  }
  buffer.close();
}

function adopt(bench: FakeBench, domid: number | null = bench.domid) {
  return adoptBuffer(bench.statePath, domid, async () => bench.tools);
}

const ours = (bench: FakeBench) => bench.devices().filter((name) => name.startsWith('tsr'));

function expectGone(bench: FakeBench): void {
  expect(ours(bench)).toEqual([]);
  expect(bench.kernel.actions.size).toBe(0);
  expect(existsSync(bench.statePath)).toBe(false);
}

describe('what a dead session left', () => {
  // Proves: the names of the devices are enough; frames come out in the order they were sent in.
  it.each([
    ['lost', (path: string) => rmSync(path)],
    ['damaged', (path: string) => writeFileSync(path, '{"schema":1,"dom')],
  ])('is found where its state is %s', (_, spoil) =>
    on(2, async (bench) => {
      await leave(bench);
      spoil(bench.statePath);
      await expect(make(bench)).rejects.toMatchObject({
        code: 'locked',
        hint: 'tsremus stop web1',
      });
      const left = await adopt(bench);
      for (const name of bench.interfaces) expect(await bench.arrived(name)).toEqual([]);
      await left?.open();
      for (const name of bench.interfaces) {
        expect(await bench.arrived(name)).toEqual([0, 1, 2, 3, 4, 5]);
      }
      expectGone(bench);
      expect(await adopt(bench)).toBeNull();
    }),
  );

  // Proves: whoever finds the buffer knows whom to ask; and what its state does not name is found.
  it('says whom to ask, and is found whole where its state names a part', () =>
    on(2, async (bench) => {
      await leave(bench);
      const state = await readState(bench.statePath);
      expect(state).toMatchObject({ domain: 'web1', session: 'abc', peer, watch: false });
      if (state === null) return;
      await writeState(bench.statePath, { ...state, interfaces: state.interfaces.slice(0, 1) });
      await (await adopt(bench))?.open();
      for (const name of bench.interfaces) {
        expect(await bench.arrived(name)).toEqual([0, 1, 2, 3, 4, 5]);
      }
      expectGone(bench);
    }));

  // Proves: an interface that was blocked is let go by whoever opens the buffer, by its number,
  // for its name may have changed meanwhile.
  it('lets an interface go that was blocked when the session died', () =>
    on(1, async (bench) => {
      const buffer = await make(bench);
      bench.barrier(0);
      const late = await bench.plugIn();
      const isNoted = async () => (await readState(bench.statePath))?.blocked?.length === 1;
      while (!(await isNoted())) await new Promise((resolve) => setTimeout(resolve, 5));
      buffer.close();
      const device = bench.kernel.devices.get(late);
      if (device === undefined) throw new Error('there is no such device');
      bench.kernel.devices.delete(late);
      bench.kernel.devices.set('vif-web.1', { ...device, name: 'vif-web.1' });
      bench.send('vif-web.1', 1);
      expect(await bench.arrived('vif-web.1')).toEqual([]);
      await (await adopt(bench))?.open();
      bench.send('vif-web.1', 2);
      expect(await bench.arrived('vif-web.1')).toEqual([2]);
      expectGone(bench);
    }));

  // Proves: what says that it holds nothing takes no interface down: it may be another guest's.
  it('takes no interface down that it holds nothing of', () =>
    on(1, async (bench) => {
      const name = bench.interfaces[0] ?? '';
      const one = { name, devid: 0, emulated: false, queues: ['tsr8.0a', 'tsr8.0b'] };
      const whose = { schema: 1, domain: 'web0', domid: 8, uuid: 'x', session: 'x' } as const;
      const interfaces = [{ ...one, action: 7, script: null }];
      await writeState(bench.statePath, { ...whose, interfaces });
      await (await adopt(bench, 8))?.drop();
      bench.send(name, 1);
      expect(await bench.arrived(name)).toEqual([1]);
      expect(existsSync(bench.statePath)).toBe(false);
    }));

  // Proves: devices say whose they are where every file is gone.
  it('is named by what is written on its devices', () =>
    on(1, async (bench) => {
      await leave(bench);
      for (const name of ours(bench)) {
        const note = parseAlias(bench.tools.devices.alias(name));
        expect(note).toEqual({ domain: 'web1', uuid: '6a7b', session: 'abc', peer, watch: false });
      }
    }));

  it('is dropped by its names, too, when the guest is gone', () =>
    on(1, async (bench) => {
      await leave(bench);
      rmSync(bench.statePath);
      const name = bench.interfaces[0] ?? '';
      await bench.unplug(name);
      await (await adopt(bench))?.drop();
      expect(ours(bench)).toEqual([]);
    }));

  it('of another guest is left alone', () =>
    on(1, async (bench) => {
      bench.kernel.add('tsr77.0a', true);
      bench.kernel.add('tsrunrelated', true);
      expect(await adopt(bench)).toBeNull();
      const buffer = await make(bench);
      await buffer.open();
      expect(ours(bench)).toEqual(['tsr77.0a', 'tsrunrelated']);
    }));

  // Proves: a set-up that died anywhere can be undone; before its filter nothing was held.
  it.each([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])('half built, after %i commands, goes', (count) =>
    on(1, async (bench) => {
      const { run } = bench.tools;
      let left = count;
      const isDead = new Error('the process died');
      const dying: typeof run = async (argv, options = {}) => {
        if (!argv.includes('-batch')) return run(argv, options);
        const lines = (options.input ?? '').trim().split('\n');
        const done = lines.slice(0, left);
        left -= done.length;
        if (done.length > 0) await run(argv, { ...options, input: `${done.join('\n')}\n` });
        if (done.length < lines.length) throw isDead;
        return { stdout: '', code: 0 };
      };
      // What would tidy up after the failure fails as well: the process is dead.
      const buffer = await make({ ...bench, tools: { ...bench.tools, run: dying } }).catch(
        (error: unknown) => error,
      );
      if (count < 10) expect(buffer).toBe(isDead);
      else (buffer as OutputBuffer).close();
      await (await adopt(bench))?.open();
      const name = bench.interfaces[0] ?? '';
      bench.send(name, 1);
      expect(await bench.arrived(name)).toEqual([1]);
      expectGone(bench);
    }),
  );
});

describe('a buffer that cannot be removed', () => {
  // Proves: a queue never goes before the redirect into it: else the guest would be mute, silently.
  it('keeps its queues while its filter stays, and goes when it is tried again', () =>
    on(1, async (bench) => {
      const buffer = await make(bench);
      const name = bench.interfaces[0] ?? '';
      bench.barrier(0);
      bench.send(name, 0);
      bench.kernel.refuses = /^tc qdisc del/;
      await expect(buffer.open()).rejects.toThrow(`cannot take the filter off ${name}`);
      bench.send(name, 1);
      expect(await bench.arrived(name)).toEqual([0, 1]);
      expect(ours(bench)).toHaveLength(2);
      expect(existsSync(bench.statePath)).toBe(true);
      bench.kernel.refuses = null;
      await buffer.open();
      bench.send(name, 2);
      expect(await bench.arrived(name)).toEqual([0, 1, 2]);
      expectGone(bench);
    }));

  it('names the devices that stay, and is found by the next process', () =>
    on(1, async (bench) => {
      const buffer = await make(bench);
      bench.barrier(0);
      bench.kernel.refuses = /^ip link del/;
      await expect(buffer.open()).rejects.toThrow('cannot remove tsr9.0a, tsr9.0b');
      buffer.close();
      bench.kernel.refuses = null;
      await (await adopt(bench))?.open();
      expectGone(bench);
    }));

  it('may be dropped after it could not be opened', () =>
    on(1, async (bench) => {
      const buffer = await make(bench);
      bench.barrier(0);
      bench.send(bench.interfaces[0] ?? '', 0);
      bench.kernel.refuses = /^tc qdisc del/;
      await expect(buffer.open()).rejects.toThrow();
      await buffer.drop();
      expect(ours(bench)).toEqual([]);
    }));
});

describe('what is written on a device', () => {
  const texts = { uuid: '6a7b', session: 'abc', domain: 'web1' };

  // Proves: it is one word of an ip batch within the kernel's limit, and is read as it was written.
  it('is read as it was written, or not written at all', () => {
    const host = fc.string({ minLength: 1, unit: 'grapheme' });
    const command = fc.option(fc.string({ unit: 'grapheme' }));
    fc.assert(
      fc.property(host, command, fc.nat(999_999_999), fc.boolean(), (name, ssh, ms, watch) => {
        const its = { host: name, ssh_command: ssh, heartbeat_timeout_ms: ms };
        const state = { schema: 1, domid: 7, interfaces: [], ...texts, peer: its, watch } as const;
        const alias = aliasOf(state);
        if (alias === null) return encodeURIComponent(`${name}${ssh}`).length > 150;
        expect(alias).toMatch(/^[\w.,%-]{1,255}$/);
        expect(parseAlias(alias)).toEqual({ ...texts, peer: its, watch });
        return true;
      }),
    );
  });

  it.each([
    '',
    'uplink',
    'tsremus1,a,b,c,d,e,f,g',
    'tsremus1,a,b,c,d,7,-,x',
    `tsremus1,%,b,c,d,7,-,-`,
  ])('by somebody else, %j, is none of ours', (alias) => expect(parseAlias(alias)).toBeNull());
});
