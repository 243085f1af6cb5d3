/**
 * The units of our own processes (src/host/scope.ts): of a session that a person started in a
 * login, of its guards, which outlive it, and of the owner of a copy, which a login of the other
 * host started.
 */
import { unitStopMs } from '../core/limits.ts';
import { enterScope, unitOf } from '../host/scope.ts';
import type { ThisHost } from './host.ts';

/**
 * What both need to ask the other host, and what would meddle with a guest or a copy meanwhile:
 * xendomains shuts down or saves whatever runs. Those that a host does not have mean nothing.
 */
const needed: readonly string[] = [
  ...['local-fs.target', 'network.target', 'network-online.target', 'networking.service'],
  ...['NetworkManager.service', 'systemd-networkd.service', 'openvswitch-switch.service'],
  ...['ssh.service', 'sshd.service', 'ssh.socket', 'sshd.socket'],
  ...['xen.service', 'xenstored.service', 'xenconsoled.service', 'xendomains.service'],
];

/**
 * By which systemd asks a session, or the owner of a copy, to end. It goes to all processes of the
 * unit, and the transport, or the one that saves or restores the guest, would end by SIGTERM:
 * without a handler this one does nothing.
 */
export const leaveSignal = 'SIGURG';

type Host = Pick<ThisHost, 'timers' | 'refusals'>;

/** Tells in status, by way of the host's refusals, where it cannot be. */
export function unitForCopy(host: Host, uuid: string, domain: string): Promise<void> {
  const own = unitOf('self');
  const scope = {
    unit: `tsremus-receive-${uuid}-${process.pid}.scope`,
    description: `tsremus: the copy of ${domain}`,
    // The login's, too: its connection leads to the primary.
    after: own === null ? needed : [own, ...needed],
    before: [],
    killSignal: leaveSignal,
    stopMs: unitStopMs,
  } as const;
  const say = (text: string) => host.refusals.push(text);
  return enterScope(process.pid, 'the copy', scope, host.timers, say);
}

/**
 * This process, a session in the background: where its login ends, or the host shuts down, it is
 * asked while the network is there, and before xendomains shuts the guest down.
 */
export function unitForSession(host: Host, uuid: string, domain: string): Promise<void> {
  const scope = {
    unit: `tsremus-protect-${uuid}-${process.pid}.scope`,
    description: `tsremus: protects ${domain}`,
    after: needed,
    before: [],
    killSignal: leaveSignal,
    stopMs: unitStopMs,
  } as const;
  const say = (text: string) => host.refusals.push(text);
  return enterScope(process.pid, 'the session', scope, host.timers, say);
}

/** The guard with this pid, started by us. It is stopped after us. */
export function unitForGuard(host: Host, pid: number, uuid: string, domain: string): Promise<void> {
  const own = unitOf('self');
  const scope = {
    unit: `tsremus-guard-${uuid}-${pid}.scope`,
    description: `tsremus: the guard of ${domain}`,
    after: needed.filter((unit) => unit !== own),
    before: own === null ? [] : [own],
    killSignal: 'SIGTERM',
    stopMs: unitStopMs,
  } as const;
  const say = (text: string) => host.refusals.push(text);
  return enterScope(pid, 'the guard', scope, host.timers, say);
}

/**
 * The disk guard with this pid, started by us. Guests write until xendomains has shut them down,
 * so it is stopped after that, and after us.
 */
export function unitForDiskGuard(
  host: Host,
  pid: number,
  uuid: string,
  domain: string,
): Promise<void> {
  const own = unitOf('self');
  const guests = 'xendomains.service';
  const scope = {
    unit: `tsremus-disk-guard-${uuid}-${pid}.scope`,
    description: `tsremus: the disk guard of ${domain}`,
    after: ['local-fs.target'],
    before: own === null || own === guests ? [guests] : [own, guests],
    killSignal: 'SIGTERM',
    stopMs: unitStopMs,
  } as const;
  const say = (text: string) => host.refusals.push(text);
  return enterScope(pid, 'the disk guard', scope, host.timers, say);
}
