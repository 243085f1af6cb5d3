/**
 * What is looked at before a session begins: which guest is meant, and whether it can be protected.
 * Everything is refused here, with a reason, rather than half-way.
 */
import { adviceLine } from '../../core/texts/advice.ts';
import type { DiskDriver } from '../../disk/port.ts';
import { OperationError } from '../../host/errors.ts';
import type { GuestRef, GuestSpec, Hypervisor } from '../../hypervisor/port.ts';
import { isDomainName } from '../../link/identity.ts';
import type { Claim } from '../../registry/port.ts';

/** A guest that may be protected. */
export interface Guest {
  readonly ref: GuestRef;
  readonly name: string;
  readonly spec: GuestSpec;
  /** Largest size of its memory, bytes. */
  readonly memoryBytes: number;
}

/** What the administrator gives up (-d), as far as the guest's devices are concerned. */
export interface Unsafe {
  readonly disk: boolean;
}

function noSuchDomain(wanted: string): OperationError {
  return new OperationError('no-such-domain', `there is no domain ${wanted} on this host`, {
    op: 'find-domain',
    subject: wanted,
    hint: adviceLine({ kind: 'list-guests' }),
  });
}

/** The guest that was named by name, or by number as xl allows. */
async function findGuest(hypervisor: Hypervisor, wanted: string): Promise<GuestRef> {
  const byName = await hypervisor.find(wanted);
  if (byName !== null) return byName;
  const numbered = /^\d+$/.test(wanted) ? await hypervisor.numbered(Number(wanted)) : null;
  if (numbered !== null) return numbered;
  throw noSuchDomain(wanted);
}

/**
 * Finds the guest and checks that it can be protected. Errors: `no-such-domain` (12),
 * `unsupported-guest` (10), `not-built` (69) for what a later version brings.
 */
export async function inspectGuest(
  hypervisor: Hypervisor,
  wanted: string,
  unsafe: Unsafe,
  disks: DiskDriver,
): Promise<Guest> {
  const ref = await findGuest(hypervisor, wanted);
  if (ref.id === 0) {
    throw new OperationError('unsupported-guest', 'Domain-0 cannot be protected', {
      op: 'inspect-guest',
      subject: wanted,
      hint: adviceLine({ kind: 'list-guests' }),
    });
  }
  const info = await hypervisor.info(ref);
  if (info === null || info.state === 'dying') throw noSuchDomain(wanted);
  if (info.state !== 'here' || info.paused) {
    const reason = info.state === 'suspended' ? 'suspend' : info.end;
    const state = info.state === 'here' ? 'paused' : `shut down (${reason})`;
    throw new OperationError('unsupported-guest', `domain ${wanted} is ${state}`, {
      op: 'inspect-guest',
      subject: wanted,
      hint: adviceLine({ kind: info.paused ? 'unpause-guest' : 'list-guest', domain: wanted }),
    });
  }
  const spec = await hypervisor.spec(ref);
  const { name } = spec;
  if (!isDomainName(name)) {
    const shown = JSON.stringify(name === '' ? null : name);
    throw unsupported(wanted, `its name ${shown} has characters tsremus refuses`);
  }
  if (spec.refusals.length > 0) throw unsupported(name, spec.refusals.join('; '));
  if (unsafe.disk) refuseDisks(name, disks, spec);
  return { ref, name, spec, memoryBytes: Math.max(spec.memoryBytes, info.memoryBytes) };
}

const readLimits = adviceLine({
  kind: 'read-page',
  page: 'tsremus-protect',
  why: 'LIMITS: what can be protected',
});

function unsupported(name: string, why: string): OperationError {
  return new OperationError('unsupported-guest', `domain ${name} cannot be protected: ${why}`, {
    op: 'inspect-guest',
    subject: name,
    hint: readLimits,
  });
}

const readWithoutDisks = adviceLine({
  kind: 'read-page',
  page: 'tsremus-protect',
  why: 'GUARANTEES: what is given up by -F -d, which leaves the disks alone',
});

function refuseDisks(name: string, driver: DiskDriver, spec: GuestSpec): void {
  const refusals = driver.refusals(spec);
  if (refusals.length === 0) return;
  const detail = { op: 'inspect-guest', subject: name, hint: readWithoutDisks };
  const text =
    driver.name === null
      ? `domain ${name} has writable disks, and replication of disks is not built yet`
      : `the disks of domain ${name} cannot be replicated: ${refusals.join('; ')}`;
  throw new OperationError(driver.name === null ? 'not-built' : 'unsupported-guest', text, detail);
}

/** What a crashed session left may be a suspended or paused guest, or a copy that lives. */
export function refuseUnsettled(claim: Claim, guest: Guest): void {
  const { unsettled } = claim;
  if (unsettled === null) return;
  // Given back before the error is thrown, with its status as it was.
  claim.release('keep-status');
  throw new OperationError(
    'locked',
    `an earlier session of ${guest.name} was not ended in order (its process ${unsettled.pid} died)`,
    { op: 'claim', subject: guest.name, hint: adviceLine({ kind: 'stop', domain: guest.name }) },
  );
}
