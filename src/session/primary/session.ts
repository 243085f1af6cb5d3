/**
 * Shell around the primary machine: carries out its effects on the guest, the link and the
 * transport, and turns what happens into its events. Decides nothing.
 */

import { describePrimaryEffect, describePrimaryEvent } from '../../core/describe.ts';
import { boundedReason, unpauseRetryMs } from '../../core/limits.ts';
import { isPresent } from '../../core/permission/evidence.ts';
import { initialPrimary, primaryWakeAtMs, stepPrimary } from '../../core/primary/primary.ts';
import type { PrimaryState } from '../../core/primary/state.ts';
import type {
  PrimaryConfig,
  PrimaryEffect,
  PrimaryEvent,
  PrimaryOutcome,
  StopBy,
} from '../../core/primary/types.ts';
import type { SaveHelper } from '../../core/save-helper.ts';
import { saveHelperText } from '../../core/save-helper.ts';
import { isDeferred, type Schedule } from '../../core/scheduler.ts';
import { farewell } from '../../core/texts/outcomes.ts';
import type { Answer, Answered } from '../../core/vocabulary.ts';
import { type FirstCopy, firstCopyOf, type PrimaryDisk } from '../../disk/port.ts';
import { awaitLateSuspend } from '../../guest/late-suspend.ts';
import { type Cancel, sleep, type Time } from '../../host/clock.ts';
import { errorText, OperationError } from '../../host/errors.ts';
import type { Log } from '../../host/log.ts';
import {
  endOf,
  type GuestInfo,
  type GuestLeft,
  type GuestRef,
  type GuestSpec,
  type Hypervisor,
  type SaveEvent,
  type SaveOperation,
} from '../../hypervisor/port.ts';
import type { ControlMessage } from '../../link/link.ts';
import type { Message } from '../../link/messages.ts';
import type { Pulse } from '../../link/pulse.ts';
import { needsStream } from '../../link/pulse-ways.ts';
import { interfacesDown, openForGood } from '../../output/open.ts';
import { nullBuffer, type OutputBuffer } from '../../output/port.ts';
import type { StreamEncoder } from '../../stream/codec/codec.ts';
import { DiskPump, type DiskSink } from '../../stream/disk-pump.ts';
import { EpochPump, type PumpSink } from '../../stream/pump.ts';
import { HypervisorLog } from '../hypervisor-log.ts';
import { Machine, Row } from '../machine.ts';
import { WakeTimer } from '../wake-timer.ts';
import { changeOf } from './change.ts';
import { deferred, SessionFigures } from './figures.ts';

/** What the session needs of the link; the primary's half of src/link. */
export interface SessionLink extends PumpSink, DiskSink {
  send(message: ControlMessage): boolean;
  /** Ends the session because of an error; the peer is told. */
  fail(error: OperationError): void;
  close(reason: string): Promise<void>;
}

export interface PrimaryParts extends Time {
  readonly config: PrimaryConfig;
  /** The machine; stepPrimary, unless a test breaks it on purpose. */
  readonly step?: typeof stepPrimary;
  readonly hypervisor: Hypervisor;
  readonly guest: GuestRef;
  readonly name: string;
  readonly link: SessionLink;
  readonly encoder: StreamEncoder;
  /** Bytes of the stream that may wait to be sent: past it a checkpoint keeps the guest waiting. */
  readonly queueBytes: number;
  readonly saveHelper: SaveHelper;
  /** What the guest sends waits in it. */
  readonly output: OutputBuffer;
  /** The guest's disks: parts of every epoch, as its memory is. */
  readonly disks: readonly PrimaryDisk[];
  /** Of each disk. */
  readonly diskEncoders: readonly StreamEncoder[];
  /** Sends a heartbeat on the datagram path too, where there is one. */
  readonly pulse: Pick<Pulse, 'send' | 'newest'> | null;
  /** Asks for the promise by a fresh run of the transport. */
  readonly askFresh: () => Promise<Answered>;
  readonly log: Log;
  /** What its copy is made of. */
  readonly spec: GuestSpec;
  /** Something changed that status and progress may want to show. */
  readonly onChange: () => void;
  /** The disks are as good as copied, and the memory's copy begins. */
  readonly onDisksCopied: (copy: FirstCopy) => void;
  /** The guest is about to be paused: to be written down before this returns. */
  readonly onPause: () => void;
  /** Who vouched for the copy's death was not right, or not asked for: why, a clause. */
  readonly onForceRefused: (reason: string, found: Answer['kind'] | null) => void;
}

/** The machine is looked at when it wants to be, within these bounds, ms. */
const tickMsMin = 5;
const tickMsMax = 1_000;

/** The guest is looked at this often, in case it ended without the hypervisor's noticing, ms. */
const lookEveryMs = 2_000;

/** At every so many looks it is compared with what its copy is made of. */
const compareEveryLooks = 5;

/** A guest that cannot be unpaused: tried so often, unpauseRetryMs apart. */
const unpauseTriesMax = 10;

const heartbeat = (seq: number, heldMs: number) => ({ kind: 'heartbeat', seq, heldMs }) as const;

/** Not logged at all. */
const routine: ReadonlySet<PrimaryEvent['kind']> = new Set([
  ...(['tick', 'echo', 'progress', 'output', 'disk-filling'] as const),
]);
/** Logged only at level debug: they pass in their thousands. */
const ofEpochs: ReadonlySet<PrimaryEvent['kind']> = new Set([
  ...(['checkpoint', 'drained', 'sent', 'ack'] as const),
]);

export class PrimarySession {
  readonly #parts: PrimaryParts;
  readonly #machine: Machine<PrimaryState, PrimaryEvent, PrimaryEffect>;
  readonly #row: Row;
  readonly #done: Promise<PrimaryOutcome>;
  #finish: (outcome: PrimaryOutcome) => void = () => {};
  #fail: (error: unknown) => void = () => {};
  #save: SaveOperation | null = null;
  #saveEnded = false;
  #left: GuestLeft = 'runs';
  #standstill: string | null = null;
  #abortWanted = false;
  #pump: EpochPump | null = null;
  readonly #diskPump: DiskPump;
  readonly #hypervisorLog: HypervisorLog;
  readonly #timer: WakeTimer;
  #stopLooking: Cancel | null = null;
  #looks = 0;
  #changed: string | null = null;
  #over = false;
  /** What makes the checkpoints, and why not what was wanted; null: not known yet. */
  saveHelper: { readonly helper: SaveHelper; readonly reason: string | null } | null = null;
  readonly figures: SessionFigures;
  #ackWall: Date | null = null;
  /** Pauses of ours that are not undone yet; the hypervisor counts them, too. */
  #pauses = 0;
  #phase: PrimaryState['phase'] = 'connecting';
  #unopened: string | null = null;
  #peerDegraded: string | null = null;
  #peerHint: string | null = null;
  /** The guest was about to be destroyed: its interfaces are down. */
  #isDropped = false;

  constructor(parts: PrimaryParts) {
    this.#parts = parts;
    this.figures = new SessionFigures();
    const { step = stepPrimary } = parts;
    const initial = initialPrimary(parts.config, this.#now());
    this.#machine = new Machine(initial, step, (effect) => this.#perform(effect));
    this.#timer = new WakeTimer({
      clock: parts.clock,
      timers: parts.timers,
      minMs: tickMsMin,
      maxMs: tickMsMax,
      onWake: () => this.#dispatch({ kind: 'tick', nowMs: this.#now() }),
    });
    this.#row = new Row((error) => parts.log.error(errorText(error)));
    this.#diskPump = this.#newDiskPump();
    this.#hypervisorLog = new HypervisorLog(parts.log);
    this.#done = new Promise((resolve, reject) => {
      this.#finish = resolve;
      this.#fail = reject;
    });
  }

  #newDiskPump(): DiskPump {
    const { disks, diskEncoders: encoders, link: sink } = this.#parts;
    return new DiskPump({
      ...{ disks, encoders, sink },
      onFilling: () => this.#dispatch({ kind: 'disk-filling', nowMs: this.#now() }),
      onCompare: (question) => void sink.send({ kind: 'compare', ...question }),
      onLost: (reason) => this.#dispatch({ kind: 'disk-lost', reason, nowMs: this.#now() }),
      onError: (error) => this.#onPumpError(error),
    });
  }

  #now(): number {
    return this.#parts.clock.nowMs();
  }

  get state(): PrimaryState {
    return this.#machine.state;
  }

  get guestPaused(): boolean {
    return this.#pauses > 0;
  }

  /**
   * Who else keeps the guest from running, and so from obeying a request to suspend, a sentence
   * without final stop that begins with the word `paused` of the man page; null: nobody.
   */
  get standstill(): string | null {
    return this.#standstill;
  }

  /** How the hypervisor's operation left the guest, once it is over. */
  get guestLeft(): GuestLeft {
    return this.#left;
  }

  /** What kept the output buffer from being opened when it was to be; null: nothing. */
  get unopened(): string | null {
    return this.#unopened;
  }

  /** When the newest acknowledgement came, time of day; null before the first. */
  get ackWall(): Date | null {
    return this.#ackWall;
  }

  /** What keeps the guest from running as it should; null: nothing. */
  get degraded(): string | null {
    return this.figures.degraded(this.#now());
  }

  /** Which of its disks somebody else writes to as well; null: none. */
  get disksShared(): string | null {
    return this.#parts.disks.find(({ shared }) => shared !== null)?.shared ?? null;
  }

  /** Why the backup could not take over now, as it says; null: it could. */
  get peerDegraded(): string | null {
    return this.#peerDegraded;
  }

  /** Bytes of the stream that the guest has left behind and that are not being sent yet. */
  get waitingBytes(): number {
    return Math.max(0, this.figures.drainedBytes - this.moved.rawBytes);
  }

  /** Of the checkpoint stream: taken from the guest, and sent, encoded. */
  get moved(): { readonly rawBytes: number; readonly wireBytes: number } {
    return { rawBytes: this.#pump?.rawBytes ?? 0, wireBytes: this.#pump?.wireBytes ?? 0 };
  }

  /** The same of the disks. */
  get disksMoved(): { readonly rawBytes: number; readonly wireBytes: number } {
    return this.#diskPump.moved;
  }

  /** How far the first copies of the disks are, while the memory's waits for them; else null. */
  get copyingDisks(): FirstCopy | null {
    const { disks } = this.#parts;
    if (disks.length === 0 || this.#save !== null || this.#over) return null;
    return firstCopyOf(disks);
  }

  /** Runs from the open link to the outcome. Rejects only on a violated invariant. */
  run(): Promise<PrimaryOutcome> {
    const { output, disks } = this.#parts;
    this.#dispatch({ kind: 'link-open', nowMs: this.#now() });
    this.#diskPump.start();
    if (disks.length === 0) this.#startSave();
    else void this.#copyDisks();
    output.listen(({ packets, bytes, nearLimit }) =>
      this.#dispatch({ kind: 'output', packets, bytes, nearLimit, nowMs: this.#now() }),
    );
    output.onLoss((loss) => {
      if (loss.kind === 'mended' || !loss.escaped) return this.#parts.onChange();
      const reason = `${loss.name}: ${loss.reason}`;
      this.#dispatch({ kind: 'output-lost', reason, nowMs: this.#now() });
    });
    this.#lookLater();
    return this.#done;
  }

  /**
   * A disk takes its time, and a guest's memory changes faster than its disk: the memory is begun
   * when little of the disks is left. The guest and the session go on meanwhile.
   */
  async #copyDisks(): Promise<void> {
    const { disks, log, onDisksCopied } = this.#parts;
    await Promise.all(disks.map((disk) => disk.nearlyCopied()));
    if (this.#over || this.#abortWanted || this.state.guest === 'ended') return;
    const copied = this.copyingDisks;
    if (copied !== null) onDisksCopied(copied);
    log.info('the first copy of the disks is nearly done; that of the memory begins');
    try {
      this.#startSave();
    } catch (error) {
      return this.#onUnbegunSave(errorText(error));
    }
    this.#parts.onChange();
  }

  /** The session is on, and the guest may have ended while its disks were copied. */
  async #onUnbegunSave(text: string): Promise<void> {
    const { hypervisor, guest, log } = this.#parts;
    log.error(text);
    const ended = await hypervisor.info(guest).then(endOf, () => null);
    const nowMs = this.#now();
    if (ended !== null) this.#dispatch({ kind: 'guest-ended', reason: ended, nowMs });
    else this.#dispatch({ kind: 'save-failed', reason: text, nowMs });
  }

  #startSave(): void {
    const { hypervisor, guest, link, encoder, queueBytes, output, disks, clock } = this.#parts;
    this.#save = hypervisor.startSave(guest, {
      saveHelper: this.#parts.saveHelper,
      limitBytes: queueBytes,
      // Disks first: what the guest sends may tell of what it wrote.
      barriers: [...disks, output].flatMap(({ barrier }) => (barrier === null ? [] : [barrier])),
      onEvent: (event) => this.#onSave(event),
    });
    this.#pump = new EpochPump({
      clock,
      save: this.#save,
      encoder,
      sink: link,
      parts: this.#diskPump,
      onSent: (epoch) => {
        this.figures.leaving(epoch, this.#now());
        this.#dispatch({ kind: 'sent', epoch, nowMs: this.#now() });
      },
      onFigures: (sent) => this.figures.sent(sent),
      onError: (error) => this.#onPumpError(error),
    });
  }

  /**
   * Xen asks a guest to suspend through its event channel and waits a minute for the answer of one
   * that has ended (libxl_dom_suspend.c, domain_suspend_common_wait_guest): we look for ourselves.
   */
  #lookLater(): void {
    this.#stopLooking = this.#parts.timers.after(lookEveryMs, () => void this.#look());
  }

  async #look(): Promise<void> {
    const { hypervisor, guest, log } = this.#parts;
    try {
      const info = await hypervisor.info(guest);
      const reason = endOf(info);
      this.#noteStandstill(info);
      if (reason !== null) {
        this.#dispatch({ kind: 'guest-ended', reason, nowMs: this.#now() });
        return;
      }
      this.#looks += 1;
      if (this.#looks % compareEveryLooks === 0) await this.#compare();
    } catch (error) {
      log.info(errorText(error));
    }
    if (!this.#over) this.#lookLater();
  }

  /** It is not the backup that is late then, and a person has to know whom to ask. */
  #noteStandstill(info: GuestInfo | null): void {
    const { hypervisor, guest, log, name, onChange } = this.#parts;
    const isPaused = info?.paused === true && this.#pauses === 0;
    const saver = info?.state === 'suspended' ? hypervisor.otherSaver(guest, name) : null;
    const who = isPaused ? 'somebody has' : saver;
    const what = isPaused ? `paused ${name}, and not tsremus` : `has ${name} suspended`;
    const text = who === null ? null : `paused: ${who} ${what}: no checkpoint can be taken`;
    if (text === this.#standstill) return;
    this.#standstill = text;
    log.warning(text ?? 'nobody else keeps the guest from running any more');
    onChange();
  }

  /**
   * The copy is built from the configuration that was sent: a guest that has become another one
   * would not be what goes on there. Interfaces that come later are the buffer's to see.
   */
  async #compare(): Promise<void> {
    const { hypervisor, guest, spec, config, log } = this.#parts;
    const change = changeOf(spec, await hypervisor.spec(guest), !config.buffered);
    if (change === null || this.#over || this.#changed !== null) return;
    this.#changed = `the guest is not what its copy is made of any more: ${change}`;
    log.error(this.#changed);
    // In order, over the link that is there: the backup lives, and is to give its copy up.
    this.stop(false, 'command');
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
    this.#dispatch({ kind: 'set-schedule', schedule, nowMs: this.#now() });
  }

  stop(force: boolean, by: StopBy): void {
    this.#dispatch({ kind: 'stop', force, by, nowMs: this.#now() });
  }

  onMessage(message: Message): void {
    const nowMs = this.#now();
    switch (message.kind) {
      case 'ack':
        this.#ackWall = this.#parts.clock.wall();
        this.figures.acknowledged(message.epoch, nowMs);
        return this.#dispatch({ kind: 'ack', epoch: message.epoch, nowMs });
      case 'echo':
        return this.#dispatch({ kind: 'echo', seq: message.seq, nowMs });
      case 'digests':
        return this.#diskPump.digests(message);
      case 'answer':
        return this.#dispatch({ kind: 'answer', id: message.id, answer: message.answer, nowMs });
      case 'copy-lost':
        return this.#dispatch({ kind: 'copy-lost', reason: message.reason, nowMs });
      case 'leaving':
        return this.#dispatch({ kind: 'backup-leaving', reason: message.reason, nowMs });
      case 'degraded':
        this.#peerDegraded = message.reason === '' ? null : boundedReason(message.reason);
        this.#parts.log.warning(`the backup says: ${message.reason || 'well again'}`);
        return this.#parts.onChange();
      case 'activated':
        return this.#dispatch({ kind: 'activated', nowMs });
      case 'error':
        this.#parts.log.error(`the backup says: ${message.text}`);
        this.#peerHint = message.hint;
        return this.onLinkClosed(`the backup ended the session: ${message.text}`);
      case 'goodbye':
        return this.onLinkClosed(`the backup ended the session: ${message.reason}`);
      default:
        this.#parts.log.error(`the backup sent ${message.kind}, which only a primary sends`);
        void this.#parts.link.close(`unexpected ${message.kind}`);
    }
  }

  /** Why protection is ended in order: the guest has become another one; null: it has not. */
  get changed(): string | null {
    return this.#changed;
  }

  /** Whether the backup was there, by the last that was heard of it. */
  get hears(): boolean {
    const { nowMs, heardAtMs, config } = this.state;
    return nowMs - heardAtMs < config.heartbeatTimeoutMs;
  }

  /** What the backup offered to be typed on its host when it ended the session; null: nothing. */
  get peerHint(): string | null {
    return this.#peerHint;
  }

  onEcho(seq: number): void {
    this.#dispatch({ kind: 'echo', seq, nowMs: this.#now() });
  }

  /** The backup took bytes of an epoch. */
  onProgress(): void {
    this.#dispatch({ kind: 'progress', nowMs: this.#now() });
  }

  onLinkClosed(reason: string): void {
    this.#dispatch({ kind: 'link-closed', reason, nowMs: this.#now() });
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
    const nowMs = this.#now();
    switch (event.kind) {
      case 'data':
        return this.#pump?.wake();
      case 'output':
        return this.#parts.output.look();
      case 'checkpoint':
        this.#diskPump.sealed();
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
      case 'save-helper':
        return this.#onSaveHelper(event);
      case 'log':
        // What an order to end breaks is no news.
        this.#hypervisorLog.take(event, this.#abortWanted);
        return;
      case 'ended':
        this.#onSaveEnded(event, nowMs);
    }
  }

  #onSaveHelper({ helper, reason }: Extract<SaveEvent, { kind: 'save-helper' }>): void {
    this.saveHelper = { helper, reason };
    this.#parts.log.info(saveHelperText(helper, reason));
    this.#parts.onChange();
  }

  #onStalled(epoch: number, waitingBytes: number): void {
    this.figures.stalled(epoch, waitingBytes);
    this.#parts.log.warning(this.degraded ?? '');
    this.#parts.onChange();
  }

  #onSaveEnded(event: Extract<SaveEvent, { kind: 'ended' }>, nowMs: number): void {
    this.#saveEnded = true;
    this.#stopPumps();
    const end = event.end;
    if (end.kind !== 'guest-ended') this.#left = end.left;
    if (end.kind === 'guest-ended') {
      this.#dispatch({ kind: 'guest-ended', reason: end.reason, nowMs });
    } else if (!this.#abortWanted) {
      // Aborted, but not by us: the native loop does so when the stream is broken.
      const reason = end.kind === 'failed' ? end.reason : 'the stream is broken (see the log)';
      this.#dispatch({ kind: 'save-failed', reason, nowMs });
    }
    if (this.#abortWanted) this.#dispatch({ kind: 'save-ended', nowMs });
    if (this.#left !== 'runs' && !this.#over) void this.#seeToSuspend();
  }

  /** The session goes on, held: nobody else would resume a guest that obeys late before its end. */
  async #seeToSuspend(): Promise<void> {
    const { guest: ref, name, log } = this.#parts;
    const order = { say: (text: string) => log.info(text), isStopped: () => this.#over };
    const end = await awaitLateSuspend(this.#parts, { ref, name }, order);
    if (end !== 'stopped') this.#left = 'runs';
  }

  #perform(effect: PrimaryEffect): void {
    const { link, log, pulse } = this.#parts;
    if (effect.kind === 'take-checkpoint' || effect.kind === 'release') {
      log.debug(`  -> ${describePrimaryEffect(effect)}`);
    } else if (effect.kind !== 'send-heartbeat') log.info(`  -> ${describePrimaryEffect(effect)}`);
    switch (effect.kind) {
      case 'send-heartbeat':
        if (needsStream(effect.seq, pulse?.newest)) {
          link.send(heartbeat(effect.seq, effect.heldMs));
        }
        pulse?.send(effect.seq, effect.heldMs);
        return;
      case 'take-checkpoint':
        this.#save?.checkpoint();
        return;
      case 'release':
        return this.#release(effect.epoch);
      case 'open-buffer':
        this.#row.run(async () => {
          const isOver = this.state.guest === 'ended';
          const { output } = this.#parts;
          const unopened = await openForGood(output, isOver, (text) => log.error(text));
          this.#unopened = unopened ?? (this.#isDropped && !isOver ? interfacesDown : null);
        });
        return;
      case 'ask-promise':
        return this.#ask(effect.id, effect.way);
      case 'pause-guest':
        this.#pause(effect.reason);
        return;
      case 'unpause-guest':
        this.#row.run(async () => {
          await this.#unpause();
          this.#pauses -= 1;
          if (this.#pauses === 0) log.info('the guest runs again');
          this.#parts.onChange();
        });
        return;
      case 'abort-save':
        this.#abortWanted = true;
        // Nothing more of an unfinished epoch may become whole on the backup.
        this.#stopPumps();
        // Of a guest that is gone the save may await a suspend for a minute: nothing depends on it.
        // Where the disks are still being copied there is none yet.
        if (this.#saveEnded || this.#save === null || this.state.guest === 'ended') {
          this.#dispatch({ kind: 'save-ended', nowMs: this.#now() });
        } else this.#save.abort();
        return;
      case 'destroy-guest':
        return this.#destroy(effect.askedAtMs);
      case 'refuse-force':
        return this.#parts.onForceRefused(effect.reason, effect.found);
      case 'close-link':
        void link.close(farewell(this.state.outcome));
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
    await this.#row.idle();
    const isMute = this.#parts.config.buffered || this.guestPaused;
    if (isMute || this.state.guest === 'ended') return;
    this.#pause('nobody has decided who goes on');
  }

  #pause(reason: string): void {
    const { hypervisor, guest, log, config, onPause } = this.#parts;
    // The hypervisor counts pauses as we do: an unpause that is still under way does not undo this
    // one.
    this.#pauses += 1;
    log.warning(`the guest is paused: ${reason}`);
    // On record first: should this process die, whoever clears up must know of the pause.
    onPause();
    try {
      hypervisor.pause(guest);
    } catch (error) {
      // With a buffer it is mute as it is, and may be gone: what comes next is done all the same.
      if (!config.buffered) throw error;
      log.error(errorText(error));
    }
  }

  /** The last look at the clock is here: this process may have stood still since it was decided. */
  #destroy(askedAtMs: number): void {
    const { hypervisor, guest, log, output, config } = this.#parts;
    const checkNow = (): void => {
      if (isPresent(askedAtMs, this.#now(), config.heartbeatTimeoutMs)) return;
      throw new Error('what the backup said is too old by now');
    };
    this.#row.run(async () => {
      let event: PrimaryEvent;
      try {
        checkNow();
        this.#isDropped ||= output !== nullBuffer;
        await output.drop().catch((error) => log.error(errorText(error)));
        checkNow();
        await hypervisor.destroy(guest);
        event = { kind: 'destroyed', nowMs: this.#now() };
      } catch (error) {
        log.error(errorText(error));
        event = { kind: 'destroy-failed', reason: errorText(error), nowMs: this.#now() };
      }
      this.#dispatch(event);
    });
  }

  /**
   * Nobody else undoes the pause, and the end of the session says that the guest runs: so it is
   * tried again. Rejects with the last failure.
   */
  async #unpause(): Promise<void> {
    const { hypervisor, guest, log, timers } = this.#parts;
    for (let triesLeft = unpauseTriesMax - 1; triesLeft > 0; triesLeft -= 1) {
      try {
        return await hypervisor.unpause(guest);
      } catch (error) {
        log.error(errorText(error));
        await sleep(timers, unpauseRetryMs);
      }
    }
    await hypervisor.unpause(guest);
  }

  /** One that the kernel refuses is made up for by the next: what is sealed stays sealed. */
  #release(epoch: number): void {
    this.#parts.output.release(epoch).catch((error: unknown) => {
      this.#parts.log.error(`epoch ${epoch} is still held back: ${errorText(error)}`);
    });
  }

  #ask(id: number, way: 'link' | 'fresh'): void {
    if (way === 'link') return void this.#parts.link.send({ kind: 'ask', id });
    this.#parts.askFresh().then(
      (answered) => this.#dispatch({ kind: 'answer', id, ...answered, nowMs: this.#now() }),
      (error: unknown) => {
        const reason = errorText(error);
        this.#dispatch({ kind: 'ask-failed', id, reason, nowMs: this.#now() });
      },
    );
  }

  #stopPumps(): void {
    this.#pump?.stop();
    this.#diskPump.stop();
  }

  #stopTimers(): void {
    this.#over = true;
    this.#timer.stop();
    this.#stopLooking?.();
    this.#stopPumps();
  }

  #end(outcome: PrimaryOutcome): void {
    this.#stopTimers();
    void this.#row.idle().then(() => this.#finish(outcome));
  }
}
