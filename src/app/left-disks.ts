/** `tsremus stop` of disks that marks alone tell of on this host. */
import type { Environment } from '../config/settings.ts';
import type { StopResult } from '../core/outcomes.ts';
import type { RefusedDisks } from '../disk/mirror/refused.ts';
import { settleLeftDisks } from '../guest/left-disks.ts';
import { cedeLeft, goOnAlone } from './disks.ts';
import { type ThisHost, thisHost, thisHypervisor } from './host.ts';
import { followLeftMarks } from './lvm.ts';
import { askBackup } from './stop.ts';

function portsOf(host: ThisHost, say: (text: string) => void) {
  return {
    hypervisor: () => thisHypervisor(host),
    askBackup: ({ domain, uuid, session, peer }: RefusedDisks) =>
      askBackup(host, {
        ...{ domain, uuid, session, buffered: true },
        transport: { host: peer.host, ssh_command: peer.sshCommand },
        heartbeat_timeout_ms: peer.heartbeatTimeoutMs,
      }),
    goOnAlone: (left: RefusedDisks) => goOnAlone(host, left, say),
    cede: (left: RefusedDisks) => cedeLeft(host, left, say),
  };
}

/** As settleLeftDisks; what LVM did not do is said beside it. */
export async function stopLeftDisks(
  left: RefusedDisks,
  force: boolean,
  env: Environment,
): Promise<StopResult> {
  const said: string[] = [];
  const result = await settleLeftDisks(
    portsOf(thisHost(env), (text) => said.push(text)),
    left,
    force,
  );
  return said.length === 0 ? result : { ...result, detail: said.join('; ') };
}

/** As followLeftMarks. */
export function followLeft(uuid: string, env: Environment): Promise<readonly string[]> {
  return followLeftMarks(thisHost(env), uuid);
}
