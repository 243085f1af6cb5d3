/**
 * A fresh run of the transport that asks one question about a session: "may I open the buffer?"
 *
 * First the record is read, then the process that made it is looked for, in the steps of
 * core/permission/owner.ts. While it lives it is asked, through its control socket; one that does
 * not answer is killed, as long as nothing is final. When it is gone this run does what
 * core/permission/record.ts says: the copy that it left is destroyed, and only then `activating`
 * becomes `promised`; no record is never a promise.
 */
import { firstView, type OwnerView, stepOnOwner } from '../../core/permission/owner.ts';
import {
  answerAfter,
  answerOf,
  askWithoutOwner,
  type GivingUp,
} from '../../core/permission/record.ts';
import type { Answer } from '../../core/vocabulary.ts';
import { destroyCopy } from '../../guest/destroy-copy.ts';
import { sleep, type Timers, within } from '../../host/clock.ts';
import { errorText, OperationError } from '../../host/errors.ts';
import type { Processes, ProcessId } from '../../host/process-id.ts';
import type { Hypervisor } from '../../hypervisor/port.ts';
import { nextMessage } from '../../link/hello.ts';
import type { Hello } from '../../link/hello-message.ts';
import type { Link } from '../../link/link.ts';
import type { PermissionRecord, RecordState } from '../../permission/record.ts';
import type { NoAnswer, PromiseResult } from '../../registry/control.ts';
import type { Registry } from '../../registry/port.ts';

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

/** Awaits the ASK that follows HELLO and answers it. */
export async function answerQuestion(link: Link, hello: Hello, ports: AnswerPorts): Promise<void> {
  const { timers } = ports;
  const message = await nextMessage(link, hello.host, { timers });
  if (message.kind !== 'ask') {
    link.fail(new OperationError('protocol', `${message.kind} instead of ASK`, { op: 'answer' }));
    return;
  }
  const again = hearAgain(link, hello.host, timers);
  try {
    const answer = await answerAsk(hello, ports, again);
    link.send({ kind: 'answer', id: message.id, answer });
    await link.close('answered');
  } catch (error) {
    const known = error instanceof OperationError;
    link.fail(known ? error : new OperationError('storage', errorText(error), { op: 'answer' }));
  }
}

/** Listens from now on: what lay there unread would prove nothing. */
function hearAgain(link: Link, host: string, timers: Timers): AskedAgain {
  let ended: string | null = null;
  let hear = (): void => {};
  let end = (_why: string): void => {};
  link.listen({
    message: (message) => (message.kind === 'ask' ? hear() : end(`it sent ${message.kind}`)),
    close: ({ reason }) => {
      ended = reason;
      end(reason);
    },
  });
  return () => {
    const heard = new Promise<void>((resolve, reject) => {
      hear = resolve;
      end = (why) => reject(nobodyAsks(host, why));
      if (ended !== null) end(ended);
    });
    return within(timers, askedAgainMsMax, heard, () => {
      throw nobodyAsks(host, `silent for ${askedAgainMsMax} ms`);
    });
  };
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
    if (state === null || step === 'look-up') return lookUp(state, question, ports);
    const owner = state.standby.by;
    switch (step) {
      case 'look-for-owner':
        view = { ...view, owner: livesOrGone(owner, ports.processes) };
        continue;
      case 'ask-owner': {
        const answer = await askOwner(question, ports);
        if (answer !== null) return answer;
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
  record: RecordState | null,
  question: Question,
  ports: AnswerPorts,
): Promise<Answer> {
  if (record?.permission !== 'active' || record.running) return answerOf(record);
  const running = await runsHere(question, await ports.hypervisor());
  return answerOf({ permission: 'active', running });
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
    case 'give-up':
      return giveUp(rule.steps, question, record, ports);
    case 'finish-activation': {
      const running = await finishActivation(question, await ports.hypervisor());
      if (running) await record.noteRunning({ by: 'promise run' });
      return { kind: 'active', running };
    }
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
 * The answer of the process that holds the session; null when it gives none within its limit. Its
 * socket has a name of its own: what the run directory says of it may be missing.
 */
async function askOwner(question: Question, ports: AnswerPorts): Promise<Answer | null> {
  const { registry, ownerSilenceMs: silenceMsMax = ownerSilenceMsMax } = ports;
  const { uuid, domain, session } = question;
  const socketPath = registry.socketOf({ uuid, domain, role: 'backup' });
  const request = { verb: 'ask', session } as const;
  try {
    return (await registry.request<PromiseResult>(socketPath, request, { silenceMsMax })).answer;
  } catch (error) {
    const said: NoAnswer = 'await-answer';
    if (error instanceof OperationError && error.detail.op === said) return null;
    throw error; // it spoke
  }
}

/** `active` was written and the owner died: the copy may stand there, built and paused. */
async function finishActivation(
  { domain, uuid }: Question,
  hypervisor: Hypervisor,
): Promise<boolean> {
  const copy = await hypervisor.find(domain);
  if (copy === null || copy.uuid !== uuid) return false;
  const info = await hypervisor.info(copy);
  if (info === null || info.state === 'dying') return false;
  if (info.paused) await hypervisor.unpause(copy);
  return runsHere({ domain, uuid }, hypervisor);
}

async function runsHere(
  { domain, uuid }: Pick<Question, 'domain' | 'uuid'>,
  hypervisor: Hypervisor,
): Promise<boolean> {
  const copy = await hypervisor.find(domain);
  if (copy === null || copy.uuid !== uuid) return false;
  const info = await hypervisor.info(copy);
  return info !== null && info.state === 'here' && !info.paused;
}
