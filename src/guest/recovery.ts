/**
 * Cleans up what a session left whose process died: `tsremus stop` when nobody is there to be told.
 *
 * The primary's guest may be suspended (the guard resumes it, if it lives), paused by us, or run.
 * Going on here needs the permission, asked by a fresh run of the transport, or the word of the
 * administrator that the copy is dead.
 */
import { hostname } from 'node:os';
import { runDirectory } from '../config/settings.ts';
import { version } from '../config/version.ts';
import { adviceLines } from '../core/texts/advice.ts';
import type { Answer } from '../core/vocabulary.ts';
import { systemClock, systemTimers } from '../host/clock.ts';
import { errorText } from '../host/errors.ts';
import type { Hypervisor } from '../hypervisor/port.ts';
import { identity } from '../hypervisor/xen/guest-config.ts';
import { openXen } from '../hypervisor/xen/xen.ts';
import { askFresh } from '../link/connect.ts';
import { transportCommand } from '../link/transport-command.ts';
import { forgetSession, listSessions } from '../registry/run-directory.ts';
import type { SessionStatus } from '../registry/status.ts';
import { decide } from '../session/backup/answer.ts';
import { destroyCopy } from '../session/backup/copy.ts';
import type { StopResult } from '../session/options.ts';
import { leftOutput, openForGood } from '../session/output.ts';

const askTimeoutMs = 15_000;

export interface StopOrder {
  /** The administrator vouches that the copy never ran and never will. */
  readonly force: boolean;
  /** Give the guest up on this host: no permission is needed, nothing that it held gets out. */
  readonly destroy?: boolean;
}

/** Ends what is left of a dead session, as permitted, and leaves it to be seen. */
export async function settleLeftover(status: SessionStatus, order: StopOrder): Promise<StopResult> {
  return status.role === 'primary' ? stopPrimary(status, order) : stopBackup(status);
}

/** Takes a dead session out of sight. */
export function forgetLeftover(status: SessionStatus): void {
  const { sessions } = listSessions(runDirectory(process.env));
  for (const entry of sessions) {
    const same = entry.status.session === status.session && entry.status.role === status.role;
    if (same && entry.liveness !== 'alive') forgetSession(entry);
  }
}

async function stopPrimary(
  status: SessionStatus,
  { force, destroy }: StopOrder,
): Promise<StopResult> {
  const xen = await openXen();
  const domid = await ownGuest(xen, status);
  if (domid === null) {
    // Its interfaces are gone with it: nothing that is still held can go anywhere.
    await dropLeft(status);
    return { outcome: { kind: 'guest-ended', reason: 'the guest is not on this host any more' } };
  }
  if (destroy) {
    await destroyDry(xen, domid, status);
    return { outcome: { kind: 'destroyed' } };
  }
  if (force) return letRun(xen, domid, status, `${status.domain} runs on here`);
  // A permission is final: nobody is asked twice, and need not be there any more.
  if (status.may_open) return letRun(xen, domid, status);
  let answer: Answer;
  try {
    answer = await ask(status);
  } catch (error) {
    // Not even in the seed: it may be whole over there, its acknowledgement lost with the process.
    return staysHeld(status, errorText(error));
  }
  switch (answer.kind) {
    case 'promised':
      return letRun(xen, domid, status);
    case 'active':
      if (!answer.running) break;
      await destroyDry(xen, domid, status);
      return { outcome: { kind: 'taken-over' } };
    case 'activating':
    case 'unknown':
      break;
  }
  const reason = {
    active: 'the copy goes on there but was not seen to run',
    activating: 'the backup has not decided yet',
    unknown: 'the backup has no record of this session, which is no promise',
  }[answer.kind as 'active' | 'activating' | 'unknown'];
  return staysHeld(status, reason);
}

/** Without the permission there is one thing that may be done unasked: giving the guest up here. */
function staysHeld({ domain, peer }: SessionStatus, reason: string): StopResult {
  const next = adviceLines([
    { kind: 'stop-vouch', domain, peer },
    { kind: 'stop-destroy', domain },
  ]);
  return { outcome: { kind: 'held', reason }, next };
}

/** First the buffer: what it holds may keep pages of the guest, and the destroy would wait. */
async function destroyDry(xen: Hypervisor, domid: number, status: SessionStatus): Promise<void> {
  await dropLeft(status);
  await xen.destroy(domid);
}

/**
 * The same with name and UUID of the guest, which devices alone do not tell; as it was where the
 * guest is gone, or known already. A domain number is not used again before a host is booted anew.
 */
export async function identified(status: SessionStatus): Promise<SessionStatus> {
  if (status.uuid !== '' || status.domid === null) return status;
  const xen = await openXen();
  const info = await xen.info(status.domid);
  if (info === null || info.dying) return status;
  const { name } = identity(await xen.config(status.domid));
  return { ...status, uuid: info.uuid, domain: name ?? status.domain };
}

/** The number of a domain by its name; null where there is none, or Xen does not say. */
export async function domainNumber(name: string): Promise<number | null> {
  return openXen()
    .then((xen) => xen.find(name))
    .catch(() => null);
}

/** The session's guest on this host; null when it is gone. */
async function ownGuest(xen: Hypervisor, status: SessionStatus): Promise<number | null> {
  if (status.domid === null) return null;
  const info = await xen.info(status.domid);
  return info === null || info.uuid !== status.uuid || info.dying ? null : status.domid;
}

async function dropLeft({ uuid, domid }: SessionStatus): Promise<void> {
  const left = await leftOutput(uuid, domid);
  await left.drop().finally(() => left.close());
}

/**
 * With the permission, undoes what the dead session left the guest in: suspended, paused, mute.
 * `text`: what to say where it is done.
 */
async function letRun(
  xen: Hypervisor,
  domid: number,
  status: SessionStatus,
  text?: string,
): Promise<StopResult> {
  const info = await xen.info(domid);
  const isSuspended = info?.shutdownReason === 'suspend';
  if (info?.shutdown && isSuspended) await xen.resume(domid);
  if (info?.paused && status.guest_paused) await xen.unpause(domid);
  const isOver = info === null || (info.shutdown && !isSuspended);
  const unopened = await openLeft(status, isOver);
  if (unopened !== null) return { outcome: { kind: 'held', reason: unopened, mayOpen: true } };
  return { outcome: { kind: 'stopped', by: 'command' }, ...(text === undefined ? {} : { text }) };
}

async function openLeft({ uuid, domid }: SessionStatus, isOver: boolean): Promise<string | null> {
  try {
    const left = await leftOutput(uuid, domid);
    const unopened = await openForGood(left, isOver, () => {});
    left.close();
    return unopened;
  } catch (error) {
    return errorText(error);
  }
}

async function ask(status: SessionStatus): Promise<Answer> {
  if (status.transport === null) throw new Error('nothing here says which host has its copy');
  const { host, ssh_command: sshCommand } = status.transport;
  const hello = {
    tsremus: version,
    xen: null,
    host: hostname(),
    capabilities: { codecs: ['none'], disks: [] },
    purpose: 'promise',
    domain: status.domain,
    uuid: status.uuid,
    session: status.session,
    timing: {
      heartbeatTimeoutMs: status.heartbeat_timeout_ms,
      holdMs: 0,
      buffered: status.buffered,
    },
    memoryBytes: 0,
    cacheBytes: 0,
    noWait: false,
  } as const;
  const options = { clock: systemClock, timers: systemTimers, timeoutMs: askTimeoutMs };
  const answer = await askFresh(transportCommand(host, sshCommand ?? undefined), hello, 1, options);
  if (answer.kind === 'standby') throw new Error('the backup did not decide');
  return answer;
}

/** A copy whose process died cannot be continued by anybody: its remains go. */
async function stopBackup(status: SessionStatus): Promise<StopResult> {
  const { domain, uuid, session } = status;
  const answer = await decide({ purpose: 'promise', domain, uuid, session });
  switch (answer.kind) {
    case 'active':
      return { outcome: { kind: 'activated', epoch: status.epoch ?? 0, why: 'it took over' } };
    case 'promised':
      return { outcome: { kind: 'promised' } };
    case 'unknown':
      await destroyCopy(await openXen(), domain, uuid, 'waiting');
      return { outcome: { kind: 'promised' } };
    default:
      return { outcome: { kind: 'held', reason: 'the copy is being activated' } };
  }
}
