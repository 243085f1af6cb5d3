/**
 * `tsremus drill`: stops the session of a guest as a dead host would, and lets it go on when the
 * backup must have decided. The session then learns what was decided as after any other stop: it
 * asks before it does anything.
 */
import { spawn } from 'node:child_process';
import type { Environment } from '../config/settings.ts';
import { failsOnTheWayBack } from '../core/check/line.ts';
import type { DrillEnd } from '../core/drill.ts';
import { quoteWord } from '../core/texts/quote.ts';
import { sleep } from '../host/clock.ts';
import { OperationError } from '../host/errors.ts';
import { transportCommand } from '../link/transport-command.ts';
import type { SessionEntry } from '../registry/port.ts';
import { plainDisks } from '../session/disk-options.ts';
import { runCheck } from './check.ts';
import { type ThisHost, thisHost, thisHypervisor, thisRegistry } from './host.ts';

/** If this process ends in between, somebody else lets the session go on so much later, ms. */
const keeperMs = 5_000;
/** A checkpoint is soon over: between two looks, and so many, ms. */
const betweenMs = 5;
/** A guest obeys a request to suspend within that, as a rule, ms. */
const answerMs = 100;
const looksMax = 2_000;
const pollMs = 200;
/** From then on until the session has found out, ms: it asks as long as nobody answers. */
const settleMsMax = 180_000;
/** A session that has moved on for so long goes on, ms. */
const movedMs = 3_000;

function go(pid: number): void {
  try {
    process.kill(pid, 'SIGCONT');
  } catch {
    // It has ended.
  }
}

/** Whether a session would be drilled between two hosts that are not ready for each other. */
export async function checkBothWays(
  { status }: Pick<SessionEntry, 'status'>,
  argv: readonly string[],
  env: Environment,
): Promise<readonly { readonly text: string; readonly next: string | null }[]> {
  const { host, ssh_command: sshCommand } = status.transport ?? {
    host: status.peer,
    ssh_command: null,
  };
  const unsafe = { network: true, disk: true, allow: [] };
  const { lines } = await runCheck(
    { domain: status.uuid, host, sshCommand, unsafe, disks: plainDisks, fix: false, argv },
    env,
  );
  if (lines.some(({ name, level }) => name === 'root' && level === 'fail')) {
    throw new OperationError('not-root', 'only root may stop a session', { op: 'drill' });
  }
  // The guest is to come back.
  return lines.filter((line) => line.level === 'fail' || failsOnTheWayBack(line));
}

/**
 * Stops the process of the session between two checkpoints, in which its guest would be suspended
 * for as long, and its guard might end it. Throws `locked` where there is no such moment.
 */
async function stopBetween(
  host: ThisHost,
  pid: number,
  uuid: string,
  domid: number,
): Promise<void> {
  const hypervisor = await thisHypervisor(host);
  const runs = async (): Promise<boolean> => {
    const info = await hypervisor.info({ uuid, id: domid });
    return info?.state === 'here' && !info.paused;
  };
  for (let look = 0; look < looksMax; look += 1) {
    process.kill(pid, 'SIGSTOP');
    // Twice: it may have been asked to suspend just before, and not have done so yet.
    if (await runs()) {
      await sleep(host.timers, answerMs);
      if (await runs()) return;
    }
    go(pid);
    await sleep(host.timers, betweenMs);
  }
  throw new OperationError('locked', `no moment between two checkpoints of domain ${domid}`, {
    op: 'drill',
    subject: uuid,
  });
}

/** Carries it out. `tell` hears what happens; rejects where nothing was done. */
export async function runDrill(
  { status, ...entry }: SessionEntry,
  mutedMs: number,
  tell: (text: string) => void,
  env: Environment,
): Promise<DrillEnd> {
  const host = thisHost(env);
  const { clock, timers, bootClock } = host;
  const registry = thisRegistry(host);
  const { pid, uuid, domid } = status;
  const keeper = spawn('sh', ['-c', `sleep ${(mutedMs + keeperMs) / 1_000}; kill -CONT ${pid}`], {
    detached: true,
    stdio: 'ignore',
    cwd: '/',
  });
  keeper.unref();
  const beganMs = clock.nowMs();
  try {
    await stopBetween(host, pid, uuid, domid ?? -1);
    tell('its session is stopped');
    await sleep(timers, mutedMs);
  } finally {
    go(pid);
  }
  tell('its session goes on');
  const continuedMs = clock.nowMs();
  const continuedUptimeMs = bootClock.sinceBootMs();
  while (clock.nowMs() - continuedMs < settleMsMax) {
    const now = registry.refreshed({ status, ...entry });
    if (now === null) return { kind: 'other', how: 'the session is gone' };
    const { outcome, reason, state } = now.status;
    if (outcome === 'taken-over') return { kind: 'took-over', afterMs: clock.nowMs() - beganMs };
    if (outcome !== null) return { kind: 'other', how: reason ?? outcome };
    if (now.liveness !== 'alive') return { kind: 'other', how: 'the session died' };
    const hasMoved = (now.status.updated_uptime_ms ?? 0) >= continuedUptimeMs + movedMs;
    if (hasMoved && state === 'protected') return { kind: 'goes-on' };
    await sleep(timers, pollMs);
  }
  return { kind: 'other', how: 'this host has not learned what became of it' };
}

/**
 * Has the guest protected back, from where it runs, to this host, which is called `backPeer` there;
 * null: by its own name. False: nobody can know what runs a command there (a transport of one's
 * own).
 */
export async function protectBack(
  { status }: Pick<SessionEntry, 'status'>,
  backPeer: string | null,
  env: Environment,
): Promise<boolean> {
  const { transport, domain } = status;
  if (transport === null) return false;
  const { remoteShell } = transportCommand(transport.host, transport.ssh_command ?? undefined);
  if (remoteShell === null) return false;
  const hostName = backPeer ?? thisHost(env).settings.hostName;
  const words = ['tsremus', 'protect', '--', domain, hostName].map(quoteWord).join(' ');
  // The session is a process of its own: its window may go with the login.
  const there = `nohup ${words} >/dev/null 2>&1 </dev/null &`;
  const child = spawn('sh', ['-c', `exec ${remoteShell} ${quoteWord(there)}`], {
    stdio: 'ignore',
    cwd: '/',
  });
  return new Promise((resolve) => {
    child.once('error', () => resolve(false));
    child.once('exit', (code) => resolve(code === 0));
  });
}

/** Resolves with true once a copy of the guest is held here, whole; false: not within `limitMs`. */
export async function awaitBack(
  uuid: string,
  limitMs: number,
  tell: (text: string) => void,
  env: Environment,
): Promise<boolean> {
  const host = thisHost(env);
  const { clock, timers } = host;
  const registry = thisRegistry(host);
  const endMs = clock.nowMs() + limitMs;
  let told = '';
  while (clock.nowMs() < endMs) {
    const held = registry.sessions().sessions.find(({ status, liveness }) => {
      return status.uuid === uuid && status.role === 'backup' && liveness === 'alive';
    });
    const state = held?.status.state ?? '';
    if (state !== '' && state !== told) tell(`its copy here: ${state}`);
    told = state;
    if (state === 'standby') return true;
    await sleep(timers, pollMs);
  }
  return false;
}
