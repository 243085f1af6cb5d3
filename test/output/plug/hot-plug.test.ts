/** Interfaces that come and go: who is told when, and what becomes of them. Time is simulated. */
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { HotPlug } from '../../../src/output/plug/hot-plug.ts';
import type { GuestInterface } from '../../../src/output/plug/interfaces.ts';
import { type ListenLinks, linkListener } from '../../../src/output/plug/link-listener.ts';
import type { NamedDevice } from '../../../src/output/plug/state-file.ts';
import { time } from '../../fixtures/here.ts';

function bench({ isTold = true, failures = 0 } = {}) {
  const there: GuestInterface[] = [];
  const put = (index: number, name: string) => {
    const at = there.findIndex((one) => one.index === index);
    const one = { index, name, devid: index, emulated: false };
    if (at < 0) there.push(one);
    else there[at] = one;
  };
  const remove = (index: number) => {
    there.splice(0, there.length, ...there.filter((one) => one.index !== index));
  };
  const [tries, news]: [string[], string[]] = [[], []];
  let noted: readonly NamedDevice[] = [];
  let looks = 0;
  let change = () => {};
  let end: (why: string) => void = () => {};
  const closed = vi.fn();
  const listen: ListenLinks = (onChange, onEnd) => {
    change = onChange;
    end = onEnd;
    return { close: closed };
  };
  let left = failures;
  const ofGuest = () => {
    looks += 1;
    return [...there];
  };
  const hotPlug = new HotPlug({
    ...{ ...time, domain: 'web1', domid: 7, listen: isTold ? listen : null },
    devices: { ofGuest, index: () => null, names: () => [], alias: () => '' },
    async block(name, again) {
      tries.push(again ? `${name} again` : name);
      if (left-- > 0) throw new Error(`cannot block ${name}`);
    },
    async note(blocked) {
      noted = blocked;
    },
    onNews: (text) => news.push(text),
  });
  put(1, 'vif7.0');
  hotPlug.know(1, 'vif7.0');
  return {
    ...{ hotPlug, put, remove, tries, news, closed },
    change: () => change(),
    end: (why: string) => end(why),
    noted: () => noted,
    looks: () => looks,
  };
}

/** Only a hang takes as long. */
const hangMs = 300_000;
const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

describe('an interface that comes', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  // Proves: being told is enough; without it the next look would be long in coming.
  it('is blocked as soon as the kernel tells of it', async () => {
    const { hotPlug, put, change, tries, noted } = bench();
    hotPlug.start();
    await pass(4_300);
    put(2, 'vif7.1');
    await pass(100);
    expect(tries).toEqual([]);
    change();
    await pass(1);
    expect(tries).toEqual(['vif7.1']);
    expect(hotPlug.late).toMatchObject([{ name: 'vif7.1', isBlocked: true }]);
    expect(noted()).toEqual([{ index: 2, name: 'vif7.1' }]);
    await hotPlug.stop();
  });

  it('is found when nobody tells of it, sooner where nobody listens', async () => {
    for (const isTold of [true, false]) {
      const { hotPlug, put, tries } = bench({ isTold });
      hotPlug.start();
      await pass(4_300);
      put(2, 'vif7.1');
      await pass(isTold ? 1_100 : 120);
      expect(tries).toEqual(['vif7.1']);
      await hotPlug.stop();
    }
  });

  // Proves: a listener that dies is no silent loss.
  it('is looked for more often from when the listener has died, which is said', async () => {
    const { hotPlug, put, end, tries, news } = bench();
    hotPlug.start();
    await pass(4_300);
    end('SIGKILL');
    expect(news).toEqual([
      'ip monitor ended (SIGKILL): new interfaces are looked for every 50 ms only',
    ]);
    put(2, 'vif7.1');
    await pass(120);
    expect(tries).toEqual(['vif7.1']);
    await hotPlug.stop();
  });

  it('makes few looks of many changes', async () => {
    const { hotPlug, change, looks } = bench();
    hotPlug.start();
    await pass(4_300);
    const before = looks();
    for (let ms = 0; ms < 100; ms += 1) {
      for (let times = 0; times < 10; times += 1) change();
      await pass(1);
    }
    expect(looks() - before).toBeGreaterThan(5);
    expect(looks() - before).toBeLessThan(30);
    await hotPlug.stop();
  });

  // Proves: the hotplug script may give it its name after it was blocked.
  it('is blocked once, whatever it is called', async () => {
    const { hotPlug, put, remove, tries, noted } = bench();
    hotPlug.start();
    put(2, 'vif7.1');
    await pass(100);
    put(2, 'web1-lan');
    await pass(100);
    expect(tries).toEqual(['vif7.1']);
    expect(noted()).toEqual([{ index: 2, name: 'web1-lan' }]);
    remove(2);
    await pass(100);
    expect(noted()).toEqual([]);
    await hotPlug.stop();
  });

  // Proves: the same name again is another device, which nothing redirects.
  it('is blocked though a protected one was called so, and went in the same moment', async () => {
    const { hotPlug, put, remove, tries, news } = bench();
    hotPlug.start();
    remove(1);
    put(2, 'vif7.0');
    await pass(100);
    expect(news[0]).toBe('vif7.0 is gone; the others stay protected');
    expect(hotPlug.isGone('vif7.0')).toBe(true);
    expect(tries).toEqual(['vif7.0']);
    await hotPlug.stop();
  });

  it('is tried again where it cannot be blocked, told once, and shown as open', async () => {
    const { hotPlug, put, tries, news } = bench({ failures: 2 });
    hotPlug.start();
    put(2, 'vif7.1');
    await pass(60);
    expect(hotPlug.late).toMatchObject([{ name: 'vif7.1', isBlocked: false }]);
    expect(hotPlug.blocked).toEqual([]);
    await pass(200);
    expect(tries).toEqual(['vif7.1', 'vif7.1 again', 'vif7.1 again']);
    expect(hotPlug.late).toMatchObject([{ isBlocked: true }]);
    expect(news).toHaveLength(2);
    await hotPlug.stop();
  });

  it('is tried no more after twenty failures', async () => {
    const { hotPlug, put, tries } = bench({ failures: 1_000 });
    hotPlug.start();
    put(2, 'vif7.1');
    await pass(10_000);
    expect(tries).toHaveLength(20);
    await hotPlug.stop();
  });

  it('is let be after the end', async () => {
    const { hotPlug, put, change, tries, closed } = bench();
    hotPlug.start();
    await hotPlug.stop();
    expect(closed).toHaveBeenCalledOnce();
    put(2, 'vif7.1');
    change();
    await pass(3_000);
    expect(tries).toEqual([]);
  });
});

describe('ip monitor', () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'tsremus-ip-'));
  });
  afterEach(() => {
    rmSync(dir, { recursive: true });
  });

  function listener(script: string): ListenLinks {
    writeFileSync(join(dir, 'ip'), `#!/bin/sh\n${script}\n`);
    chmodSync(join(dir, 'ip'), 0o755);
    return linkListener({ ...process.env, PATH: `${dir}:${process.env['PATH']}` });
  }

  // Proves: each change wakes, and the end of the program is told with its reason.
  it('wakes for every line, and its end is told', async () => {
    const listen = listener('test "$*" = "monitor link" || exit 9; echo 7: vif7.1; exit 3');
    let changes = 0;
    const why = await new Promise((resolve) => listen(() => (changes += 1), resolve));
    expect(why).toBe('exit code 3');
    await vi.waitFor(() => expect(changes).toBe(1), { timeout: hangMs });
  });

  it('is ended by close, which tells nothing', async () => {
    const listen = listener(`echo $$ >'${join(dir, 'pid')}'; echo up; exec sleep 600`);
    const onEnd = vi.fn();
    const pid = await new Promise<number>((resolve) => {
      const heard = listen(() => {
        heard.close();
        resolve(Number(readPid()));
      }, onEnd);
    });
    await vi.waitFor(() => expect(() => process.kill(pid, 0)).toThrow(), { timeout: hangMs });
    expect(onEnd).not.toHaveBeenCalled();
  });

  const readPid = () => readFileSync(join(dir, 'pid'), 'utf8');
});
