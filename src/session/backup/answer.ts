/**
 * A fresh run of the transport that asks one question about a session: "may I open the buffer?"
 *
 * While the process that holds the session lives it is asked, through its control socket. When it
 * is dead this run does what core/permission/record.ts says: the copy that it left is destroyed,
 * and only then `activating` becomes `promised`; no record is never a promise.
 */
import { answerAfter, askWithoutOwner, type GivingUp } from '../../core/permission/record.ts';
import type { Answer } from '../../core/vocabulary.ts';
import { destroyCopy } from '../../guest/destroy-copy.ts';
import type { Timers } from '../../host/clock.ts';
import { errorText, OperationError } from '../../host/errors.ts';
import type { Hypervisor } from '../../hypervisor/port.ts';
import { nextMessage } from '../../link/hello.ts';
import type { Hello } from '../../link/hello-message.ts';
import type { Link } from '../../link/link.ts';
import type { PermissionRecord } from '../../permission/record.ts';
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

/** Awaits the ASK that follows HELLO and answers it. */
export async function answerQuestion(
  link: Link,
  hello: Hello,
  ports: AnswerPorts & { readonly timers: Timers },
): Promise<void> {
  const message = await nextMessage(link, hello.host, { timers: ports.timers });
  if (message.kind !== 'ask') {
    link.fail(new OperationError('protocol', `${message.kind} instead of ASK`, { op: 'answer' }));
    return;
  }
  try {
    const answer = await answerAsk(hello, ports);
    link.send({ kind: 'answer', id: message.id, answer });
    await link.close('answered');
  } catch (error) {
    const known = error instanceof OperationError;
    link.fail(known ? error : new OperationError('storage', errorText(error), { op: 'answer' }));
  }
}

/** The answer to the question; throws when nothing certain can be said. */
export async function answerAsk(question: Question, ports: AnswerPorts): Promise<Answer> {
  const { uuid, session } = question;
  const record = ports.record(uuid, session);
  const owned = await askOwner(question, ports.registry);
  if (owned !== null) return owned;
  // The owner may have decided just before it died: what the record says now counts.
  const rule = askWithoutOwner(await record.read());
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

/** The answer of the process that holds the session; null when there is none that lives. */
async function askOwner({ uuid, session }: Question, registry: Registry): Promise<Answer | null> {
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
  const { answer } = await registry.request<PromiseResult>(owner.socketPath, request, options);
  return answer;
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
  const after = await hypervisor.info(copy);
  return after !== null && !after.paused;
}
