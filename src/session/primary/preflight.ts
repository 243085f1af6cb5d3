/**
 * What is looked at before a session begins: which guest is meant, and whether it can be protected.
 * Everything is refused here, with a reason, rather than half-way.
 */
import { type HostNames, type PlacedLine, placedText } from '../../core/check/line.ts';
import { adviceLine } from '../../core/texts/advice.ts';
import { awaitingText, notCheckedText } from '../../core/texts/service.ts';
import { formOf } from '../../core/who.ts';
import type { DiskDriver } from '../../disk/port.ts';
import { findGuest, noSuchDomain } from '../../guest/find.ts';
import { sleep, type Time } from '../../host/clock.ts';
import { OperationError } from '../../host/errors.ts';
import type { GuestRef, GuestSpec, Hypervisor } from '../../hypervisor/port.ts';
import { domainNameRule, isDomainName } from '../../link/identity.ts';
import type { Claim } from '../../registry/port.ts';

/** A guest that may be protected. */
export interface Guest {
  readonly ref: GuestRef;
  readonly name: string;
  readonly spec: GuestSpec;
  /** Largest size of its memory, bytes. */
  readonly memoryBytes: number;
}

/** Between two looks for a guest that does not run yet, ms. */
const awaitEveryMs = 1_000;

/**
 * Waits until the guest that is `wanted` runs here, for `limitMs` at most; `tell` hears once that
 * it does not run yet. Then throws what `findRunning` throws.
 */
export async function awaitRunning(
  hypervisor: Hypervisor,
  wanted: string,
  limitMs: number,
  { clock, timers }: Time,
  tell: (text: string) => void,
): Promise<void> {
  const endMs = clock.nowMs() + limitMs;
  for (let isTold = false; ; isTold = true) {
    try {
      await findRunning(hypervisor, wanted);
      return;
    } catch (error) {
      const isNotYet =
        error instanceof OperationError &&
        ['no-such-domain', 'unsupported-guest'].includes(error.code);
      if (!isNotYet || clock.nowMs() >= endMs) throw error;
      if (!isTold) tell(awaitingText(wanted, limitMs / 1_000, error.message));
    }
    await sleep(timers, awaitEveryMs);
  }
}

/** What the administrator gives up (-d), as far as the guest's devices are concerned. */
export interface Unsafe {
  readonly disk: boolean;
  /** --allow: keys of its configuration that may be so although they are not known to be copied. */
  readonly allow?: readonly string[];
}

/**
 * Finds the guest and checks that it can be protected. Errors: `no-such-domain` (12),
 * `unsupported-guest` (10), `not-built` (69) for what a later version brings.
 */
export async function inspectGuest(
  hypervisor: Hypervisor,
  wanted: string,
  unsafe: Unsafe,
  disks: Pick<DiskDriver, 'refusals'>,
): Promise<Guest> {
  const guest = await findRunning(hypervisor, wanted);
  refuseUnknown(guest.spec, unsafe.allow ?? []);
  if (unsafe.disk) await refuseDisks(guest.name, disks, guest.spec);
  return guest;
}

/** Finds the guest, which runs and has a name that can be used; throws as `inspectGuest` does. */
export async function findRunning(hypervisor: Hypervisor, wanted: string): Promise<Guest> {
  const ref = await findGuest(hypervisor, wanted);
  // xl knows no UUIDs.
  const called = formOf(wanted) === 'uuid' ? String(ref.id) : wanted;
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
    throw new OperationError('unsupported-guest', `domain ${called} is ${state}`, {
      op: 'inspect-guest',
      subject: called,
      hint: adviceLine({ kind: info.paused ? 'unpause-guest' : 'list-guest', domain: called }),
    });
  }
  const spec = await hypervisor.spec(ref);
  const { name } = spec;
  if (!isDomainName(name)) {
    const shown = JSON.stringify(name === '' ? null : name);
    throw unsupported(wanted, `its name ${shown} cannot be used: it ${domainNameRule}`);
  }
  return { ref, name, spec, memoryBytes: Math.max(spec.memoryBytes, info.memoryBytes) };
}

const readLimits = adviceLine({
  kind: 'read-page',
  page: 'tsremus-protect',
  why: 'LIMITS: what can be protected',
});

function unsupported(name: string, why: string, hint = readLimits): OperationError {
  return new OperationError('unsupported-guest', `domain ${name} cannot be protected: ${why}`, {
    op: 'inspect-guest',
    subject: name,
    hint,
  });
}

const readWithoutDisks = adviceLine({
  kind: 'read-page',
  page: 'tsremus-protect',
  why: 'GUARANTEES: what is given up by -F -d, which leaves the disks alone',
});

/** What is not known to be in a copy, unless the administrator allowed it and it can be. */
export function refuseUnknown({ name, refusals }: GuestSpec, allow: readonly string[]): void {
  const left = refusals.filter(({ key, givesUp }) => givesUp === null || !allow.includes(key));
  if (left.length === 0) return;
  const why = left.map(({ text }) => text).join('; ');
  const words = left.map(({ key, givesUp }) => (givesUp === null ? null : `--allow ${key}`));
  if (words.includes(null)) throw unsupported(name, why);
  const givesUp = left.map((one) => one.givesUp).join('; ');
  const allowed = `-F ${words.join(' ')} if this may be lost: ${givesUp}`;
  const page = { kind: 'read-page', page: 'tsremus-protect', why: allowed } as const;
  throw unsupported(name, why, adviceLine(page));
}

/** Lines that say early what the session itself would refuse. */
const refusedAnyhow: readonly string[] = ['copy-disks', 'directories'];

/**
 * What `tsremus check` fails of either host and nothing else refuses, with the same cure.
 * `isMeasured`: there is no copy that the host could boot the guest beside.
 */
export function refuseFailed(
  name: string,
  lines: readonly PlacedLine[],
  hosts: HostNames,
  isMeasured = false,
): void {
  const failed = lines.filter(
    (line) => line.level === 'fail' && !(isMeasured && line.name === 'autostart'),
  );
  const [first] = failed;
  if (first === undefined) return;
  const clauses = failed.map((line) => placedText(line, hosts));
  const isFinal = failed.some((line) => refusedAnyhow.includes(line.name));
  throw unsupported(name, notCheckedText(clauses, isFinal), first.next ?? readLimits);
}

/** All or none: of a guest with a disk that is left out, the copy would be of two moments. */
export async function refuseDisks(
  name: string,
  driver: Pick<DiskDriver, 'refusals'>,
  spec: GuestSpec,
): Promise<void> {
  const refusals = await driver.refusals(spec);
  if (refusals.length === 0) return;
  const toCome = refusals.every(({ isToCome }) => isToCome);
  const hint = refusals.find(({ advice }) => advice !== null)?.advice ?? readWithoutDisks;
  const why = refusals.map(({ disk, text }) => `${disk} on ${text}`).join('; ');
  throw new OperationError(
    toCome ? 'not-built' : 'unsupported-guest',
    `domain ${name} has disks that cannot be replicated: ${why}`,
    { op: 'inspect-guest', subject: name, hint },
  );
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
