/** With -d disks are left alone; both hosts say which, and what that means. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import { it } from './fixture.ts';
import { cleanUp, type Host, noticing, prepare } from './pair.ts';
import { signal, until } from './process.ts';

beforeAll(prepare);
afterAll(cleanUp);

const image = '/var/lib/xen/images/g1-0.img';

/** The guest's disk; another one on each host. */
function putDisk(host: Host): void {
  const at = join(host.sim.dir, image);
  mkdirSync(dirname(at), { recursive: true });
  writeFileSync(at, '');
}

const disk = `xvda (${image})`;
const begins = 'disks are left alone: what g1 writes is not copied, and its copy finds what they';

// Proves: whoever gives disks up is told of each, on both hosts, as long as a copy is there and
// after it took over; a person who looks then learns why the disk is older than the memory.
it.concurrent('are named on both hosts, after a takeover too', async ({ pair }) => {
  pair.a.sim.create('g1', { memoryMib: 16, rate: 1_000, more: ['--disk'] });
  for (const host of [pair.a, pair.b]) putDisk(host);
  const protect = await pair.protected({ args: noticing });
  const said = protect.events.find(({ message_type }) => message_type === 'disks-left');
  expect(said).toMatchObject({ text: `${begins} hold on the other host: ${disk}` });
  const words = [
    [pair.a, `${begins} hold on the other host: ${disk}`],
    [pair.b, `${begins} hold on this host: ${disk}`],
  ] as const;
  for (const [host, text] of words) {
    await until('it reports', () => host.session('g1')?.disks_left !== undefined);
    expect(host.session('g1')?.disks_left).toEqual([disk]);
    expect((await host.tsremus('status', 'g1')).out).toContain(`  ${text}\n`);
    expect(host.log('g1')).toContain(text);
  }

  await pair.wire.cut();
  for (const pid of [protect.pid, ...pair.guards()]) signal(pid, 'SIGKILL');
  pair.a.sim.run('crash-host');
  await until('the copy took over', () => pair.b.session('g1')?.state === 'active');
  expect((await pair.b.tsremus('status', 'g1')).out).toContain(`  ${words[1][1]}\n`);
});

// Proves: a guest without a writable disk gives nothing up by -d, and is told of nothing.
it.concurrent('are not spoken of where there are none', async ({ pair }) => {
  pair.a.sim.create('g1', { memoryMib: 16, rate: 1_000 });
  const protect = await pair.protected();
  expect(protect.events.map(({ message_type }) => message_type)).not.toContain('disks-left');
  for (const host of [pair.a, pair.b]) {
    await until('it reports', () => host.session('g1')?.state !== undefined);
    expect((await host.tsremus('status', 'g1')).out).not.toContain('disks are');
  }
});
