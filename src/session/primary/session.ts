/**
 * Shell around the primary machine: carries out its effects on the guest, the link and the
 * transport, and turns what happens into its events. Decides nothing.
 */
import { describePrimaryEffect, describePrimaryEvent } from '../../core/describe.ts';
import { initialPrimary, primaryWakeAtMs, stepPrimary } from '../../core/primary/primary.ts';
import type { PrimaryState } from '../../core/primary/state.ts';
import type {
  PrimaryEffect,
  PrimaryEvent,
  PrimaryOutcome,
  StopBy,
} from '../../core/primary/types.ts';
import { isDeferred, type Schedule } from '../../core/scheduler.ts';
import { endOf } from '../../guest/watch.ts';
import { systemClock, systemTimers } from '../../host/clock.ts';
import { errorText, OperationError } from '../../host/errors.ts';
import type { SaveEvent, SaveOperation } from '../../hypervisor/port.ts';
import type { Message } from '../../link/messages.ts';
import { needsStream } from '../../link/pulse-ways.ts';
import { EpochPump } from '../../stream/pump.ts';
import { Lane, Machine } from '../machine.ts';
import { openForGood } from '../output.ts';
import { WakeTimer } from '../wake-timer.ts';
import { deferred, SessionFigures } from './figures.ts';
import type { PrimaryParts } from './parts.ts';

/** The machine is looked at when it wants to be, within these bounds, ms. */
const tickMsMin = 5;
const tickMsMax = 1_000;

/** The guest is looked at this often, in case it ended without libxl's noticing, ms. */
const lookEveryMs = 2_000;

const now = () => performance.now();
const heartbeat = (seq: number) => ({ kind: 'heartbeat', seq }) as const;

/** Not logged at all. */
const routine: ReadonlySet<PrimaryEvent['kind']> = new Set([
  ...(['tick', 'echo', 'progress', 'output'] as const),
]);
/** Logged only at level debug: they pass in their thousands. */
const ofEpochs: ReadonlySet<PrimaryEvent['kind']> = new Set([
  ...(['checkpoint', 'drained', 'sent', 'ack'] as const),
]);

export class PrimarySession {
  readonly #parts: PrimaryParts;
  readonly #machine: Machine<PrimaryState, PrimaryEvent, PrimaryEffect>;
  readonly #lane: Lane;
  readonly #done: Promise<PrimaryOutcome>;
  #finish: (outcome: PrimaryOutcome) => void = () => {};
  #fail: (error: unknown) => void = () => {};
  #save: SaveOperation | null = null;
  #saveEnded = false;
  #abortWanted = false;
  #pump: EpochPump | null = null;
  readonly #timer: WakeTimer;
  #looking: NodeJS.Timeout | null = null;
  #over = false;
  readonly figures = new SessionFigures();
  #ackWallMs: number | null = null;
  /** Pauses of ours that are not undone yet; Xen counts them, too. */
  #pauses = 0;
  #phase: PrimaryState['phase'] = 'connecting';
  #unopened: string | null = null;

  constructor(parts: PrimaryParts) {
    this.#parts = parts;
    this.#machine = new Machine(initialPrimary(parts.config, now()), stepPrimary, (e) =>
      this.#perform(e),
    );
    this.#timer = new WakeTimer({
      clock: systemClock,
      timers: systemTimers,
      minMs: tickMsMin,
      maxMs: tickMsMax,
      onWake: () => this.#dispatch({ kind: 'tick', nowMs: now() }),
    });
    this.#lane = new Lane((error) => parts.log.error(errorText(error)));
    this.#done = new Promise((resolve, reject) => {
      this.#finish = resolve;
      this.#fail = reject;
    });
  }

  get state(): PrimaryState {
    return this.#machine.state;
  }

  get guestPaused(): boolean {
    return this.#pauses > 0;
  }

  /** What kept the output buffer from being opened when it was to be; null: nothing. */
  get unopened(): string | null {
    return this.#unopened;
  }

  /** When the newest acknowledgement came, wall time; null before the first. */
  get ackWallMs(): number | null {
    return this.#ackWallMs;
  }

  /** What keeps the guest from running as it should; null: nothing. */
  get degraded(): string | null {
    return this.figures.degraded(now());
  }

  /** Bytes of the stream that the guest has left behind and that are not being sent yet. */
  get waitingBytes(): number {
    return Math.max(0, this.figures.drainedBytes - this.moved.rawBytes);
  }

  /** Of the checkpoint stream: taken from the guest, and sent, encoded. */
  get moved(): { readonly rawBytes: number; readonly wireBytes: number } {
    return { rawBytes: this.#pump?.rawBytes ?? 0, wireBytes: this.#pump?.wireBytes ?? 0 };
  }

  /** Runs from the open link to the outcome. Rejects only on a violated invariant. */
  run(): Promise<PrimaryOutcome> {
    const { xen, domid, link, encoder, queueBytes, output } = this.#parts;
    this.#dispatch({ kind: 'link-open', nowMs: now() });
    this.#save = xen.startSave(domid, queueBytes, output.barrier, (event) => this.#onSave(event));
    this.#pump = new EpochPump({
      save: this.#save,
      encoder,
      sink: link,
      onSent: (epoch) => {
        this.figures.leaving(epoch, now());
        this.#dispatch({ kind: 'sent', epoch, nowMs: now() });
      },
      onFigures: (sent) => this.figures.sent(sent),
      onError: (error) => this.#onPumpError(error),
    });
    output.listen(({ packets, bytes, nearLimit }) =>
      this.#dispatch({ kind: 'output', packets, bytes, nearLimit, nowMs: now() }),
    );
    this.#lookLater();
    return this.#done;
  }

  /**
   * libxl asks a guest to suspend through its event channel and waits a minute for the answer of
   * one that has ended (libxl_dom_suspend.c): so we look for ourselves.
   */
  #lookLater(): void {
    const { xen, domid } = this.#parts;
    this.#looking = setTimeout(async () => {
      try {
        const reason = endOf(await xen.info(domid));
        if (reason !== null) {
          this.#dispatch({ kind: 'guest-ended', reason, nowMs: now() });
          return;
        }
      } catch (error) {
        this.#parts.log.info(errorText(error));
      }
      if (!this.#over) this.#lookLater();
    }, lookEveryMs);
  }

  /** Nothing more can be sent: the backup is told why, and asked for leave to go on here. */
  #onPumpError(error: unknown): void {
    const text = `the checkpoint stream cannot be sent: ${errorText(error)}`;
    this.#parts.log.error(text);
    const code = error instanceof OperationError ? error.code : 'command-failed';
    this.#parts.link.fail(new OperationError(code, text, { op: 'send-stream', cause: error }));
  }

  /** A schedule in which `scheduleProblem` found nothing wrong. */
  setSchedule(schedule: Schedule): void {
    this.#dispatch({ kind: 'set-schedule', schedule, nowMs: now() });
  }

  stop(force: boolean, by: StopBy): void {
    this.#dispatch({ kind: 'stop', force, by, nowMs: now() });
  }

  onMessage(message: Message): void {
    const nowMs = now();
    switch (message.kind) {
      case 'ack':
        this.#ackWallMs = Date.now();
        this.figures.acknowledged(message.epoch, nowMs);
        return this.#dispatch({ kind: 'ack', epoch: message.epoch, nowMs });
      case 'echo':
        return this.#dispatch({ kind: 'echo', seq: message.seq, nowMs });
      case 'answer':
        if (message.answer.kind === 'standby') return;
        return this.#dispatch({ kind: 'answer', id: message.id, answer: message.answer, nowMs });
      case 'copy-lost':
        return this.#dispatch({ kind: 'copy-lost', reason: message.reason, nowMs });
      case 'activated':
        return this.#dispatch({
          kind: 'answer',
          id: -1,
          answer: { kind: 'active', running: true },
          nowMs,
        });
      case 'error':
        this.#parts.log.error(`the backup says: ${message.text}`);
        return this.onLinkClosed(`the backup ended the session: ${message.text}`);
      case 'goodbye':
        return this.onLinkClosed(`the backup ended the session: ${message.reason}`);
      default:
        this.#parts.log.error(`the backup sent ${message.kind}, which only a primary sends`);
        void this.#parts.link.close(`unexpected ${message.kind}`);
    }
  }

  onEcho(seq: number): void {
    this.#dispatch({ kind: 'echo', seq, nowMs: now() });
  }

  /** The backup took bytes of an epoch. */
  onProgress(): void {
    this.#dispatch({ kind: 'progress', nowMs: now() });
  }

  onLinkClosed(reason: string): void {
    this.#dispatch({ kind: 'link-closed', reason, nowMs: now() });
  }

  #dispatch(event: PrimaryEvent): void {
    if (this.#over) return;
    if (ofEpochs.has(event.kind)) this.#parts.log.debug(describePrimaryEvent(event));
    else if (!routine.has(event.kind)) this.#parts.log.info(describePrimaryEvent(event));
    try {
      this.#machine.dispatch(event);
    } catch (error) {
      // A violated invariant stops the process; nothing is released any more.
      this.#stopTimers();
      this.#fail(error);
      return;
    }
    if (!this.#over) this.#timer.wakeAt(primaryWakeAtMs(this.state));
    const { phase } = this.#machine.state;
    if (phase === this.#phase && (routine.has(event.kind) || ofEpochs.has(event.kind))) return;
    this.#phase = phase;
    this.#parts.onChange();
  }

  #onSave(event: SaveEvent): void {
    const nowMs = now();
    switch (event.kind) {
      case 'data':
        return this.#pump?.wake();
      case 'output':
        return this.#parts.output.look();
      case 'checkpoint':
        return this.#dispatch({ kind: 'checkpoint', epoch: event.epoch, nowMs });
      case 'epoch-end': {
        const { epoch, bytes, pages, pauseMs } = event;
        this.figures.drained(event, nowMs);
        this.#dispatch({ kind: 'drained', epoch, pauseMs, pages, nowMs });
        this.#pump?.epochEnd({ epoch, bytes, pages });
        if (isDeferred(this.state, this.state.config.pendingMax)) this.#parts.log.debug(deferred);
        return;
      }
      case 'stalled':
        // In the seed the guest runs on, and a line slower than memory is the rule.
        if (event.epoch > 0) this.#onStalled(event.epoch, event.waitingBytes);
        return;
      case 'log':
        this.#parts.log.debug(`libxl: ${event.text}`);
        return;
      case 'ended':
        this.#onSaveEnded(event, nowMs);
    }
  }

  #onStalled(epoch: number, waitingBytes: number): void {
    this.figures.stalled(epoch, waitingBytes);
    this.#parts.log.warning(this.degraded ?? '');
    this.#parts.onChange();
  }

  #onSaveEnded(event: Extract<SaveEvent, { kind: 'ended' }>, nowMs: number): void {
    this.#saveEnded = true;
    this.#pump?.stop();
    const end = event.end;
    if (end.kind === 'guest-ended') {
      this.#dispatch({ kind: 'guest-ended', reason: end.reason, nowMs });
    } else if (!this.#abortWanted) {
      // Aborted, but not by us: the native loop does so when the stream is broken.
      const reason = end.kind === 'failed' ? end.reason : 'the stream is broken (see the log)';
      this.#dispatch({ kind: 'save-failed', reason, nowMs });
    }
    if (this.#abortWanted) this.#dispatch({ kind: 'save-ended', nowMs });
  }

  #perform(effect: PrimaryEffect): void {
    const { xen, domid, link, log, pulse } = this.#parts;
    if (effect.kind === 'take-checkpoint' || effect.kind === 'release') {
      log.debug(`  -> ${describePrimaryEffect(effect)}`);
    } else if (effect.kind !== 'send-heartbeat') log.info(`  -> ${describePrimaryEffect(effect)}`);
    switch (effect.kind) {
      case 'send-heartbeat':
        if (needsStream(effect.seq, pulse?.newest)) link.send(heartbeat(effect.seq));
        pulse?.send(effect.seq);
        return;
      case 'take-checkpoint':
        this.#save?.checkpoint();
        return;
      case 'release':
        return this.#release(effect.epoch);
      case 'open-buffer':
        this.#lane.run(async () => {
          const isOver = this.state.guest === 'ended';
          this.#unopened = await openForGood(this.#parts.output, isOver, (text) => log.error(text));
        });
        return;
      case 'ask-promise':
        return this.#ask(effect.id, effect.way);
      case 'pause-guest':
        this.#pause(effect.reason);
        return;
      case 'unpause-guest':
        this.#lane.run(async () => {
          await xen.unpause(domid);
          this.#pauses -= 1;
          if (this.#pauses === 0) log.info('the guest runs again');
          this.#parts.onChange();
        });
        return;
      case 'abort-save':
        this.#abortWanted = true;
        // Nothing more of an unfinished epoch may become whole on the backup.
        this.#pump?.stop();
        // Of a guest that is gone libxl may await a suspend for a minute: nothing depends on it.
        if (this.#saveEnded || this.state.guest === 'ended') {
          queueMicrotask(() => this.#dispatch({ kind: 'save-ended', nowMs: now() }));
        } else this.#save?.abort();
        return;
      case 'destroy-guest':
        this.#lane.run(async () => {
          // Whatever became of it: a copy runs elsewhere, and this one must end.
          await this.#parts.output.drop().catch((error) => log.error(errorText(error)));
          await xen.destroy(domid);
        });
        return;
      case 'close-link':
        void link.close('the session is over');
        return;
      case 'end':
        return this.#end(effect.outcome);
    }
  }

  /**
   * Nothing more is done here: the guest is left as somebody who decides later has to find it. With
   * a buffer it is mute; without one it is paused, because the backup may activate from now on.
   */
  async abandon(): Promise<void> {
    this.#stopTimers();
    await this.#lane.idle();
    const isMute = this.#parts.config.buffered || this.guestPaused;
    if (isMute || this.state.guest === 'ended') return;
    this.#pause('nobody has decided who goes on');
  }

  #pause(reason: string): void {
    const { xen, domid, log, onPause } = this.#parts;
    // Xen counts pauses as we do: an unpause that is still under way does not undo this one.
    this.#pauses += 1;
    log.warning(`the guest is paused: ${reason}`);
    // On record first: should this process die, whoever clears up must know of the pause.
    onPause();
    xen.pause(domid);
  }

  /** One that the kernel refuses is made up for by the next: what is sealed stays sealed. */
  #release(epoch: number): void {
    try {
      this.#parts.output.release(epoch);
    } catch (error) {
      this.#parts.log.error(`epoch ${epoch} is still held back: ${errorText(error)}`);
    }
  }

  #ask(id: number, way: 'link' | 'fresh'): void {
    if (way === 'link') return void this.#parts.link.send({ kind: 'ask', id });
    this.#parts.askFresh().then(
      (answer) => this.#dispatch({ kind: 'answer', id, answer, nowMs: now() }),
      (error: unknown) => {
        const reason = errorText(error);
        this.#dispatch({ kind: 'ask-failed', id, reason, nowMs: now() });
      },
    );
  }

  #stopTimers(): void {
    this.#over = true;
    this.#timer.stop();
    if (this.#looking !== null) clearTimeout(this.#looking);
    this.#pump?.stop();
  }

  #end(outcome: PrimaryOutcome): void {
    this.#stopTimers();
    void this.#lane.idle().then(() => this.#finish(outcome));
  }
}
