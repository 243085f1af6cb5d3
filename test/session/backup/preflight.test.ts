/** What a backup refuses before it accepts, with numbers and what to type. */
import { describe, expect, it } from 'vitest';
import { OperationError } from '../../../src/host/errors.ts';
import type { GuestRef, GuestSpec, Hypervisor } from '../../../src/hypervisor/port.ts';
import type { Hello } from '../../../src/link/hello-message.ts';
import {
  checkNames,
  checkOtherHost,
  checkOwnMemory,
  lacksBeforeBuild,
} from '../../../src/session/backup/preflight.ts';
import { epochLimits } from '../../../src/stream/assembler.ts';
import { backupNeedBytes } from '../../../src/stream/budget.ts';
import { sampleHello } from '../../link/support.ts';
import { sampleStatus } from '../../registry/sample-status.ts';

const mib = 1024 ** 2;
const hello = { domain: 'web1', memoryBytes: 1024 * mib };

function refusal(availableBytes: number, cacheBytes = 64 * mib, disks = 0): OperationError | null {
  try {
    checkOwnMemory({ memoryBytes: 2048 * mib, availableBytes }, hello, cacheBytes, disks);
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

  it('holds what each disk may have in an epoch, too', () => {
    const need = (1024 + 32 + 16 + 64 + 16 + 2 * 64) * mib;
    expect(refusal(need, 64 * mib, 2)).toBeNull();
    expect(refusal(need - 1, 64 * mib, 2)?.message).toContain(
      '1280 MiB are needed (the epoch 1072, page cache 64, its disks 128)',
    );
  });

  it('is refused with numbers, and with what to type', () => {
    expect(refusal(900 * mib)).toMatchObject({
      code: 'limit',
      message:
        "not enough memory in the backup's own system for an epoch of web1: 1152 MiB are needed " +
        '(the epoch 1072, page cache 64), 900 MiB of 2048 are available',
      hint: 'xl mem-set Domain-0 2300m',
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

describe('a guest of the same name on the backup', () => {
  const uuid = '6ba7b810-9dad-11d1-80b4-00c04fd430c8';
  const other = { uuid: 'ffffffff-9dad-11d1-80b4-00c04fd430c8', id: 5 };

  function namesRefusal(name: string, found: GuestRef): Promise<OperationError> {
    const host: Pick<Hypervisor, 'find'> = {
      find: async (wanted) => (wanted === name ? found : null),
    };
    const said = { domain: 'web1', uuid } as Hello;
    const ports = { hypervisor: host, settings: { hostName: 'hostb' } };
    return checkNames(ports as Parameters<typeof checkNames>[0], said).then(
      () => Promise.reject(new Error('was let in')),
      (error: unknown) => error as OperationError,
    );
  }

  // What is read on the primary's host must not tell anybody to destroy the guest that runs there.
  it.each(['web1', 'web1--incoming'])(
    'is named with its host, and only looked at: %s',
    async (name) => {
      const error = await namesRefusal(name, other);
      expect(error.message).toBe(`a domain called ${name} is on hostb already`);
      expect(error.hint).toMatch(
        new RegExp(`^xl list -v ${name}  # another guest of that name\\?`),
      );
      expect(error.hint).not.toContain('destroy');
    },
  );
});

describe('what is lacking before a build', () => {
  const bridge = { what: 'the bridge xenbr1 is not there', advice: 'ip link add' };
  const asked: string[] = [];
  const host = (names: readonly string[], lacks: readonly (typeof bridge)[]) => ({
    find: async (name: string) => (names.includes(name) ? { id: 7, uuid: 'other' } : null),
    async lacks(_spec: GuestSpec, before: 'copy' | 'build') {
      asked.push(before);
      return lacks;
    },
  });
  const spec = { name: 'web1' } as GuestSpec;

  // Proves: a name that another domain took keeps the copy, as a bridge does, and says so first.
  it('is its own name, where another domain has it', async () => {
    expect(await lacksBeforeBuild(host([], [bridge]), spec)).toEqual([bridge]);
    const [name, ...more] = await lacksBeforeBuild(host(['web1'], [bridge]), spec);
    expect(name?.what).toBe('another domain is called web1 here');
    expect(name?.advice).toMatch(/^xl list -v web1 /);
    expect(more).toEqual([bridge]);
    expect(await lacksBeforeBuild(host(['web1--incoming'], []), spec)).toEqual([]);
    expect(new Set(asked)).toEqual(new Set(['build']));
  });
});
