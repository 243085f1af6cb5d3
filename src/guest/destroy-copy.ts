import { type Hypervisor, waitingName } from '../hypervisor/port.ts';

/**
 * Destroys what is left of a copy: the domain under the waiting name and, where a build may have
 * ended, the one that stands paused under its own. Never a domain of another UUID, nor one that
 * runs.
 */
export async function destroyCopy(
  hypervisor: Hypervisor,
  { name, uuid }: { readonly name: string; readonly uuid: string },
  which: 'waiting' | 'waiting-or-built',
): Promise<void> {
  const names = which === 'waiting' ? [waitingName(name)] : [waitingName(name), name];
  for (const candidate of names) {
    const guest = await hypervisor.find(candidate);
    if (guest === null || guest.uuid !== uuid) continue;
    const info = await hypervisor.info(guest);
    if (info === null) continue;
    if (candidate === name && !info.paused) continue;
    await hypervisor.destroy(guest);
  }
}
