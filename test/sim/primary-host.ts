/** Host A: the guest, its output buffer, libxl's save operation, and `tsremus protect`. */
import { describePrimaryEffect, describePrimaryEvent } from '../../src/core/describe.ts';
import type { PrimaryState, PrimaryStep } from '../../src/core/primary.ts';
import { initialPrimary } from '../../src/core/primary.ts';
import type { PrimaryEffect, PrimaryEvent } from '../../src/core/primary-types.ts';
import { FreshAsk } from './fresh-ask.ts';
import { Guest, OutputBuffer } from './guest.ts';
import type { Message } from './messages.ts';
import { SimProcess } from './process.ts';
import { SaveOperation } from './save-operation.ts';
import { primaryVerdict } from './verdict.ts';
import type { World } from './world.ts';

/** An event without its time: the host's clock adds it. */
export type Timeless<E> = E extends unknown ? Omit<E, 'nowMs'> : never;

export class PrimaryHost {
  readonly #world: World;
  readonly guest = new Guest('a', 0, 0);
  readonly buffer: OutputBuffer | null;
  readonly process: SimProcess<PrimaryState, PrimaryEvent, PrimaryEffect>;
  readonly save: SaveOperation;
  #ask: FreshAsk | null = null;
  #isTickDue = false;
  effectsDone = 0;
  isUp = true;
  /** The kind of outcome that the machine ended with. */
  outcome: string | null = null;

  constructor(world: World) {
    this.#world = world;
    const { plan, checker } = world;
    this.buffer = plan.config.buffered
      ? new OutputBuffer((packet) => checker.emitted(packet))
      : null;
    this.process = new SimProcess<PrimaryState, PrimaryEvent, PrimaryEffect>(
      world,
      initialPrimary(plan.config, this.nowMs()),
      {
        step: (state, event): PrimaryStep => world.machines.stepPrimary(state, event),
        perform: (effect) => this.#perform(effect),
        observe: (event, state, effects) => this.#observe(event, state, effects),
        beforeEffect: () => {
          this.effectsDone += 1;
          world.beforeEffect('a', this.effectsDone);
        },
      },
    );
    this.save = new SaveOperation(world, this);
  }

  /** The host's own clock. */
  nowMs(): number {
    const { plan, nowMs } = this.#world;
    return plan.clockStartA + nowMs * plan.clockRateA;
  }

  start(): void {
    this.#guestWorks();
    this.process.later(0, () => {
      this.dispatch({ kind: 'link-open' });
      this.save.start();
    });
    this.#ticks();
  }

  dispatch(event: Timeless<PrimaryEvent>): void {
    // The time is that of the delivery; a stopped process takes it when it reads the event.
    this.process.run(() =>
      this.process.dispatch({ ...event, nowMs: this.nowMs() } as PrimaryEvent),
    );
  }

  onMessage(message: Message): void {
    this.process.run(() => this.#receive(message));
  }

  onClosed(reason: string): void {
    this.dispatch({ kind: 'link-closed', reason });
  }

  kill(): void {
    if (!this.process.isAlive) return;
    this.#exit();
    const { connection, random } = this.#world;
    if (random.chance(0.5)) connection.close('a');
    else connection.abort('a');
  }

  crash(): void {
    this.isUp = false;
    this.guest.isAlive = false;
    this.buffer?.drop();
    this.#exit();
    this.#world.connection.crash('a');
  }

  continue(): void {
    this.process.continue();
    if (!this.#isTickDue) return;
    this.#isTickDue = false;
    this.dispatch({ kind: 'tick' });
  }

  #exit(): void {
    this.process.kill();
    this.save.processDied();
    this.#ask?.cancel(false);
  }

  #ticks(): void {
    const { plan } = this.#world;
    this.#world.after(plan.tickMs, () => {
      if (!this.process.isAlive) return;
      if (this.process.isStopped) this.#isTickDue = true;
      else this.dispatch({ kind: 'tick' });
      this.#ticks();
    });
  }

  #guestWorks(): void {
    const { plan, random, checker } = this.#world;
    this.#world.after(plan.packetMs * random.between(0.5, 1.5), () => {
      if (!this.guest.isAlive) return;
      if (this.guest.isRunning) {
        const packet = this.guest.work(this.save.epoch);
        if (this.buffer === null) checker.emitted(packet);
        else this.buffer.accept(packet);
      }
      this.#guestWorks();
    });
  }

  #receive(message: Message): void {
    switch (message.kind) {
      case 'ack':
        this.dispatch({ kind: 'ack', epoch: message.epoch });
        return;
      case 'echo':
        this.#world.checker.echoArrived(message.seq);
        this.dispatch({ kind: 'echo', seq: message.seq });
        return;
      case 'answer':
        this.dispatch({ kind: 'answer', id: message.id, answer: message.answer });
        return;
      case 'copy-lost':
        this.dispatch({ kind: 'copy-lost', reason: message.reason });
        return;
      case 'activated': {
        const answer = { kind: 'active', running: true } as const;
        this.dispatch({ kind: 'answer', id: 0, answer });
        return;
      }
      case 'chunk':
      case 'heartbeat':
      case 'ask':
        throw new Error(`the simulator sent ${message.kind} to the primary`);
    }
  }

  #observe(event: PrimaryEvent, state: PrimaryState, effects: readonly PrimaryEffect[]): void {
    const { checker } = this.#world;
    if (event.kind === 'tick' && state.phase !== 'ended') {
      checker.primaryStatus(primaryVerdict(state, this.nowMs(), true).level);
    }
    for (const effect of effects) {
      // When it is decided: a process can still be stopped between the check and the deed.
      if (effect.kind === 'release') checker.releases(effect.epoch, event.nowMs);
    }
    const isRoutine = event.kind === 'tick' || event.kind === 'echo';
    const telling = effects.filter((effect) => effect.kind !== 'send-heartbeat');
    if (isRoutine && telling.length === 0) return;
    this.#world.trace('A', () => {
      const done = telling.map(describePrimaryEffect).join(', ');
      return `${describePrimaryEvent(event)}  [${state.phase}]${done === '' ? '' : ` -> ${done}`}`;
    });
  }

  #perform(effect: PrimaryEffect): void {
    const { checker, connection } = this.#world;
    switch (effect.kind) {
      case 'send-heartbeat':
        checker.heartbeatSent(effect.seq, this.nowMs());
        connection.send('a', { kind: 'heartbeat', seq: effect.seq });
        return;
      case 'take-checkpoint':
        checker.acted('take-checkpoint');
        this.save.takeCheckpoint(effect.epoch);
        return;
      case 'release':
        checker.acted('release');
        this.buffer?.release(effect.epoch);
        return;
      case 'ask-promise':
        checker.acted('ask-promise');
        this.#askPromise(effect.id, effect.way);
        return;
      case 'pause-guest':
        checker.acted('pause-guest');
        this.guest.isPaused = true;
        return;
      case 'unpause-guest':
        this.guest.isPaused = false;
        return;
      case 'open-buffer':
        checker.opened();
        this.buffer?.open();
        return;
      case 'abort-save':
        this.save.abort();
        return;
      case 'destroy-guest':
        checker.destroyed();
        this.guest.isAlive = false;
        this.buffer?.drop();
        return;
      case 'close-link':
        connection.close('a');
        return;
      case 'end':
        checker.ended();
        this.outcome = effect.outcome.kind;
        connection.close('a');
        this.#exit();
        return;
    }
  }

  #askPromise(id: number, way: 'link' | 'fresh'): void {
    if (way === 'link') {
      this.#world.connection.send('a', { kind: 'ask', id });
      return;
    }
    this.#ask?.cancel(this.#world.plan.hasLateAnswers);
    this.#ask = new FreshAsk(this.#world, this, id);
    this.#ask.start();
  }
}
