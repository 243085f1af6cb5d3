/**
 * A fresh run of the transport that asks one question about a session: "may I open the buffer?"
 *
 * While the process that holds the session lives it is asked, through its control socket. When it
 * is dead this run does what core/permission/record.ts says: the copy that it left is destroyed,
 * and only then `activating` becomes `promised`; no record is never a promise. Once the copy took
 * over, what has become of it is looked up, for each question anew, whoever lives.
 */
import {
  answerAfter,
  answerFor,
  askWithoutOwner,
  type GivingUp,
} from '../../core/permission/record.ts';
import type { Answer } from '../../core/vocabulary.ts';
import { destroyCopy } from '../../guest/destroy-copy.ts';
import { lookFor } from '../../guest/look-for.ts';
import type { Timers } from '../../host/clock.ts';
import { errorText, OperationError } from '../../host/errors.ts';
import type { Hypervisor } from '../../hypervisor/port.ts';
import { nextMessage } from '../../link/hello.ts';
import type { Hello } from '../../link/hello-message.ts';
import type { Link } from '../../link/link.ts';
import type { PermissionRecord, RecordState } from '../../permission/record.ts';
import type { PromiseResult } from '../../registry/control.ts';
import type { Registry, SessionEntry } from '../../registry/port.ts';

const ownerSilenceMsMax = 5_000;

/** Of which session. */
export type Question = Pick<Hello, 'uuid' | 'session' | 'domain'>;

export interface AnswerPorts {
  readonly registry: Registry;
  /** Opened when it is needed. */
  hypervisor(): Promise<Hypervisor>;
  record(uuid: string, session: string): PermissionRecord;
}

/** Questions of one run: the primary asks again only what it could not use. */
const questionsMax = 1_000;

/** Answers each ASK that follows HELLO, until the primary says goodbye. */
export async function answerQuestion(
  link: Link,
  hello: Hello,
  ports: AnswerPorts & { readonly timers: Timers },
): Promise<void> {
  const { timers } = ports;
  let message = await nextMessage(link, hello.host, { timers });
  try {
    for (let count = 0; message.kind === 'ask' && count < questionsMax; count += 1) {
      const answer = await answerAsk(hello, ports);
      link.send({ kind: 'answer', id: message.id, answer });
      // Its goodbye, or the end of the stream: either way it has what it asked for.
      const next = await nextMessage(link, hello.host, { timers }).catch(() => null);
      if (next === null || next.kind === 'goodbye') return await link.close('answered');
      message = next;
    }
    throw new OperationError('protocol', `${message.kind} instead of ASK`, { op: 'answer' });
  } catch (error) {
    const known = error instanceof OperationError;
    link.fail(known ? error : new OperationError('storage', errorText(error), { op: 'answer' }));
  }
}

/** The answer to the question; throws when nothing certain can be said. */
export async function answerAsk(question: Question, ports: AnswerPorts): Promise<Answer> {
  const { uuid, session } = question;
  const record = ports.record(uuid, session);
  const owner = await askOwner(question, ports.registry);
  if (owner !== null && owner.answer !== null) return owner.answer;
  // The owner may have decided just before it died: what the record says now counts.
  const state = await record.read();
  const rule = askWithoutOwner(state);
  switch (rule.kind) {
    case 'answer':
      return rule.answer;
    case 'give-up':
      return giveUp(rule.steps, question, record, ports);
    case 'look':
      if (state === null) throw new Error('nothing is looked up without a record');
      // What is left to be done is its owner's, as long as that lives.
      return look(question, record, ports, { state, unpause: rule.unpause && owner === null });
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

/** What the process says that holds the session; null when there is none that lives. */
async function askOwner(
  { uuid, session }: Question,
  registry: Registry,
): Promise<PromiseResult | null> {
  let sessions: readonly SessionEntry[];
  try {
    sessions = registry.sessions().sessions;
  } catch {
    return null; // no run directory: nothing has run here since this host was booted
  }
  const owner = sessions.find(
    ({ status }) => status.role === 'backup' && status.uuid === uuid && status.session === session,
  );
  if (owner === undefined || owner.liveness !== 'alive') return null;
  const request = { verb: 'ask', session } as const;
  const options = { silenceMsMax: ownerSilenceMsMax };
  return registry.request<PromiseResult>(owner.socketPath, request, options);
}
