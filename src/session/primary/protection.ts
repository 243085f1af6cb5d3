/**
 * A session of `tsremus protect`: takes what it needs, runs the machine to its outcome, and gives
 * everything back.
 *
 *     beginning --(guard, output buffer, connection)--> ready --(CONFIG)--> running --> concluded
 *
 * Each stage has what the one before took; what was taken is given back in the reverse order
 * (teardown.ts), however the session ends.
 */

import { version } from '../../config/version.ts';
import type { HostFacts } from '../../core/check/compare.ts';
import { lostFeatures, othersText, savedText } from '../../core/check/features.ts';
import { placed } from '../../core/check/line.ts';
import { describeSchedule } from '../../core/describe.ts';
import { type HeldOutcome, heldBack, type StopResult } from '../../core/outcomes.ts';
import type { PrimaryOutcome, StopBy } from '../../core/primary/types.ts';
import { saveHelperDefault } from '../../core/save-helper.ts';
import { adviceLine, vouchClause } from '../../core/texts/advice.ts';
import { disksLeftText } from '../../core/texts/disks-left.ts';
import { farewell, measuredText } from '../../core/texts/outcomes.ts';
import { withoutWitnessText } from '../../core/texts/without-witness.ts';
import type { Answer, Answered } from '../../core/vocabulary.ts';
import { type DiskDriver, diskNames, type PrimaryDisk } from '../../disk/port.ts';
import type { StartGuard } from '../../guest/guard.ts';
import type { GuestEnd } from '../../guest/life.ts';
import { SessionWatch } from '../../guest/session-watch.ts';
import { every } from '../../host/clock.ts';
import { OperationError } from '../../host/errors.ts';
import type { ProcessLog } from '../../host/log.ts';
import type { HostPorts } from '../../host/ports.ts';
import type { GuestLeft, Hypervisor } from '../../hypervisor/port.ts';
import { guestConfig } from '../../link/config-message.ts';
import type { HelloContent } from '../../link/connect.ts';
import { nextMessage } from '../../link/hello.ts';
import type { HelloAccepted, PulseOffer } from '../../link/hello-message.ts';
import { newSessionId } from '../../link/identity.ts';
import type { Link } from '../../link/link.ts';
import { peerError } from '../../link/messages.ts';
import type { Pulse } from '../../link/pulse.ts';
import { leaveOutput } from '../../output/open.ts';
import { nullBuffer, type OutputBuffer } from '../../output/port.ts';
import type { ControlHandler, ControlRequest, SetResult } from '../../registry/control.ts';
import type { Claim, Registry } from '../../registry/port.ts';
import { StatusWriter } from '../../registry/status-writer.ts';
import { supersede } from '../../registry/supersede.ts';
import {
  agreedStream,
  codecsOf,
  diskStream,
  type StreamAgreement,
} from '../../stream/agreement.ts';
import {
  cacheBytesWithin,
  defaultMaxMemory,
  type MemoryBudget,
  memoryBudget,
} from '../../stream/budget.ts';
import type { StreamEncoder } from '../../stream/codec/codec.ts';
import { allOf } from '../all-of.ts';
import { checkedLines } from '../check/question.ts';
import { factsFor, plainDisks, specThere } from '../disk-options.ts';
import type { ProtectOptions, ProtectReporter, ProtectResult } from '../options.ts';
import { Teardown } from '../teardown.ts';
import { primaryConfigOf, timingOf } from './config.ts';
import { primaryFacts } from './facts.ts';
import { ProtectNews } from './news.ts';
import { type Guest, refuseFailed } from './preflight.ts';
import { changedSchedule, type SetRequest } from './schedule-change.ts';
import { type PrimaryParts, PrimarySession } from './session.ts';

/** For the backup to look at itself, ms. */
const checkedMsMax = 90_000;
/** Whoever waits for the end hears at least this often what is being waited for. */
const progressEveryMs = 5_000;
/** A backup that is there removes a copy in a moment; its hypervisor may take longer. */
const copyGoneMs = 60_000;
const hiddenFeatures = adviceLine({
  kind: 'read-page',
  page: 'tsremus-requirements',
  why: 'PROCESSORS: cpuid= gives the guest what both have',
});
/** The seed's progress is shown this often, ms. */
const seedShownEveryMs = 200;

type Progress = (text: string) => void;

/** What is to be said of a guest that its checkpoints left so, a clause; null: nothing. */
const leftText: Readonly<Record<GuestLeft, string | null>> = {
  runs: null,
  asked: 'if it was asked to suspend and does so yet, its guard resumes it',
  suspended: 'it is suspended, could not be resumed, and its guard tries on',
};

/** The primary's end of a link. */
export type ProtectionLink = Pick<
  Link,
  | 'send'
  | 'sendConfig'
  | 'sendData'
  | 'endEpoch'
  | 'sendDisk'
  | 'endDisk'
  | 'listen'
  | 'fail'
  | 'close'
>;

/** An open connection to the backup. */
export interface BackupConnection {
  readonly link: ProtectionLink;
  readonly reply: HelloAccepted;
  /** A line that the backup offers for its own host, as it is to be typed here. */
  there(line: string): string;
  /**
   * Says goodbye, and waits until the transport has ended, for as long as it may take the backup to
   * give up its copy; then it is ended, and the backup goes on by itself. Never rejects.
   */
  close(reason: string, patienceMs?: number): Promise<void>;
}

type OnLine = (line: string) => void;

/** The way to the backup, by the transport command that was said. */
export interface BackupHostPort {
  /** Exchanges HELLO. `onLine`: what the transport's command says on stderr. */
  connect(hello: HelloContent, signal: AbortSignal, onLine: OnLine): Promise<BackupConnection>;
  /** Asks for the promise over a fresh connection. Rejects when there was no answer. */
  ask(hello: HelloContent): Promise<Answered>;
  /** Heartbeats by datagram to where the backup listens; null: it cannot be done. */
  followPulse(offer: PulseOffer, session: string, onHeard: (seq: number) => void): Pulse | null;
}

export interface ProtectionPorts extends HostPorts {
  readonly registry: Registry;
  readonly hypervisor: Hypervisor;
  readonly backup: BackupHostPort;
  readonly startGuard: StartGuard;
  /** Sets the buffer up; all passes until the first barrier. The null buffer with -n. */
  openOutput(session: string, onNews: (text: string) => void): Promise<OutputBuffer>;
  openEncoder(agreed: StreamAgreement): Promise<StreamEncoder>;
  readonly disks: DiskDriver;
  /** What the backup's host is compared with; `toPeer`: its address, where it is known. */
  factsHere(toPeer: string | null): Promise<HostFacts>;
  /** The machine, where a test breaks it on purpose. */
  readonly step?: PrimaryParts['step'];
  /** Signals that end a session, as long as this process lives. */
  onEndSignals(onSignal: (by: StopBy) => void): void;
}

/** What is known before anything is begun. */
export interface Setting {
  readonly options: ProtectOptions;
  readonly reporter: ProtectReporter;
  readonly guest: Guest;
  readonly claim: Claim;
  readonly log: ProcessLog;
  /** Aborted when nothing more is to be begun. */
  readonly ending: AbortController;
  /** Of the hypervisor here; null: nobody looked. */
  readonly hypervisorVersion: string | null;
  /** Of the processors here, as in HostInfo. */
  readonly features: readonly number[];
}

/** Everything that a session needs besides its process. */
interface Ready {
  readonly connection: BackupConnection;
  readonly output: OutputBuffer;
  readonly disks: readonly PrimaryDisk[];
  readonly diskEncoders: readonly StreamEncoder[];
  readonly pulse: Pulse | null;
  readonly encoder: StreamEncoder;
  readonly agreed: StreamAgreement;
  readonly budget: MemoryBudget;
}

/** What comes with the connection. */
type Connected = Omit<Ready, 'output' | 'disks' | 'diskEncoders'>;

/** How far the session is. */
type Stage =
  | { readonly kind: 'beginning' }
  | { readonly kind: 'ready'; readonly ready: Ready }
  | { readonly kind: 'running'; readonly ready: Ready; readonly session: PrimarySession }
  | {
      readonly kind: 'concluded';
      /** What ran; null: it was ended before. */
      readonly was: Extract<Stage, { kind: 'running' }> | null;
      readonly outcome: PrimaryOutcome | HeldOutcome;
      /** Of a guest that ended by itself: what became of it. */
      readonly guestEnd: GuestEnd | null;
    };

/** What is of the guest goes on here: nobody has a copy of it that may. */
function isAlone({ kind }: PrimaryOutcome | HeldOutcome): boolean {
  return kind !== 'held' && kind !== 'taken-over';
}

/** A session; `run` leads to its outcome. */
export class Protection {
  readonly #ports: ProtectionPorts;
  readonly #set: Setting;
  readonly #session: string;
  readonly #hello: HelloContent;
  readonly #watch: SessionWatch;
  readonly #news: ProtectNews;
  readonly #teardown: Teardown;
  readonly #status: StatusWriter;
  readonly #maxMemoryBytes: number;
  readonly #waiting: ((result: StopResult) => void)[] = [];
  /** Of them, who does not wait for a decision: only for an ask after `afterAsk`, or a refusal. */
  #impatient: { readonly afterAsk: number; readonly resolve: (result: StopResult) => void }[] = [];
  #stage: Stage = { kind: 'beginning' };
  #signals = 0;
  /** Ordered before there was a session to stop. */
  #stoppedBy: StopBy | null = null;
  #leaveHeld: (outcome: HeldOutcome) => void = () => {};

  constructor(ports: ProtectionPorts, set: Setting) {
    this.#ports = ports;
    this.#set = set;
    const { options, guest, log, reporter, claim, hypervisorVersion } = set;
    const { settings, clock, timers, processes, refusals } = ports;
    const { wait, host } = options;
    this.#session = newSessionId(ports.chance);
    const { withoutWitness } = options;
    this.#news = new ProtectNews({ clock, reporter, log, guest, host, withoutWitness });
    const onChange = () => this.#changed();
    this.#watch = new SessionWatch({
      ...ports,
      guest,
      session: this.#session,
      wait,
      log,
      onChange,
    });
    this.#teardown = new Teardown((text) => log.error(text));
    this.#maxMemoryBytes = options.maxMemoryBytes ?? defaultMaxMemory(settings.memoryBytes);
    const codecs = codecsOf(options.compression);
    this.#hello = {
      tsremus: version,
      xen: hypervisorVersion,
      host: settings.hostName,
      capabilities: { codecs, disks: this.#disks() },
      purpose: 'session',
      domain: guest.name,
      uuid: guest.ref.uuid,
      session: this.#session,
      timing: timingOf(options),
      memoryBytes: guest.memoryBytes,
      cacheBytes: cacheBytesWithin(this.#maxMemoryBytes, guest.memoryBytes),
      noWait: !options.wait,
      // With -b nothing is to run anywhere.
      checks: options.check !== false && options.blackhole === undefined,
    };
    const facts = () => primaryFacts(this.#view());
    const owner = processes.self;
    const { bootClock } = this.#ports;
    const shown = { claim, log, owner, refusals, facts };
    this.#status = new StatusWriter({ clock, timers, bootClock, ...shown });
  }

  readonly #onNews = (text: string) => this.#news.tell('output', text);

  /** The driver that the backup must have too; none where disks are left alone. */
  #disks(): string[] {
    const { name } = this.#ports.disks;
    const { options, guest } = this.#set;
    return name !== null && options.disk && guest.spec.writableDisks.length > 0 ? [name] : [];
  }

  /** Disks that no driver carries; with -b there is no copy that could miss them. */
  #disksLeft(): readonly string[] {
    const { options, guest } = this.#set;
    const isCarried = this.#disks().length > 0 || options.blackhole !== undefined;
    return isCarried ? [] : diskNames(guest.spec.writableDisks);
  }

  get #running(): PrimarySession | null {
    const { stage } = this.#staged();
    return stage.kind === 'running' ? stage.session : null;
  }

  /** The stage, or the one in which it concluded. */
  #staged(): { readonly stage: Exclude<Stage, { kind: 'concluded' }>; readonly isOver: boolean } {
    const stage = this.#stage;
    if (stage.kind !== 'concluded') return { stage, isOver: false };
    return { stage: stage.was ?? { kind: 'beginning' }, isOver: true };
  }

  /** Runs to the outcome. Throws when it could not begin, or on a bug: then the claim is kept. */
  async run(): Promise<ProtectResult> {
    const { claim, log } = this.#set;
    // Last of all: how the session ended must stand there before this process is gone.
    this.#teardown.took('the log', () => log.close());
    // Heard to the very end: an impatient signal must not take the exit code away.
    this.#ports.onEndSignals((by) => this.#onSignal(by));
    this.#teardown.took('the watch', () => this.#watch.close());
    try {
      await this.#serve();
      const ready = await this.#getReady();
      return await this.#conclude(await this.#runSession(ready));
    } catch (error) {
      // Nothing was copied yet: whatever the abort broke, the order is carried out.
      if (this.#stoppedBy !== null) {
        return await this.#conclude({ kind: 'stopped', by: this.#stoppedBy });
      }
      if (this.#running !== null) {
        // Whatever the save was at, the guard sees that the guest does not stay suspended.
        this.#watch.abandon();
        // A session that never began leaves no trace; one that broke must not look as if it had
        // ended well.
        claim.release('keep-status');
      } else {
        await this.#ports.disks.goOnAlone(this.#set.guest.ref.uuid, this.#session);
      }
      this.#status.close();
      throw error;
    } finally {
      await this.#teardown.run();
    }
  }

  async #serve(): Promise<void> {
    const { registry } = this.#ports;
    const { claim, log } = this.#set;
    const handler: ControlHandler = (request, progress) => this.#control(request, progress);
    const control = await registry.serve(claim.socketPath, handler, log);
    this.#teardown.took('the control socket', () => control.close());
  }

  /** Three programs start at the same time: the guard, the transport and, behind it, receive. */
  async #getReady(): Promise<Ready> {
    const { ending } = this.#set;
    let mine: Pick<Ready, 'output' | 'disks'> = { output: nullBuffer, disks: [] };
    let rest: Connected | null = null;
    await allOf(
      [
        this.#standBy().then((made) => {
          mine = made;
        }),
        this.#connect().then((made) => {
          rest = made;
        }),
      ],
      () => ending.abort(),
    );
    ending.signal.throwIfAborted();
    if (rest === null) throw new Error('connected to nothing');
    const connected = rest as Connected;
    // Only here: a failure above ends the transport at once, and the backup would not hear why.
    this.#compareProcessors(connected.connection);
    const diskEncoders = await this.#openDiskEncoders(mine.disks, connected.agreed);
    const ready: Ready = { ...connected, ...mine, diskEncoders };
    this.#stage = { kind: 'ready', ready };
    return ready;
  }

  /** The guard first: what holds the guest's output back is set up only where it watches. */
  async #standBy(): Promise<Pick<Ready, 'output' | 'disks'>> {
    await this.#watch.begin();
    this.#set.ending.signal.throwIfAborted();
    const output = await this.#ports.openOutput(this.#session, this.#onNews);
    const leave = () => leaveOutput(output, this.#running !== null, this.#onNews);
    this.#teardown.took('the output buffer', leave);
    const disks = await this.#openDisks();
    for (const disk of disks) this.#teardown.took(`disk ${disk.name}`, () => disk.close());
    return { output, disks };
  }

  /** None where they are left alone. */
  async #openDisks(): Promise<readonly PrimaryDisk[]> {
    if (this.#disks().length === 0) return [];
    const { options, guest } = this.#set;
    const { host, sshCommand, heartbeatTimeoutMs, blackhole } = options;
    const copy = blackhole === undefined ? { host, sshCommand, heartbeatTimeoutMs } : null;
    return this.#ports.disks.openPrimary(guest.spec, this.#session, copy);
  }

  async #openDiskEncoders(
    disks: readonly PrimaryDisk[],
    agreed: StreamAgreement,
  ): Promise<readonly StreamEncoder[]> {
    const encoders: StreamEncoder[] = [];
    for (const { name } of disks) {
      const encoder = await this.#ports.openEncoder(diskStream(agreed));
      this.#teardown.took(`the encoder of disk ${name}`, () => encoder.close());
      encoders.push(encoder);
    }
    return encoders;
  }

  async #connect(): Promise<Connected> {
    const { log, options, ending } = this.#set;
    const { backup } = this.#ports;
    const onLine = (line: string) => log.info(`transport: ${line}`);
    const connection = await backup.connect(this.#hello, ending.signal, onLine);
    this.#teardown.took('the connection', () => this.#closeConnection(connection));
    const pulse = this.#followPulse(connection.reply.pulse);
    const offered = { codecs: codecsOf(options.compression), cacheBytes: this.#hello.cacheBytes };
    const agreed = agreedStream(connection.reply.stream, offered);
    const encoder = await this.#ports.openEncoder(agreed);
    this.#teardown.took('the encoder', () => encoder.close());
    const budget = memoryBudget(this.#maxMemoryBytes, agreed.cacheBytes);
    return { connection, pulse, encoder, agreed, budget };
  }

  /**
   * Whoever types the next command finds no copy of this session there, if the backup is there to
   * remove it: it ends when it has.
   */
  #closeConnection(connection: BackupConnection): Promise<void> {
    const outcome = this.#stage.kind === 'concluded' ? this.#stage.outcome : null;
    const isGivenUp = outcome?.kind === 'never-protected' || outcome?.kind === 'stopped';
    const isThere = this.#running?.hears ?? false;
    return connection.close(farewell(outcome), isGivenUp && isThere ? copyGoneMs : undefined);
  }

  /**
   * Before anything is copied: what the guest's state has and the backup cannot take would show
   * when the copy is to run. Throws OperationError('unsupported-guest').
   */
  #compareProcessors({ link, reply }: BackupConnection): void {
    const { features: here, guest, options } = this.#set;
    // With -b nothing is to run anywhere.
    if (options.blackhole !== undefined) return;
    const { name: domain, spec } = guest;
    const { host } = reply;
    const lost = lostFeatures(here, reply.features, spec.features);
    if (lost === null) {
      const text = `whether the processors of ${host} have all that ${domain} uses is not known`;
      return this.#news.tell('processors', `${text}: a host does not say what its own have`);
    }
    if (lost.saved.length > 0) {
      const text = `${domain} could not run on ${host}: ${savedText(lost.saved)}`;
      const detail = { op: 'compare-processors', subject: domain, hint: hiddenFeatures };
      const error = new OperationError('unsupported-guest', text, detail);
      link.fail(error);
      throw error;
    }
    if (lost.others === 0) return;
    const text = `${host} lacks what programs in ${domain} may use: ${othersText(lost.others)}`;
    this.#news.tell('processors', text);
  }

  /**
   * CONFIG was sent, and nothing is copied: what the backup's host is like for this guest. What
   * fails is refused, and what does not do well is said. Throws OperationError, the backup's own
   * refusal too.
   */
  async #hearChecked(connection: BackupConnection, askedMs: number): Promise<void> {
    const { guest, options, ending } = this.#set;
    const { timers, clock, settings } = this.#ports;
    const { link, reply } = connection;
    const patience = { timers, signal: ending.signal, timeoutMs: checkedMsMax };
    const message = await nextMessage(link, options.host, patience);
    if (message.kind === 'error') {
      throw peerError(options.host, message, connection.there);
    }
    if (message.kind !== 'checked') {
      throw new OperationError('protocol', `${message.kind} instead of CHECKED`, {
        op: 'read-message',
      });
    }
    const looks = { askedMs, ...message.clock, answeredMs: clock.wall().getTime() };
    const here = await this.#ports.factsHere(message.address);
    const there = (line: string) => connection.there(line);
    const found = checkedLines(message, { here, looks, spec: guest.spec, there });
    const lines = [...placed('there', found.there), ...placed('between', found.between)]
      // Compared already, and not by this alone.
      .filter(({ name }) => name !== 'processors');
    const names = { here: settings.hostName, there: reply.host };
    try {
      refuseFailed(guest.name, lines, names);
    } catch (error) {
      // The other host's log has the reason, too.
      if (error instanceof OperationError) link.fail(error);
      throw error;
    }
    this.#news.checked(lines, names);
  }

  #followPulse(offer: PulseOffer | null): Pulse | null {
    if (offer === null) return null;
    const onHeard = (seq: number) => this.#running?.onEcho(seq);
    const pulse = this.#ports.backup.followPulse(offer, this.#session, onHeard);
    if (pulse !== null) this.#teardown.took('the pulse', () => pulse.close());
    return pulse;
  }

  async #runSession(ready: Ready): Promise<PrimaryOutcome | HeldOutcome> {
    const { options, guest, log } = this.#set;
    const { registry, timers } = this.#ports;
    const { link } = ready.connection;
    // What follows it begins the session there, and is awaited: only when all is ready here.
    const { disks: said = plainDisks } = options;
    const facts = factsFor(ready.disks, said);
    const spec = specThere(this.#ports.hypervisor, guest.spec, said);
    const askedMs = this.#ports.clock.wall().getTime();
    await link.sendConfig(guestConfig(spec, guest.memoryBytes, facts));
    if (ready.connection.reply.checks === true) await this.#hearChecked(ready.connection, askedMs);
    this.#news.tell('connected', `connected to ${options.host}; the first copy begins`);
    this.#tellWhoGoesOn();
    const subject = { uuid: guest.ref.uuid, role: 'primary' } as const;
    void supersede(subject, registry, this.#ports, log);
    const session = this.#newSession(ready);
    this.#stage = { kind: 'running', ready, session };
    link.listen({
      message: (message) => session.onMessage(message),
      close: (close) => session.onLinkClosed(close.reason),
      progress: () => session.onProgress(),
    });
    this.#news.seedBegins();
    const stopShowing = every(timers, seedShownEveryMs, () => this.#showSeed(session));
    const held = new Promise<HeldOutcome>((resolve) => {
      this.#leaveHeld = resolve;
    });
    return Promise.race([session.run(), held]).finally(stopShowing);
  }

  #tellWhoGoesOn(): void {
    const { options, guest } = this.#set;
    if (options.blackhole !== undefined) return;
    const subject = { role: 'primary', domain: guest.name, peer: options.host } as const;
    this.#news.tell('without-witness', withoutWitnessText(options.withoutWitness, subject));
    const left = this.#disksLeft();
    if (left.length > 0) this.#news.tell('disks-left', disksLeftText(left, subject));
  }

  #newSession(ready: Ready): PrimarySession {
    const { options, guest, log } = this.#set;
    const { clock, timers, hypervisor, backup, step } = this.#ports;
    return new PrimarySession({
      ...(step === undefined ? {} : { step }),
      clock,
      timers,
      config: primaryConfigOf(options),
      hypervisor,
      guest: guest.ref,
      name: guest.name,
      spec: guest.spec,
      link: ready.connection.link,
      encoder: ready.encoder,
      queueBytes: ready.budget.queueBytes,
      saveHelper: options.saveHelper ?? saveHelperDefault,
      output: ready.output,
      disks: ready.disks,
      diskEncoders: ready.diskEncoders,
      pulse: ready.pulse,
      askFresh: () => backup.ask({ ...this.#hello, purpose: 'promise' }),
      log,
      onChange: () => this.#changed(),
      onDisksCopied: (copy) => {
        this.#news.disksCopied(copy, this.#running?.disksMoved.wireBytes ?? 0);
      },
      onPause: () => this.#status.write(),
      onForceRefused: (reason, found) => this.#forceRefused(reason, found),
    });
  }

  #view() {
    const { guest, options } = this.#set;
    const { clock } = this.#ports;
    const { stage } = this.#staged();
    const ready = stage.kind === 'beginning' ? null : stage.ready;
    const over = this.#stage.kind === 'concluded' ? this.#stage : null;
    return {
      nowMs: clock.nowMs(),
      guest,
      options,
      session: this.#session,
      interfaces: ready?.output.interfaces ?? [],
      disksLeft: this.#disksLeft(),
      running: stage.kind === 'running' ? stage.session : null,
      outcome: over?.outcome ?? null,
      guestEnd: over?.guestEnd ?? null,
      unguarded: this.#watch.problem,
      codec: ready?.agreed.codec ?? null,
      budget: ready?.budget ?? null,
    };
  }

  #changed(): void {
    this.#status.changed();
    this.#answerImpatient();
    if (this.#running === null || this.#running.state.outcome !== null) return;
    const { state, reason } = primaryFacts(this.#view());
    this.#news.cameTo(state, reason);
  }

  #showSeed(session: PrimarySession): void {
    if (session.state.phase !== 'seeding') return;
    const disks = session.copyingDisks;
    if (disks === null) this.#news.seedMoved(session.moved.rawBytes);
    else this.#news.disksMoved(disks);
  }

  async #control(request: ControlRequest, progress: Progress): Promise<StopResult | SetResult> {
    if (request.verb === 'set') return this.#setSchedule(request);
    if (request.verb !== 'stop') {
      throw new OperationError('not-built', 'this is the primary: it can be stopped or set', {
        op: 'answer-control',
      });
    }
    const { force, once = false } = request;
    const stopTelling = every(this.#ports.timers, progressEveryMs, () =>
      progress(this.#stopNews()),
    );
    return new Promise<StopResult>((resolve) => {
      this.#waiting.push(resolve);
      const afterAsk = once ? (this.#running?.state.lastAskId ?? 0) : Number.POSITIVE_INFINITY;
      if (force || once) this.#impatient.push({ afterAsk, resolve });
      this.#stop(force, 'command');
    }).finally(stopTelling);
  }

  /** What whoever waits for the end hears meanwhile. */
  #stopNews(): string {
    const { options, guest } = this.#set;
    const state = this.#running?.state;
    const news = state?.askNews ?? state?.lost ?? `asking ${options.host}`;
    const isInVain = state !== undefined && state.askNews !== null && state.found === null;
    return isInVain ? `${news}; ${vouchClause(guest.name, options.host)}` : news;
  }

  /** The backup was asked since, and nothing was decided by that. */
  #answerImpatient(): void {
    const state = this.#running?.state;
    if (state === undefined || state.outcome !== null || state.destroying) return;
    const { ask, lastAskId, found, askNews } = state;
    // While it activates, or is taken over, nobody has to do anything but wait.
    const isOnItsWay = found === 'running' || found === 'ended' || found === 'activating';
    if (askNews === null || isOnItsWay) return;
    const answered = ask === null ? lastAskId : lastAskId - 1;
    this.#leaveImpatient(askNews, found, (afterAsk) => answered > afterAsk);
  }

  #leaveImpatient(
    reason: string,
    found: Answer['kind'] | null,
    isDue: (afterAsk: number) => boolean,
  ): void {
    const due = this.#impatient.filter(({ afterAsk }) => isDue(afterAsk));
    this.#impatient = this.#impatient.filter((one) => !due.includes(one));
    for (const { resolve } of due) resolve({ outcome: { kind: 'held', reason, found } });
  }

  #forceRefused(reason: string, found: Answer['kind'] | null): void {
    this.#news.tell('force-refused', `the order to go on here is refused: ${reason}`);
    this.#leaveImpatient(reason, found, () => true);
  }

  #setSchedule(request: SetRequest): SetResult {
    const running = this.#running;
    if (running === null) {
      throw new OperationError('command-failed', 'the session is only beginning', {
        op: 'set-schedule',
        hint: adviceLine({ kind: 'show', domain: this.#set.guest.name }),
      });
    }
    const schedule = changedSchedule(running.state.schedule, request, this.#set.guest.name);
    running.setSchedule(schedule);
    const text = `checkpoints ${describeSchedule(schedule)}`;
    this.#news.tell('set', text);
    return { text };
  }

  #stop(force: boolean, by: StopBy): void {
    if (this.#running !== null) return this.#running.stop(force, by);
    this.#stoppedBy ??= by;
    this.#set.ending.abort();
  }

  /** First signal: end in order. A second one while held: leave the guest mute and go. */
  #onSignal(by: StopBy): void {
    if (this.#stage.kind === 'concluded') return;
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

  /** With -b: what there is to say in the end; null: there is a copy that is given up. */
  #measured(): { readonly text: string } | null {
    const { options, guest } = this.#set;
    if (options.blackhole === undefined) return null;
    return { text: measuredText(guest.name, this.#running?.state.acked ?? -1) };
  }

  /** Which of the disks are the newer ones from now on; where that is open they say so. */
  async #noteOfDisks(ended: PrimaryOutcome | HeldOutcome): Promise<void> {
    const { disks } = this.#ports;
    const { uuid } = this.#set.guest.ref;
    if (isAlone(ended)) await disks.goOnAlone(uuid, this.#session);
    else if (ended.kind === 'taken-over') await disks.cede(uuid, this.#session);
  }

  async #conclude(ended: PrimaryOutcome | HeldOutcome): Promise<ProtectResult> {
    const { claim, log } = this.#set;
    const { stage } = this.#staged();
    const was = stage.kind === 'running' ? stage : null;
    const reason = was?.session.changed ?? null;
    const ordered = reason !== null && ended.kind === 'stopped';
    const decided = ordered ? ({ kind: 'unprotected', reason } as const) : ended;
    const outcome = heldBack(decided, was?.session.unopened ?? null);
    log.info(`the session is over: ${JSON.stringify(outcome)}`);
    await this.#noteOfDisks(decided);
    this.#stage = { kind: 'concluded', was, outcome, guestEnd: null };
    const guestEnd = outcome.kind === 'guest-ended' ? await this.#watch.settle() : null;
    this.#stage = { kind: 'concluded', was, outcome, guestEnd };
    this.#status.close();
    const wasSuspended = (was?.session.state.suspended ?? -1) >= 0;
    const left = was?.session.guestLeft ?? 'runs';
    const unwatched = await this.#watch.end(outcome, guestEnd, wasSuspended, left);
    if (unwatched !== null) this.#news.tell('unwatched', unwatched);
    const detail = guestEnd?.text ?? (unwatched === null ? leftText[left] : null);
    const measured = outcome.kind === 'stopped' ? this.#measured() : null;
    const said = detail === null ? {} : { detail };
    for (const resolve of this.#waiting) resolve({ outcome, ...said, ...measured });
    // An end that was ordered needs no looking after; every other one stays to be seen.
    claim.release(outcome.kind === 'stopped' ? 'forget' : 'keep-status');
    const figures = measured === null ? null : { figures: this.#status.current() };
    const hint = was?.session.peerHint ?? null;
    const next = hint === null || was === null ? [] : [was.ready.connection.there(hint)];
    return { outcome, detail, next, ...measured, ...figures };
  }
}
