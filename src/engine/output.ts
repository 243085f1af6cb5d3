/**
 * The output buffer of a session: which one it gets, and what became of one that a session left.
 */
import { join } from 'node:path';
import { runDirectory } from '../config/settings.ts';
import { errorText } from '../host/errors.ts';
import type { Log } from '../host/log.ts';
import { nullBuffer, type OutputBuffer } from '../network/output-buffer.ts';
import { interfaceCount, macAddresses } from '../xen/guest-config.ts';
import type { DomainConfig } from '../xen/hypervisor.ts';
import type { Guest } from './preflight.ts';
import type { ProtectOptions } from './protect-options.ts';
import { fileKey } from './run-directory.ts';

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
  const { hostTools, setUpBuffer } = await import('../network/set-up.ts');
  return setUpBuffer(
    {
      domain: guest.name,
      domid: guest.domid,
      uuid: guest.uuid,
      session,
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
  const macs = macAddresses(config);
  if (macs.size === 0) return;
  try {
    const { announce, hostAnnounceTools } = await import('../network/announce.ts');
    const problems = await announce(domid, macs, await hostAnnounceTools());
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

/** What a session of this guest left whose process died; the null buffer: nothing. */
export async function leftOutput(uuid: string): Promise<OutputBuffer> {
  const { adoptBuffer } = await import('../network/leftover.ts');
  const { hostTools } = await import('../network/set-up.ts');
  return (await adoptBuffer(bufferStatePath(uuid), hostTools)) ?? nullBuffer;
}
