/** This host as `tsremus check` looks at it, from either side. */
import { lookup } from 'node:dns/promises';
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { type Environment, maxMemory, sshCommand } from '../config/settings.ts';
import { version } from '../config/version.ts';
import type { HostFacts } from '../core/check/compare.ts';
import { type CheckLine, failLine, okLine, readOn, warnLine } from '../core/check/line.ts';
import { heartbeatTimeoutMsMin, holdMsMin } from '../core/limits.ts';
import { agreementDefault } from '../core/permission/tie.ts';
import { adviceLine } from '../core/texts/advice.ts';
import { isHostName } from '../core/texts/quote.ts';
import { within } from '../host/clock.ts';
import { errorText, OperationError } from '../host/errors.ts';
import type { GuestSpec, HostInfo, Hypervisor } from '../hypervisor/port.ts';
import { hostLooks, suspendLook } from '../hypervisor/xen/looks.ts';
import type { GuestConfig } from '../link/config-message.ts';
import { connectBackup, type HelloContent } from '../link/connect.ts';
import type { Hello } from '../link/hello-message.ts';
import { newSessionId } from '../link/identity.ts';
import { addressFromEnvironment } from '../link/pulse.ts';
import { transportCommand } from '../link/transport-command.ts';
import { bufferLooks, interfacesLook, type LookPlaces } from '../output/plug/looks.ts';
import { type AnswerCheckPorts, lookForSession } from '../session/check/answer.ts';
import { type HostLook, hostFacts } from '../session/check/host.ts';
import type { CheckPorts, Way } from '../session/check/ports.ts';
import { codecsOf } from '../stream/agreement.ts';
import { cacheBytesWithin, defaultMaxMemory } from '../stream/budget.ts';
import { copyDiskRefusals } from './backup-disks.ts';
import { describeDisks, diskRefusals } from './disks.ts';
import { type ThisHost, thisHypervisor, thisRegistry } from './host.ts';
import { bufferStatePath } from './output.ts';
import { placesOf } from './places.ts';

/** The model that /proc/cpuinfo names. */
function processorName(procDir: string): string | null {
  try {
    const text = readFileSync(join(procDir, 'cpuinfo'), 'utf8');
    const [, name] = /^model name\s*:\s*(.+)$/m.exec(text) ?? [];
    return name?.trim().slice(0, 100) ?? null;
  } catch {
    return null;
  }
}

interface Route {
  readonly dev?: string;
  readonly metrics?: readonly { readonly mtu?: number }[];
  /** Of what the kernel has learned of the path, and forgets again. */
  readonly expires?: unknown;
}

/**
 * `ip route get` says which interface leads there, and a lesser size that was set for the route;
 * sysfs, how large the interface's packets may be.
 */
async function wayTo(address: string | null, { run, sysfs }: LookPlaces): Promise<Way> {
  if (address === null) return { mtuBytes: null };
  try {
    const { stdout } = await run(['ip', '-json', 'route', 'get', address]);
    const [route = {}] = JSON.parse(stdout) as Route[];
    const { dev = '', metrics = [], expires } = route;
    const own = Number(readFileSync(join(sysfs, 'class/net', dev, 'mtu'), 'utf8'));
    const set = expires === undefined ? metrics.map(({ mtu }) => mtu ?? own) : [];
    const mtu = Math.min(own, ...set);
    return { mtuBytes: Number.isInteger(mtu) && mtu > 0 ? mtu : null };
  } catch {
    return { mtuBytes: null };
  }
}

/** Everything that is looked at on this host. */
export function checkPorts(host: ThisHost): CheckPorts {
  const places = placesOf(host);
  const { env, settings } = host;
  return {
    ...host,
    isRoot: process.geteuid?.() === 0,
    processor: processorName(places.procDir),
    maxMemoryBytes: maxMemory(undefined, env),
    registry: thisRegistry(host),
    disks: diskRefusals(host),
    describeDisks: (spec) => describeDisks(host, spec),
    copyDiskRefusals: (spec, facts) => copyDiskRefusals(host, spec, facts),
    openHypervisor: () => thisHypervisor(host),
    hypervisorLines: (info, spec) => hostLooks(info, spec, places),
    suspendLine: ({ ref, spec }) => suspendLook(ref, spec, places),
    bufferLines: (isNeeded) => bufferLooks(places, isNeeded),
    interfacesLine: ({ ref, name, spec }) =>
      interfacesLook(
        {
          domain: name,
          domid: ref.id,
          interfaceCount: spec.interfaces.length,
          statePath: bufferStatePath(settings.runDirectory, ref.uuid),
        },
        places,
      ),
    way: (address) => wayTo(address, places),
  };
}

/** HELLO of a check: of a guest, as far as a session's would say so. */
export function checkHello(
  host: ThisHost,
  guest: { readonly domain: string; readonly uuid: string; readonly memoryBytes: number },
  disks: readonly string[] = [],
): HelloContent {
  const { settings, env, chance } = host;
  const maxBytes = maxMemory(undefined, env) ?? defaultMaxMemory(settings.memoryBytes);
  return {
    tsremus: version,
    xen: null,
    host: settings.hostName,
    capabilities: { codecs: codecsOf(true), disks },
    purpose: 'check',
    ...guest,
    session: newSessionId(chance),
    timing: {
      heartbeatTimeoutMs: heartbeatTimeoutMsMin,
      holdMs: holdMsMin,
      buffered: true,
      withoutWitness: agreementDefault,
    },
    cacheBytes: cacheBytesWithin(maxBytes, guest.memoryBytes),
    noWait: false,
  };
}

/** sshd(8): client address, client port, server address, server port. */
function peerAddress(env: Environment): string | null {
  const client = env['SSH_CONNECTION']?.split(' ')[0]?.replace(/^::ffff:(?=\d+\.)/i, '') ?? '';
  return isIP(client) === 0 || client.includes('%') ? null : client;
}

const lookupMsMax = 10_000;
const wayBackMsMax = 45_000;

/**
 * Tries the way to whoever asks, and nowhere else: its name has to lead to the address that it
 * comes from, so that nobody can have this host connect to a third one.
 */
async function wayBackLine(host: ThisHost, { host: name, ...hello }: Hello): Promise<CheckLine> {
  const { timers, env, clock } = host;
  const remote = `ssh -o BatchMode=yes ${name}`;
  if (!isHostName(name))
    return warnLine('way-back', `not tried: ${name} is no host name`, readOn('way-back'));
  const next = adviceLine({ kind: 'try-program', remote });
  const from = peerAddress(env);
  if (from === null) {
    return warnLine('way-back', 'not tried: the transport does not say where it comes from', next);
  }
  const looked = lookup(name, { all: true }).catch(() => []);
  const found = await within(timers, lookupMsMax, looked, () => []);
  if (found.length === 0) {
    const look = adviceLine({ kind: 'look-up-host', host: name });
    return failLine('way-back', `the name ${name} is not known here`, look);
  }
  if (!found.some(({ address }) => address === from)) {
    const leads = found.map(({ address }) => address).join(', ');
    const text = `not tried: ${name} leads to ${leads}, and the question comes from ${from}`;
    return warnLine('way-back', text, next);
  }
  try {
    const command = transportCommand(name, sshCommand(undefined, env) ?? undefined);
    const back = checkHello(host, hello);
    const options = { clock, timers, env, timeoutMs: wayBackMsMax };
    const connection = await connectBackup(command, back, options);
    await connection.close('the way is there');
    return okLine('way-back', `${name} can be reached, and tsremus answers there`);
  } catch (error) {
    const hint = error instanceof OperationError ? error.hint : undefined;
    return failLine('way-back', errorText(error), hint ?? readOn('way-back'));
  }
}

/** What the primary of a session is told of this host before that begins. */
export function sessionLook(
  host: ThisHost,
  hypervisor: Hypervisor,
  spec: GuestSpec,
  config: GuestConfig,
  { timing }: Hello,
): Promise<HostLook> {
  const ports = { ...answerCheckPorts(host), openHypervisor: async () => hypervisor };
  return lookForSession(ports, spec, config, timing.buffered);
}

/** What that compares it with; `toPeer`: the backup's address, where it is known. */
export function sessionFacts(
  host: ThisHost,
  info: HostInfo,
  toPeer: string | null,
): Promise<HostFacts> {
  return hostFacts(checkPorts(host), info, toPeer);
}

/** The same for a host that is asked by another one. */
export function answerCheckPorts(host: ThisHost): AnswerCheckPorts {
  const { env } = host;
  return {
    ...checkPorts(host),
    ends: { peer: peerAddress(env), own: addressFromEnvironment(env) },
    wayBackLine: (hello) => wayBackLine(host, hello),
  };
}
