// Goal: a disk on which nothing could be recorded is known within a minute, and so is its recovery.
// Method: the trial on a simulated disk, on a clock that only the test moves.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { systemTimers as timers } from '../../src/host/clock.ts';
import { Store } from '../../src/host/store.ts';
import { RecordTrial } from '../../src/permission/trial.ts';
import { SimDisk } from '../sim/files.ts';

const path = '/var/lib/x.trial';
const minuteMs = 60_000;

function trial() {
  const disk = new SimDisk();
  let isHung = false;
  const waiting: (() => void)[] = [];
  const perform = async <T>(_what: string, work: () => T): Promise<T> => {
    if (isHung) await new Promise<void>((resolve) => waiting.push(resolve));
    return work();
  };
  const chance = { bytes: (count: number) => Buffer.alloc(count), share: () => 0 };
  const store = new Store(disk.filesFor({ perform }), chance);
  const told: (string | null)[] = [];
  const one: RecordTrial = new RecordTrial({
    store,
    timers,
    path,
    onChange: () => told.push(one.problem),
  });
  const hang = (): void => {
    isHung = true;
  };
  const goOn = (): void => {
    isHung = false;
    for (const resolve of waiting.splice(0)) resolve();
  };
  return { disk, one, told, hang, goOn };
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('the trial of the disk', () => {
  it.each([
    ['full', (disk: SimDisk, is: boolean) => (disk.isFull = is), /no space left/],
    ['read-only', (disk: SimDisk, is: boolean) => (disk.isReadOnly = is), /read-only/],
  ] as const)('tells that it is %s, once, and that it is well again', async (_what, set, text) => {
    const { disk, one, told } = trial();
    await vi.advanceTimersByTimeAsync(2 * minuteMs + 100);
    expect(told).toEqual([]);
    expect(disk.read(path)).toBe('2\n');
    set(disk, true);
    await vi.advanceTimersByTimeAsync(3 * minuteMs);
    expect(told.length).toBe(1);
    expect(one.problem).toMatch(text);
    set(disk, false);
    await vi.advanceTimersByTimeAsync(minuteMs);
    expect(told.slice(1)).toEqual([null]);
  });

  it('tells that it hangs, and waits for it to come back', async () => {
    const { one, told, hang, goOn } = trial();
    hang();
    await vi.advanceTimersByTimeAsync(minuteMs + 11_000);
    expect(one.problem).toMatch(/the disk hangs$/);
    await vi.advanceTimersByTimeAsync(5 * minuteMs);
    expect(told.length).toBe(1);
    goOn();
    await vi.advanceTimersByTimeAsync(1);
    expect(one.problem).toBeNull();
  });

  it('leaves nothing behind, and says nothing more', async () => {
    const { disk, one, told } = trial();
    await vi.advanceTimersByTimeAsync(minuteMs + 100);
    await one.stop();
    expect(disk.read(path)).toBeNull();
    disk.isFull = true;
    await vi.advanceTimersByTimeAsync(3 * minuteMs);
    expect(told).toEqual([]);
  });
});
