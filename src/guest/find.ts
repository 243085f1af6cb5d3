/** Finds the guest of this host that was named; core/who.ts has the rule. */
import { adviceLine } from '../core/texts/advice.ts';
import { ambiguousText, formOf, type Named, whoIsMeant } from '../core/who.ts';
import { OperationError } from '../host/errors.ts';
import type { GuestRef, Hypervisor } from '../hypervisor/port.ts';

type Finder = Pick<Hypervisor, 'find' | 'numbered' | 'withUuid'>;

export function noSuchDomain(wanted: string): OperationError {
  return new OperationError('no-such-domain', `there is no domain ${wanted} on this host`, {
    op: 'find-domain',
    subject: wanted,
    hint: adviceLine({ kind: 'list-guests' }),
  });
}

/** The guests of this host that `wanted` may mean. A name is only known of one that has just it. */
export async function candidates(
  hypervisor: Finder,
  wanted: string,
): Promise<(Named & GuestRef)[]> {
  const form = formOf(wanted);
  const called = await hypervisor.find(wanted);
  const numbered = form === 'number' ? await hypervisor.numbered(Number(wanted)) : null;
  const withUuid = form === 'uuid' ? await hypervisor.withUuid(wanted.toLowerCase()) : [];
  const others = [...withUuid, ...(numbered === null ? [] : [numbered])];
  const all = others.filter(({ id }) => id !== called?.id);
  return [
    ...(called === null ? [] : [{ ...called, name: wanted }]),
    ...all.map((ref) => ({ ...ref, name: '' })),
  ];
}

/**
 * The guest that is meant by a name, a number or a UUID. Throws `no-such-domain` (12), `ambiguous`
 * (12) where two may be meant, and what the hypervisor throws.
 */
export async function findGuest(hypervisor: Finder, wanted: string): Promise<GuestRef> {
  const meant = whoIsMeant(wanted, await candidates(hypervisor, wanted));
  if (meant.kind === 'nobody') throw noSuchDomain(wanted);
  const [first, ...more] = meant.all;
  if (meant.kind === 'found' && first !== undefined && more.length === 0) {
    return { uuid: first.uuid, id: first.id };
  }
  const isOneUuid = more.every(({ uuid }) => uuid === first?.uuid);
  throw isOneUuid ? twins(wanted, meant.all) : ambiguous(wanted, meant.all);
}

function ambiguous(wanted: string, all: readonly Named[]): OperationError {
  return new OperationError('ambiguous', ambiguousText(wanted, all), {
    op: 'find-domain',
    subject: wanted,
    hint: adviceLine({ kind: 'list-uuids' }),
  });
}

/** A guest and a copy of it on one host have the same UUID. */
function twins(wanted: string, all: readonly GuestRef[]): OperationError {
  const numbers = all.map(({ id }) => id).join(' and ');
  return new OperationError('ambiguous', `the domains ${numbers} have this UUID: ${wanted}`, {
    op: 'find-domain',
    subject: wanted,
    hint: adviceLine({ kind: 'list-guests' }),
  });
}
