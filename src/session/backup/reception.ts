/**
 * A session on the backup host: what it needs is prepared before the primary's HELLO is accepted,
 * so that whatever is missing is a clear refusal; then the link's messages become the machine's
 * events, and after activation the guest is watched.
 *
 *     prepared --(CONFIG)--> receiving --(outcome)--> over, or watching the guest that took over
 */
import type { BackupOutcome, OwnPermission } from '../../core/backup/types.ts';
import { askWaitsMs, configMsMax } from '../../core/limits.ts';
import { adviceLine } from '../../core/texts/advice.ts';
import { disksLeftText } from '../../core/texts/disks-left.ts';
import { farewell, loggedOutcome } from '../../core/texts/outcomes.ts';
import type { Answer, Permission } from '../../core/vocabulary.ts';
import { type BackupDisk, type DiskDriver, diskNames } from '../../disk/port.ts';
import { watchCopy } from '../../guest/watch.ts';
import { every, within } from '../../host/clock.ts';
import { errorText, OperationError } from '../../host/errors.ts';
import type { ProcessLog } from '../../host/log.ts';
import type { HostPorts } from '../../host/ports.ts';
import type { GuestRef, GuestSpec, HostInfo, Hypervisor } from '../../hypervisor/port.ts';
import { checkConfig, checkConfigDisks, type GuestConfig } from '../../link/config-message.ts';
import type { Hello, PulseOffer } from '../../link/hello-message.ts';
import type { ControlMessage, Link } from '../../link/link.ts';
import type { Message } from '../../link/messages.ts';
import type { OfferedPulse } from '../../link/pulse.ts';
import { EchoRouter } from '../../link/pulse-ways.ts';
import { pruneRecords } from '../../permission/prune.ts';
import { openRecord, type PermissionRecord, recordPath } from '../../permission/record.ts';
import { RecordTrial } from '../../permission/trial.ts';
import type { ControlHandler, ControlRequest } from '../../registry/control.ts';
import type { Claim, Registry } from '../../registry/port.ts';
import { StatusWriter } from '../../registry/status-writer.ts';
import { supersede } from '../../registry/supersede.ts';
import { chooseStream, type StreamAgreement } from '../../stream/agreement.ts';
import { EpochAssembler, epochLimits, wireLimits } from '../../stream/assembler.ts';
import {
  cacheBytesWithin,
  defaultMaxMemory,
  type MemoryBudget,
  memoryBudget,
} from '../../stream/budget.ts';
import type { StreamDecoder } from '../../stream/codec/codec.ts';
import type { DiskIntake } from '../../stream/disk-intake.ts';
import { RawBuffers, StreamIntake } from '../../stream/intake.ts';
import type { HostLook } from '../check/host.ts';
import type { ReceiveOptions } from '../options.ts';
import { Copy } from './copy.ts';
import { askOf, openDiskIntakes } from './disk-intakes.ts';
import { type BackupView, backupFacts } from './facts.ts';
import { dismissFormer } from './former.ts';
import {
  checkDisks,
  checkNames,
  checkNeeds,
  checkOtherHost,
  checkOwnMemory,
  checkRoom,
  checkVersions,
  lacksBeforeBuild,
} from './preflight.ts';
import { type BackupParts, BackupSession, type SessionRecord } from './session.ts';

/** The backup's end of a link. */
export type ReceptionLink = Pick<
  Link,
  'listen' | 'send' | 'consumed' | 'fail' | 'close' | 'counters' | 'farewell'
>;

const toldToEnd = 'the backup was told to end';

/** Far within what a question waits for a silent owner (answer.ts). */
const askProgressEveryMs = 1_000;
/** The same of what a person waits for his order (cli/sessions.ts). */
const orderProgressEveryMs = 5_000;

type OnHeard = (seq: number, heldMs: number) => void;
type Allocate = (bytes: number) => Buffer;

export interface ReceptionPorts extends HostPorts {
  readonly registry: Registry;
  readonly hypervisor: Hypervisor;
  /** Listens for heartbeats by datagram; null: it cannot be done. */
  offerPulse(session: string, log: ProcessLog, onHeard: OnHeard): Promise<OfferedPulse | null>;
  openDecoder(agreed: StreamAgreement, allocate: Allocate): Promise<StreamDecoder>;
  readonly disks: DiskDriver;
  /** What `tsremus check` would say of this host for the guest of CONFIG. Changes nothing. */
  look(spec: GuestSpec, config: GuestConfig, hello: Hello): Promise<HostLook>;
  /** The machine, where a test breaks it on purpose. */
  readonly step?: BackupParts['step'];
  /** Tells the network where the guest is now. Never rejects. */
  announce(copy: GuestRef, spec: GuestSpec, log: ProcessLog): Promise<void>;
  /**
   * Calls `hear` when this process is asked to end (SIGTERM: this host is shut down, or a later
   * session wants the watch). From then on it does not end by that alone.
   */
  onLeaveRequest(hear: () => void): void;
}

/** Everything that a session needs before it is accepted. */
export interface Prepared {
  readonly hello: Hello;
  readonly claim: Claim;
  readonly log: ProcessLog;
  readonly record: PermissionRecord;
  readonly pulse: OfferedPulse | null;
  readonly pulseOffer: PulseOffer | null;
  /** Where heartbeats by datagram go, once there is a session. */
  readonly heartbeats: { take: OnHeard };
  readonly watch: boolean;
  readonly stream: StreamAgreement;
  /** Of this host's processors. */
  readonly features: HostInfo['features'];
  readonly budget: MemoryBudget;
  readonly decoder: StreamDecoder;
  /** Those of the decoder. */
  readonly buffers: RawBuffers;
}

/** What works once CONFIG has come. */
interface Receiving {
  readonly spec: GuestSpec;
  readonly copy: Copy;
  readonly session: BackupSession;
  /** Disks that are left alone, as a person knows them. */
  readonly disksLeft: readonly string[];
  readonly intake: StreamIntake;
  readonly diskIntakes: readonly DiskIntake[];
  readonly assembler: EpochAssembler;
}

/** What came of CONFIG; `first`: what the primary said to begin, where it waited for CHECKED. */
type Begun =
  | { readonly receiving: Receiving; readonly first: Message | null }
  | { readonly receiving: null; readonly reason: string };

/** Chooses the codec, and counts the memory that it and an epoch need here. */
export function agreeStream(
  { settings }: Pick<ReceptionPorts, 'settings'>,
  hello: Hello,
  options: Pick<ReceiveOptions, 'maxMemoryBytes'>,
) {
  const maxBytes = options.maxMemoryBytes ?? defaultMaxMemory(settings.memoryBytes);
  const stream = chooseStream(hello, cacheBytesWithin(maxBytes, hello.memoryBytes));
  checkOwnMemory(settings, hello, stream.cacheBytes);
  return { maxBytes, stream };
}

/** Opens the codec; the cache counts towards what the session may use here. */
async function prepareStream(
  ports: ReceptionPorts,
  { maxBytes, stream }: ReturnType<typeof agreeStream>,
) {
  const buffers = new RawBuffers();
  const decoder = await ports.openDecoder(stream, buffers.allocate);
  return { stream, budget: memoryBudget(maxBytes, stream.cacheBytes), decoder, buffers };
}

/** Checks and claims; throws an OperationError that becomes the refusal. */
export async function prepareReception(
  ports: ReceptionPorts,
  hello: Hello,
  options: ReceiveOptions,
): Promise<Prepared> {
  const { hypervisor, settings, registry } = ports;
  const log = ports.openLog(`${hello.domain}.backup`);
  const subject = { uuid: hello.uuid, domain: hello.domain, role: 'backup' } as const;
  await dismissFormer(hello, ports, log);
  const claim = await registry.claimSession(subject);
  try {
    checkOtherHost(registry, hello);
    const { features } = await checkVersions(hypervisor, hello, settings.hostName);
    checkDisks(ports.disks, hello);
    await checkNames(ports, hello);
    await checkRoom(hypervisor, hello);
    const agreed = agreeStream(ports, hello, options);
    const dir = settings.stateDirectory;
    const record = openRecord(dir, hello.uuid, hello.session, ports);
    const { withoutWitness } = hello.timing;
    await record.prepare();
    await record.create({ domain: hello.domain, peer: hello.host }, withoutWitness);
    // Housekeeping: old decisions that nobody will ask for again. It may fail and may take time.
    pruneRecords(dir, ports).catch((error: unknown) => log.info(errorText(error)));
    const heartbeats: { take: OnHeard } = { take: () => {} };
    const onHeard: OnHeard = (seq, heldMs) => heartbeats.take(seq, heldMs);
    const pulse = await ports.offerPulse(hello.session, log, onHeard);
    const watch = options.wait && !hello.noWait;
    const pulseOffer = pulse?.offer ?? null;
    const session = { hello, claim, log, record, pulse, pulseOffer, features, heartbeats, watch };
    return { ...session, ...(await prepareStream(ports, agreed)) };
  } catch (error) {
    claim.release('as-before');
    throw error;
  }
}

/** A person's word is not taken while the record has an owner: nothing goes on by it here. */
function toOwner(permission: Permission): OwnPermission {
  if (permission !== 'lost') return permission;
  throw new OperationError('split-brain-risk', 'the record says lost, and its owner lives', {
    op: 'read-record',
  });
}

type StreamMessage = Extract<
  Message,
  { readonly kind: 'data' | 'epoch-end' | 'disk' | 'disk-end' | 'compare' }
>;

function stopIntakes({ intake, diskIntakes }: Receiving): void {
  intake.stop();
  for (const disk of diskIntakes) disk.close();
}

/** Why the primary ends the session, if that is what it says. */
function endIn(message: Message): string | null {
  if (message.kind === 'goodbye') return `the primary ended the session: ${message.reason}`;
  return message.kind === 'error' ? `the primary failed: ${message.text}` : null;
}

export class Reception {
  readonly #ports: ReceptionPorts;
  readonly #set: Prepared;
  readonly #link: ReceptionLink;
  readonly #status: StatusWriter;
  readonly #trial: RecordTrial;
  #receiving: Receiving | null = null;
  /** Why the stream cannot be used; the primary is told before the link is closed. */
  #broken: OperationError | null = null;
  #outcome: BackupOutcome | null = null;
  #guestEnd: string | null = null;
  /** The guest since its last reboot here. */
  #restartedAs: GuestRef | null = null;
  #forgotten = false;
  #isBuiltSaid = false;
  #isLeaving = false;
  readonly #echoes = new EchoRouter();
  #ackWall: Date | null = null;

  constructor(ports: ReceptionPorts, set: Prepared, link: ReceptionLink) {
    this.#ports = ports;
    this.#set = set;
    this.#link = link;
    const { clock, bootClock, timers, processes, refusals } = ports;
    const { claim, log } = set;
    const facts = () => backupFacts(this.#view());
    this.#trial = this.#newTrial();
    const owner = processes.self;
    const shown = { claim, log, owner, refusals, facts };
    this.#status = new StatusWriter({ clock, timers, bootClock, ...shown });
  }

  /** Whether a takeover could be recorded; the primary is told, for both hosts' status. */
  #newTrial(): RecordTrial {
    const { hello, log, record } = this.#set;
    const { store, timers } = this.#ports;
    const path = recordPath(record.dir, hello.uuid, hello.session, 'trial');
    const onChange = () => {
      const { problem } = this.#trial;
      if (problem === null) log.info('a takeover could be recorded again');
      else log.error(`a takeover could not be recorded: ${problem}`);
      this.#link.send({ kind: 'degraded', reason: problem ?? '' });
      this.#status.changed();
    };
    return new RecordTrial({ store, timers, path, onChange });
  }

  async run(): Promise<BackupOutcome> {
    const { claim, log, pulse, hello } = this.#set;
    const { registry } = this.#ports;
    this.#ports.onLeaveRequest(() => this.#leave());
    const handler: ControlHandler = (request, progress) => this.#control(request, progress);
    const control = await registry.serve(claim.socketPath, handler, log);
    log.info(`session ${hello.session} of ${hello.domain} begins`);
    try {
      const outcome = await this.#receive().finally(() => this.#trial.stop());
      this.#outcome = outcome;
      this.#closeStream();
      log.info(`the session is over: ${JSON.stringify(outcome)}`);
      this.#status.write();
      await this.#link.close(farewell(outcome));
      if (this.#link.farewell) log.info(`the primary says: ${this.#link.farewell}`);
      pulse?.pulse.close();
      // A guest that took over does not wait for it.
      const released = this.#ports.disks.release(hello.uuid);
      if (outcome.kind === 'activated') await this.#watch();
      await released;
      return outcome;
    } finally {
      this.#status.close();
      this.#closeStream();
      control.close();
      this.#release();
      log.close();
    }
  }

  /** Nothing more is decoded; the page cache goes, however long the guest is watched. */
  #closeStream(): void {
    if (this.#receiving !== null) stopIntakes(this.#receiving);
    this.#set.decoder.close();
  }

  /** What is left to be seen: a takeover and a lost copy; a copy given up in order is not. */
  #release(): void {
    const kind = this.#outcome?.kind;
    const keep = !this.#forgotten && (kind === 'activated' || kind === 'copy-lost');
    this.#set.claim.release(keep ? 'keep-status' : 'forget');
  }

  async #receive(): Promise<BackupOutcome> {
    const { hello } = this.#set;
    const silence = `${hello.host} sent no CONFIG within ${configMsMax / 1000} s`;
    const late = () => ({ message: null, reason: silence });
    const first = within(this.#ports.timers, configMsMax, this.#firstMessage(), late);
    const { message, reason } = await first;
    if (message === null) return { kind: 'never-whole', reason };
    let begun: Begun;
    try {
      begun = await this.#begin(message);
    } catch (error) {
      if (!(error instanceof OperationError)) throw error;
      this.#link.fail(error);
      return { kind: 'never-whole', reason: error.message };
    }
    if (begun.receiving === null) return { kind: 'never-whole', reason: begun.reason };
    const { receiving, first: early } = begun;
    this.#receiving = receiving;
    const { session } = receiving;
    return new Promise((resolve, reject) => {
      session.run().then(resolve, reject);
      if (this.#isLeaving) session.leave(toldToEnd);
      if (early !== null) this.#onMessage(early, receiving);
      this.#link.listen({
        bytes: () => session.onBytes(),
        message: (next) => this.#onMessage(next, receiving),
        close: (close) => session.onLinkClosed(close.reason),
      });
    });
  }

  /** With a copy it is for the machine to say when; before there is one nobody waits for this. */
  #leave(): void {
    this.#set.log.info(toldToEnd);
    this.#isLeaving = true;
    if (this.#receiving !== null) this.#receiving.session.leave(toldToEnd);
    else void this.#link.close(toldToEnd);
  }

  /** The message after HELLO; null: the primary ended before, and why. Holds back what follows. */
  #firstMessage(): Promise<{ readonly message: Message | null; readonly reason: string }> {
    return new Promise((resolve) => {
      this.#link.listen({
        message: (message) => {
          this.#link.listen(null);
          const ended = endIn(message);
          resolve(ended === null ? { message, reason: '' } : { message: null, reason: ended });
        },
        close: ({ reason }) => resolve({ message: null, reason }),
      });
    });
  }

  /** The first message must be CONFIG: with it the copy can be prepared. */
  async #begin(message: Message): Promise<Begun> {
    const { hello, log } = this.#set;
    const { registry } = this.#ports;
    if (message.kind !== 'config') {
      throw new OperationError('protocol', `${message.kind} before CONFIG`, { op: 'read-message' });
    }
    const heardMs = this.#ports.clock.wall().getTime();
    const spec = this.#specIn(message);
    const { hypervisor, settings } = this.#ports;
    await this.#ports.disks.bringOut(hello.uuid);
    await checkNeeds(hypervisor, spec, settings.hostName);
    // Before a disk is marked: a primary that refuses leaves all of them what they were.
    const said = await this.#sayChecked(spec, message, heardMs);
    if (said.reason !== null) return { receiving: null, reason: said.reason };
    const disks = await this.#openDisks(message, spec);
    const copy = this.#newCopy(spec);
    const session = this.#newSession(spec, copy, disks);
    const disksLeft = disks.length === 0 ? diskNames(spec.writableDisks) : [];
    this.#tellDisksLeft(disksLeft);
    const onBroken = (error: OperationError) => this.#onBroken(error, session);
    const { stream } = this.#set;
    const diskIntakes = await openDiskIntakes(this.#ports, this.#link, disks, stream, onBroken);
    const { intake, assembler } = this.#openIntake(copy, session, diskIntakes);
    const receiving = { spec, copy, session, disksLeft, intake, assembler, diskIntakes };
    this.#set.heartbeats.take = (seq, heldMs) => session.onHeartbeat(seq, heldMs);
    void supersede({ uuid: hello.uuid, role: 'backup' }, registry, this.#ports, log);
    return { receiving, first: said.first };
  }

  /**
   * Says what this host is like, where the primary waits for that; `first` is what it says to
   * begin, `reason` why it does not.
   */
  async #sayChecked(
    spec: GuestSpec,
    config: GuestConfig,
    heardMs: number,
  ): Promise<{ readonly first: Message | null; readonly reason: string | null }> {
    const { hello } = this.#set;
    const { clock, timers } = this.#ports;
    if (hello.checks !== true) return { first: null, reason: null };
    const look = await this.#ports.look(spec, config, hello);
    const saidMs = clock.wall().getTime();
    this.#link.send({ kind: 'checked', ...look, clock: { heardMs, saidMs } });
    const silence = `${hello.host} did not begin within ${configMsMax / 1000} s of CHECKED`;
    const late = () => ({ message: null, reason: silence });
    const { message, reason } = await within(timers, configMsMax, this.#firstMessage(), late);
    return { first: message, reason: message === null ? reason : null };
  }

  /** Those that the primary carries; none where they are left alone. */
  async #openDisks(message: GuestConfig, spec: GuestSpec): Promise<readonly BackupDisk[]> {
    const { hello } = this.#set;
    if (message.disks.length === 0) return [];
    const { cacheBytes } = this.#set.stream;
    checkOwnMemory(this.#ports.settings, hello, cacheBytes, message.disks.length);
    return this.#ports.disks.openBackup(spec, hello, message.disks);
  }

  #tellDisksLeft(left: readonly string[]): void {
    const { hello, log } = this.#set;
    const subject = { role: 'backup', domain: hello.domain, peer: hello.host } as const;
    if (left.length > 0) log.warning(disksLeftText(left, subject));
  }

  #specIn(message: GuestConfig): GuestSpec {
    const spec = this.#ports.hypervisor.readSpec(message.config);
    checkConfig(message, this.#set.hello, spec);
    checkConfigDisks(message, this.#set.hello, spec.writableDisks);
    return spec;
  }

  #newCopy(spec: GuestSpec): Copy {
    const { hello, log, budget } = this.#set;
    const { hypervisor, clock } = this.#ports;
    return new Copy({
      hypervisor,
      spec,
      clock,
      log,
      queueBytesMax: budget.queueBytes,
      epochBytesMax: epochLimits(hello.memoryBytes).epochBytesMax,
      onFailed: (reason) => this.#receiving?.session.onCopyFailed(reason),
      // Not waited for: the guest runs, and its network is told beside it.
      onRunning: (guest) => void this.#ports.announce(guest, spec, log),
    });
  }

  #newSession(spec: GuestSpec, copy: Copy, disks: readonly BackupDisk[]): BackupSession {
    const { hello, log } = this.#set;
    const { clock, timers, step, hypervisor } = this.#ports;
    return new BackupSession({
      ...(step === undefined ? {} : { step }),
      clock,
      timers,
      config: { ...hello.timing, parts: ['memory', ...disks.map(({ name }) => name)] },
      copy,
      disks,
      lacks: () => lacksBeforeBuild(hypervisor, spec),
      record: this.#sessionRecord(),
      send: (out) => {
        if (out.kind === 'ack') this.#ackWall = clock.wall();
        if (out.kind === 'echo') this.#echo(out);
        else this.#link.send(out);
      },
      closeLink: (reason) => this.#closeLink(reason),
      log,
      onChange: () => this.#changed(),
    });
  }

  /** That the copy stands here whole is said at once: a person must know, should this one die. */
  #changed(): void {
    const isBuilt = this.#receiving?.session.state.copy === 'built';
    if (isBuilt && !this.#isBuiltSaid) this.#status.write();
    else this.#status.changed();
    this.#isBuiltSaid = isBuilt;
  }

  #echo(echo: Extract<ControlMessage, { readonly kind: 'echo' }>): void {
    const ways = this.#echoes.take(echo.seq);
    if (ways.stream) this.#link.send(echo);
    if (ways.datagram) this.#set.pulse?.pulse.send(echo.seq);
  }

  #openIntake(
    copy: Copy,
    session: BackupSession,
    disks: readonly DiskIntake[],
  ): Pick<Receiving, 'intake' | 'assembler'> {
    const { hello, decoder, buffers } = this.#set;
    const { timers } = this.#ports;
    const limits = epochLimits(hello.memoryBytes);
    const intake = new StreamIntake(
      {
        timers,
        limits,
        decoder,
        sink: copy,
        onConsumed: (bytes) => this.#link.consumed(bytes),
        onWhole: (epoch) => session.onEpochWhole('memory', epoch),
        onError: (error) => this.#onBroken(error, session),
      },
      buffers,
    );
    const assembler = new EpochAssembler({
      ...wireLimits(limits),
      onChunk: (epoch, chunk) => intake.piece(epoch, chunk),
      onEpoch: (end) => intake.end(end),
      disks: disks.map((disk) => disk.assembly),
    });
    return { intake, assembler };
  }

  #sessionRecord(): SessionRecord {
    const { record } = this.#set;
    return {
      async move(from, to, epoch, why, said) {
        return toOwner((await record.move(from, to, { epoch, why, said }, said)).permission);
      },
      async read() {
        return toOwner((await record.read())?.permission ?? 'standby');
      },
      noteBuilt: () => record.noteBuilt(),
      noteRunning: () => record.noteRunning({}),
    };
  }

  #onMessage(message: Message, receiving: Receiving): void {
    const { session } = receiving;
    switch (message.kind) {
      case 'heartbeat':
        this.#echoes.heardByStream(message.seq);
        return session.onHeartbeat(message.seq, message.heldMs);
      case 'data':
      case 'epoch-end':
      case 'disk':
      case 'disk-end':
      case 'compare':
        return this.#onStream(message, receiving);
      case 'ask':
        return session.onAsk(message.id);
      case 'goodbye':
      case 'error':
        return session.onLinkClosed(endIn(message) ?? '');
      default:
        throw new OperationError('protocol', `${message.kind} within a session`, {
          op: 'read-message',
        });
    }
  }

  #onStream(message: StreamMessage, receiving: Receiving): void {
    const { assembler, session, diskIntakes } = receiving;
    try {
      if (message.kind === 'compare') askOf(diskIntakes, message);
      else if (message.kind === 'epoch-end') assembler.onEpochEnd(message);
      else if (message.kind === 'disk') assembler.onDisk(message);
      else if (message.kind === 'disk-end') assembler.onDiskEnd(message);
      else assembler.onData(message);
    } catch (error) {
      if (!(error instanceof OperationError)) throw error;
      this.#onBroken(error, session);
    }
  }

  /** Nothing of the stream counts any more; what was whole before does. */
  #onBroken(error: OperationError, session: BackupSession): void {
    this.#set.log.error(error.message);
    if (this.#receiving !== null) stopIntakes(this.#receiving);
    this.#broken = error;
    session.onCorrupt(error.message);
  }

  #closeLink(reason: string): void {
    if (this.#broken !== null) this.#link.fail(this.#broken);
    else void this.#link.close(reason);
  }

  /** What came, decoded, and which disk is behind with it. */
  #taken(): Pick<BackupView, 'rawBytes' | 'diskBehind'> {
    const { intake, diskIntakes = [] } = this.#receiving ?? {};
    const ofDisks = diskIntakes.reduce((sum, { rawBytes }) => sum + rawBytes, 0);
    const diskBehind = diskIntakes.map(({ behind }) => behind).find((name) => name !== null);
    return { rawBytes: (intake?.rawBytes ?? 0) + ofDisks, diskBehind: diskBehind ?? null };
  }

  #view(): BackupView {
    const { hello, stream, budget } = this.#set;
    const { clock, settings } = this.#ports;
    const copy = this.#receiving?.copy ?? null;
    return {
      nowMs: clock.nowMs(),
      wall: clock.wall(),
      stateDirectory: settings.stateDirectory,
      hello,
      running: this.#receiving?.session ?? null,
      trialProblem: this.#outcome === null ? this.#trial.problem : null,
      guest: this.#restartedAs ?? copy?.guest ?? null,
      outcome: this.#outcome,
      guestEnd: this.#guestEnd,
      watch: this.#set.watch,
      ackWall: this.#ackWall,
      disksLeft: this.#receiving?.disksLeft ?? [],
      bytes: this.#link.counters.dataBytesReceived,
      ...this.#taken(),
      copy,
      stream,
      budget,
    };
  }

  async #control(request: ControlRequest, progress: (text: string) => void): Promise<object> {
    const session = this.#receiving?.session;
    const { hello } = this.#set;
    switch (request.verb) {
      case 'ask':
        if (request.session !== hello.session || session === undefined) {
          throw new OperationError('no-such-session', 'this process holds another session', {
            op: 'answer-control',
          });
        }
        return { answer: await this.#ask(session, progress) };
      case 'forget':
        if (this.#outcome === null) break;
        this.#forgotten = true;
        this.#set.claim.release('forget');
        return {};
      case 'failover':
        if (session === undefined) break;
        return this.#failover(session, request.vouched === true, progress);
      case 'failover-plan':
        if (session === undefined) break;
        return session.failoverPlan();
      case 'stop':
        break;
    }
    throw new OperationError('command-failed', 'this session cannot do that now', {
      op: 'answer-control',
      hint: adviceLine({ kind: 'show', domain: hello.domain }),
    });
  }

  /** Says that it lives while the record is written: one that says nothing counts as deaf. */
  #ask(session: BackupSession, progress: (text: string) => void): Promise<Answer | null> {
    const { timers } = this.#ports;
    const tell = () => progress('the record is being written');
    const stopTelling = every(timers, askProgressEveryMs, tell);
    return within(timers, askWaitsMs, session.askFresh(), () => {
      throw new OperationError('command-timeout', 'the record could not be written yet', {
        op: 'answer-control',
      });
    }).finally(stopTelling);
  }

  /** Tells that it goes on: whoever ordered it takes silence for a session that is stuck. */
  async #failover(
    session: BackupSession,
    vouched: boolean,
    progress: (text: string) => void,
  ): Promise<object> {
    const tell = () => progress('the copy is being activated');
    const stopTelling = every(this.#ports.timers, orderProgressEveryMs, tell);
    return this.#activate(session, vouched).finally(stopTelling);
  }

  async #activate(session: BackupSession, vouched: boolean): Promise<object> {
    const { hello } = this.#set;
    const refused = await session.failover(vouched);
    if (refused !== null) {
      throw new OperationError('split-brain-risk', `failover is refused: ${refused}`, {
        op: 'failover',
        subject: hello.domain,
        hint: adviceLine({ kind: 'stop-there', domain: hello.domain, peer: hello.host }),
      });
    }
    const outcome = await session.outcome();
    if (outcome.kind === 'activated') return { text: `${hello.domain} runs here` };
    throw new OperationError(
      'command-failed',
      `the copy did not come up: ${loggedOutcome(outcome)}`,
      {
        op: 'failover',
        subject: hello.domain,
      },
    );
  }

  /** Until the guest is gone, as xl's daemon would; with -e nobody does. */
  async #watch(): Promise<void> {
    const { log, watch } = this.#set;
    const { copy, spec } = this.#receiving ?? {};
    if (!watch || !copy?.guest || spec === undefined) return;
    const ports = { ...this.#ports, log, isStopped: () => this.#isLeaving };
    this.#guestEnd = await watchCopy(ports, copy.guest, spec, {
      restarted: (guest) => {
        this.#restartedAs = guest;
        this.#status.write();
      },
      ending: () => this.#set.record.noteEnded({}),
    });
  }
}
