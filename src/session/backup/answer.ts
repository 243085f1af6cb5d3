/**
 * A fresh run of the transport that asks one question about a session: "may I open the buffer?"
 *
 * First the record is read, then the process that made it is looked for, in the steps of
 * core/permission/owner.ts. While it lives it is asked, through its control socket; one that does
 * not answer is killed, as long as nothing is final. When it is gone this run does what
 * core/permission/record.ts says: the copy that it left is destroyed, and only then `activating`
 * becomes `promised`; no record is never a promise. Once the copy took over, what has become of it
 * is looked up, for each question anew, whoever lives.
 */
import { firstView, type OwnerView, stepOnOwner } from '../../core/permission/owner.ts';
import {
  answerAfter,
  answerFor,
  answerOf,
  askWithoutOwner,
  type GivingUp,
} from '../../core/permission/record.ts';
import type { Answer } from '../../core/vocabulary.ts';
import { destroyCopy } from '../../guest/destroy-copy.ts';
import { claimCopy, promisedStatus } from '../../guest/left-copy.ts';
import { lookFor } from '../../guest/look-for.ts';
import { sleep, type Timers, within } from '../../host/clock.ts';
import { errorText, OperationError } from '../../host/errors.ts';
import type { Processes, ProcessId } from '../../host/process-id.ts';
import type { Hypervisor } from '../../hypervisor/port.ts';
import { helloTimeoutMsDefault, nextMessage } from '../../link/hello.ts';
import type { Hello } from '../../link/hello-message.ts';
import type { Link } from '../../link/link.ts';
import type { Message } from '../../link/messages.ts';
import type { PermissionRecord, RecordState } from '../../permission/record.ts';
import type { NoAnswer, PromiseResult } from '../../registry/control.ts';
import type { Claim, Registry } from '../../registry/port.ts';

const ownerSilenceMsMax = 5_000;
/** A process that is killed has gone in far less, unless the kernel cannot let it go. */
const killedMsMax = 5_000;
const killedPollMs = 20;
/** Whoever asks does so again and again, every second (link/connect.ts). */
const askedAgainMsMax = 5_000;

/** Of which session. */
export type Question = Pick<Hello, 'uuid' | 'session' | 'domain'>;

export interface AnswerPorts {
  readonly timers: Timers;
  readonly processes: Processes;
  readonly registry: Registry;
  /** Opened when it is needed. */
  hypervisor(): Promise<Hypervisor>;
  record(uuid: string, session: string): PermissionRecord;
  /** How long the owner may be silent, ms; ownerSilenceMsMax. */
  readonly ownerSilenceMs?: number;
}

/** Resolves when the question is asked once more; rejects when nobody asks any longer. */
export type AskedAgain = () => Promise<void>;

/** On the word of a person, who is there. */
export const byPerson: AskedAgain = async () => {};

/** Answers each ASK that follows HELLO, until the primary says goodbye. */
export async function answerQuestion(link: Link, hello: Hello, ports: AnswerPorts): Promise<void> {
  const questions = new Questions(link, hello.host, ports.timers);
  try {
    for (let id = await questions.next(); id !== null; id = await questions.next()) {
      const answer = await answerAsk(hello, ports, questions.again);
      link.send({ kind: 'answer', id, answer });
    }
    await link.close('answered');
  } catch (error) {
    const known = error instanceof OperationError;
    link.fail(known ? error : new OperationError('storage', errorText(error), { op: 'answer' }));
  }
}

/**
 * The ASKs of a run. The same one comes again, every second, as long as it has no answer; one of a
 * higher number is another question, for the answer came too late to be of use.
 */
class Questions {
  readonly #link: Link;
  readonly #host: string;
  readonly #timers: Timers;
  #answered = -1;
  #next: number | null = null;
  #ended: string | null = null;
  #heard = (): void => {};

  constructor(link: Link, host: string, timers: Timers) {
    this.#link = link;
    this.#host = host;
    this.#timers = timers;
  }

  /** The next question's number; null: the primary needs no more. */
  async next(): Promise<number | null> {
    if (this.#answered < 0 && this.#next === null) await this.#first();
    // What it asked before it had the answer says nothing new.
    while (this.#next === null && this.#ended === null) await this.#hear(helloTimeoutMsDefault);
    const next = this.#next;
    if (next !== null) this.#answered = next;
    this.#next = null;
    return next;
  }

  /** Only what comes from now on proves that somebody asks still. */
  readonly again: AskedAgain = async () => {
    await this.#hear(askedAgainMsMax, () => {
      throw nobodyAsks(this.#host, `silent for ${askedAgainMsMax} ms`);
    });
    if (this.#ended !== null) throw nobodyAsks(this.#host, this.#ended);
  };

  async #first(): Promise<void> {
    const message = await nextMessage(this.#link, this.#host, { timers: this.#timers });
    this.#link.listen({
      message: (heard) => this.#onMessage(heard),
      close: ({ reason }) => this.#end(reason),
    });
    this.#onMessage(message);
    if (this.#next !== null) return;
    throw new OperationError('protocol', `${message.kind} instead of ASK`, { op: 'answer' });
  }

  /** Resolves at the next ASK or the end; or when `late` has been told. */
  #hear(limitMs: number, late: () => void = () => this.#end('it says nothing more')) {
    if (this.#ended !== null) return Promise.resolve();
    const heard = new Promise<void>((resolve) => {
      this.#heard = resolve;
    });
    return within(this.#timers, limitMs, heard, late);
  }

  #onMessage(message: Message): void {
    if (message.kind !== 'ask') return this.#end(`it sent ${message.kind}`);
    if (message.id > this.#answered) this.#next = message.id;
    this.#heard();
  }

  #end(why: string): void {
    this.#ended ??= why;
    this.#heard();
  }
}

function nobodyAsks(host: string, reason: string): OperationError {
  return new OperationError('peer-unreachable', `${host} does not ask any longer: ${reason}`, {
    op: 'answer',
    subject: host,
  });
}

/** The answer to the question; throws when nothing certain can be said. */
export async function answerAsk(
  question: Question,
  ports: AnswerPorts,
  again: AskedAgain,
): Promise<Answer> {
  const { uuid, session } = question;
  const record = ports.record(uuid, session);
  let state = await record.read();
  let view = firstView(state?.permission ?? null);
  for (;;) {
    const step = stepOnOwner(view);
    if (state === null || step === 'look-up') return lookUp(state, question, record, ports);
    const owner = state.standby.by;
    switch (step) {
      case 'look-for-owner':
        view = { ...view, owner: livesOrGone(owner, ports.processes) };
        continue;
      case 'ask-owner': {
        const said = await askOwner(question, ports);
        if (said !== null && said.answer !== null) return said.answer;
        // It says active: what has become of the guest is looked up, and left to its owner.
        if (said !== null) return lookUp(await record.read(), question, record, ports);
        view = { ...view, isDeaf: true, owner: livesOrGone(owner, ports.processes) };
        continue;
      }
      case 'await-question':
        await again();
        view = { ...view, isAskedAgain: true };
        continue;
      case 'kill-owner':
        await kill(owner, ports);
        view = { ...view, owner: 'gone', isAskedAgain: false };
        continue;
      case 'read-again':
        state = await record.read();
        view = { ...view, permission: state?.permission ?? null, isReadAgain: true };
        continue;
      case 'act-for-owner':
        return actForOwner(state, question, record, ports);
    }
  }
}

/** Throws when it cannot be told: nobody may act for an owner that may live. */
function livesOrGone(owner: ProcessId, processes: Processes): OwnerView['owner'] {
  return processes.state(owner) === 'alive' ? 'lives' : 'gone';
}

/** Returns when it is seen to be gone. */
async function kill(owner: ProcessId, { processes, timers }: AnswerPorts): Promise<void> {
  processes.signal(owner, 'SIGKILL');
  for (let waitedMs = 0; processes.state(owner) === 'alive'; waitedMs += killedPollMs) {
    if (waitedMs >= killedMsMax) {
      const text = `process ${owner.pid}, which holds the copy, neither answers nor can be killed`;
      throw new OperationError('command-timeout', text, { op: 'kill-owner' });
    }
    await sleep(timers, killedPollMs);
  }
}

/** What is recorded and what is here, as it is. */
async function lookUp(
  state: RecordState | null,
  question: Question,
  record: PermissionRecord,
  ports: AnswerPorts,
): Promise<Answer> {
  const said = answerOf(state);
  if (said !== null || state === null) return said ?? { kind: 'unknown' };
  return look(question, record, ports, { state, unpause: false });
}

async function actForOwner(
  state: RecordState,
  question: Question,
  record: PermissionRecord,
  ports: AnswerPorts,
): Promise<Answer> {
  const rule = askWithoutOwner(state);
  switch (rule.kind) {
    case 'answer':
      return rule.answer;
    case 'give-up': {
      const steps = () => giveUp(rule.steps, question, record, ports);
      return rule.isWhole ? claimed(question, ports, steps) : steps();
    }
    case 'look':
      return look(question, record, ports, { state, unpause: rule.unpause });
  }
}

/** `active` was written: the guest may be there, or stand there built and paused, or be gone. */
async function look(
  question: Question,
  record: PermissionRecord,
  ports: AnswerPorts,
  { state, unpause }: { readonly state: RecordState; readonly unpause: boolean },
): Promise<Answer> {
  const hypervisor = await ports.hypervisor();
  const copy = { name: question.domain, uuid: question.uuid };
  let { found, guest } = await lookFor(hypervisor, copy);
  if (unpause && found === 'paused' && guest !== null) {
    await hypervisor.unpause(guest);
    ({ found, guest } = await lookFor(hypervisor, copy));
  }
  if (unpause && found === 'running') await record.noteRunning({ by: 'promise run' });
  return answerFor(found, state);
}

/**
 * Gives up what may be whole: not while a person lets it run, or while another run does the same.
 * Then nothing is decided yet, and the primary asks again. What is left to be seen says what became
 * of it; a run directory that cannot be written holds nobody.
 */
async function claimed(
  question: Question,
  { registry }: AnswerPorts,
  work: () => Promise<Answer>,
): Promise<Answer> {
  let claim: Claim | null = null;
  try {
    claim = await claimCopy(question, registry);
  } catch (error) {
    if (!(error instanceof OperationError)) throw error;
    if (error.code === 'already-protected') return { kind: 'activating' };
  }
  try {
    const answer = await work();
    const left = claim?.unsettled ?? null;
    if (answer.kind === 'promised' && left !== null) {
      claim?.publish(promisedStatus(left));
      claim?.release('keep-status');
    }
    return answer;
  } finally {
    claim?.release('as-before');
  }
}

async function giveUp(
  steps: readonly GivingUp[],
  question: Question,
  record: PermissionRecord,
  ports: AnswerPorts,
): Promise<Answer> {
  const copy = { name: question.domain, uuid: question.uuid };
  let says: Answer = { kind: 'activating' };
  for (const step of steps) {
    if (step.do === 'destroy-copy') {
      await destroyCopy(await ports.hypervisor(), copy, step.which);
      continue;
    }
    const why = 'the process that held the copy is dead';
    const { permission } = await record.move(step.from, 'promised', { why });
    says = answerAfter(permission);
    if (says.kind !== 'promised') return says;
  }
  return says;
}

/**
 * What the process says that holds the session; null when it says nothing within its limit. Its
 * socket has a name of its own: what the run directory says of it may be missing.
 */
async function askOwner(question: Question, ports: AnswerPorts): Promise<PromiseResult | null> {
  const { registry, ownerSilenceMs: silenceMsMax = ownerSilenceMsMax } = ports;
  const { uuid, domain, session } = question;
  const socketPath = registry.socketOf({ uuid, domain, role: 'backup' });
  const request = { verb: 'ask', session } as const;
  try {
    return await registry.request<PromiseResult>(socketPath, request, { silenceMsMax });
  } catch (error) {
    const said: NoAnswer = 'await-answer';
    if (error instanceof OperationError && error.detail.op === said) return null;
    throw error; // it spoke
  }
}
