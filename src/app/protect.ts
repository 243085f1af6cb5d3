/**
 * `tsremus protect`: from the command line's options to the outcome of a session. Looks at what is
 * here in the order in which failing is cheapest, while the transport starts beside it.
 */
import type { Environment } from '../config/settings.ts';
import { placed } from '../core/check/line.ts';
import { noDisks } from '../disk/port.ts';
import {
  lowerOomScore,
  onEndSignals,
  onReopenSignal,
  raisePriority,
} from '../host/process-settings.ts';
import { hostLooks } from '../hypervisor/xen/looks.ts';
import { type EarlyTransport, startEarly } from '../link/early-transport.ts';
import { type TransportCommand, transportCommand } from '../link/transport-command.ts';
import { plainDisks, refuseUnknownDisks } from '../session/disk-options.ts';
import {
  type ProtectOptions,
  type ProtectReporter,
  type ProtectResult,
  transportOf,
} from '../session/options.ts';
import { tellWarned } from '../session/primary/news.ts';
import {
  awaitRunning,
  inspectGuest,
  refuseFailed,
  refuseUnsettled,
} from '../session/primary/preflight.ts';
import { Protection } from '../session/primary/protection.ts';
import type { StreamAgreement } from '../stream/agreement.ts';
import { openStreamEncoder } from '../stream/codec/encoder.ts';
import { backupBy } from './backup.ts';
import { blackholeCommand } from './blackhole.ts';
import { diskRefusals, primaryDisks } from './disks.ts';
import { startGuard } from './guard.ts';
import { savingFor } from './guest-files.ts';
import { type ThisHost, thisHost, thisHypervisor, thisRegistry } from './host.ts';
import { openOutput } from './output.ts';
import { keepInMemory } from './own-memory.ts';
import { unitForSession } from './own-unit.ts';
import { placesOf } from './places.ts';
import { openService, reportingTo } from './service.ts';

/** In a process that is the session's alone, or in its caller's, whose unit it stays in. */
export type Place = 'own-process' | 'here';

/**
 * Runs a session to its end. Throws an OperationError when it could not begin: the guest is then
 * as it was.
 */
export async function runProtect(
  given: ProtectOptions,
  reporter: ProtectReporter,
  env: Environment,
  place: Place,
): Promise<ProtectResult> {
  const isMeasured = given.blackhole !== undefined;
  const options = isMeasured ? { ...given, blackhole: blackholeCommand() } : given;
  const { host: peer, ssh_command: by } = transportOf(options);
  const command = transportCommand(peer, by ?? undefined);
  const host = thisHost(env);
  onReopenSignal(host.reopenLogs);
  const say = (text: string) => reporter.event('service', text);
  const service = await openService(env, host.nativePath, say);
  const told = reportingTo(service, reporter);
  try {
    await awaitGuest(host, options, told);
    const early = startEarly(command, host);
    try {
      return await protectWith(host, early, command, options, { reporter: told, place });
    } finally {
      early.ending.abort();
      await early.started.transport.exited;
    }
  } finally {
    service.stopping();
    await host.events.settled();
  }
}

/** Before the transport is started: the other host need not wait for it, too. */
async function awaitGuest(
  host: ThisHost,
  { domain, awaitGuestMs }: ProtectOptions,
  reporter: ProtectReporter,
): Promise<void> {
  if (awaitGuestMs === undefined) return;
  const tell = (text: string) => reporter.event('awaiting', text);
  await awaitRunning(await thisHypervisor(host), domain, awaitGuestMs, host, tell);
}

async function protectWith(
  host: ThisHost,
  early: EarlyTransport,
  command: TransportCommand,
  options: ProtectOptions,
  { reporter, place }: { readonly reporter: ProtectReporter; readonly place: Place },
): Promise<ProtectResult> {
  const registry = thisRegistry(host);
  const hypervisor = await thisHypervisor(host);
  const guest = await inspectGuest(hypervisor, options.domain, options, diskRefusals(host));
  const said = options.disks ?? plainDisks;
  refuseUnknownDisks(guest.spec, said);
  const info = await hypervisor.host();
  const names = { here: host.settings.hostName, there: options.host };
  const isChecked = options.check !== false;
  const looks = placed('here', isChecked ? hostLooks(info, guest.spec, placesOf(host)) : []);
  refuseFailed(guest.name, looks, names, options.blackhole !== undefined);
  const subject = { uuid: guest.ref.uuid, domain: guest.name, role: 'primary' } as const;
  const claim = await registry.claimSession(subject);
  try {
    refuseUnsettled(claim, guest);
    const log = host.openLog(`${guest.name}.primary`);
    tellWarned(looks, names, (text, data) => reporter.event('check', text, data));
    raisePriority((text) => log.info(text));
    lowerOomScore((text) => {
      log.warning(text);
      host.refusals.push(text);
    });
    // Its guards are ordered by its unit: it is in it before they start.
    if (place === 'own-process') await unitForSession(host, guest.ref.uuid, guest.name);
    void keepInMemory(host, log);
    const rate = said.bytesPerSecond ?? 0;
    const disks = { ...noDisks, ...primaryDisks(host, (text) => log.info(text), rate) };
    const ports = {
      ...host,
      registry,
      hypervisor,
      backup: backupBy(host, command, early, log, (text) => {
        log.info(text);
        reporter.event('connecting', text);
      }),
      startGuard: startGuard(host),
      openOutput: (session: string, onNews: (text: string) => void) =>
        openOutput(host, options, guest, session, onNews),
      openEncoder: (agreed: StreamAgreement) =>
        openStreamEncoder({ ...agreed, nativePath: host.nativePath }),
      // With -b nobody would take what they write.
      disks: options.disk && options.blackhole === undefined ? disks : noDisks,
      async factsHere(toPeer: string | null) {
        const { sessionFacts } = await import('./check-host.ts');
        return sessionFacts(host, info, toPeer);
      },
      onEndSignals,
    };
    const saving =
      options.save === undefined
        ? reporter
        : savingFor(reporter, guest.name, options.save, host.env);
    const { version: hypervisorVersion, features } = info;
    const about = { options, reporter: saving, guest, hypervisorVersion, features };
    const set = { ...about, claim, log, ending: early.ending };
    return await new Protection(ports, set).run();
  } catch (error) {
    // How the session before this one ended is still news: this one never began.
    claim.release('as-before');
    throw error;
  }
}
