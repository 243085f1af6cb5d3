/**
 * Who is meant by what was typed: one rule for every command, that of xl
 * (libxl_utils.c, libxl_domain_qualifier_to_domid) with UUIDs beside it. Pure.
 *
 *   W1  digits alone are a number, and a name only where nobody has that number
 *   W2  a UUID, in upper or lower case, is the guest's for ever; where nobody has it it is a name
 *   W3  everything else is a name
 *   W4  what is the number or the UUID of one guest and the name of another means neither
 */
export interface Named {
  /** Empty: not known. */
  readonly name: string;
  /** Lower case; empty: not known. */
  readonly uuid: string;
  /** Null: it has none here. */
  readonly id: number | null;
}

export type Meant<G extends Named> =
  /** All of them are meant: what is known of one guest, or of several that have this name. */
  | { readonly kind: 'found'; readonly all: readonly G[] }
  | { readonly kind: 'nobody' }
  | { readonly kind: 'ambiguous'; readonly all: readonly G[] };

export type Form = 'number' | 'uuid' | 'name';

const uuidForm = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** What `wanted` is, before anybody was looked for. */
export function formOf(wanted: string): Form {
  if (/^[0-9]+$/.test(wanted)) return 'number';
  return uuidForm.test(wanted) ? 'uuid' : 'name';
}

function isSame(one: Named, other: Named): boolean {
  if (one.uuid !== '' && other.uuid !== '') return one.uuid === other.uuid;
  return one.id !== null && one.id === other.id;
}

/** The guests of some entries, each once. */
export function guestsOf<G extends Named>(entries: readonly G[]): G[] {
  return entries.filter((one, at) => entries.findIndex((other) => isSame(one, other)) === at);
}

/** Which of `guests` is meant. */
export function whoIsMeant<G extends Named>(wanted: string, guests: readonly G[]): Meant<G> {
  const form = formOf(wanted);
  const called = guests.filter(({ name }) => name === wanted);
  if (form === 'name') return found(called);
  const meant = guests.filter(({ id, uuid }) => {
    return form === 'number' ? id === Number(wanted) : uuid === wanted.toLowerCase();
  });
  if (meant.length === 0) return found(called); // W1, W2
  const others = called.filter((one) => !meant.some((other) => isSame(one, other)));
  if (others.length === 0) return found(meant);
  return { kind: 'ambiguous', all: [...meant, ...others] }; // W4
}

function found<G extends Named>(all: readonly G[]): Meant<G> {
  return all.length === 0 ? { kind: 'nobody' } : { kind: 'found', all };
}

/** `web1 (number 2, UUID ...)`, as it stands in a sentence. */
export function describeGuest({ name, uuid, id }: Named): string {
  const known = [id === null ? '' : `number ${id}`, uuid === '' ? '' : `UUID ${uuid}`];
  const parts = known.filter(Boolean).join(', ');
  return name === '' ? parts : `${name} (${parts})`;
}

/** Why nothing is done, a sentence without final stop. */
export function ambiguousText(wanted: string, guests: readonly Named[]): string {
  return `${wanted} may mean ${guestsOf(guests).map(describeGuest).join(' or ')}: say which`;
}
