/**
 * `tsremus protect`: from the command line's options to the outcome of a session. Looks at what is
 * here in the order in which failing is cheapest, while the transport starts beside it.
 */
import { runDirectory } from '../config/settings.ts';
import { openSessionLog } from '../host/session-log.ts';
import { openXen } from '../hypervisor/xen/xen.ts';
import { type EarlyTransport, startEarly } from '../link/early-transport.ts';
import { type TransportCommand, transportCommand } from '../link/transport-command.ts';
import { claimSession } from '../registry/run-directory.ts';
import type { ProtectOptions, ProtectReporter, ProtectResult } from '../session/options.ts';
import { inspectGuest, refuseLeftover } from '../session/primary/preflight.ts';
import { Protection } from '../session/primary/protection.ts';

/**
 * Runs a session to its end. Throws an OperationError when it could not begin: the guest is then
 * as it was.
 */
export async function runProtect(
  options: ProtectOptions,
  reporter: ProtectReporter,
): Promise<ProtectResult> {
  const command = transportCommand(options.host, options.sshCommand ?? undefined);
  const early = startEarly(command);
  try {
    return await protectWith(early, command, options, reporter);
  } finally {
    early.ending.abort();
    await early.started.transport.exited;
  }
}

async function protectWith(
  early: EarlyTransport,
  command: TransportCommand,
  options: ProtectOptions,
  reporter: ProtectReporter,
): Promise<ProtectResult> {
  const xen = await openXen();
  const guest = await inspectGuest(xen, options.domain, options);
  const subject = { uuid: guest.uuid, domain: guest.name, role: 'primary' } as const;
  const claim = await claimSession(runDirectory(process.env), subject);
  try {
    refuseLeftover(claim, guest);
    const log = openSessionLog(`${guest.name}.primary`, process.env);
    const host = { xen, guest, claim, log };
    return await new Protection({ options, reporter, ...host, command, early }).run();
  } catch (error) {
    // How the session before this one ended is still news: this one never began.
    claim.release('as-before');
    throw error;
  }
}
