/** Proves: disks are refused, with the cure, where what is written has no memory to wait in. */
import { describe, expect, it } from 'vitest';
import { roomBytes, roomRefusals } from '../../../src/disk/mirror/room.ts';

const disks = [{ name: 'xvda' }, { name: 'xvdb' }];

describe('the memory of disks', () => {
  it('is enough where it is there for each of them', () => {
    const memory = { memoryBytes: 2 ** 30, availableBytes: 2 * roomBytes };
    expect(roomRefusals(memory, disks)).toEqual([]);
    expect(roomRefusals({ ...memory, availableBytes: 0 }, [])).toEqual([]);
  });

  it('is said where it is short', () => {
    const memory = { memoryBytes: 2 ** 30, availableBytes: 2 * roomBytes - 1 };
    const [refusal, ...more] = roomRefusals(memory, disks);
    expect(more).toEqual([]);
    expect(refusal).toMatchObject({ disk: 'xvda, xvdb', isToCome: false });
    expect(refusal?.text).toMatch(/need 134 MB of its own memory .*, and 134 MB are available/);
    expect(refusal?.advice).toBe('xl mem-set Domain-0 1025m');
  });
});
