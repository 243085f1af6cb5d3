/**
 * `tsremus receive`: the backup's end of a link on stdin and stdout. What the first frame asks for
 * decides what it is: a session that holds a copy, or a fresh run that answers a question, about
 * permission or about this host (`tsremus check`).
 *
 * It survives the ssh session that started it: SIGHUP makes it open its log again, which is a file.
 */
import { type Environment, maxMemory } from '../config/settings.ts';
import { UsageError } from '../config/usage-error.ts';
import { version } from '../config/version.ts';
import type { BackupOutcome } from '../core/backup/types.ts';
import { notTyped, readSettings } from '../core/texts/advice.ts';
import { OperationError } from '../host/errors.ts';
import { openAhead } from '../host/open-ahead.ts';
import { lowerOomScore, onReopenSignal, raisePriority } from '../host/process-settings.ts';
import { cleanText } from '../host/text.ts';
import type { Hypervisor } from '../hypervisor/port.ts';
import { type Decision, greetPrimary, type LocalSpeaker, refuse } from '../link/hello.ts';
import type { Hello } from '../link/hello-message.ts';
import type { Link } from '../link/link.ts';
import { addressFromEnvironment, offerPulse } from '../link/pulse.ts';
import { openStdioLink } from '../link/stdio.ts';
import { openRecord } from '../permission/record.ts';
import type { AnswerPorts } from '../session/backup/answer.ts';
import { answerQuestion } from '../session/backup/answer.ts';
import {
  type Prepared,
  prepareReception,
  Reception,
  type ReceptionPorts,
} from '../session/backup/reception.ts';
import type { ReceiveOptions, ReceiveResult } from '../session/options.ts';
import type { PreparedResync } from '../session/resync/backup.ts';
import { codecsOf } from '../stream/agreement.ts';
import { openStreamDecoder } from '../stream/codec/decoder.ts';
import { backupDisks, diskDrivers } from './backup-disks.ts';
import { type ThisHost, thisHost, thisHypervisor, thisRegistry } from './host.ts';
import { announceGuest, loadAnnouncement } from './output.ts';
import { keepInMemory } from './own-memory.ts';
import { leaveSignal, unitForCopy } from './own-unit.ts';
import { sessionEnvironment } from './settings-files.ts';

function receptionPorts(host: ThisHost, hypervisor: Hypervisor): ReceptionPorts {
  const { chance, env, nativePath } = host;
  return {
    ...host,
    registry: thisRegistry(host),
    hypervisor,
    offerPulse: (session, log, onHeard) =>
      offerPulse(addressFromEnvironment(env), { session, log, onHeard, chance }),
    openDecoder: (agreed, allocate) => openStreamDecoder({ ...agreed, allocate, nativePath }),
    announce: (copy, spec, log) => announceGuest(host, copy, spec, log),
    async look(...about) {
      const { sessionLook } = await import('./check-host.ts');
      return sessionLook(host, hypervisor, ...about);
    },
    // Whoever reads the log of the primary's transport is told.
    disks: backupDisks(host, (text) => process.emitWarning(text)),
    onLeaveRequest(hear) {
      for (const signal of ['SIGTERM', leaveSignal] as const) process.on(signal, hear);
    },
  };
}

/** What answering for a session needs on this host. */
export function answerPorts(host: ThisHost, open: () => Promise<Hypervisor>): AnswerPorts {
  return {
    ...host,
    registry: thisRegistry(host),
    hypervisor: open,
    record: (uuid, session) => openRecord(host.settings.stateDirectory, uuid, session, host),
  };
}

/** After so long without a byte whoever started this is told what it waits for, ms. */
const aloneToldAfterMs = 10_000;

/**
 * A login may be bound to `receive` (a forced command of sshd): what else is asked for there is
 * refused at once, for no primary will speak. Throws OperationError('peer-refused').
 */
export function checkAskedFor(env: Environment): void {
  // sshd_config(5), ForceCommand: what the client asked for.
  const asked = env['SSH_ORIGINAL_COMMAND'] ?? '';
  if (asked.trim() === '' || /\breceive\b/.test(asked)) return;
  const shown = cleanText(asked, 100);
  const text = `this login runs tsremus receive and nothing else (asked for: ${shown})`;
  throw new OperationError('peer-refused', text, { op: 'receive', hint: notTyped });
}

/**
 * What a session may use here, by the files of settings, too. A question does without them: it has
 * to be answered whatever stands there.
 */
async function ofSession(options: ReceiveOptions, env: Environment): Promise<ReceiveOptions> {
  if (options.maxMemoryBytes !== null) return options;
  try {
    return { ...options, maxMemoryBytes: maxMemory(undefined, await sessionEnvironment(env)) };
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    // The primary is told, and what to read.
    throw new OperationError('storage', error.message, { op: 'read-settings', hint: readSettings });
  }
}

/** What a primary was promised in HELLO, and what is ready for it. */
type Taken =
  | { readonly kind: 'session'; readonly ports: ReceptionPorts; readonly prepared: Prepared }
  | { readonly kind: 'resync'; readonly ports: ReceptionPorts; readonly prepared: PreparedResync };

/** Says yes or no to a HELLO. */
class Desk {
  readonly #host: ThisHost;
  readonly #ahead: { get(): Promise<Hypervisor> };
  readonly #options: ReceiveOptions;
  readonly #env: Environment;
  /** Null: a question, for which nothing is made ready. */
  taken: Taken | null = null;

  constructor(
    host: ThisHost,
    ahead: { get(): Promise<Hypervisor> },
    options: ReceiveOptions,
    env: Environment,
  ) {
    this.#host = host;
    this.#ahead = ahead;
    this.#options = options;
    this.#env = env;
  }

  async decide(hello: Hello): Promise<Decision> {
    if (hello.purpose === 'promise' || hello.purpose === 'check') {
      return { accept: true, pulse: null, stream: null };
    }
    try {
      const ports = receptionPorts(this.#host, await this.#ahead.get());
      return hello.purpose === 'session'
        ? await this.#takeSession(ports, hello)
        : await this.#takeResync(ports, hello);
    } catch (error) {
      if (error instanceof OperationError) return refuse(error);
      throw error;
    }
  }

  async #takeSession(ports: ReceptionPorts, hello: Hello): Promise<Decision> {
    const options = await ofSession(this.#options, this.#env);
    const prepared = await prepareReception(ports, hello, options);
    this.taken = { kind: 'session', ports, prepared };
    const { pulseOffer: pulse, stream, features } = prepared;
    return { accept: true, pulse, stream, features, checks: hello.checks ?? false };
  }

  async #takeResync(ports: ReceptionPorts, hello: Hello): Promise<Decision> {
    const { prepareResync } = await import('../session/resync/backup.ts');
    const prepared = await prepareResync(ports, hello);
    this.taken = { kind: 'resync', ports, prepared };
    return { accept: true, pulse: null, stream: prepared.stream };
  }
}

/** A session, to its end. */
async function holdCopy(
  host: ThisHost,
  { ports, prepared }: Extract<Taken, { kind: 'session' }>,
  link: Link,
): Promise<ReceiveResult> {
  const { uuid, domain } = prepared.hello;
  raisePriority((text) => process.emitWarning(text));
  lowerOomScore((text) => {
    prepared.log.warning(text);
    host.refusals.push(text);
  });
  // Not waited for: without a unit of its own it goes on as well.
  const settled = unitForCopy(host, uuid, domain);
  void settled.then(() => keepInMemory(host, prepared.log));
  // Where it cannot be loaded, it is tried again when it is needed.
  loadAnnouncement(host).catch(() => {});
  const run = new Reception(ports, prepared, link).run();
  return { outcome: await run.finally(() => host.events.settled()) };
}

/**
 * Serves one link. The outcome of a question is that it was answered: `promised` or not. `tell`:
 * what whoever started this by hand should know while nobody speaks.
 */
export async function runReceive(
  options: ReceiveOptions,
  env: Environment,
  tell: (text: string) => void,
): Promise<ReceiveResult> {
  checkAskedFor(env);
  process.on('SIGINT', () => {});
  const host = thisHost(env);
  onReopenSignal(host.reopenLogs);
  const { clock, timers, settings } = host;
  const link = openStdioLink({ role: 'backup', clock, timers });
  const speaker: LocalSpeaker = {
    tsremus: version,
    xen: null,
    host: settings.hostName,
    capabilities: { codecs: codecsOf(true), disks: diskDrivers },
  };
  const open = () => thisHypervisor(host);
  const ahead = openAhead(open, timers);
  const desk = new Desk(host, ahead, options, env);
  const stopTelling = timers.after(aloneToldAfterMs, () => {
    if (link.counters.bytesReceived > 0) return;
    tell('no primary has spoken yet: the other host is to start this command, nobody types it');
  });
  const hello = await greetPrimary(link, speaker, (said) => desk.decide(said), { timers }).finally(
    () => {
      stopTelling();
      ahead.cancel();
    },
  );
  const { taken } = desk;
  if (taken?.kind === 'session') return holdCopy(host, taken, link);
  if (taken?.kind === 'resync') {
    const { serveResync } = await import('../session/resync/backup.ts');
    await serveResync(taken.ports, taken.prepared, link);
    return { outcome: answered };
  }
  if (hello.purpose === 'check') {
    const { answerCheck } = await import('../session/check/answer.ts');
    const { answerCheckPorts } = await import('./check-host.ts');
    const here = thisHost(await sessionEnvironment(env));
    const disks = backupDisks(here);
    // Where that fails it is among what is found.
    const isNew = await disks.bringOut(hello.uuid).catch(() => false);
    await answerCheck(link, hello, answerCheckPorts(here)).finally(() => {
      return isNew ? disks.release(hello.uuid) : undefined;
    });
    return { outcome: answered };
  }
  const ports = answerPorts(host, () => ahead.get());
  await answerQuestion(link, hello, ports).finally(() => host.events.settled());
  return { outcome: answered };
}

/** A question decides nothing for this process: it ends well. */
const answered: BackupOutcome = { kind: 'promised' };
