/** The output buffer of a session and of what one left, and the announcement of a guest, on Xen. */
import { join } from 'node:path';
import { errorText } from '../host/errors.ts';
import type { Log } from '../host/log.ts';
import type { GuestRef, GuestSpec } from '../hypervisor/port.ts';
import { nullBuffer, type OutputBuffer } from '../output/port.ts';
import { fileKey } from '../registry/run-directory.ts';
import { type ProtectOptions, transportOf } from '../session/options.ts';
import type { Guest } from '../session/primary/preflight.ts';
import type { ThisHost } from './host.ts';

/** Where the state of the guest's output buffer is written down. */
export function bufferStatePath(runDirectory: string, uuid: string): string {
  return join(runDirectory, `${fileKey(uuid)}.network.json`);
}

/** Sets the buffer up; all passes until the first barrier. With -n: the null buffer. */
export async function openOutput(
  host: ThisHost,
  options: ProtectOptions,
  guest: Guest,
  session: string,
  onNews: (text: string) => void,
): Promise<OutputBuffer> {
  const { interfaces } = guest.spec;
  if (!options.network || interfaces.length === 0) return nullBuffer;
  const { hostTools, setUpBuffer } = await import('../output/plug/set-up.ts');
  const { uuid, id } = guest.ref;
  return setUpBuffer(
    {
      domain: guest.name,
      domid: id,
      uuid,
      session,
      peer: {
        ...transportOf(options),
        heartbeat_timeout_ms: options.heartbeatTimeoutMs,
      },
      watch: options.wait,
      interfaceCount: interfaces.length,
      limitBytes: options.bufferLimitBytes,
      script: options.netbufScript,
      statePath: bufferStatePath(host.settings.runDirectory, uuid),
      onNews,
    },
    await hostTools(host),
  );
}

/**
 * What a session of guest `uuid` left whose process died; the null buffer: nothing. `id`: its
 * domain, by which devices are known where the state is lost; null: it is not known.
 */
export async function leftOutput(
  host: ThisHost,
  uuid: string,
  id: number | null,
): Promise<OutputBuffer> {
  const { adoptBuffer } = await import('../output/plug/adopt.ts');
  const { hostTools } = await import('../output/plug/set-up.ts');
  const path = bufferStatePath(host.settings.runDirectory, uuid);
  return (await adoptBuffer(path, id, await hostTools(host))) ?? nullBuffer;
}

/**
 * Loads what `leftOutput` needs: an upgrade of the program takes the files away from a process that
 * needs them hours later.
 */
export async function loadLeftOutput(host: ThisHost): Promise<void> {
  await import('../output/plug/adopt.ts');
  const { hostTools } = await import('../output/plug/set-up.ts');
  await hostTools(host);
}

/** The same for `announceGuest`. */
export async function loadAnnouncement(host: ThisHost): Promise<void> {
  const { hostAnnounceTools } = await import('../output/announce/announce.ts');
  await hostAnnounceTools(host);
}

/** After a failover: the network is told where the guest is now. What fails is only logged. */
export async function announceGuest(
  host: ThisHost,
  copy: GuestRef,
  spec: GuestSpec,
  log: Log,
): Promise<void> {
  const nics = new Map<number, { mac: string; ips: readonly string[] }>();
  for (const { index, mac, ips } of spec.interfaces)
    if (mac !== null) nics.set(index, { mac, ips });
  if (nics.size === 0) return;
  try {
    const { announce, hostAnnounceTools } = await import('../output/announce/announce.ts');
    const problems = await announce(copy.id, nics, await hostAnnounceTools(host));
    for (const problem of problems) log.warning(problem);
    if (problems.length === 0) log.info("the guest's new place was announced");
  } catch (error) {
    log.warning(`the guest's new place was not announced: ${errorText(error)}`);
  }
}
