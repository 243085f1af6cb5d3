/** A driver of disks is found, or the session refused, before anything is copied. */
import { describe, expect, it } from 'vitest';
import { type DiskDriver, noDisks } from '../../src/disk/port.ts';
import type { GuestRef, Hypervisor } from '../../src/hypervisor/port.ts';
import type { Hello } from '../../src/link/hello-message.ts';
import { checkDisks } from '../../src/session/backup/preflight.ts';
import { inspectGuest } from '../../src/session/primary/preflight.ts';
import { sampleHello } from '../link/support.ts';

/** Takes disks whose name ends with an even digit. */
const driver: DiskDriver = {
  ...noDisks,
  name: 'toy',
  refusals: ({ writableDisks }) =>
    writableDisks.filter((disk) => /[13579]$/.test(disk)).map((disk) => `${disk} is odd`),
};

const ref: GuestRef = { uuid: '00000000-0000-4000-8000-000000000001', id: 7 };

function hypervisorWith(writableDisks: readonly string[]): Hypervisor {
  const spec = { name: 'g1', refusals: [], writableDisks, memoryBytes: 1 << 20 };
  return {
    find: async () => ref,
    info: async () => ({ state: 'here', paused: false, memoryBytes: 1 << 20 }),
    spec: async () => spec,
  } as unknown as Hypervisor;
}

const inspect = (disks: readonly string[], isWanted: boolean, by: DiskDriver) =>
  inspectGuest(hypervisorWith(disks), 'g1', { disk: isWanted }, by);

describe('protect', () => {
  it.each([
    [[], true, noDisks, null],
    [['xvda1'], false, noDisks, null],
    [['xvda1'], true, noDisks, /has writable disks, and replication of disks is not built/],
    [['xvda1'], false, driver, null],
    [['xvda2'], true, driver, null],
    [['xvda2', 'xvda3'], true, driver, /g1 cannot be replicated: xvda3 is odd$/],
  ] as const)('with the disks %j, wanted: %j', async (disks, isWanted, by, refusal) => {
    const guest = inspect(disks, isWanted, by);
    if (refusal === null) expect((await guest).name).toBe('g1');
    else await expect(guest).rejects.toThrow(refusal);
  });
});

describe('the backup', () => {
  const helloWith = (disks: readonly string[]): Hello => ({
    ...sampleHello,
    kind: 'hello',
    protocol: 3,
    capabilities: { ...sampleHello.capabilities, disks },
  });

  it('takes what its driver keeps, and what needs none', () => {
    expect(() => checkDisks(driver, helloWith(['toy']))).not.toThrow();
    expect(() => checkDisks(driver, helloWith([]))).not.toThrow();
    expect(() => checkDisks(noDisks, helloWith([]))).not.toThrow();
  });

  it.each([[noDisks], [{ ...driver, name: 'other' }]])(
    'refuses what it has no driver for',
    (by) => {
      expect(() => checkDisks(by, helloWith(['toy']))).toThrow(/has no driver toy/);
    },
  );
});
