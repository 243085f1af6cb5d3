/** What a backup refuses before it accepts, with numbers and what to type. */
import { describe, expect, it } from 'vitest';
import { OperationError } from '../../../src/host/errors.ts';
import { checkOtherHost, checkOwnMemory } from '../../../src/session/backup/preflight.ts';
import { epochLimits } from '../../../src/stream/assembler.ts';
import { backupNeedBytes } from '../../../src/stream/budget.ts';
import { sampleHello } from '../../link/support.ts';
import { sampleStatus } from '../../registry/sample-status.ts';

const mib = 1024 ** 2;
const hello = { domain: 'web1', memoryBytes: 1024 * mib };

function refusal(availableBytes: number, cacheBytes = 64 * mib): OperationError | null {
  try {
    checkOwnMemory({ memoryBytes: 2048 * mib, availableBytes }, hello, cacheBytes);
    return null;
  } catch (error) {
    if (error instanceof OperationError) return error;
    throw error;
  }
}

describe('the memory of the backup’s own system', () => {
  it('holds the whole guest in one epoch, and what goes with it', () => {
    const need = backupNeedBytes(epochLimits(hello.memoryBytes).epochBytesMax, 64 * mib);
    expect(need).toBe((1024 + 32 + 16 + 64 + 16) * mib);
    expect(refusal(need)).toBeNull();
    expect(refusal(need - 1)).not.toBeNull();
    expect(refusal(need - 1, 63 * mib)).toBeNull();
  });

  it('is refused with numbers, and with what to type', () => {
    expect(refusal(900 * mib)).toMatchObject({
      code: 'limit',
      message:
        "not enough memory in the backup's own system for an epoch of web1: 1152 MiB are needed " +
        '(the epoch 1072, page cache 64), 900 MiB of 2048 are available',
      hint: 'on the backup: xl mem-set Domain-0 2300m',
    });
  });
});

describe('the host of the primary', () => {
  const { session, host } = sampleHello;
  const asked = { ...sampleHello, kind: 'hello', protocol: 3 } as const;
  const check = (liveness: 'alive' | 'dead', changes: Parameters<typeof sampleStatus>[0]) => {
    const status = sampleStatus({ session, ...changes });
    const entry = { status, liveness, statusPath: '', socketPath: '' };
    checkOtherHost({ sessions: () => ({ sessions: [entry], broken: [] }) }, asked);
  };

  // Proves: that the very session's primary lives here is said, not that a name is taken.
  it('is no backup of its own guest', () => {
    expect(() => check('alive', { role: 'primary' })).toThrow(
      `both ends of the session are on one host, ${host}: its copy would die with ${asked.domain}`,
    );
  });

  it('may have seen another session of the guest', () => {
    check('dead', { role: 'primary' });
    check('alive', { role: 'backup' });
    check('alive', { role: 'primary', session: 'f'.repeat(32) });
  });
});
