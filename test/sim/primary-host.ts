/** Host A: the guest, its output buffer, libxl's save operation, and `tsremus protect`. */
import { describePrimaryEffect, describePrimaryEvent } from '../../src/core/describe.ts';
import type { PrimaryState, PrimaryStep } from '../../src/core/primary/primary.ts';
import { initialPrimary } from '../../src/core/primary/primary.ts';
import type { PrimaryEffect, PrimaryEvent } from '../../src/core/primary/types.ts';
import { CleanUp } from './clean-up.ts';
import { FreshAsk } from './fresh-ask.ts';
import { Guest } from './guest.ts';
import type { Message } from './messages.ts';
import type { OutputBuffer } from './output-buffer.ts';
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
  readonly cleanUp: CleanUp;
  #toldOutput = '';
  #ask: FreshAsk | null = null;
  #isTickDue = false;
  effectsDone = 0;
  isUp = true;
  /** The kind of outcome that the machine ended with. */
  outcome: string | null = null;

  constructor(world: World) {
    this.#world = world;
    const { plan, checker } = world;
    const { OutputBuffer } = world.machines;
    this.buffer = plan.config.buffered ? new OutputBuffer(plan.buffer, checker) : null;
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
    this.cleanUp = new CleanUp(world, this);
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
    this.cleanUp.begin();
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
    this.#tick();
  }

  /** Permission is there: the buffer lets everything out and is removed. */
  open(): void {
    const { checker } = this.#world;
    checker.opened();
    this.buffer?.open();
    checker.tornDown();
  }

  /** The copy runs: what is held is thrown away, then the guest is destroyed. */
  destroy(): void {
    this.#world.checker.destroyed();
    this.buffer?.drop();
    this.guest.isAlive = false;
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
      else this.#tick();
      this.#ticks();
    });
  }

  #tick(): void {
    this.#tellOutput();
    this.dispatch({ kind: 'tick' });
  }

  /** What waits is looked at with every tick. */
  #tellOutput(): void {
    const output = this.buffer?.look();
    const text = JSON.stringify(output);
    if (output === undefined || text === this.#toldOutput) return;
    this.#toldOutput = text;
    this.dispatch({ kind: 'output', ...output });
  }

  #guestWorks(): void {
    const { plan, random } = this.#world;
    this.#world.after(plan.packetMs * random.between(0.5, 1.5), () => {
      if (!this.guest.isAlive) return;
      if (this.guest.isRunning) this.#send();
      this.#guestWorks();
    });
  }

  #send(): void {
    const { checker, random } = this.#world;
    const { buffer, guest, save } = this;
    const present = buffer?.present ?? [0];
    const port = present.length === 0 ? null : random.pick(present);
    const packet = guest.work(save.epoch, port ?? 0, random.int(60, 1_500));
    if (port === null) return; // it works on, and nobody hears of it
    if (buffer === null) checker.emitted(packet);
    else buffer.accept(packet);
  }

  #receive(message: Message): void {
    switch (message.kind) {
      case 'credit':
        this.save.credited();
        this.dispatch({ kind: 'progress' });
        return;
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
    const isRoutine = ['tick', 'echo', 'progress', 'output'].includes(event.kind);
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
        checker.released(effect.epoch);
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
        this.open();
        return;
      case 'abort-save':
        this.save.abort();
        return;
      case 'destroy-guest':
        this.destroy();
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
    this.#ask = new FreshAsk(this.#world, {
      isAlive: () => this.process.isAlive,
      answered: (answer) => this.dispatch({ kind: 'answer', id, answer }),
      failed: (reason) => this.dispatch({ kind: 'ask-failed', id, reason }),
    });
    this.#ask.start();
  }
}
