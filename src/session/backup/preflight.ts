/** What must be so on the backup host before a session is accepted; each is a clear refusal. */
import type { HostSettings } from '../../config/host-settings.ts';
import { isOlder } from '../../core/check/compare.ts';
import { diskEpochBytesMax } from '../../core/limits.ts';
import { mayGoUnasked } from '../../core/permission/left-copy.ts';
import { adviceLine } from '../../core/texts/advice.ts';
import type { DiskDriver } from '../../disk/port.ts';
import { destroyCopy } from '../../guest/destroy-copy.ts';
import { leftCopies } from '../../guest/left-copy.ts';
import { OperationError } from '../../host/errors.ts';
import type { HostPorts } from '../../host/ports.ts';
import {
  type GuestRef,
  type GuestSpec,
  type HostInfo,
  type Hypervisor,
  type Lack,
  waitingName,
} from '../../hypervisor/port.ts';
import type { Hello } from '../../link/hello-message.ts';
import { openRecord } from '../../permission/record.ts';
import type { Registry } from '../../registry/port.ts';
import { epochLimits } from '../../stream/assembler.ts';
import { backupNeedBytes } from '../../stream/budget.ts';

/** The hypervisor's own needs for a guest, and a little air, bytes. */
const memoryReserveBytes = 32 * 1024 * 1024;

/** Throws OperationError('limit') when this host has no memory for the copy. */
export async function checkRoom(
  hypervisor: Hypervisor,
  hello: Pick<Hello, 'domain' | 'memoryBytes'>,
): Promise<void> {
  const { freeMemoryBytes } = await hypervisor.host();
  const need = hello.memoryBytes + memoryReserveBytes;
  if (freeMemoryBytes === null || freeMemoryBytes >= need) return;
  const mib = (bytes: number) => Math.ceil(bytes / 1024 ** 2);
  throw new OperationError(
    'limit',
    `not enough free memory for a copy of ${hello.domain}: ${mib(need)} MiB are needed, ` +
      `${mib(freeMemoryBytes)} MiB are free`,
    {
      op: 'check-memory',
      subject: hello.domain,
      hint: adviceLine({ kind: 'free-memory', mib: mib(need - freeMemoryBytes) }),
    },
  );
}

/**
 * Looks at what the guest needs here, before there is a copy of it. Throws
 * OperationError('unsupported-guest') that names what this host (`hostName`) lacks and what to type
 * there, OperationError('limit') when there is no room for what the hypervisor counts.
 */
export async function checkNeeds(
  hypervisor: Hypervisor,
  spec: GuestSpec,
  hostName: string,
): Promise<void> {
  const [first, ...others] = await hypervisor.lacks(spec, 'copy');
  if (first !== undefined) {
    const more = others.length === 0 ? '' : `; ${others.map(({ what }) => what).join('; ')}`;
    throw new OperationError(
      'unsupported-guest',
      `${spec.name} could not run on ${hostName}: ${first.what}${more}`,
      { op: 'check-needs', subject: spec.name, hint: first.advice },
    );
  }
  // Most of it was looked at when the guest was only announced.
  if (spec.roomBytes <= spec.memoryBytes + memoryReserveBytes) return;
  await checkRoom(hypervisor, { domain: spec.name, memoryBytes: spec.roomBytes });
}

/**
 * What this host is, for HELLO. Throws OperationError('unsupported-guest') when its hypervisor is
 * older than the primary's: the guest would be protected until it is needed.
 */
export async function checkVersions(
  hypervisor: Hypervisor,
  { domain, host, xen }: Pick<Hello, 'domain' | 'host' | 'xen'>,
  hostName: string,
): Promise<HostInfo> {
  const info = await hypervisor.host();
  const { version } = info;
  if (!isOlder(version, xen)) return info;
  throw new OperationError(
    'unsupported-guest',
    `${domain} could not run on ${hostName}: that has Xen ${version}, ${host} has ${xen}`,
    {
      op: 'check-versions',
      subject: domain,
      hint: adviceLine({
        kind: 'read-page',
        page: 'tsremus-requirements',
        why: 'XEN VERSIONS: the backup may not be the older one',
      }),
    },
  );
}

/** Throws OperationError('unsupported-guest') when this host cannot keep the guest's disks. */
export function checkDisks(driver: DiskDriver, { capabilities, domain }: Hello): void {
  const missing = capabilities.disks.filter((name) => name !== driver.name);
  if (missing.length === 0) return;
  throw new OperationError(
    'unsupported-guest',
    `this host cannot keep the disks of ${domain}: it has no driver ${missing.join(', ')}`,
    {
      op: 'check-disks',
      subject: domain,
      hint: adviceLine({ kind: 'same-version' }),
    },
  );
}

/**
 * Throws OperationError('limit') when this system itself, which receives for the copy, has not the
 * memory for the largest epoch that the guest can make: the kernel would kill us in the middle of
 * it, and the guest would lose its copy when it works hardest.
 */
export function checkOwnMemory(
  { memoryBytes, availableBytes }: Pick<HostSettings, 'memoryBytes' | 'availableBytes'>,
  hello: Pick<Hello, 'domain' | 'memoryBytes'>,
  cacheBytes: number,
  disks = 0,
): void {
  const { epochBytesMax } = epochLimits(hello.memoryBytes);
  const need = backupNeedBytes(epochBytesMax, cacheBytes, disks);
  if (availableBytes >= need) return;
  const mib = (bytes: number) => Math.ceil(bytes / 1024 ** 2);
  const more = mib(memoryBytes + need - availableBytes);
  const ofDisks = disks === 0 ? '' : `, its disks ${mib(disks * diskEpochBytesMax)}`;
  throw new OperationError(
    'limit',
    `not enough memory in the backup's own system for an epoch of ${hello.domain}: ` +
      `${mib(need)} MiB are needed (the epoch ${mib(epochBytesMax)}, page cache ` +
      `${mib(cacheBytes)}${ofDisks}), ${mib(availableBytes)} MiB of ${mib(memoryBytes)} are available`,
    {
      op: 'check-memory',
      subject: hello.domain,
      hint: adviceLine({ kind: 'grow-own-memory', mib: more }),
    },
  );
}

/** Throws OperationError('not-allowed') when the session's primary runs on this very host. */
export function checkOtherHost(registry: Pick<Registry, 'sessions'>, hello: Hello): void {
  const { sessions } = registry.sessions();
  const isHere = sessions.some(({ status, liveness }) => {
    return status.role === 'primary' && status.session === hello.session && liveness === 'alive';
  });
  if (!isHere) return;
  throw new OperationError(
    'not-allowed',
    `both ends of the session are on one host, ${hello.host}: its copy would die with ${hello.domain}`,
    {
      op: 'check-host',
      subject: hello.domain,
      hint: adviceLine({ kind: 'see-help', command: 'tsremus protect' }),
    },
  );
}

type Named = Pick<Hello, 'domain' | 'uuid'>;

/** What is asked of this host about a copy that may be left here of an earlier session. */
type NamePorts = Pick<HostPorts, 'processes' | 'store' | 'settings' | 'clock'> & {
  readonly hypervisor: Hypervisor;
};

/**
 * What is lacking just before a copy is built: its own name too, should another domain have taken
 * it since. The hypervisor gives a name to one alone.
 */
export async function lacksBeforeBuild(
  hypervisor: Pick<Hypervisor, 'find' | 'lacks'>,
  spec: GuestSpec,
): Promise<readonly Lack[]> {
  const lacks = await hypervisor.lacks(spec, 'build');
  const { name } = spec;
  if ((await hypervisor.find(name)) === null) return lacks;
  const advice = adviceLine({ kind: 'see-namesake', domain: name });
  return [{ what: `another domain is called ${name} here`, advice }, ...lacks];
}

/**
 * A domain of that name on this host is another guest, or the same one: neither may be touched, nor
 * is anybody told to. What is left of a copy whose session died goes, unless it may be all that is
 * left of the guest.
 */
export async function checkNames(ports: NamePorts, hello: Hello): Promise<void> {
  const { domain: name, uuid } = hello;
  if ((await findNamesake(ports, hello)) === null) return;
  // Our claim is the only one, so nobody holds this copy any more: a crashed session left it.
  return destroyCopy(ports.hypervisor, { name, uuid }, 'waiting');
}

/** What is left of a copy and may go, or null; throws where a domain of that name may not. */
export async function findNamesake(ports: NamePorts, hello: Named): Promise<GuestRef | null> {
  const { hypervisor, settings } = ports;
  const { domain, uuid } = hello;
  const refusal = (name: string) =>
    new OperationError('locked', `a domain called ${name} is on ${settings.hostName} already`, {
      op: 'check-name',
      subject: name,
      hint: adviceLine({ kind: 'see-namesake', domain: name }),
    });
  const own = await hypervisor.find(domain);
  const waiting = waitingName(domain);
  const left = await hypervisor.find(waiting);
  if (own?.uuid === uuid || left?.uuid === uuid) await keepWholeCopy(ports, hello);
  if (own !== null) throw refusal(domain);
  if (left === null || left.uuid === uuid) return left;
  throw refusal(waiting);
}

/** Throws OperationError('locked') when a copy of the guest stands here that may not go unasked. */
async function keepWholeCopy(ports: NamePorts, { uuid, domain }: Named): Promise<void> {
  const { hypervisor, processes, store, settings } = ports;
  const copies = await leftCopies(uuid, {
    ...{ processes, store, stateDirectory: settings.stateDirectory },
    hypervisor: async () => hypervisor,
    record: (of, session) => openRecord(settings.stateDirectory, of, session, ports),
  });
  const kept = copies.find(({ left }) => !mayGoUnasked(left));
  if (kept === undefined) return;
  const from = kept.epoch === null ? '' : `, of epoch ${kept.epoch}`;
  const text =
    `a whole copy of ${domain} stands on ${settings.hostName}${from}, ` +
    'left by a process that died: it may be all that is left of the guest';
  throw new OperationError('locked', text, {
    ...{ op: 'check-name', subject: domain },
    hint: adviceLine({ kind: 'stop-destroy-copy-there', domain }),
  });
}
