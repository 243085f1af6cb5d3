/** The guest's own end, under protection and after a takeover. */
import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { it } from './fixture.ts';
import { cleanUp, noticing, type Pair, prepare } from './pair.ts';
import { isRunning, type Running, signal, until } from './process.ts';

beforeAll(prepare);
afterAll(cleanUp);

const guest = { memoryMib: 16, rate: 1_000 };

/** The process that watches g1, by the run directory; null: none. Never two that live. */
function watcherOf(pair: Pair, host = pair.a): number | null {
  const found = readdirSync(host.runDir)
    .map((name) => Number(/\.watch\.(\d+)-.*\.claim$/.exec(name)?.[1]))
    .filter((pid) => pid > 0 && isRunning(pid));
  expect(found.length).toBeLessThanOrEqual(1);
  return found[0] ?? null;
}

const quick = ['--hold', '300'];

describe('a protected guest', () => {
  // Proves: an end of its own is no failure of the host: the copy goes, nothing comes back; and
  // what the configuration says of such an end is done here, with the permission.
  it.concurrent.for([
    ['poweroff', 'destroy', 'its domain was destroyed, as configured'],
    ['crash', 'destroy', 'its domain was destroyed, as configured'],
    ['crash', 'preserve', 'its domain is kept (action preserve)'],
    ['poweroff', 'restart', 'it was booted anew'],
    ['reboot', 'restart', 'it was booted anew'],
    ['reboot', 'destroy', 'its domain was destroyed, as configured'],
  ] as const)('ends by %s, configured: %s', async ([how, action, text], { pair }) => {
    pair.a.sim.create('g1', { ...guest, more: [`--on-${how}`, action] });
    const before = pair.a.sim.find('g1');
    const protect = await pair.protected({ args: quick });
    pair.a.sim.run(how, 'g1');
    expect((await protect.ended).code).toBe(19);
    const last = protect.events.at(-1);
    expect(last).toMatchObject({ outcome: 'guest-ended', reason: how, exit: 19 });
    expect(last?.['text']).toContain(`g1 ended by itself: ${how}; ${text}`);
    await until('the copy is gone', () => pair.b.leftovers().length === 0);
    expect(pair.b.record('')).toEqual(['promised', 'standby']);

    const after = pair.a.sim.find('g1');
    const status = await pair.a.tsremus('status');
    expect(status.code).toBe(2);
    if (action === 'restart') {
      expect(after).toMatchObject({ state: 'running', uuid: before?.uuid });
      expect(after?.guest?.boot).not.toBe(before?.guest?.boot);
      // Nobody may believe that it is still protected.
      expect(status.out).toMatch(/g1 +primary +unprotected/);
      expect(status.out).toContain('Try: tsremus protect g1 HOST');
      expect(pair.a.session('g1')?.domid).toBe(after?.domid);
      expect(watcherOf(pair)).not.toBeNull();
    } else {
      expect(status.out).toMatch(/g1 +primary +ended/);
      if (action === 'preserve') expect(after).toMatchObject({ state: 'shutdown' });
      else expect(after).toBeNull();
      await until('nobody watches it', () => pair.guards().length === 0);
    }
  });

  // Proves: a soft reset (a kdump) destroys nothing, nor does an end for a reason that libxl has no
  // word for; and where the configuration says nothing, libxl's default is meant: destroy.
  it.concurrent.for([
    ['5', [], 'soft-reset', 'its domain is kept (action soft_reset)'],
    ['9', [], 'unknown', 'its domain is kept (action unknown reason)'],
    ['5', ['--on-soft-reset', 'destroy'], 'soft-reset', 'its domain was destroyed, as configured'],
    ['4', ['--on-watchdog', 'preserve'], 'watchdog', 'its domain is kept (action preserve)'],
  ] as const)('ends with code %s, %s', async ([code, more, event, text], { pair }) => {
    pair.a.sim.create('g1', { ...guest, more });
    if (more[1] === 'destroy') expect(pair.a.sim.config('g1')).not.toHaveProperty('on_soft_reset');
    const protect = await pair.protected({ args: quick });
    pair.a.sim.run('end', 'g1', code);
    expect((await protect.ended).code).toBe(19);
    expect(protect.events.at(-1)?.['text']).toContain(text);
    expect(pair.a.log('g1')).toContain(`ended by ${event}; action`);
    if (text.includes('kept')) expect(pair.a.state('g1')).toBe('shutdown');
    else expect(pair.a.state('g1')).toBeNull();
  });

  // Proves: so for one that somebody destroys.
  it.concurrent('that is destroyed is not resurrected', async ({ pair }) => {
    pair.a.sim.create('g1', guest);
    const protect = await pair.protected();
    pair.a.sim.run('destroy', 'g1');
    expect((await protect.ended).code).toBe(19);
    await until('the copy is gone', () => pair.b.leftovers().length === 0);
  });

  // Proves: -e leaves the guest as it ended, and nobody behind.
  it.concurrent('is left alone with -e', async ({ pair }) => {
    pair.a.sim.create('g1', { ...guest, more: ['--on-reboot', 'restart'] });
    const protect = await pair.protected({ args: [...quick, '-e'] });
    pair.a.sim.run('reboot', 'g1');
    expect((await protect.ended).code).toBe(19);
    expect(pair.a.sim.find('g1')).toMatchObject({ state: 'shutdown', shutdown_reason: 'reboot' });
    await until('its guard has gone', () => pair.guards().length === 0);
  });

  // Proves: a guest that cannot be booted again is not said to run.
  it.concurrent('that cannot be booted anew is not said to run', async ({ pair }) => {
    pair.a.sim.create('g1', guest);
    const protect = await pair.protected({ args: quick });
    pair.a.sim.fault('libxl_domain_create_new fail -3');
    pair.a.sim.run('reboot', 'g1');
    expect((await protect.ended).code).toBe(19);
    expect(protect.events.at(-1)?.['text']).toContain('nobody runs it now: cannot create domain');
    expect((await pair.a.tsremus('status')).out).toMatch(/g1 +primary +ended/);
  });
});

/** Boots it anew; resolves when that is seen. */
async function rebootsAnew(pair: Pair): Promise<void> {
  const boot = pair.a.sim.find('g1')?.guest?.boot;
  pair.a.sim.run('reboot', 'g1');
  await until('it is booted anew', () => {
    const found = pair.a.sim.find('g1');
    return found?.state === 'running' && found.guest?.boot !== boot;
  });
}

describe('after protection', () => {
  // Proves: xl's daemon left at the first checkpoint, so tsremus carries on its work; one watcher
  // at a time, whatever comes and goes; and an order to stop leaves nothing to be seen.
  it.concurrent('that was stopped the guest is watched, by one', async ({ pair }) => {
    pair.a.sim.create('g1', guest);
    const first = await pair.protected({ args: quick });
    expect(watcherOf(pair)).toBe(first.pid);
    expect((await pair.a.tsremus('stop', 'g1')).code).toBe(0);
    await first.ended;
    const watcher = watcherOf(pair);
    expect(pair.guards()).toEqual([watcher]);
    await rebootsAnew(pair);
    expect((await pair.a.tsremus('status')).out).toBe('no sessions\n');

    const second = pair.protect({ args: quick });
    await pair.moreEpochs(pair.a, 'g1', 3);
    expect(watcherOf(pair)).toBe(second.pid);
    expect(isRunning(watcher ?? 0)).toBe(false);
    expect((await pair.a.tsremus('stop', 'g1')).code).toBe(0);
    await second.ended;
    pair.a.sim.run('poweroff', 'g1');
    await until('it is gone', () => pair.a.sim.list().length === 0);
    await until('the watcher has gone', () => pair.guards().length === 0);
    expect(watcherOf(pair)).toBeNull();
  });

  // Proves: what a lost protection left to be seen stays true when the guest reboots and ends.
  it.concurrent('that was lost the status follows the guest', async ({ pair }) => {
    pair.a.sim.create('g1', guest);
    const protect = await pair.protected({ args: quick });
    signal(pair.receiver(), 'SIGKILL');
    expect((await protect.ended).code).toBe(16);
    await rebootsAnew(pair);
    const domid = pair.a.sim.find('g1')?.domid;
    await until('status knows', () => pair.a.session('g1')?.domid === domid);
    const status = await pair.a.tsremus('status');
    expect(status.out).toMatch(/g1 +primary +unprotected/);
    expect(status.out).toContain(`since then it was booted anew, as domain ${domid}`);
    pair.a.sim.run('poweroff', 'g1');
    await until('status knows', () => pair.a.session('g1')?.state === 'ended');
    const over = await pair.a.tsremus('status');
    expect(over.code).toBe(2);
    expect(over.out).toContain('since then the guest ended by poweroff');
  });

  // Proves: a session that cannot begin gives the watch back.
  it.concurrent('a session that is refused leaves the guest watched', async ({ pair }) => {
    pair.a.sim.create('g1', guest);
    const first = await pair.protected({ args: quick });
    expect((await pair.a.tsremus('stop', 'g1')).code).toBe(0);
    await first.ended;
    expect(watcherOf(pair)).not.toBeNull();
    const refused = await pair.protect({ command: 'exit 1' }).ended;
    expect(refused.code).toBe(13);
    expect(pair.guards()).toEqual([watcherOf(pair)]);
    await rebootsAnew(pair);
  });

  // Proves: with protect killed the guest's end waits for the permission, and gets it.
  it.concurrent('whose protect was killed the guest reboots with leave', async ({ pair }) => {
    pair.a.sim.create('g1', guest);
    const protect = await pair.protected({ args: quick });
    signal(protect.pid, 'SIGKILL');
    await until('the guard watches', () => pair.guards()[0] === watcherOf(pair));
    await rebootsAnew(pair);
    expect(pair.b.record('')).toEqual(['promised', 'standby']);
    await until('the copy is gone', () => pair.b.sim.list().length === 0);
    await until('status knows', () => pair.a.session('g1')?.outcome === 'guest-ended');
    const status = await pair.a.tsremus('status');
    expect(status.out).toMatch(/g1 +primary +unprotected/);
    expect((await pair.a.tsremus('stop', 'g1')).code).toBe(0);
    expect((await pair.a.tsremus('status')).out).toBe('no sessions\n');
  });

  // Proves: without the permission nothing is booted: the copy may be what goes on.
  it.concurrent('whose protect was killed nothing is booted without leave', async ({ pair }) => {
    pair.a.sim.create('g1', guest);
    const protect = await pair.protected({ args: [...quick, ...noticing] });
    await pair.wire.set({ there: 'cut', back: 'cut', refuse: true });
    signal(protect.pid, 'SIGKILL');
    await until('the guard watches', () => pair.guards()[0] === watcherOf(pair));
    pair.a.sim.run('reboot', 'g1');
    await until('it was asked for', () => /could not|cannot|held/.test(pair.a.log('g1.watch')));
    expect(pair.a.sim.find('g1')).toMatchObject({ state: 'shutdown' });
    await until('the copy runs', () => pair.b.state('g1') === 'running');
    await pair.wire.heal();
    await until('the loser is gone', () => pair.a.sim.list().length === 0);
    await until('status knows', () => pair.a.session('g1')?.outcome === 'taken-over');
    expect((await pair.a.tsremus('status')).out).toContain('took over: the guest runs there');
  });

  // Proves: where the session's state is lost and only its buffer is left, nobody infers a leave.
  it.concurrent('whose state is lost nothing is booted unasked', async ({ pair }) => {
    pair.a.sim.create('g1', guest);
    const protect = await pair.protected({ args: quick });
    signal(protect.pid, 'SIGKILL');
    await until('the guard watches', () => pair.guards()[0] === watcherOf(pair));
    const { uuid = '', domid } = pair.a.session('g1') ?? {};
    for (const name of readdirSync(pair.a.runDir)) rmSync(join(pair.a.runDir, name));
    const state = { schema: 1, domain: 'g1', domid, uuid, session: 'lost', interfaces: [] };
    writeFileSync(join(pair.a.runDir, `${uuid}.network.json`), JSON.stringify(state));
    pair.a.sim.run('reboot', 'g1');
    const waits = /its end waits for leave: nothing here says which host has its copy/;
    await until('it waits', () => waits.test(pair.a.log('g1.watch')));
    expect(pair.a.sim.find('g1')).toMatchObject({ state: 'shutdown' });
  });

  // Proves: a host that protects what it took over has one watcher too.
  it.concurrent('of a guest that took over, the way back has one watcher', async ({ pair }) => {
    pair.a.sim.create('g1', guest);
    const protect = await takenOver(pair);
    await pair.wire.heal();
    expect((await protect.ended).code).toBe(17);
    const receiver = watcherOf(pair, pair.b);
    expect(receiver).toBe(pair.receiver());
    const back = pair.protect({ from: pair.b, args: quick });
    await until('it is protected', () =>
      pair.b.sessions().some(({ role, state }) => role === 'primary' && state === 'protected'),
    );
    expect(watcherOf(pair, pair.b)).toBe(back.pid);
    expect(isRunning(receiver ?? 0)).toBe(false);
    pair.b.sim.run('reboot', 'g1');
    expect((await back.ended).code).toBe(19);
    expect(pair.b.sim.list()).toHaveLength(1);
    await until('the copy on A is gone', () => pair.a.sim.list().length === 0);
  });
});

/** The copy runs, and its watcher lives (or does not, with -e). */
async function takenOver(pair: Pair, args: readonly string[] = []): Promise<Running> {
  const protect = await pair.protected({ args: [...noticing, ...args] });
  await pair.wire.cut();
  await until('the copy runs', () => pair.b.session('g1')?.state === 'active');
  return protect;
}

describe('after a takeover', () => {
  // Proves: the watcher does as xl's daemon would: a reboot boots the guest anew under its
  // name, again and again; a power-off removes it, and the watcher goes with it.
  it.concurrent('reboot and power-off do what the configuration says', async ({ pair }) => {
    pair.a.sim.create('g1', {
      ...guest,
      more: ['--on-reboot', 'restart', '--on-poweroff', 'destroy'],
    });
    await takenOver(pair);
    const watcher = pair.receiver();
    let boot = pair.b.sim.find('g1')?.guest?.boot;
    expect(boot).toBe(pair.a.sim.find('g1')?.guest?.boot);
    pair.b.sim.run('reboot', 'g1');
    boot = await until('it is booted anew', () => {
      const found = pair.b.sim.find('g1');
      return found?.state === 'running' && found.guest?.boot !== boot && found.guest?.boot;
    });
    expect(isRunning(watcher)).toBe(true);
    const { domid } = pair.b.sim.find('g1') ?? {};
    await until('status has its number', () => pair.b.session('g1')?.domid === domid);
    pair.b.sim.run('poweroff', 'g1');
    await until('it is gone', () => pair.b.sim.list().length === 0);
    await until('the watcher has gone', () => !isRunning(watcher));
    const status = await pair.b.tsremus('status');
    expect(status.code).toBe(2);
    expect(status.out).toMatch(/g1 +backup +ended/);
    expect(status.out).toMatch(
      /g1: .* took over from epoch \d+: .*; since then the guest ended by poweroff\n/,
    );
  });

  // Proves: a guest that cannot be booted again is not said to run.
  it.concurrent('a reboot that fails is seen', async ({ pair }) => {
    pair.a.sim.create('g1', { ...guest, more: ['--on-reboot', 'restart'] });
    await takenOver(pair);
    pair.b.sim.fault('libxl_domain_create_new fail -3');
    pair.b.sim.run('reboot', 'g1');
    await until('it is seen', () => pair.b.session('g1')?.state === 'ended');
    const status = await pair.b.tsremus('status');
    expect(status.out).toMatch(/since then nobody watches it: cannot create domain/);
  });

  // Proves: what is to be kept is kept for whoever looks into it.
  it.concurrent('a crash preserves the guest where that is configured', async ({ pair }) => {
    pair.a.sim.create('g1', { ...guest, more: ['--on-crash', 'preserve'] });
    await takenOver(pair);
    const watcher = pair.receiver();
    pair.b.sim.run('crash', 'g1');
    await until('the watcher has gone', () => !isRunning(watcher));
    expect(pair.b.sim.find('g1')).toMatchObject({ state: 'shutdown', shutdown_reason: 'crash' });
  });

  // Proves: -e leaves nobody behind.
  it.concurrent('with -e nobody watches', async ({ pair }) => {
    pair.a.sim.create('g1', guest);
    await takenOver(pair, ['-e']);
    await until('receive has gone', () => !isRunning(pair.receiver()));
    pair.b.sim.run('poweroff', 'g1');
    expect(pair.b.sim.find('g1')).toMatchObject({ state: 'shutdown' });
    const status = await pair.b.tsremus('status');
    expect(status.code).toBe(2);
  });

  // Proves: `stop` on the new host notes what was seen, while the watcher goes on watching.
  it.concurrent('stop there takes the session out of sight, not the guest', async ({ pair }) => {
    pair.a.sim.create('g1', guest);
    const protect = await takenOver(pair);
    const watcher = pair.receiver();
    expect((await pair.b.tsremus('status')).code).toBe(2);
    expect((await pair.b.tsremus('stop', 'g1')).code).toBe(0);
    expect((await pair.b.tsremus('status')).out).toBe('no sessions\n');
    expect(pair.b.state('g1')).toBe('running');
    expect(isRunning(watcher)).toBe(true);
    await pair.wire.heal();
    expect((await protect.ended).code).toBe(17);
    expect(pair.a.sim.list()).toEqual([]);
    signal(watcher, 'SIGTERM');
    await until('it has gone', () => !isRunning(watcher));
    expect(pair.b.state('g1')).toBe('running');
  });
});
