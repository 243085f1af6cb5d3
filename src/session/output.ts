/**
 * The output buffer of a session: which one it gets, and what became of one that a session left.
 */
import { join } from 'node:path';
import { runDirectory } from '../config/settings.ts';
import type { PrimaryOutcome } from '../core/primary/types.ts';
import { errorText } from '../host/errors.ts';
import type { Log } from '../host/log.ts';
import type { DomainConfig } from '../hypervisor/port.ts';
import { interfaceCount, nicAddresses } from '../hypervisor/xen/guest-config.ts';
import { nullBuffer, type OutputBuffer } from '../output/port.ts';
import { fileKey } from '../registry/run-directory.ts';
import type { HeldOutcome, ProtectOptions } from './options.ts';
import type { Guest } from './primary/preflight.ts';

/** Where the state of the guest's output buffer is written down. */
export function bufferStatePath(uuid: string): string {
  return join(runDirectory(process.env), `${fileKey(uuid)}.network.json`);
}

/** Sets the buffer up; all passes until the first barrier. With -n: the null buffer. */
export async function openOutput(
  options: ProtectOptions,
  guest: Guest,
  session: string,
  onNews: (text: string) => void,
): Promise<OutputBuffer> {
  const count = interfaceCount(guest.config);
  if (!options.network || count === 0) return nullBuffer;
  const { hostTools, setUpBuffer } = await import('../output/plug/set-up.ts');
  return setUpBuffer(
    {
      domain: guest.name,
      domid: guest.domid,
      uuid: guest.uuid,
      session,
      peer: {
        host: options.host,
        ssh_command: options.sshCommand,
        heartbeat_timeout_ms: options.heartbeatTimeoutMs,
      },
      watch: options.wait,
      interfaceCount: count,
      limitBytes: options.bufferLimitBytes,
      script: options.netbufScript,
      statePath: bufferStatePath(guest.uuid),
      onNews,
    },
    await hostTools(),
  );
}

/** After a failover: the network is told where the guest is now. What fails is only logged. */
export async function announceGuest(domid: number, config: DomainConfig, log: Log): Promise<void> {
  const nics = nicAddresses(config);
  if (nics.size === 0) return;
  try {
    const { announce, hostAnnounceTools } = await import('../output/announce/announce.ts');
    const problems = await announce(domid, nics, await hostAnnounceTools());
    for (const problem of problems) log.warning(problem);
  } catch (error) {
    log.warning(`the guest's new place was not announced: ${errorText(error)}`);
  }
}

/**
 * The end of the process. Where no session ran there is no copy that could go on, and nobody's
 * permission is needed; what a session still holds stays held.
 */
export async function leaveOutput(
  buffer: OutputBuffer,
  sessionRan: boolean,
  onNews: (text: string) => void,
): Promise<void> {
  if (!sessionRan) await buffer.open().catch((error) => onNews(errorText(error)));
  buffer.close();
}

/**
 * With the permission: lets everything out and removes the buffer. Returns what kept it from that,
 * null when it is done. What a guest that ended by itself still holds is thrown away rather than
 * left in the way of what its configuration wants done with it.
 */
export async function openForGood(
  buffer: OutputBuffer,
  guestEnded: boolean,
  onNews: (text: string) => void,
): Promise<string | null> {
  try {
    await buffer.open();
    return null;
  } catch (error) {
    onNews(errorText(error));
    if (!guestEnded) return errorText(error);
  }
  return buffer.drop().then(() => null, errorText);
}

/** An end is none while the buffer is there: the guest may be mute, and somebody must know. */
export function heldBack(
  outcome: PrimaryOutcome | HeldOutcome,
  unopened: string | null,
): PrimaryOutcome | HeldOutcome {
  return unopened === null ? outcome : { kind: 'held', reason: unopened, mayOpen: true };
}

/**
 * What a session of guest `uuid` left whose process died; the null buffer: nothing. `domid`: its
 * domain, by which devices are known where the state is lost; null: it is not known.
 */
export async function leftOutput(uuid: string, domid: number | null): Promise<OutputBuffer> {
  const { adoptBuffer } = await import('../output/plug/adopt.ts');
  const { hostTools } = await import('../output/plug/set-up.ts');
  return (await adoptBuffer(bufferStatePath(uuid), domid, hostTools)) ?? nullBuffer;
}
