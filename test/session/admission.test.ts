/** What --allow takes, and what it never does. */
import { describe, expect, it } from 'vitest';
import { noDisks } from '../../src/disk/port.ts';
import type { Hypervisor, Refusal } from '../../src/hypervisor/port.ts';
import { inspectGuest } from '../../src/session/primary/preflight.ts';

const soft: Refusal = { key: 'b_info.vpmu', text: 'b_info.vpmu is on', givesUp: 'profiling' };
const other: Refusal = { key: 'b_info.tee', text: 'b_info.tee is on', givesUp: 'keys' };
const hard: Refusal = { key: 'pcidevs', text: 'it has PCI devices', givesUp: null };

function inspect(refusals: readonly Refusal[], allow?: readonly string[]) {
  const ref = { uuid: '00000000-0000-4000-8000-000000000001', id: 7 };
  const hypervisor = {
    find: async () => ref,
    info: async () => ({ state: 'here', paused: false, memoryBytes: 1 }),
    spec: async () => ({ name: 'g1', refusals, writableDisks: [], memoryBytes: 1 }),
  } as unknown as Hypervisor;
  const unsafe = { disk: false, ...(allow === undefined ? {} : { allow }) };
  return inspectGuest(hypervisor, 'g1', unsafe, noDisks);
}

describe('a guest with what may not be in the copy', () => {
  it('is refused with what would allow it, and what that gives up', async () => {
    await expect(inspect([soft, other])).rejects.toMatchObject({
      code: 'unsupported-guest',
      message: 'domain g1 cannot be protected: b_info.vpmu is on; b_info.tee is on',
      detail: {
        hint: expect.stringMatching(
          /^man tsremus-protect {2}# -F --allow b_info.vpmu --allow b_info.tee if .*: profiling; keys$/,
        ),
      },
    });
  });

  it('is protected where every key of it is allowed', async () => {
    expect((await inspect([soft], ['b_info.vpmu'])).name).toBe('g1');
    await expect(inspect([soft, other], ['b_info.vpmu'])).rejects.toThrow(/: b_info.tee is on$/);
  });

  it('is not where that cannot be allowed', async () => {
    await expect(inspect([soft, hard], ['b_info.vpmu', 'pcidevs'])).rejects.toMatchObject({
      message: 'domain g1 cannot be protected: it has PCI devices',
      detail: { hint: 'man tsremus-protect  # LIMITS: what can be protected' },
    });
  });
});
