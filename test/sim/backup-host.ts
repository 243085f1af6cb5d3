/** Host B: `tsremus receive`, the copy, the record; and the process that a fresh ask starts. */
import type { BackupState, BackupStep } from '../../src/core/backup/backup.ts';
import { initialBackup } from '../../src/core/backup/backup.ts';
import type { BackupEffect, BackupEvent } from '../../src/core/backup/types.ts';
import { describeBackupEffect, describeBackupEvent } from '../../src/core/describe.ts';
import { answerOf, askWithoutOwner, type RecordView } from '../../src/core/permission/record.ts';
import type { Answer, Permission } from '../../src/core/vocabulary.ts';
import { CopyModel } from './copy-model.ts';
import type { Message } from './messages.ts';
import type { Timeless } from './primary-host.ts';
import { SimProcess } from './process.ts';
import { RecordStore } from './record-store.ts';
import type { World } from './world.ts';

type AnswerTo = (answer: Answer | null) => void;

export class BackupHost {
  readonly #world: World;
  readonly process: SimProcess<BackupState, BackupEvent, BackupEffect>;
  readonly copy: CopyModel;
  readonly store: RecordStore;
  readonly #asked = new Map<number, AnswerTo>();
  #nextToken = 1_000_000;
  #lastTickMs = 0;
  #isTickDue = false;
  #boot = 0;
  effectsDone = 0;
  isUp = true;
  outcome: string | null = null;
  /** The stream has ended for the machine, by the peer's doing or its own. */
  #hasStreamEnded = false;
  /** The end of the link was known before anything was decided. */
  isLinkEndKnown = false;
  isFailoverOrdered = false;
  #isActivating = false;
  #hung: 'epochs' | 'stream' | null = null;
  #stuckIn: Message[] = [];
  #stuckOut: Message[] = [];

  constructor(world: World) {
    this.#world = world;
    const { heartbeatTimeoutMs, holdMs, buffered } = world.plan.config;
    this.store = new RecordStore(world, world.checker, world.plan.diskMs);
    this.process = new SimProcess<BackupState, BackupEvent, BackupEffect>(
      world,
      initialBackup({ heartbeatTimeoutMs, holdMs, buffered, parts: ['memory'] }, this.nowMs()),
      {
        step: (state, event): BackupStep => world.machines.stepBackup(state, event),
        perform: (effect) => this.#perform(effect),
        observe: (event, state, effects) => this.#observe(event, state, effects),
        beforeEffect: () => {
          this.effectsDone += 1;
          world.beforeEffect('b', this.effectsDone);
        },
      },
    );
    this.copy = new CopyModel(world, this);
  }

  nowMs(): number {
    const { plan, nowMs } = this.#world;
    return plan.clockStartB + nowMs * plan.clockRateB;
  }

  start(): void {
    this.store.create();
    this.dispatch({ kind: 'link-open' });
    this.#lastTickMs = this.nowMs();
    this.#ticks();
  }

  dispatch(event: Timeless<BackupEvent>): void {
    this.process.run(() => this.process.dispatch({ ...event, nowMs: this.nowMs() } as BackupEvent));
  }

  onMessage(message: Message): void {
    this.process.run(() => this.#receive(message));
  }

  /** Nothing of an epoch is taken any more; or the link's stream is stuck, both ways. */
  hang(isStream: boolean): void {
    this.#hung = isStream ? 'stream' : 'epochs';
  }

  heal(): void {
    if (this.#hung === null) return;
    this.#hung = null;
    const came = this.#stuckIn.splice(0);
    for (const message of came) this.onMessage(message);
    for (const message of this.#stuckOut.splice(0)) this.#send(message);
  }

  #isStuck(message: Message): boolean {
    if (this.#hung === null) return false;
    return this.#hung === 'stream' ? message.kind !== 'heartbeat' : message.kind === 'chunk';
  }

  /** Echoes go by datagrams, too. */
  #send(message: Message): void {
    if (this.#hung === 'stream' && message.kind !== 'echo') this.#stuckOut.push(message);
    else this.#world.connection.send('b', message);
  }

  onClosed(reason: string): void {
    this.process.run(() => {
      this.#noteStreamEnd();
    });
    this.dispatch({ kind: 'link-closed', reason });
  }

  /** A fresh connection asks. While the session's process lives, it decides; else the record. */
  ask(answerTo: AnswerTo): void {
    const { plan, random } = this.#world;
    const isDeaf = plan.hasAsideAsks && (this.process.isStopped || random.chance(0.1));
    if (!this.process.isAlive || isDeaf) {
      this.#helperAnswers(answerTo);
      return;
    }
    const token = this.#nextToken;
    this.#nextToken += 1;
    this.#asked.set(token, answerTo);
    this.dispatch({ kind: 'ask', way: 'fresh', token });
  }

  failover(): void {
    this.#nextToken += 1;
    this.dispatch({ kind: 'failover', token: this.#nextToken });
  }

  kill(): void {
    if (!this.process.isAlive) return;
    this.#exit();
    const { connection, random } = this.#world;
    if (random.chance(0.5)) connection.close('b');
    else connection.abort('b');
  }

  crash(): void {
    this.isUp = false;
    this.#boot += 1;
    this.copy.crash();
    this.store.crash();
    this.#exit();
    this.#world.connection.crash('b');
  }

  continue(): void {
    this.process.continue();
    if (!this.#isTickDue) return;
    this.#isTickDue = false;
    this.#tick();
  }

  /** The backup is at work: it holds a whole epoch and may activate it. */
  noteProtecting(): void {
    const { checker } = this.#world;
    const isAtWork = this.isUp && this.process.isAlive && !this.process.isStopped;
    const holds = checker.acked >= 0 && this.copy.isWhole;
    checker.protecting(isAtWork && holds && this.store.permission === 'standby');
  }

  #exit(): void {
    this.process.kill();
    for (const answerTo of this.#asked.values()) answerTo(null);
    this.#asked.clear();
  }

  #ticks(): void {
    this.#world.after(this.#world.plan.tickMs, () => {
      if (!this.process.isAlive) return;
      if (this.process.isStopped) this.#isTickDue = true;
      else this.#tick();
      this.#ticks();
    });
  }

  #tick(): void {
    const nowMs = this.nowMs();
    const lateMs = nowMs - this.#lastTickMs - 2 * this.#world.plan.tickMs;
    this.#lastTickMs = nowMs;
    this.dispatch({ kind: 'tick', stalledMs: Math.max(0, lateMs) });
  }

  #noteStreamEnd(): void {
    if (!this.#hasStreamEnded) this.isLinkEndKnown = !this.#isActivating;
    this.#hasStreamEnded = true;
  }

  #receive(message: Message): void {
    if (this.#hasStreamEnded) return; // read already, but nobody listens any more
    if (this.#isStuck(message)) {
      this.#stuckIn.push(message);
      return;
    }
    switch (message.kind) {
      case 'heartbeat':
        this.dispatch({ kind: 'heartbeat', seq: message.seq });
        return;
      case 'ask':
        this.dispatch({ kind: 'ask', way: 'link', token: message.id });
        return;
      case 'chunk':
        this.dispatch({ kind: 'bytes' });
        if (message.isDamaged) {
          this.dispatch({ kind: 'corrupt', reason: `epoch ${message.epoch}: checksum` });
          return;
        }
        this.#send({ kind: 'credit' });
        if (!this.copy.receive(message)) return;
        this.#world.checker.wholeArrived(message.epoch);
        this.dispatch({ kind: 'epoch-whole', part: 'memory', epoch: message.epoch });
        return;
      case 'credit':
      case 'echo':
      case 'ack':
      case 'answer':
      case 'copy-lost':
      case 'activated':
        throw new Error(`the simulator sent ${message.kind} to the backup`);
    }
  }

  #observe(event: BackupEvent, state: BackupState, effects: readonly BackupEffect[]): void {
    this.noteProtecting();
    const isRoutine = ['tick', 'bytes', 'heartbeat'].includes(event.kind);
    const telling = effects.filter((effect) => effect.kind !== 'send-echo');
    if (isRoutine && telling.length === 0) return;
    this.#world.trace('B', () => {
      const done = telling.map(describeBackupEffect).join(', ');
      return `${describeBackupEvent(event)}  [${state.phase}]${done === '' ? '' : ` -> ${done}`}`;
    });
  }

  #perform(effect: BackupEffect): void {
    const { checker, connection } = this.#world;
    switch (effect.kind) {
      case 'send-echo':
        this.#send({ kind: 'echo', seq: effect.seq });
        return;
      case 'send-ack':
        checker.ackSent(effect.epoch);
        this.noteProtecting();
        this.#send({ kind: 'ack', epoch: effect.epoch });
        return;
      case 'commit':
        checker.feeds(effect.epoch);
        this.copy.feed(effect.epoch);
        return;
      case 'write-record':
        this.#writeRecord(effect);
        return;
      case 'build-copy':
        this.copy.build();
        return;
      case 'unpause-copy':
        this.copy.unpause();
        return;
      case 'note-running':
        this.store.noteRunning(() => {});
        return;
      case 'discard-copy':
        this.copy.discard();
        return;
      case 'answer':
        checker.answered(effect.answer.kind);
        this.#answer(effect.way, effect.token, effect.answer);
        return;
      case 'send-copy-lost':
        checker.answered('promised');
        this.#send({ kind: 'copy-lost', reason: effect.reason });
        return;
      case 'send-activated':
        this.#send({ kind: 'activated' });
        return;
      case 'failover-answer':
        this.isFailoverOrdered ||= effect.refused === null;
        return;
      case 'close-link':
        this.#noteStreamEnd();
        connection.close('b');
        return;
      case 'end':
        this.outcome = effect.outcome.kind;
        connection.close('b');
        this.#exit();
        return;
    }
  }

  #answer(way: 'link' | 'fresh', token: number, answer: Answer): void {
    if (way === 'link') {
      this.#send({ kind: 'answer', id: token, answer });
      return;
    }
    this.#asked.get(token)?.(answer);
    this.#asked.delete(token);
  }

  #writeRecord(effect: Extract<BackupEffect, { kind: 'write-record' }>): void {
    const { from, to, why } = effect;
    this.#isActivating ||= to === 'activating';
    if (why.startsWith('silence') && to === 'activating') {
      const { checker, network, nowMs, plan } = this.#world;
      checker.foundSilence(nowMs - network.reachedAtMs.b, 3 * plan.tickMs);
    }
    this.store.move(from, to, (result) => {
      this.noteProtecting();
      if (result.ok) this.dispatch({ kind: 'record', permission: result.permission });
      else this.#readBack(from, result.reason);
    });
  }

  /** A write failed: what holds? While that is unknown the machine hears nothing. */
  #readBack(from: Permission, reason: string): void {
    this.process.later(this.store.delayMs, () => {
      const { permission } = this.store;
      if (this.#world.random.chance(0.2)) this.#readBack(from, reason);
      else if (permission === from) this.#recordFailed(reason);
      else if (permission !== null) this.dispatch({ kind: 'record', permission });
    });
  }

  #recordFailed(reason: string): void {
    this.#isActivating = false;
    this.isLinkEndKnown = this.#hasStreamEnded;
    this.dispatch({ kind: 'record-failed', reason });
  }

  /** A process of its own, on this host; dies with it. */
  #helperAnswers(answerTo: AnswerTo): void {
    const boot = this.#boot;
    const later = (delayMs: number, what: () => void): void => {
      this.#world.after(delayMs, () => (boot === this.#boot ? what() : answerTo(null)));
    };
    later(this.store.delayMs, () => {
      const { permission, isRunning } = this.store;
      if (this.process.isAlive) return this.#promiseAside(answerTo);
      const rule = askWithoutOwner(permission && { permission, running: isRunning });
      this.#world.trace('B', () => `helper: record says ${permission}: ${rule.kind}`);
      switch (rule.kind) {
        case 'answer':
          this.#world.checker.answered(rule.answer.kind);
          answerTo(rule.answer);
          return;
        case 'finish-activation':
          this.copy.finishActivation();
          if (this.copy.isRunning) this.store.noteRunning(() => {});
          answerTo({ kind: 'active', running: this.copy.isRunning });
          return;
        case 'give-up':
          this.copy.destroy();
          return this.store.move(this.store.permission ?? 'standby', 'promised', (result) => {
            const isPromised = result.ok && result.permission === 'promised';
            if (boot !== this.#boot || !isPromised) return answerTo(null);
            this.#world.checker.answered('promised');
            answerTo({ kind: 'promised' });
          });
      }
    });
  }

  /**
   * The session's process lives but does not answer. Out of standby anybody may step: who is
   * first has decided. Then the owner has to go, or it would protect on, in vain and silently.
   */
  #promiseAside(answerTo: AnswerTo): void {
    if (this.store.permission !== 'standby') {
      answerTo(answerOf(this.#view()));
      return;
    }
    this.store.move('standby', 'promised', () => {
      if (this.store.permission !== 'promised' || !this.isUp) {
        answerTo(null);
        return;
      }
      this.#world.trace('B', () => 'helper: promised, kills the deaf owner');
      this.kill();
      this.copy.destroy();
      answerTo({ kind: 'promised' });
    });
  }

  #view(): RecordView | null {
    const { permission, isRunning } = this.store;
    return permission && { permission, running: isRunning };
  }
}
