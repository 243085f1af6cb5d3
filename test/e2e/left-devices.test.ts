/**
 * Nothing is left of a session but a device of its buffer: real devices, in a network of their own.
 */
import { afterAll, beforeAll, expect } from 'vitest';
import { main } from './built.ts';
import { it } from './fixture.ts';
import { cleanUp, type Pair, prepare } from './pair.ts';
import { run } from './process.ts';

beforeAll(prepare);
afterAll(cleanUp);

/** A shell of root's in a network of its own, whose devices /sys shows. */
function inOwnNetwork(pair: Pair, script: string) {
  const own = 'mount -t sysfs none /sys && ip tuntap add tsr1.0a mode tap || exit 99';
  const tsremus = `tsremus() { '${process.execPath}' '${main}' "$@" 2>&1; echo "exit $?"; }`;
  return run('unshare', ['-mn', 'sh', '-c', `${own}\n${tsremus}\n${script}`], pair.a.env);
}

// Proves: by its number alone the guest is found: status shows it, stop knows it by its name, holds
// it, and does as the administrator then says. tc -json and ip are the host's own.
it('shows and removes a device that nothing else is known of', async ({ pair, skip }) => {
  const probe = await inOwnNetwork(pair, 'tc -json actions list action mirred').catch(() => null);
  skip(probe?.code !== 0, 'needs leave to make networks and devices');
  expect(pair.a.sim.create('g1', { memoryMib: 4 })).toBe(1);
  const { out } = await inOwnNetwork(
    pair,
    'tsremus status; tsremus stop g1; tsremus stop --force-unsafe --vouch g1 g1; ' +
      'ls /sys/class/net; tsremus status',
  );
  const [status, held, forced, after] = out.split(/exit \d+\n/);
  expect(out.match(/exit \d+/g)?.slice(0, 3)).toEqual(['exit 2', 'exit 18', 'exit 0']);
  expect(status).toMatch(/^1 +primary +held/m);
  expect(held).toContain('g1 stays held, nothing leaves it: nothing here says which host has');
  expect(held).toContain('Try: tsremus stop --destroy g1 ');
  expect(forced).toBe('g1 runs on here\n');
  expect(after).not.toContain('tsr1.0a');
  expect(after).not.toContain('held');
  expect(pair.a.state('g1')).toBe('running');
});
