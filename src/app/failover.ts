/** `tsremus failover` of a copy whose process died: src/guest/left-copy.ts on this host. */
import type { Environment } from '../config/settings.ts';
import type { Said } from '../core/permission/tie.ts';
import { type FoundCopy, findLeftCopy, runLeftCopy } from '../guest/left-copy.ts';
import type { Hypervisor } from '../hypervisor/port.ts';
import { startGuard } from './guard.ts';
import { thisHost, thisHypervisor } from './host.ts';
import { followLeftMarks } from './lvm.ts';
import { announceGuest } from './output.ts';
import { leftCopyPorts } from './stop.ts';

/** What a dead process left here of the copy of `name` (name or UUID); null: nothing. */
export function leftCopy(name: string, env: Environment): Promise<FoundCopy | null> {
  const host = thisHost(env);
  return findLeftCopy(
    name,
    leftCopyPorts(host, () => thisHypervisor(host)),
  );
}

/** Lets it run, on what a person `said`; what to tell him then. Throws as runLeftCopy does. */
export async function runCopy(copy: FoundCopy, said: Said, env: Environment): Promise<string> {
  const host = thisHost(env);
  let opened: Promise<Hypervisor> | null = null;
  const open = () => {
    opened ??= thisHypervisor(host);
    return opened;
  };
  const log = host.openLog(`${copy.domain}.backup`);
  try {
    const told = await runLeftCopy(copy, said, {
      ...leftCopyPorts(host, open),
      ...{ clock: host.clock, timers: host.timers, startGuard: startGuard(host), log },
      async announce(guest) {
        const spec = await (await open()).spec(guest).catch(() => null);
        if (spec === null) log.warning("the guest's new place was not announced");
        else await announceGuest(host, guest, spec, log);
      },
    });
    // The guest's disks are everybody's again, which its owner did not come to.
    for (const text of await followLeftMarks(host, copy.uuid)) log.warning(text);
    return told;
  } finally {
    await host.events.settled();
    log.close();
  }
}
