/** Looks for a guest where it took over: what an answer rests on, and a person's word. */
import type { FoundGuest } from '../core/permission/record.ts';
import type { GuestRef, Hypervisor } from '../hypervisor/port.ts';

/** A guest by its UUID, under its own name; one that is being removed is gone. */
export async function lookFor(
  hypervisor: Hypervisor,
  { name, uuid }: { readonly name: string; readonly uuid: string },
): Promise<{ readonly found: FoundGuest; readonly guest: GuestRef | null }> {
  const guest = await hypervisor.find(name);
  if (guest === null || guest.uuid !== uuid) return { found: 'gone', guest: null };
  const info = await hypervisor.info(guest);
  if (info === null || info.state === 'dying') return { found: 'gone', guest: null };
  if (info.state === 'ended') return { found: 'ended', guest };
  return { found: info.paused ? 'paused' : 'running', guest };
}
