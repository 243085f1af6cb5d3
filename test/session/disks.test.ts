/** A driver of disks is found, or the session refused, before anything is copied. */
import { describe, expect, it } from 'vitest';
import { type DiskDriver, diskNames, noDisks } from '../../src/disk/port.ts';
import type { GuestRef, Hypervisor } from '../../src/hypervisor/port.ts';
import type { Hello } from '../../src/link/hello-message.ts';
import { checkDisks } from '../../src/session/backup/preflight.ts';
import { inspectGuest } from '../../src/session/primary/preflight.ts';
import { sampleHello } from '../link/support.ts';

/** Takes disks whose name ends with an even digit; of 3 it says what helps. */
const driver: DiskDriver = {
  ...noDisks,
  name: 'toy',
  refusals: async ({ writableDisks }) =>
    writableDisks
      .filter(({ name }) => /[13579]$/.test(name))
      .map(({ name, target }) => ({
        ...{ disk: name, text: `${target} is odd`, isToCome: name.endsWith('9') },
        advice: name.endsWith('3') ? 'make it even' : null,
      })),
};

const ref: GuestRef = { uuid: '00000000-0000-4000-8000-000000000001', id: 7 };

function hypervisorWith(names: readonly string[]): Hypervisor {
  const writableDisks = names.map((name) => {
    return { name, target: `/dev/${name}`, format: 'raw', script: null };
  });
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
    [[], true, noDisks],
    [['xvda1'], false, noDisks],
    [['xvda1'], false, driver],
    [['xvda2'], true, driver],
  ] as const)('takes the disks %j, wanted: %j', async (disks, isWanted, by) => {
    expect((await inspect(disks, isWanted, by)).name).toBe('g1');
  });

  const pages = 'man tsremus-protect  # GUARANTEES: what is given up by -F -d, which leaves .*';

  it.each([
    [['xvda1'], noDisks, 'not-built', /xvda1 on \/dev\/xvda1 is writable, and no driver/, pages],
    [['xvda2', 'xvda1'], driver, 'unsupported-guest', /replicated: xvda1 on \S+ is odd$/, pages],
    [['xvda1', 'xvda3'], driver, 'unsupported-guest', /is odd; xvda3 on \S+ is odd$/, 'make it.*'],
    [['xvda9'], driver, 'not-built', /xvda9 on \S+ is odd$/, pages],
    [['xvda9', 'xvda1'], driver, 'unsupported-guest', /xvda9 on/, pages],
  ] as const)('refuses %j by the reason of each', async (disks, by, code, message, hint) => {
    const refused = inspect(disks, true, by);
    await expect(refused).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message),
      detail: { hint: expect.stringMatching(new RegExp(`^${hint}$`)) },
    });
  });
});

describe('names of disks', () => {
  const disk = (name: string, target = '') => ({ name, target, format: 'raw', script: null });

  it('are what a person knows, and bounded', () => {
    expect(diskNames([disk('xvda', '/dev/vg0/web1'), disk('xvdb')])).toEqual([
      'xvda (/dev/vg0/web1)',
      'xvdb',
    ]);
    const many = diskNames(Array.from({ length: 40 }, (_, at) => disk(`xvd${at}`)));
    expect(many).toHaveLength(16);
    expect(many.at(-1)).toBe('25 more');
    expect(diskNames([disk('xvda', 'x'.repeat(1000))])[0]).toHaveLength(120);
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
