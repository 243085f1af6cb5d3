/**
 * What a guest is made of: looked at while it is protected, and counted before. The stand-in keeps
 * a configuration up to date as xl's commands do.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { it } from './fixture.ts';
import { cleanUp, type Pair, prepare } from './pair.ts';
import { until } from './process.ts';

beforeAll(prepare);
afterAll(cleanUp);

const pci = '{"dev": 3, "rdm_policy": "strict"}';
const disk = '{"vdev": "xvdz", "pdev_path": "/var/lib/xen/images/more.img", "readwrite": 1}';
const nic = '{"devid": 7, "mac": "00:16:3e:00:00:07", "bridge": "xenbr0"}';

/** Protected, then changed by `xl`; how protection ended. */
async function changed(pair: Pair, ...xl: readonly string[]) {
  pair.a.sim.create('g1', { memoryMib: 32, rate: 500 });
  const protect = await pair.protected();
  pair.a.sim.run(...xl);
  return protect.ended;
}

describe('a configuration changed while protected is noticed', () => {
  // Proves: a copy that would not be what the guest has become is given up in order, with what has
  // changed in the last word; the guest runs on, and nothing is left of the copy.
  it.concurrent.for([
    ['a disk attached', ['attach', 'g1', 'disks', disk], 'it has disk xvdz'],
    ['an interface attached', ['attach', 'g1', 'nics', nic], 'it has interface 7'],
    ['a PCI device attached', ['attach', 'g1', 'pcidevs', pci], 'passed-through PCI devices'],
    ['memory ballooned up', ['mem-set', 'g1', '48'], 'may take 48 MiB of memory now, its copy 32'],
  ] as const)('%s', async ([, xl, what], { pair }) => {
    const ended = await changed(pair, ...xl);
    expect(ended.code).not.toBe(0);
    expect(ended.err).toContain('not what its copy is made of any more');
    expect(ended.err).toContain(what);
    expect(pair.a.state('g1')).toBe('running');
    await until('nothing is left of the copy', () => pair.b.sim.list().length === 0);
    expect(pair.b.record('')).toContain('promised');
  });

  // Proves: memory that is given back, and had again, is no change.
  it.concurrent('memory ballooned down and up is none', async ({ pair }) => {
    pair.a.sim.create('g1', { memoryMib: 32, rate: 500 });
    const protect = await pair.protected();
    for (const mib of ['16', '32']) {
      pair.a.sim.run('mem-set', 'g1', mib);
      await pair.moreEpochs(pair.a, 'g1', 20);
    }
    expect(protect.child.exitCode).toBeNull();
    expect((await pair.a.tsremus('stop', 'g1')).code).toBe(0);
  });
});

describe('room is counted by what the guest can have', () => {
  const free = (pair: Pair, mib: number) =>
    writeFileSync(join(pair.b.sim.dir, 'xen'), `free_kb=${mib * 1024}\n`);

  // Proves: a guest whose maximum the backup could not hold is taken where its target fits.
  it.concurrent('its target, not its maximum', async ({ pair }) => {
    pair.a.sim.create('g1', { memoryMib: 32, rate: 500, more: ['--maxmem', '512'] });
    free(pair, 60);
    const { code, err } = await pair.protect().ended;
    expect(code).toBe(10);
    expect(err).toContain('64 MiB are needed, 60 MiB are free');
    free(pair, 72);
    await pair.protected();
    expect((await pair.a.tsremus('stop', 'g1')).code).toBe(0);
  });
});
