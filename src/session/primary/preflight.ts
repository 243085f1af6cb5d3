/**
 * What is looked at before a session begins: which guest is meant, and whether it can be protected.
 * Everything is refused here, with a reason, rather than half-way.
 */
import { adviceLine, hints } from '../../core/texts/advice.ts';
import { OperationError } from '../../host/errors.ts';
import type { DomainConfig, Hypervisor } from '../../hypervisor/port.ts';
import {
  hasWritableDisks,
  identity,
  memoryKb,
  refusals,
} from '../../hypervisor/xen/guest-config.ts';
import { isDomainName } from '../../link/identity.ts';
import type { Claim } from '../../registry/run-directory.ts';

/** A guest that may be protected. */
export interface Guest {
  readonly domid: number;
  readonly name: string;
  readonly uuid: string;
  readonly config: DomainConfig;
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

/** The number of the domain that was named by name, or by number as xl allows. */
async function findDomain(xen: Hypervisor, wanted: string): Promise<number> {
  const byName = await xen.find(wanted);
  if (byName !== null) return byName;
  if (/^\d+$/.test(wanted) && (await xen.info(Number(wanted))) !== null) return Number(wanted);
  throw noSuchDomain(wanted);
}

/**
 * Finds the guest and checks that it can be protected. Errors: `no-such-domain` (12),
 * `unsupported-guest` (10), `not-built` (69) for what a later version brings.
 */
export async function inspectGuest(
  xen: Hypervisor,
  wanted: string,
  unsafe: Unsafe,
): Promise<Guest> {
  const domid = await findDomain(xen, wanted);
  if (domid === 0) {
    throw new OperationError('unsupported-guest', 'Domain-0 cannot be protected', {
      op: 'inspect-guest',
      subject: wanted,
      hint: 'name a guest of xl list',
    });
  }
  const info = await xen.info(domid);
  if (info === null || info.dying) throw noSuchDomain(wanted);
  if (info.shutdown || info.paused) {
    const state = info.shutdown ? `shut down (${info.shutdownReason})` : 'paused';
    throw new OperationError('unsupported-guest', `domain ${wanted} is ${state}`, {
      op: 'inspect-guest',
      subject: wanted,
      hint: info.paused
        ? adviceLine({ kind: 'unpause-guest', domain: wanted })
        : 'start the guest first',
    });
  }
  const config = await xen.config(domid);
  const { name, uuid } = identity(config);
  if (name === null || !isDomainName(name)) {
    throw unsupported(wanted, `its name ${JSON.stringify(name)} has characters tsremus refuses`);
  }
  const reasons = refusals(config);
  if (reasons.length > 0) throw unsupported(name, reasons.join('; '));
  if (unsafe.disk && hasWritableDisks(config)) throw disksNotBuilt(name);
  // Older libxl leaves the UUID out of the configuration; the domain itself always has one.
  const memoryBytes = Math.max(memoryKb(config), info.memoryKb) * 1024;
  return { domid, name, uuid: (uuid ?? info.uuid).toLowerCase(), config, memoryBytes };
}

function unsupported(name: string, why: string): OperationError {
  return new OperationError('unsupported-guest', `domain ${name} cannot be protected: ${why}`, {
    op: 'inspect-guest',
    subject: name,
    hint: 'see tsremus-protect(8), LIMITS',
  });
}

function disksNotBuilt(name: string): OperationError {
  return new OperationError(
    'not-built',
    `domain ${name} has writable disks, and replication of disks is not built yet`,
    {
      op: 'inspect-guest',
      subject: name,
      hint: hints.withoutDisks,
    },
  );
}

/** What a crashed session left may be a suspended or paused guest, or a copy that lives. */
export function refuseLeftover(claim: Claim, guest: Guest): void {
  const leftover = claim.leftover;
  if (leftover === null) return;
  // Given back before the error is thrown, with the leftover's status as it was.
  claim.release('keep-status');
  throw new OperationError(
    'locked',
    `an earlier session of ${guest.name} was not ended in order (its process ${leftover.pid} died)`,
    { op: 'claim', subject: guest.name, hint: adviceLine({ kind: 'stop', domain: guest.name }) },
  );
}
