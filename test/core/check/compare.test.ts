import { expect, it } from 'vitest';
import {
  bandwidthLine,
  type ClockLooks,
  compareHosts,
  compareVcpus,
  type HostFacts,
} from '../../../src/core/check/compare.ts';
import type { FeatureUse } from '../../../src/core/check/features.ts';
import {
  failLine,
  forTheWayBack,
  okLine,
  skipLine,
  warnLine,
  worstOf,
} from '../../../src/core/check/line.ts';

const facts: HostFacts = {
  host: 'hosta',
  tsremus: '0.1.0',
  hypervisor: '4.17.5',
  cpus: 4,
  processor: 'P',
  features: [0b1111, 0b1],
  mtuBytes: 1500,
};
const here = facts;
/** Bit 3 of the first word is a part of the guest's state; bit 2 is hidden from it. */
const use: FeatureUse = {
  hidden: [0b100],
  saved: [{ name: 'AVX', word: 0, bit: 3 }],
};
const sameTime: ClockLooks = { askedMs: 1_000, heardMs: 1_010, saidMs: 3_000, answeredMs: 3_010 };

function levels(changes: Partial<HostFacts>, looks = sameTime): string {
  const there = { ...facts, host: 'hostb', ...changes };
  const lines = compareHosts({ here, there }, looks, use);
  return lines
    .filter(({ level }) => level !== 'ok')
    .map(({ name, level }) => `${name} ${level}`)
    .join(', ');
}

// Proves: each difference moves its own line alone, and the direction of it counts.
it.each([
  [{}, ''],
  [{ tsremus: '0.2.0' }, 'versions warn'],
  [{ hypervisor: '4.17.0' }, ''],
  [{ hypervisor: '4.16.9' }, 'xen-versions fail'],
  [{ hypervisor: '4.20.4' }, 'xen-versions warn'],
  [{ hypervisor: '3.30' }, 'xen-versions fail'],
  [{ hypervisor: '5.0' }, 'xen-versions warn'],
  [{ hypervisor: 'sim' }, 'xen-versions skip'],
  [{ features: [0b1110, 0b1] }, 'processors warn'],
  [{ features: [0b0111, 0b1] }, 'processors fail'],
  [{ features: [0b1011, 0b1] }, ''],
  [{ features: [0b1111] }, 'processors warn'],
  [{ features: [0b11111, 0b11] }, ''],
  [{ features: [] }, 'processors skip'],
  [{ mtuBytes: 9000 }, 'mtu warn'],
  [{ mtuBytes: null }, 'mtu skip'],
] as const)('%j: %s', (changes, expected) => {
  expect(levels(changes)).toBe(expected);
});

// Proves: however long the question or the answer was on its way, clocks that agree are not said to
// differ; and a difference of more than a second is said, with its direction.
it.each([
  [{ askedMs: 0, heardMs: 60_000, saidMs: 61_000, answeredMs: 500_000 }, ''],
  [{ askedMs: 0, heardMs: 10_000, saidMs: 11_000, answeredMs: 1_010 }, '9990 ms ahead'],
  [{ askedMs: 20_000, heardMs: 10, saidMs: 1_000, answeredMs: 21_000 }, '20.0 s behind'],
  [{ askedMs: 0, heardMs: 990, saidMs: 2_000, answeredMs: 1_010 }, ''],
] as const)('%j: %s', (looks, expected) => {
  const lines = compareHosts({ here, there: { ...facts, host: 'hostb' } }, looks, use);
  const line = lines.find(({ name }) => name === 'clock');
  expect(line?.level).toBe(expected === '' ? 'ok' : 'warn');
  expect(line?.text).toContain(expected);
});

// Proves: a path is told in changed pages, and a slow one is a warning.
it('says what a path carries', () => {
  expect(bandwidthLine(118_000_000)).toMatchObject({
    level: 'ok',
    text: expect.stringContaining('118 MB/s: 28,808 changed pages a second'),
  });
  expect(bandwidthLine(12_499_999).level).toBe('warn');
});

it('compares processors with what the guest has', () => {
  expect(compareVcpus(4, facts).level).toBe('ok');
  expect(compareVcpus(5, facts).level).toBe('warn');
  expect(compareVcpus(null, facts).level).toBe('skip');
});

it('has an order of levels, and no failure that only counts later', () => {
  const [ok, skip, warn, fail] = [
    okLine('xen', 'a'),
    skipLine('xen', 'b'),
    warnLine('xen', 'c', 'man tsremus'),
    failLine('xen', 'd', 'man tsremus'),
  ];
  expect(worstOf([])).toBe('ok');
  expect(worstOf([skip, ok])).toBe('skip');
  expect(worstOf([warn, skip, ok])).toBe('warn');
  expect(worstOf([ok, fail, warn])).toBe('fail');
  expect(forTheWayBack(fail)).toMatchObject({ level: 'warn', name: 'xen' });
  expect(forTheWayBack(ok)).toBe(ok);
});
