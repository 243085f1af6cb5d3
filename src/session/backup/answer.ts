/**
 * A fresh run of the transport that asks one question about a session: "may I open the buffer?"
 * (purpose promise) or "what does the record say?" (purpose status).
 *
 * While the process that holds the session lives it is asked, through its control socket. When it
 * is dead this run does what DESIGN.md says: the copy that it left is destroyed, and only then
 * `activating` becomes `promised`; no record is never a promise.
 */
import { runDirectory, stateDirectory } from '../../config/settings.ts';
import { askWithoutOwner } from '../../core/permission/record.ts';
import type { Answer } from '../../core/vocabulary.ts';
import { systemClock, systemTimers } from '../../host/clock.ts';
import { errorText, OperationError } from '../../host/errors.ts';
import { systemProcesses } from '../../host/process-id.ts';
import { systemStore } from '../../host/store.ts';
import { openXen } from '../../hypervisor/xen/xen.ts';
import { nextMessage } from '../../link/hello.ts';
import type { Hello } from '../../link/hello-message.ts';
import type { Link } from '../../link/link.ts';
import type { WireAnswer } from '../../link/messages.ts';
import { openRecord, type RecordState } from '../../permission/record.ts';
import { type PromiseResult, requestControl } from '../../registry/control.ts';
import { listSessions } from '../../registry/run-directory.ts';
import { destroyCopy } from './copy.ts';

const ownerSilenceMsMax = 5_000;

/** Awaits the ASK that follows HELLO and answers it. */
export async function answerQuestion(link: Link, hello: Hello): Promise<void> {
  const message = await nextMessage(link, hello.host, { timers: systemTimers });
  if (message.kind !== 'ask') {
    link.fail(new OperationError('protocol', `${message.kind} instead of ASK`, { op: 'answer' }));
    return;
  }
  try {
    const answer = await decide(hello);
    link.send({ kind: 'answer', id: message.id, answer });
    await link.close('answered');
  } catch (error) {
    const known = error instanceof OperationError;
    link.fail(known ? error : new OperationError('storage', errorText(error), { op: 'answer' }));
  }
}

/** The answer to the question; throws when nothing certain can be said. */
export async function decide(
  hello: Pick<Hello, 'purpose' | 'uuid' | 'session' | 'domain'>,
): Promise<WireAnswer> {
  const record = openRecord(stateDirectory(process.env), hello.uuid, hello.session, {
    store: systemStore,
    clock: systemClock,
    processes: systemProcesses(),
  });
  if (hello.purpose === 'status') return look(await record.read());
  const owned = await askOwner(hello.uuid, hello.session);
  if (owned !== null) return owned;
  // The owner may have decided just before it died: what the record says now counts.
  const state = await record.read();
  const rule = askWithoutOwner(state);
  switch (rule.kind) {
    case 'answer':
      return rule.answer;
    case 'finish-activation': {
      const running = await finishActivation(hello);
      if (running) await record.noteRunning({ by: 'promise run' });
      return { kind: 'active', running };
    }
    case 'destroy-then-promise': {
      const why = 'the process that held the copy is dead';
      // Out of standby the decision comes first: it makes sure that nobody activates meanwhile.
      if (rule.from === 'standby') {
        const { permission } = await record.move('standby', 'promised', { why });
        if (permission !== 'promised') return { kind: 'activating' };
        await destroyCopy(await openXen(), hello.domain, hello.uuid, 'waiting');
        return { kind: 'promised' };
      }
      await destroyCopy(await openXen(), hello.domain, hello.uuid, 'waiting-or-built');
      const { permission } = await record.move('activating', 'promised', { why });
      return permission === 'promised' ? { kind: 'promised' } : { kind: 'activating' };
    }
  }
}

function look(state: RecordState | null): WireAnswer {
  if (state === null) return { kind: 'unknown' };
  if (state.permission === 'active') return { kind: 'active', running: state.running };
  return { kind: state.permission };
}

/** The answer of the process that holds the session; null when there is none that lives. */
async function askOwner(uuid: string, session: string): Promise<Answer | null> {
  let sessions: ReturnType<typeof listSessions>['sessions'];
  try {
    sessions = listSessions(runDirectory(process.env)).sessions;
  } catch {
    return null; // no run directory: nothing has run here since this host was booted
  }
  const owner = sessions.find(
    ({ status }) => status.role === 'backup' && status.uuid === uuid && status.session === session,
  );
  if (owner === undefined || owner.liveness !== 'alive') return null;
  const request = { verb: 'ask', session } as const;
  const options = { silenceMsMax: ownerSilenceMsMax };
  const { answer } = await requestControl<PromiseResult>(owner.socketPath, request, options);
  return answer;
}

/** `active` was written and the owner died: the copy may stand there, built and paused. */
async function finishActivation(hello: { domain: string; uuid: string }): Promise<boolean> {
  const xen = await openXen();
  const domid = await xen.find(hello.domain);
  if (domid === null) return false;
  const info = await xen.info(domid);
  if (info === null || info.uuid !== hello.uuid || info.dying) return false;
  if (info.paused) await xen.unpause(domid);
  const after = await xen.info(domid);
  return after !== null && !after.paused;
}
