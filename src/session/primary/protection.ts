/**
 * A session of `tsremus protect`: starts what it needs besides this process, runs it to its
 * outcome, and leaves things tidy.
 */
import { hostname, totalmem } from 'node:os';
import { version } from '../../config/version.ts';
import { describeSchedule } from '../../core/describe.ts';
import type { PrimaryOutcome, StopBy } from '../../core/primary/types.ts';
import type { GuestEnd } from '../../guest/guest-end.ts';
import { SessionWatch } from '../../guest/session-watch.ts';
import { systemClock, systemTimers } from '../../host/clock.ts';
import { OperationError } from '../../host/errors.ts';
import type { Log } from '../../host/log.ts';
import { onEndSignals, raisePriority } from '../../host/process-settings.ts';
import type { Hypervisor } from '../../hypervisor/port.ts';
import { askFresh, type Connection, connectBackup, type HelloContent } from '../../link/connect.ts';
import type { EarlyTransport } from '../../link/early-transport.ts';
import { newSessionId } from '../../link/identity.ts';
import { followPulse, type Pulse } from '../../link/pulse.ts';
import type { TransportCommand } from '../../link/transport-command.ts';
import { nullBuffer, type OutputBuffer } from '../../output/port.ts';
import {
  type ControlRequest,
  type ControlServer,
  type SetResult,
  serveControl,
} from '../../registry/control.ts';
import type { Claim } from '../../registry/run-directory.ts';
import { StatusWriter } from '../../registry/status-writer.ts';
import { supersede } from '../../registry/supersede.ts';
import { agreedStream, codecsOf, type StreamAgreement } from '../../stream/agreement.ts';
import {
  cacheBytesWithin,
  defaultMaxMemory,
  type MemoryBudget,
  memoryBudget,
} from '../../stream/budget.ts';
import type { StreamEncoder } from '../../stream/codec/codec.ts';
import { openStreamEncoder } from '../../stream/codec/encoder.ts';
import { allOf } from '../all-of.ts';
import type {
  HeldOutcome,
  ProtectOptions,
  ProtectReporter,
  ProtectResult,
  StopResult,
} from '../options.ts';
import { heldBack, leaveOutput, openOutput } from '../output.ts';
import { primaryFacts } from './facts.ts';
import { ProtectNews } from './news.ts';
import type { Guest } from './preflight.ts';
import { changedSchedule, type SetRequest, scheduleOf } from './schedule-change.ts';
import { PrimarySession } from './session.ts';

const askEveryMs = 1_000;
/** A fresh run of the transport gets this long, in which ssh connects and node starts. */
const askTimeoutMs = 15_000;

/** Whoever waits for the end hears at least this often what is being waited for. */
const progressEveryMs = 5_000;
type Progress = (text: string) => void;

const clocks = { clock: systemClock, timers: systemTimers };

/** What is known before anything is begun. */
export interface Setting {
  readonly options: ProtectOptions;
  readonly reporter: ProtectReporter;
  readonly xen: Hypervisor;
  readonly guest: Guest;
  readonly claim: Claim;
  readonly log: Log;
  readonly command: TransportCommand;
  readonly early: EarlyTransport;
}

/** A session; `run` leads to its outcome. */
export class Protection {
  readonly #set: Setting;
  readonly #session = newSessionId();
  readonly #hello: HelloContent;
  readonly #watch: SessionWatch;
  readonly #news: ProtectNews;
  readonly #waiting: ((result: StopResult) => void)[] = [];
  #connection: Connection | null = null;
  #running: PrimarySession | null = null;
  #pulse: Pulse | null = null;
  #output: OutputBuffer = nullBuffer;
  #outcome: PrimaryOutcome | HeldOutcome | null = null;
  /** Of a guest that ended by itself: what became of it. */
  #guestEnd: GuestEnd | null = null;
  #status: StatusWriter | null = null;
  #signals = 0;
  /** Ordered before there was a session to stop. */
  #stoppedBy: StopBy | null = null;
  readonly #aborted: AbortController;
  #leaveHeld: (outcome: HeldOutcome) => void = () => {};
  readonly #maxMemoryBytes: number;
  #encoder: StreamEncoder | null = null;
  #agreed: StreamAgreement | null = null;
  #budget: MemoryBudget | null = null;

  constructor(set: Setting) {
    this.#set = set;
    const { options, guest, xen, log, reporter } = set;
    const { wait, host } = options;
    this.#aborted = set.early.ending;
    this.#news = new ProtectNews({ reporter, log, guest, host });
    this.#watch = new SessionWatch({ xen, guest, session: this.#session, wait, log });
    this.#maxMemoryBytes = options.maxMemoryBytes ?? defaultMaxMemory(totalmem());
    const codecs = codecsOf(options.compression);
    this.#hello = {
      tsremus: version,
      xen: null,
      host: hostname(),
      capabilities: { codecs, disks: [] },
      purpose: 'session',
      domain: guest.name,
      uuid: guest.uuid,
      session: this.#session,
      timing: this.#timing(),
      memoryBytes: guest.memoryBytes,
      cacheBytes: cacheBytesWithin(this.#maxMemoryBytes, guest.memoryBytes),
      noWait: !options.wait,
    };
  }

  readonly #onNews = (text: string) => this.#news.tell('output', text);

  #timing() {
    const { heartbeatTimeoutMs, holdMs, network } = this.#set.options;
    return { heartbeatTimeoutMs, holdMs, buffered: network };
  }

  async run(): Promise<ProtectResult> {
    const { claim, log, options, guest } = this.#set;
    raisePriority((text) => log.info(text));
    this.#status = new StatusWriter(claim, log, () => primaryFacts(this.#view()));
    let control: ControlServer | null = null;
    // Heard to the very end: an impatient signal must not take the exit code away.
    onEndSignals((by) => this.#onSignal(by));
    try {
      control = await serveControl(claim.socketPath, (request, progress) =>
        this.#control(request, progress),
      );
      // Three programs start at the same time: the guard, the transport and, behind it, receive.
      await allOf([this.#standBy(), this.#connect()], () => this.#aborted.abort());
      this.#aborted.signal.throwIfAborted();
      // With it the backup begins to count heartbeats: only when all is ready here.
      await this.#mustConnection().link.sendConfig(JSON.stringify(guest.config));
      this.#news.tell('connected', `connected to ${options.host}; the first copy begins`);
      void supersede(guest.uuid, 'primary', log);
      const outcome = await this.#runSession();
      return await this.#conclude(outcome);
    } catch (error) {
      // Nothing was copied yet: whatever the abort broke, the order is carried out.
      if (this.#stoppedBy !== null) {
        return await this.#conclude({ kind: 'stopped', by: this.#stoppedBy });
      }
      // Whatever libxl was at, the guard sees that the guest does not stay suspended.
      if (this.#running !== null) this.#watch.abandon();
      // A session that never began leaves no trace; one that broke must not look as if it had
      // ended well.
      if (this.#running !== null) claim.release('keep-status');
      this.#status.close();
      throw error;
    } finally {
      await leaveOutput(this.#output, this.#running !== null, this.#onNews);
      await this.#watch.close();
      control?.close();
      this.#pulse?.close();
      this.#encoder?.close();
      await this.#connection?.close('the session is over');
    }
  }

  /** The guard first: what holds the guest's output back is set up only where it watches. */
  async #standBy(): Promise<void> {
    const { options, guest } = this.#set;
    await this.#watch.begin();
    this.#aborted.signal.throwIfAborted();
    this.#output = await openOutput(options, guest, this.#session, this.#onNews);
  }

  async #connect(): Promise<void> {
    const { command, log, options, early } = this.#set;
    const { signal } = this.#aborted;
    early.onStderrLine((line) => log.info(`transport: ${line}`));
    const { started } = early;
    const connection = await connectBackup(command, this.#hello, { ...clocks, signal, started });
    this.#connection = connection;
    const { pulse } = connection.reply;
    if (pulse !== null) {
      const onHeard = (seq: number) => this.#running?.onEcho(seq);
      this.#pulse = followPulse(pulse, { session: this.#session, log, onHeard });
    }
    const offered = { codecs: codecsOf(options.compression), cacheBytes: this.#hello.cacheBytes };
    const agreed = agreedStream(connection.reply.stream, offered);
    this.#agreed = agreed;
    this.#budget = memoryBudget(this.#maxMemoryBytes, agreed.cacheBytes);
    this.#encoder = await openStreamEncoder(agreed);
  }

  #runSession(): Promise<PrimaryOutcome | HeldOutcome> {
    const { options, xen, guest, log } = this.#set;
    const { link } = this.#mustConnection();
    const { pendingMax } = options;
    const schedule = scheduleOf(options.interval, options.maxOverheadPercent);
    const { encoder, queueBytes } = this.#mustStream();
    const running = new PrimarySession({
      config: { ...this.#timing(), schedule, pendingMax, askEveryMs },
      xen,
      domid: guest.domid,
      link,
      encoder,
      queueBytes,
      output: this.#output,
      pulse: this.#pulse,
      askFresh: () => this.#askFresh(),
      log,
      onChange: () => this.#changed(),
      onPause: () => this.#status?.write(),
    });
    this.#running = running;
    link.listen({
      message: (message) => running.onMessage(message),
      close: (close) => running.onLinkClosed(close.reason),
      progress: () => running.onProgress(),
    });
    this.#news.seedBegins();
    const progress = setInterval(() => this.#progress(progress), 200);
    const held = new Promise<HeldOutcome>((resolve) => {
      this.#leaveHeld = resolve;
    });
    return Promise.race([running.run(), held]).finally(() => clearInterval(progress));
  }

  async #askFresh() {
    const hello = { ...this.#hello, purpose: 'promise' } as const;
    const timeoutMs = askTimeoutMs;
    const answer = await askFresh(this.#set.command, hello, 1, { ...clocks, timeoutMs });
    if (answer.kind === 'standby') throw new Error('the backup did not decide');
    return answer;
  }

  #mustConnection(): Connection {
    if (this.#connection === null) throw new Error('not connected');
    return this.#connection;
  }

  #mustStream(): { encoder: StreamEncoder; queueBytes: number } {
    if (this.#encoder === null || this.#budget === null) throw new Error('not connected');
    return { encoder: this.#encoder, queueBytes: this.#budget.queueBytes };
  }

  #view() {
    const { guest, options } = this.#set;
    return {
      guest,
      options,
      session: this.#session,
      interfaces: this.#output.interfaces,
      running: this.#running,
      outcome: this.#outcome,
      guestEnd: this.#guestEnd,
      codec: this.#agreed?.codec ?? null,
      budget: this.#budget,
    };
  }

  #changed(): void {
    this.#status?.changed();
    if (this.#running === null || this.#running.state.outcome !== null) return;
    const { state, reason } = primaryFacts(this.#view());
    this.#news.cameTo(state, reason);
  }

  /** Shows the seed; `timer`, which calls this, ends with it. */
  #progress(timer: NodeJS.Timeout): void {
    const running = this.#running;
    if (running === null || running.state.phase === 'connecting') return;
    if (running.state.phase !== 'seeding') return clearInterval(timer);
    this.#news.seedMoved(running.moved.rawBytes);
  }

  async #control(request: ControlRequest, progress: Progress): Promise<StopResult | SetResult> {
    if (request.verb === 'set') return this.#setSchedule(request);
    if (request.verb !== 'stop') {
      throw new OperationError('not-built', 'this is the primary: it can be stopped or set', {
        op: 'answer-control',
      });
    }
    const tell = () => {
      const state = this.#running?.state;
      progress(state?.askNews ?? state?.lost ?? `asking ${this.#set.options.host}`);
    };
    const telling = setInterval(tell, progressEveryMs);
    return new Promise<StopResult>((resolve) => {
      this.#waiting.push(resolve);
      this.#stop(request.force, 'command');
    }).finally(() => clearInterval(telling));
  }

  #setSchedule(request: SetRequest): SetResult {
    const running = this.#running;
    if (running === null) {
      throw new OperationError('command-failed', 'the session is only beginning', {
        op: 'set-schedule',
        hint: 'the same command again in a moment',
      });
    }
    const schedule = changedSchedule(running.state.schedule, request);
    running.setSchedule(schedule);
    const text = `checkpoints ${describeSchedule(schedule)}`;
    this.#news.tell('set', text);
    return { text };
  }

  #stop(force: boolean, by: StopBy): void {
    if (this.#running !== null) return this.#running.stop(force, by);
    this.#stoppedBy ??= by;
    this.#aborted.abort();
  }

  /** First signal: end in order. A second one while held: leave the guest mute and go. */
  #onSignal(by: StopBy): void {
    if (this.#outcome !== null) return;
    this.#signals += 1;
    if (this.#running === null) return this.#stop(false, by);
    const { phase, lost } = this.#running.state;
    if (phase === 'leaving' || phase === 'ended') return;
    if (this.#signals > 1) {
      const reason = lost ?? 'the backup did not answer';
      void this.#running.abandon().then(() => this.#leaveHeld({ kind: 'held', reason }));
      return;
    }
    this.#news.tell('ending', `ending protection in order; the same signal again leaves at once`);
    this.#stop(false, by);
  }

  async #conclude(ended: PrimaryOutcome | HeldOutcome): Promise<ProtectResult> {
    const { claim, log } = this.#set;
    const outcome = heldBack(ended, this.#running?.unopened ?? null);
    this.#outcome = outcome;
    log.info(`the session is over: ${JSON.stringify(outcome)}`);
    if (outcome.kind === 'guest-ended') this.#guestEnd = await this.#watch.settle();
    this.#status?.close();
    const wasSuspended = (this.#running?.state.suspended ?? -1) >= 0;
    const unwatched = await this.#watch.end(outcome, this.#guestEnd, wasSuspended);
    if (unwatched !== null) this.#news.tell('unwatched', unwatched);
    for (const resolve of this.#waiting) resolve({ outcome });
    // An end that was ordered needs no looking after; every other one stays to be seen.
    claim.release(outcome.kind === 'stopped' ? 'forget' : 'keep-status');
    return { outcome, detail: this.#guestEnd?.text ?? null };
  }
}
