/** `tsremus stop` of what dead sessions left: the recovery of src/guest on this host. */
import type { Environment } from '../config/settings.ts';
import { version } from '../config/version.ts';
import { heartbeatTimeoutMsMin, holdMsMin } from '../core/limits.ts';
import type { StopResult } from '../core/outcomes.ts';
import type { RecoveryOrder } from '../core/permission/recovery.ts';
import { agreementDefault } from '../core/permission/tie.ts';
import type { StopOutcome } from '../core/texts/outcomes.ts';
import type { Answered } from '../core/vocabulary.ts';
import { leftOf, listAll } from '../guest/left-buffers.ts';
import { type LeftCopyPorts, lookAtCopy, loseLeftCopy } from '../guest/left-copy.ts';
import { findLost, type LostGuest, type LostPorts, loseGuest } from '../guest/lost.ts';
import { type Leftovers, Recovery } from '../guest/recovery.ts';
import { OperationError } from '../host/errors.ts';
import type { Hypervisor } from '../hypervisor/port.ts';
import type { HelloContent } from '../link/connect.ts';
import { transportCommand } from '../link/transport-command.ts';
import { readState, writeState } from '../output/plug/state-file.ts';
import { noteStopped } from '../registry/noting.ts';
import type { SessionStatus } from '../registry/status.ts';
import { answerAsk, byPerson } from '../session/backup/answer.ts';
import { askByCommand } from './backup.ts';
import { cedeLeft, goOnAlone, repairDisks } from './disks.ts';
import { startGuard } from './guard.ts';
import { notingParts, type ThisHost, thisHost, thisHypervisor, thisRegistry } from './host.ts';
import { leftBufferPorts } from './listing.ts';
import { followLeftMarks } from './lvm.ts';
import { bufferStatePath, leftOutput } from './output.ts';
import { answerPorts } from './receive.ts';

/** What a session's backup is asked by. */
type Asked = Pick<
  SessionStatus,
  | 'domain'
  | 'uuid'
  | 'session'
  | 'transport'
  | 'heartbeat_timeout_ms'
  | 'buffered'
  | 'without_witness'
>;

/** Asks for the promise, on a person's word. Rejects when there was no answer. */
export async function askBackup(host: ThisHost, status: Asked): Promise<Answered> {
  if (status.transport === null) {
    throw new OperationError('storage', 'nothing here says which host has its copy', {
      op: 'ask-backup',
      subject: status.domain,
    });
  }
  const { host: peer, ssh_command: sshCommand } = status.transport;
  const command = transportCommand(peer, sshCommand ?? undefined);
  const hello: HelloContent = {
    tsremus: version,
    xen: null,
    host: host.settings.hostName,
    capabilities: { codecs: ['none'], disks: [] },
    purpose: 'promise',
    domain: status.domain,
    uuid: status.uuid,
    session: status.session,
    timing: {
      // Of a question only the timeout counts: an answer is asked for again that comes later (E1).
      heartbeatTimeoutMs: Math.max(heartbeatTimeoutMsMin, status.heartbeat_timeout_ms),
      holdMs: holdMsMin,
      buffered: status.buffered,
      withoutWitness: status.without_witness ?? agreementDefault,
    },
    memoryBytes: 0,
    cacheBytes: 0,
    noWait: false,
  };
  return askByCommand(host, command, hello, 'person');
}

async function noteMayOpen(host: ThisHost, status: SessionStatus): Promise<void> {
  const { domain, domid, uuid, session } = status;
  if (domid === null) return;
  const { runDirectory } = host.settings;
  await host.store.ensureDir(runDirectory);
  const path = bufferStatePath(runDirectory, uuid);
  const known = await readState(host.store, path).catch(() => null);
  const state = known ?? { schema: 1, domain, domid, uuid, session, interfaces: [] };
  await writeState(host.store, path, { ...state, may_open: true });
}

function recoveryOf(host: ThisHost, hypervisor: () => Promise<Hypervisor>): Recovery {
  return new Recovery({
    clock: host.clock,
    hypervisor,
    registry: thisRegistry(host),
    listAll: () => listAll(leftBufferPorts(host)),
    leftOutput: (uuid, id) => leftOutput(host, uuid, id),
    askBackup: (status) => askBackup(host, status),
    answerHere: (status) => answerAsk(status, answerPorts(host, hypervisor), byPerson),
    lookAtCopy: (status) => lookAtCopy(status, leftCopyPorts(host, hypervisor)),
    loseCopy: (status) => loseLeftCopy(status, leftCopyPorts(host, hypervisor)),
    noteMayOpen: (status) => noteMayOpen(host, status),
    startGuard: startGuard(host),
  });
}

/** Where the guest goes on here without its copy its disks are newer from now on, else older. */
async function notedOfDisks<Result extends { readonly outcome: StopOutcome }>(
  host: ThisHost,
  status: SessionStatus,
  result: Result,
): Promise<Result> {
  const { outcome } = result;
  // Of one whose buffer could not be opened that was decided, too.
  const isAlone =
    outcome.kind === 'stopped' || (outcome.kind === 'held' && outcome.mayOpen === true);
  if (status.role === 'backup') await followLeftMarks(host, status.uuid);
  if (status.role !== 'primary') return result;
  if (isAlone) await goOnAlone(host, status, () => {});
  else if (outcome.kind === 'taken-over') await cedeLeft(host, status, () => {});
  return result;
}

/** What dead sessions left on this host, found and settled. */
export function leftoversOf(host: ThisHost, hypervisor: () => Promise<Hypervisor>): Leftovers {
  const recovery = recoveryOf(host, hypervisor);
  return {
    of: (guest) => leftOf(leftBufferPorts(host), guest),
    async settle(status, order) {
      await repairDisks(host, status);
      return recovery.settle(status, order).then((result) => notedOfDisks(host, status, result));
    },
    mayGoOn: (status) => recovery.mayGoOn(status),
  };
}

/** The recovery of a command: the hypervisor is opened when it is needed, once. */
function recoveryHere(host: ThisHost): Recovery {
  let opened: Promise<Hypervisor> | null = null;
  return recoveryOf(host, () => {
    opened ??= thisHypervisor(host);
    return opened;
  });
}

/** Ends what is left of a dead session, as permitted, and leaves its guest watched. */
export async function stopLeftover(
  status: SessionStatus,
  order: RecoveryOrder,
  env: Environment,
): Promise<StopResult> {
  // Its writes may wait for it, whoever may go on.
  const host = thisHost(env);
  const said = await repairDisks(host, status);
  let result: StopResult;
  try {
    result = await recoveryHere(host).stop(status, order);
    await notedOfDisks(host, status, result);
    noteStopped(result, status, notingParts(host));
  } finally {
    await host.events.settled();
  }
  if (said.length === 0) return result;
  const detail = [result.detail, ...said].filter((one) => one !== undefined).join('; ');
  return { ...result, detail };
}

/** What finds a guest that took over here, or a copy that a dead process left. */
export function leftCopyPorts(
  host: ThisHost,
  open: () => Promise<Hypervisor>,
): LeftCopyPorts & LostPorts {
  const { store, settings } = host;
  return { ...answerPorts(host, open), store, stateDirectory: settings.stateDirectory };
}

function lostPorts(env: Environment): LostPorts {
  const host = thisHost(env);
  return leftCopyPorts(host, () => thisHypervisor(host));
}

/** The guest that took over on this host and is not here any more; throws where there is none. */
export function lostGuest(name: string, env: Environment): Promise<LostGuest> {
  return findLost(lostPorts(env), name);
}

/** Takes a person's word that it is lost, so that the other host may go on. */
export async function declareLost(guest: LostGuest, env: Environment): Promise<void> {
  const host = thisHost(env);
  await loseGuest(
    leftCopyPorts(host, () => thisHypervisor(host)),
    guest,
  );
  const { domain, uuid, peer, epoch, sessions } = guest;
  const session = sessions.at(-1) ?? '';
  const of = { domain, uuid, peer, epoch, session, role: 'backup', pid: process.pid } as const;
  noteStopped({ outcome: { kind: 'lost' } }, of, notingParts(host));
  await host.events.settled();
}

/** What is left of the guest called `name` where only devices are; null: nothing. */
export function leftBufferNamed(name: string, env: Environment): Promise<SessionStatus | null> {
  return recoveryHere(thisHost(env)).bufferNamed(name);
}
