/** `tsremus resync`: the disks of a guest that runs here, and those of another host. */
import type { Environment } from '../config/settings.ts';
import { adviceLine } from '../core/texts/advice.ts';
import { OperationError } from '../host/errors.ts';
import { lowerOomScore, onEndSignals } from '../host/process-settings.ts';
import type { GuestSpec, Hypervisor } from '../hypervisor/port.ts';
import { type EarlyTransport, startEarly } from '../link/early-transport.ts';
import { type TransportCommand, transportCommand } from '../link/transport-command.ts';
import type { Claim } from '../registry/port.ts';
import { ResyncTeller } from '../registry/resync-teller.ts';
import { refuseUnknownDisks } from '../session/disk-options.ts';
import type { ProtectReporter, SeedProgress } from '../session/options.ts';
import {
  findRunning,
  type Guest,
  refuseDisks,
  refuseUnsettled,
} from '../session/primary/preflight.ts';
import { resyncFigures } from '../session/progress.ts';
import type { ResyncOptions, ResyncResult } from '../session/resync/options.ts';
import { Ended, resyncDisks } from '../session/resync/primary.ts';
import { compareDisks } from '../session/resync/verify.ts';
import type { StreamAgreement } from '../stream/agreement.ts';
import { openStreamEncoder } from '../stream/codec/encoder.ts';
import { backupBy } from './backup.ts';
import { diskRefusals, primaryDisks } from './disks.ts';
import { type ThisHost, thisHost, thisHypervisor, thisRegistry } from './host.ts';

/** Copies, or compares. Throws OperationError; the guest runs on as it was, whatever happens. */
export async function runResync(
  options: ResyncOptions,
  reporter: ProtectReporter,
  env: Environment,
): Promise<ResyncResult> {
  const command = transportCommand(options.host, options.sshCommand ?? undefined);
  const host = thisHost(env);
  const early = startEarly(command, host);
  try {
    return await resyncWith(host, early, command, options, reporter);
  } finally {
    early.ending.abort();
    await early.started.transport.exited;
  }
}

/** Without a disk that it can write there is nothing to do. */
function refuseDiskless({ name, writableDisks }: GuestSpec): void {
  if (writableDisks.length > 0) return;
  const text = `${name} has no disk that it can write: there is nothing to copy`;
  const hint = adviceLine({ kind: 'list-guest', domain: name });
  throw new OperationError('unsupported-guest', text, { op: 'resync', subject: name, hint });
}

async function resyncWith(
  host: ThisHost,
  early: EarlyTransport,
  command: TransportCommand,
  options: ResyncOptions,
  reporter: ProtectReporter,
): Promise<ResyncResult> {
  const registry = thisRegistry(host);
  const hypervisor = await thisHypervisor(host);
  const guest = await findRunning(hypervisor, options.domain);
  refuseDiskless(guest.spec);
  refuseUnknownDisks(guest.spec, options.disks);
  await refuseDisks(guest.name, diskRefusals(host), guest.spec);
  const subject = { uuid: guest.ref.uuid, domain: guest.name, role: 'primary' } as const;
  const claim = await registry.claimSession(subject);
  try {
    refuseUnsettled(claim, guest);
    const ports = { ...host, hypervisor };
    return await resyncGuest(ports, claim, early, command, options, reporter, guest);
  } finally {
    // How a session before ended is still news.
    claim.release('as-before');
  }
}

async function resyncGuest(
  host: ThisHost & { readonly hypervisor: Hypervisor },
  claim: Claim,
  early: EarlyTransport,
  command: TransportCommand,
  options: ResyncOptions,
  reporter: ProtectReporter,
  guest: Guest,
): Promise<ResyncResult> {
  const { name: domain } = guest;
  const log = host.openLog(`${domain}.resync`);
  const say = (text: string) => log.info(text);
  lowerOomScore(say);
  const { ending } = early;
  onEndSignals((by) => ending.abort(new Ended(by)));
  const tell = (text: string) => {
    say(text);
    reporter.event('connecting', text);
  };
  const ports = {
    ...host,
    backup: backupBy(host, command, early, log, tell),
    openEncoder: (agreed: StreamAgreement) =>
      openStreamEncoder({ ...agreed, nativePath: host.nativePath }),
    disks: primaryDisks(host, say, options.disks.bytesPerSecond ?? 0),
  };
  let progress: SeedProgress | null = null;
  const told: ProtectReporter = {
    seedProgress(now) {
      progress = now;
      reporter.seedProgress(now);
    },
    event: (...about) => reporter.event(...about),
  };
  const teller = new ResyncTeller({
    ...{ ...host, claim, log, owner: host.processes.self },
    of: {
      ...{ domain, uuid: guest.ref.uuid, role: 'primary', peer: options.host },
      compare_only: options.isVerified,
    },
    figures: () => resyncFigures(progress),
  });
  const set = { options, reporter: told, guest, log, ending };
  try {
    if (options.isVerified) {
      return { kind: 'compared', domain, difference: await compareDisks(ports, set) };
    }
    return { kind: 'copied', domain, ...(await resyncDisks(ports, set)) };
  } catch (error) {
    if (!(error instanceof Ended)) throw error;
    log.info(error.message);
    return { kind: 'stopped', domain, by: error.by };
  } finally {
    teller.close();
    log.close();
  }
}
