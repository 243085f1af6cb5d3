// Goal: a guest that has become another one than its copy is noticed, and named by what is new.
import { describe, expect, it } from 'vitest';
import { changeOf } from '../../../src/session/primary/change.ts';

const mib = 1024 ** 2;
const then = {
  disks: ['xvda (/dev/vg0/web1)'],
  interfaces: [{ index: 0, mac: '00:16:3e:00:00:01', ips: [] }],
  memoryBytes: 512 * mib,
  refusals: [{ key: 'b_info.vpmu', text: 'it counts', givesUp: 'profiling' }],
};

it('is none where nothing has changed, or memory was given back', () => {
  expect(changeOf(then, then, true)).toBeNull();
  expect(changeOf(then, { ...then, memoryBytes: 256 * mib }, true)).toBeNull();
});

describe('a guest that', () => {
  const second = { index: 1, mac: null, ips: [] };
  it.each([
    ['got a disk', { disks: [...then.disks, 'xvdb (/x)'] }, 'it has disk xvdb (/x) now'],
    ['lost a disk', { disks: [] }, 'it has disk xvda (/dev/vg0/web1) no longer'],
    ['has another disk', { disks: ['xvda (/y)'] }, 'it has disk xvda (/y) now'],
    ['got an interface', { interfaces: [...then.interfaces, second] }, 'it has interface 1 now'],
    ['lost an interface', { interfaces: [] }, 'it has interface 0 (00:16:3e:00:00:01) no longer'],
    [
      'got what cannot be copied',
      { refusals: [...then.refusals, { key: 'pcidevs', text: 'it has a card', givesUp: null }] },
      'it has a card, which is not copied',
    ],
    [
      'may take more memory',
      { memoryBytes: 1024 * mib },
      'it may take 1024 MiB of memory now, its copy 512',
    ],
  ])('%s', (_what, change, said) => {
    expect(changeOf(then, { ...then, ...change }, true)).toBe(said);
  });

  // Proves: what a person allowed when protection began ends it no more than before.
  it('has what was allowed is no other one', () => {
    expect(changeOf(then, { ...then, refusals: [] }, true)).toBeNull();
    expect(changeOf(then, { ...then }, true)).toBeNull();
  });
});

it('leaves interfaces to the buffer that watches them', () => {
  expect(changeOf(then, { ...then, interfaces: [] }, false)).toBeNull();
});
