/**
 * The programs of tsremus on simulated hosts: protect and its guard, receive, the fresh run that
 * answers a question, and the administrator's `tsremus status` and `tsremus stop`. Each is what
 * src/app puts together, over the simulator's ports; nothing here decides.
 */

import type { HostFacts } from '../../src/core/check/compare.ts';
import type { StopBy } from '../../src/core/primary/types.ts';
import type { Answer, Answered } from '../../src/core/vocabulary.ts';
import { type Farewell, type Guard, guardAfter, type StartGuard } from '../../src/guest/guard.ts';
import type { Watched } from '../../src/guest/keep-watch.ts';
import {
  findLeftCopy,
  lookAtCopy,
  loseLeftCopy,
  noteCopyEnded,
  runLeftCopy,
} from '../../src/guest/left-copy.ts';
import { findLost, loseGuest } from '../../src/guest/lost.ts';
import { type Leftovers, Recovery } from '../../src/guest/recovery.ts';
import { watchProtect } from '../../src/guest/stopped-protect.ts';
import { errorText, OperationError } from '../../src/host/errors.ts';
import type { HostPorts } from '../../src/host/ports.ts';
import type { HelloContent } from '../../src/link/connect.ts';
import { protocolVersion } from '../../src/link/frame.ts';
import type { Hello, HelloAccepted } from '../../src/link/hello-message.ts';
import type { Message } from '../../src/link/messages.ts';
import { nullBuffer } from '../../src/output/port.ts';
import { openRecord } from '../../src/permission/record.ts';
import { isSettled } from '../../src/registry/port.ts';
import { judgeSession } from '../../src/registry/report.ts';
import type { SessionStatus } from '../../src/registry/status.ts';
import { type AnswerPorts, answerAsk, byPerson } from '../../src/session/backup/answer.ts';
import {
  prepareReception,
  Reception,
  type ReceptionPorts,
} from '../../src/session/backup/reception.ts';
import type { ProtectOptions } from '../../src/session/options.ts';
import { inspectGuest, refuseUnsettled } from '../../src/session/primary/preflight.ts';
import {
  type BackupConnection,
  Protection,
  type ProtectionPorts,
} from '../../src/session/primary/protection.ts';
import { simDisks } from './disk-part.ts';
import { FreshAsk } from './fresh-ask.ts';
import type { SimHost } from './host.ts';
import { Connection, type Side } from './link.ts';
import { outputPort } from './output-port.ts';
import type { SimProcess } from './process.ts';
import { offered, SimPulse } from './pulse.ts';
import { stateDirectory } from './record.ts';
import { simDecoder, simEncoder } from './stream.ts';
import { SimLink } from './wire.ts';
import type { World } from './world.ts';

const mebibyte = 1024 ** 2;
/** An SSH client, and HELLO after it, give up. */
const helloTimeoutMs = 10_000;
/** A guard that does not say that it watches is not waited for any longer. */
const guardMsMax = 10_000;

function optionsOf({ plan, b, guestName }: World): ProtectOptions {
  const { config } = plan;
  const { schedule } = config;
  return {
    domain: guestName,
    host: `host${b.side}`,
    interval: schedule.kind === 'fixed' ? schedule.intervalMs : 'auto',
    maxOverheadPercent: schedule.kind === 'auto' ? 100 * schedule.maxOverhead : 20,
    pendingMax: config.pendingMax,
    maxMemoryBytes: 256 * mebibyte,
    heartbeatTimeoutMs: config.heartbeatTimeoutMs,
    holdMs: config.holdMs,
    withoutWitness: config.withoutWitness,
    sshCommand: null,
    compression: true,
    wait: true,
    network: config.buffered,
    netbufScript: null,
    bufferLimitBytes: 64 * mebibyte,
    disk: true,
    forceUnsafe: !config.buffered,
  };
}

/** An answer by whichever process of host B can give it. */
export function askHostB(
  world: World,
  status: AskedSession,
  again: (process: SimProcess) => Promise<void>,
): Promise<Answer> {
  const process = world.b.start('tsremus receive (question)', world);
  world.checker.asked();
  return answerAsk(status, answerPortsOf(world.b, process), () => again(process))
    .then((answer) => {
      world.checker.answered(answer.kind);
      return answer;
    })
    .finally(() => process.exit());
}

type AskedSession = Parameters<typeof answerAsk>[0];

function answerPortsOf(host: SimHost, process: SimProcess): AnswerPorts {
  const ports = host.portsOf(process);
  const hypervisor = host.hypervisor.portFor(process);
  return {
    ...ports,
    registry: host.registry.portFor(process),
    hypervisor: async () => hypervisor,
    // Where a question waits less than it does in a real network.
    ownerSilenceMs: host.world.plan.askTimeoutMs / 3,
    record: (uuid, session) => openRecord(ports.settings.stateDirectory, uuid, session, ports),
  };
}

/** A guard: a process that its parent's death does not reach. */
function startGuard(host: SimHost, parent: SimProcess): StartGuard {
  return (guarded) => {
    const { world } = parent;
    const process = host.start('tsremus guard', world);
    let farewell: Farewell = { kind: 'none' };
    let isGone = false;
    let beats = 0;
    let watching = (_does: boolean): void => {};
    const ports = guardPorts(host, process);
    const watched = watchProtect(ports, guarded, { beats: () => beats, isOver: () => isGone });
    const after = (): void => {
      if (isGone) return;
      isGone = true;
      process.run(() => {
        watched
          .then(() => guardAfter(ports, guarded, farewell, () => watching(true)))
          .catch(() => {})
          .finally(() => {
            watching(false);
            process.exit();
          });
      });
    };
    let isTold = false;
    const gone = new Promise<string>((resolve) => {
      process.onExit(() => parent.later(0, () => isTold || resolve('killed')));
    });
    process.onExit(() => watching(false));
    parent.onExit(() => world.after(0, after));
    const ready = new Promise<void>((resolve) => parent.later(world.plan.delayMsMin, resolve));
    const leaveTo = (said: Farewell) =>
      new Promise<boolean>((resolve) => {
        if (!process.isAlive) return resolve(false);
        isTold = true;
        watching = (does) => parent.later(0, () => resolve(does));
        parent.later(guardMsMax, () => resolve(false));
        parent.call('farewell', () => {
          farewell = said;
          after();
        });
      });
    const guard: Guard = {
      ready,
      gone,
      beat() {
        beats += 1;
      },
      done() {
        isTold = true;
        parent.call('farewell', () => {
          farewell = { kind: 'done' };
          after();
        });
      },
      watch: ({ id }, duties) => leaveTo({ kind: 'watch', id, duties }),
      standIn: () => leaveTo({ kind: 'stand-in' }),
    };
    return guard;
  };
}

function guardPorts(host: SimHost, process: SimProcess) {
  const recovery = recoveryOf(host, process);
  const leftovers: Leftovers = {
    of: async ({ ref, session }) => leftOnA(host, ref.uuid, session),
    settle: (status, order) => recovery.settle(status, order),
    mayGoOn: (status) => recovery.mayGoOn(status),
  };
  let isStopped = false;
  process.onTerm(() => {
    isStopped = true;
  });
  return {
    ...host.portsOf(process),
    registry: host.registry.portFor(process),
    hypervisor: host.hypervisor.portFor(process),
    leftovers,
    noteEnded({ ref, session }: Watched) {
      const ports = host.portsOf(process);
      return noteCopyEnded(openRecord(stateDirectory, ref.uuid, session, ports));
    },
    isStopped: () => isStopped,
  };
}

/** The primary's session that died and was not settled; null: there is none. */
function leftOnA(host: SimHost, uuid: string, session: string): SessionStatus | null {
  const left = host.registry.entries().find(({ status, liveness }) => {
    if (status.role !== 'primary' || liveness === 'alive' || isSettled(status)) return false;
    return status.uuid === uuid && status.session === session;
  });
  return left?.status ?? null;
}

/** A fresh run of the transport, from host A. */
function askFromA(world: World, process: SimProcess, question: AskedSession): Promise<Answered> {
  return new Promise<Answered>((resolve, reject) => {
    process.call('ask', () => {
      new FreshAsk(world, question, {
        isAlive: () => process.isAlive,
        answered: (answered) => process.run(() => resolve(answered)),
        failed: (reason) =>
          process.run(() => {
            reject(new OperationError('peer-unreachable', reason, { op: 'ask' }));
          }),
      }).start();
    });
  });
}

function recoveryOf(host: SimHost, process: SimProcess): Recovery {
  const { world } = process;
  const registry = host.registry.portFor(process);
  const hypervisor = host.hypervisor.portFor(process);
  return new Recovery({
    clock: process.time.clock,
    hypervisor: async () => hypervisor,
    registry,
    listAll: async () => registry.sessions(),
    leftOutput: async () => {
      const { holder } = world;
      const { buffer } = holder;
      return buffer === null ? nullBuffer : outputPort(holder, buffer, process);
    },
    askBackup: (status) => world.machines.askBackup(() => askFromA(world, process, status), status),
    answerHere: (status) => askHostB(world, status, byPerson),
    lookAtCopy: (status) => lookAtCopy(status, leftCopyPortsOf(host, process)),
    loseCopy: (status) => loseLeftCopy(status, leftCopyPortsOf(host, process)),
    noteMayOpen: async () => {},
    startGuard: startGuard(host, process),
  });
}

/** What `tsremus status` says: how well the session is, in a word, and what it does. */
export interface Said {
  readonly level: string;
  readonly state: string;
}

/** `tsremus status` on that host, now. */
export function statusOn({ a, b, guestUuid }: World, side: Side): Said {
  const host = side === 'a' ? a : b;
  const role = side === 'a' ? 'primary' : 'backup';
  const entry = host.registry
    .entries()
    .find(({ status }) => status.role === role && status.uuid === guestUuid);
  if (entry === undefined) return { level: 'unknown', state: 'ended' };
  const now = { wallMs: host.wallMs(), sinceBootMs: host.world.nowMs };
  return judgeSession(entry.status, entry.liveness, now);
}

/** `tsremus stop` of what a dead protect left on host A. */
export async function stopLeft(world: World, force: boolean): Promise<string> {
  const { a, guestUuid } = world;
  const process = a.start('tsremus stop', world);
  try {
    const left = a.registry.entries().find(({ status, liveness }) => {
      const isIts = status.role === 'primary' && status.uuid === guestUuid;
      return isIts && liveness !== 'alive' && !isSettled(status);
    });
    if (left === undefined) return 'nothing left';
    const result = await recoveryOf(a, process).stop(left.status, { force, destroy: false });
    return result.outcome.kind;
  } finally {
    process.exit();
  }
}

function leftCopyPortsOf(host: SimHost, process: SimProcess) {
  const { store } = host.portsOf(process);
  return { ...answerPortsOf(host, process), store, stateDirectory };
}

/** `tsremus failover` on host B of what a dead receive left, by an administrator who `said` so. */
export async function runLeft(world: World, said: 'order' | 'word'): Promise<string> {
  const { b } = world;
  const process = b.start('tsremus failover', world);
  const ports = leftCopyPortsOf(b, process);
  try {
    const copy = await findLeftCopy(world.guestName, ports);
    if (copy === null) return 'no copy';
    return await runLeftCopy(copy, said, {
      ...ports,
      ...process.time,
      startGuard: startGuard(b, process),
      log: b.portsOf(process).openLog('failover'),
      announce: async () => {},
    });
  } catch (error) {
    return errorText(error);
  } finally {
    process.exit();
  }
}

/** `tsremus stop --lost` on host B, by an administrator who is sure. */
export async function declareLost(world: World): Promise<string> {
  const { b } = world;
  const process = b.start('tsremus stop --lost', world);
  const ports = leftCopyPortsOf(b, process);
  try {
    await loseGuest(ports, await findLost(ports, world.guestName));
    return 'lost';
  } catch (error) {
    return errorText(error);
  } finally {
    process.exit();
  }
}

/**
 * `tsremus protect`, in a process of its own. Resolves with how it ended; never for a killed one.
 */
export async function protect(world: World, process: SimProcess): Promise<string> {
  const { a, machines } = world;
  const ports = a.portsOf(process);
  const registry = a.registry.portFor(process);
  const hypervisor = a.hypervisor.portFor(process);
  const options = optionsOf(world);
  const disks = simDisks(process);
  const guest = await inspectGuest(hypervisor, world.guestName, options, disks);
  const subject = { uuid: guest.ref.uuid, domain: guest.name, role: 'primary' } as const;
  const claim = await registry.claimSession(subject);
  refuseUnsettled(claim, guest);
  const signals: ((by: StopBy) => void)[] = [];
  process.onTerm(() => {
    for (const hear of signals) hear('sigterm');
  });
  const session: ProtectionPorts = {
    ...ports,
    registry,
    hypervisor,
    step(state, event) {
      world.heardOnA(event);
      const step = machines.stepPrimary(state, event);
      world.decidingOnA(step.effects);
      return step;
    },
    backup: {
      connect: (hello, signal) => connect(world, process, hello, signal),
      ask: (hello) => askFromA(world, process, hello),
      followPulse: (_offer, _session, onHeard) => {
        const pulse = new SimPulse(process, 'a', onHeard);
        if (world.pulseOfB !== null) {
          pulse.peer = world.pulseOfB;
          world.pulseOfB.peer = pulse;
        }
        return pulse;
      },
    },
    startGuard: startGuard(a, process),
    openOutput: async () => {
      const { buffer } = world;
      world.openedOutput();
      return buffer === null ? nullBuffer : outputPort(world, buffer, process);
    },
    openEncoder: async () => simEncoder(),
    disks,
    factsHere: async () => factsOf('hosta'),
    onEndSignals: (hear) => signals.push(hear),
  };
  const reporter = { seedProgress() {}, event() {} };
  const log = ports.openLog('protect');
  const set = {
    options,
    reporter,
    guest,
    claim,
    log,
    ending: new AbortController(),
    hypervisorVersion: null,
    features: [],
  };
  const protection = new Protection(session, set);
  world.protection = protection;
  try {
    const { outcome } = await protection.run();
    return outcome.kind;
  } finally {
    claim.release('as-before');
  }
}

/** Hosts that have nothing to compare. */
function factsOf(host: string): HostFacts {
  const unknown = { hypervisor: null, cpus: null, processor: null, mtuBytes: null };
  return { host, tsremus: 'sim', features: [], ...unknown };
}

/** The transport's way to `tsremus receive` on host B, and HELLO. */
function connect(
  world: World,
  process: SimProcess,
  content: HelloContent,
  signal: AbortSignal,
): Promise<BackupConnection> {
  const { network, b } = world;
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void => process.run(() => reject(error));
    process.later(helloTimeoutMs, () => refuse('hostb does not answer'));
    signal.addEventListener('abort', () => fail(new Error('aborted')));
    const refuse = (text: string): void => {
      fail(new OperationError('peer-unreachable', text, { op: 'connect' }));
    };
    process.call('connect', () => {
      world.session = content.session;
      world.after(network.delayMs() * 2, () => {
        if (!network.isWhole || !b.isUp) return refuse('no route to hostb');
        const hello: Hello = { kind: 'hello', protocol: protocolVersion, ...content };
        receive(world, hello).then(
          ({ reply, link }) => world.after(network.delayMs(), () => accept(reply, link)),
          (error) => world.after(network.delayMs(), () => fail(error)),
        );
      });
    });
    const accept = (reply: HelloAccepted, far: SimLink): void => {
      const link = new SimLink(process, 'a');
      const connection = new Connection<Message>(world.paths, { a: link, b: far }, (side) =>
        side === 'a' ? world.a.isUp : world.b.isUp,
      );
      far.open(connection);
      world.linked(connection, link, far);
      // Nobody is there any more: its kernel says so, unless the host is gone, too.
      if (!process.isAlive) return world.a.isUp ? connection.processDied('a') : undefined;
      link.open(connection);
      const close = (reason: string) => link.close(reason);
      process.run(() => resolve({ link, reply, there: (line) => line, close }));
    };
  });
}

/** `tsremus receive` on host B. Resolves when it has accepted; then it runs on by itself. */
async function receive(
  world: World,
  said: Hello,
): Promise<{ readonly reply: HelloAccepted; readonly link: SimLink }> {
  const { b, machines } = world;
  const hello = machines.hears(said);
  // The guest is there with its primary, and a copy of it that was left here is not needed.
  for (const former of world.first.sessions) {
    if (former !== world && former.guestUuid === world.guestUuid) former.checker.asked();
  }
  const process = b.start('tsremus receive', world);
  world.receive = process;
  const link = new SimLink(process, 'b');
  const ports: ReceptionPorts = {
    ...b.portsOf(process),
    registry: b.registry.portFor(process),
    hypervisor: b.hypervisor.portFor(process),
    step(state, event) {
      const step = machines.stepBackup(state, event);
      world.decidingOnB(step);
      return step;
    },
    async offerPulse(_session, _log, onHeard) {
      world.pulseOfB = new SimPulse(process, 'b', onHeard);
      return offered(world.pulseOfB);
    },
    openDecoder: async (_agreed, allocate) => simDecoder(allocate),
    look: async () => ({ lines: [], facts: factsOf('hostb'), address: null }),
    disks: simDisks(process),
    announce: async () => {},
    onLeaveRequest: (hear) => process.onTerm(hear),
  };
  const options = { wait: true, maxMemoryBytes: null };
  const prepared = await prepareReception(ports, hello, options).catch((error: unknown) => {
    process.exit();
    throw error;
  });
  const reception = new Reception(ports, prepared, link);
  const reply: HelloAccepted = {
    kind: 'hello-accepted',
    ...speakerOf(ports, hello),
    pulse: prepared.pulseOffer,
    stream: prepared.stream,
    features: prepared.features,
    checks: hello.checks ?? false,
  };
  process.later(0, () => {
    reception.run().then(
      (outcome) => world.received(outcome.kind, process),
      (error) => world.broke(error),
    );
  });
  return { reply, link };
}

function speakerOf(ports: HostPorts, { capabilities }: Hello) {
  const { hostName: host } = ports.settings;
  return { protocol: protocolVersion, tsremus: 'sim', xen: null, host, capabilities };
}
