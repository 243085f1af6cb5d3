// Goal: a fresh question acts for an owner only once that is seen to be gone, in an order that
// another process can rely on. Method: ports that write down what is asked of them.
import { describe, expect, it } from 'vitest';
import type { Permission } from '../../../src/core/vocabulary.ts';
import { sleep, systemTimers as timers } from '../../../src/host/clock.ts';
import { OperationError } from '../../../src/host/errors.ts';
import type { ProcessState } from '../../../src/host/process-id.ts';
import { nextMessage } from '../../../src/link/hello.ts';
import { type AnswerPorts, answerAsk, answerQuestion } from '../../../src/session/backup/answer.ts';
import { greetedPair, Heard, helloMessage } from '../../link/support.ts';

const question = { uuid: '6ba7b810-9dad-11d1-80b4-00c04fd430c8', session: '1', domain: 'web1' };
const by = { pid: 7, startTicks: 70, bootId: 'boot' };

interface Case {
  /** What it says at each reading; the last one from then on. */
  readonly record: readonly Permission[];
  /** What the process is found to be at each look; `throws`: nobody can tell. */
  readonly process?: readonly (ProcessState | 'throws')[];
  readonly owner?: 'promised' | 'activating' | 'silent' | 'refuses';
  readonly asksAgain?: boolean;
  /** Somebody else acts for the owner; the run directory has no room. */
  readonly claim?: 'taken' | 'full';
  /** The guest stands here, paused, and can be let run. */
  readonly here?: boolean;
}

/** The answer, or `no answer`; and what was done on the way. */
async function asked(one: Case) {
  const {
    record,
    process = ['alive'],
    owner = 'silent',
    asksAgain = true,
    claim,
    here = false,
  } = one;
  let paused = true;
  const deeds: string[] = [];
  const says = [...record];
  const looks = [...process];
  const next = <T>(list: T[]): T | undefined => (list.length > 1 ? list.shift() : list[0]);
  const ports = {
    timers,
    processes: {
      self: by,
      state() {
        deeds.push('look');
        const found = next(looks);
        if (found === undefined || found === 'throws') throw new Error('no /proc');
        return found;
      },
      signal: () => deeds.push('kill'),
    },
    registry: {
      socketOf: () => '/run/x.sock',
      async claimSession() {
        deeds.push('claim');
        if (claim === 'full') throw new OperationError('disk-full', 'no space', { op: 'claim' });
        if (claim !== 'taken') return { unsettled: null, publish: () => null, release() {} };
        throw new OperationError('already-protected', 'by another', { op: 'claim' });
      },
      async request() {
        deeds.push('ask');
        const op = owner === 'silent' ? 'await-answer' : 'ask-session';
        if (owner === 'promised' || owner === 'activating') return { answer: { kind: owner } };
        throw new OperationError('command-failed', owner, { op });
      },
    },
    hypervisor: async () => ({
      async find(name: string) {
        deeds.push(`find ${name}`);
        return here ? { id: 7, uuid: question.uuid } : null;
      },
      info: async () => ({ state: 'here', paused }),
      async unpause() {
        deeds.push('unpause');
        paused = false;
      },
    }),
    record: () => ({
      async read() {
        deeds.push('read');
        return { permission: next(says), running: false, standby: { by } };
      },
      async move(_from: Permission, to: Permission) {
        deeds.push(`record ${to}`);
        return { permission: to, mine: true };
      },
      async noteRunning() {
        deeds.push('note running');
      },
    }),
  } as unknown as AnswerPorts;
  const again = async () => {
    deeds.push('again');
    if (!asksAgain) throw new Error('nobody asks');
  };
  const answer = await answerAsk(question, ports, again).then(
    ({ kind }) => kind as string,
    () => 'no answer',
  );
  return `${answer}: ${deeds.join(', ')}`;
}

describe('a fresh question', () => {
  it.each<[string, Case, string]>([
    [
      'is answered by the owner that lives',
      { record: ['activating'], owner: 'activating' },
      'activating: read, look, ask',
    ],
    [
      'is not answered where nobody can tell whether it lives',
      { record: ['activating'], process: ['throws'] },
      'no answer: read, look',
    ],
    [
      'is not answered where the owner speaks and gives no answer',
      { record: ['standby'], owner: 'refuses' },
      'no answer: read, look, ask',
    ],
    [
      'promises for an owner that is gone, after another look at the record',
      { record: ['standby'], process: ['dead'] },
      'promised: read, look, read, record promised, find web1--incoming',
    ],
    [
      'destroys first what may have been built',
      { record: ['activating'], process: ['other-boot'] },
      'promised: read, look, read, claim, find web1--incoming, find web1, record promised',
    ],
    [
      'destroys nothing that somebody else may be letting run',
      { record: ['activating'], process: ['dead'], claim: 'taken' },
      'activating: read, look, read, claim',
    ],
    [
      'holds nobody because the run directory is full',
      { record: ['activating'], process: ['dead'], claim: 'full' },
      'promised: read, look, read, claim, find web1--incoming, find web1, record promised',
    ],
    [
      'sees what the owner decided just before it died',
      { record: ['standby', 'active'], process: ['dead'] },
      'absent: read, look, read, find web1',
    ],
    [
      'ends an owner that is deaf',
      { record: ['standby'], process: ['alive', 'alive', 'dead'] },
      'promised: read, look, ask, look, again, kill, look, read, again, record promised, find web1--incoming',
    ],
    [
      'ends no owner for one that does not ask again',
      { record: ['standby'], asksAgain: false },
      'no answer: read, look, ask, look, again',
    ],
    [
      'ends no owner of what is active',
      { record: ['active'] },
      'absent: read, look, ask, look, find web1',
    ],
    [
      'sees that a deaf owner had decided',
      { record: ['activating', 'active'], process: ['alive', 'alive', 'dead'] },
      'absent: read, look, ask, look, again, kill, look, read, find web1',
    ],
    [
      'lets run what is active and was left paused, and notes that',
      { record: ['active'], process: ['dead'], here: true },
      'running: read, look, read, find web1, unpause, find web1, note running',
    ],
    ['needs nobody where the promise was given', { record: ['promised'] }, 'promised: read'],
  ])('%s', async (_what, one, result) => {
    expect(await asked(one)).toBe(result);
  });
});

describe('a run that asks', () => {
  it('gets one answer to each question, however often it asks', async () => {
    const { primary, backup } = greetedPair();
    const heard = new Heard(primary);
    await nextMessage(backup, 'the primary', { timers });
    const record = () => ({ read: async () => ({ permission: 'promised' }) });
    const ports = { timers, record } as unknown as AnswerPorts;
    const over = answerQuestion(backup, helloMessage, ports);
    const ask = (id: number) => primary.send({ kind: 'ask', id });
    const answers = () => heard.messages.flatMap((one) => (one.kind === 'answer' ? [one.id] : []));
    ask(5);
    await heard.until(() => answers().length === 1);
    ask(5);
    // Long enough for an answer that there must not be.
    await sleep(timers, 50);
    ask(6);
    await heard.until(() => answers().includes(6));
    expect(answers()).toEqual([5, 6]);
    await primary.close('asked');
    await over;
  });

  // Proves: who has hung up asks no more: the owner that was too slow for it is not ended.
  it('that hangs up while a deaf owner is asked has nobody ended', async () => {
    const { primary, backup } = greetedPair();
    await nextMessage(backup, 'the primary', { timers });
    const deeds: string[] = [];
    const ports = {
      timers,
      processes: {
        self: by,
        state: () => (deeds.includes('kill') ? 'dead' : 'alive'),
        signal: () => deeds.push('kill'),
      },
      record: () => ({
        read: async () => ({ permission: 'activating', standby: { by } }),
        move: async () => deeds.push('promised'),
      }),
      registry: {
        socketOf: () => '/run/x.sock',
        async request() {
          await primary.close('hung up');
          throw new OperationError('no-answer', 'silent', { op: 'await-answer' });
        },
      },
    } as unknown as AnswerPorts;
    const over = answerQuestion(backup, helloMessage, ports);
    primary.send({ kind: 'ask', id: 5 });
    await over;
    expect(deeds).toEqual([]);
  });
});
