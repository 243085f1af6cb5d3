/**
 * A session on the backup host: what it needs is prepared before the primary's HELLO is accepted,
 * so that whatever is missing is a clear refusal; then the link's messages become the machine's
 * events, and after activation the guest is watched.
 */
import { totalmem } from 'node:os';
import { maxMemory, runDirectory, stateDirectory } from '../../config/settings.ts';
import type { BackupOutcome } from '../../core/backup/types.ts';
import { adviceLine } from '../../core/texts/advice.ts';
import { loggedOutcome } from '../../core/texts/outcomes.ts';
import type { Permission } from '../../core/vocabulary.ts';
import { watchCopy } from '../../guest/watch-copy.ts';
import { systemClock } from '../../host/clock.ts';
import { errorText, OperationError } from '../../host/errors.ts';
import type { ProcessLog } from '../../host/log.ts';
import type { Ahead } from '../../host/open-ahead.ts';
import { systemProcesses } from '../../host/process-id.ts';
import { openSessionLog } from '../../host/session-log.ts';
import { systemStore } from '../../host/store.ts';
import type { DomainConfig, Hypervisor } from '../../hypervisor/port.ts';
import type { Hello, PulseOffer } from '../../link/hello-message.ts';
import type { ControlMessage, Link } from '../../link/link.ts';
import type { Message } from '../../link/messages.ts';
import { addressFromEnvironment, type OfferedPulse, offerPulse } from '../../link/pulse.ts';
import { EchoRouter } from '../../link/pulse-ways.ts';
import { pruneRecords } from '../../permission/prune.ts';
import { openRecord, type PermissionRecord } from '../../permission/record.ts';
import { type ControlRequest, serveControl } from '../../registry/control.ts';
import { type Claim, claimSession } from '../../registry/run-directory.ts';
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
import { openStreamDecoder } from '../../stream/codec/decoder.ts';
import { RawBuffers, StreamIntake } from '../../stream/intake.ts';
import type { ReceiveOptions } from '../options.ts';
import { CopyBuilder } from './copy.ts';
import { type BackupView, backupFacts } from './facts.ts';
import { checkNames, checkRoom } from './preflight.ts';
import { BackupSession, type SessionRecord } from './session.ts';

/** Everything that a session needs before it is accepted. */
export interface Prepared {
  readonly hello: Hello;
  readonly xen: Hypervisor;
  readonly claim: Claim;
  readonly log: ProcessLog;
  readonly record: PermissionRecord;
  readonly pulse: OfferedPulse | null;
  readonly pulseOffer: PulseOffer | null;
  /** Where heartbeats by datagram go, once there is a session. */
  readonly heartbeats: { take: (seq: number) => void };
  readonly watch: boolean;
  readonly stream: StreamAgreement;
  readonly budget: MemoryBudget;
  readonly decoder: StreamDecoder;
  /** Those of the decoder. */
  readonly buffers: RawBuffers;
}

/** Chooses the codec and opens it; the cache counts towards what the session may use here. */
async function prepareStream(hello: Hello) {
  const maxBytes = maxMemory(undefined, process.env) ?? defaultMaxMemory(totalmem());
  const stream = chooseStream(hello, cacheBytesWithin(maxBytes, hello.memoryBytes));
  const buffers = new RawBuffers();
  const decoder = await openStreamDecoder({ ...stream, allocate: buffers.allocate });
  return { stream, budget: memoryBudget(maxBytes, stream.cacheBytes), decoder, buffers };
}

type StreamMessage = Extract<Message, { readonly kind: 'data' | 'epoch-end' }>;

export class BackupHost {
  readonly #set: Prepared;
  readonly #link: Link;
  #assembler: EpochAssembler | null = null;
  #intake: StreamIntake | null = null;
  /** Why the stream cannot be used; the primary is told before the link is closed. */
  #broken: OperationError | null = null;
  #session: BackupSession | null = null;
  #builder: CopyBuilder | null = null;
  #config: DomainConfig | null = null;
  #outcome: BackupOutcome | null = null;
  #status: StatusWriter | null = null;
  #guestEnd: string | null = null;
  /** The number of the guest since its last reboot here. */
  #restartedAs: number | null = null;
  #forgotten = false;
  readonly #echoes = new EchoRouter();
  #ackWallMs: number | null = null;

  /** Checks and claims; throws an OperationError that becomes the refusal. */
  static async prepare(
    hello: Hello,
    options: ReceiveOptions,
    ahead: Ahead<Hypervisor>,
  ): Promise<Prepared> {
    const xen = await ahead.get();
    const log = openSessionLog(`${hello.domain}.backup`, process.env);
    const subject = { uuid: hello.uuid, domain: hello.domain, role: 'backup' } as const;
    const claim = await claimSession(runDirectory(process.env), subject);
    try {
      await checkNames(xen, hello);
      await checkRoom(xen, hello);
      const dir = stateDirectory(process.env);
      const acting = { store: systemStore, clock: systemClock, processes: systemProcesses() };
      const record = openRecord(dir, hello.uuid, hello.session, acting);
      await record.create({ domain: hello.domain, peer: hello.host });
      // Housekeeping: old decisions that nobody will ask for again. It may fail and may take time.
      pruneRecords(dir, acting).catch((error: unknown) => log.info(errorText(error)));
      const heartbeats = { take: (_seq: number) => {} };
      const onHeard = (seq: number) => heartbeats.take(seq);
      const address = addressFromEnvironment(process.env);
      const pulse = await offerPulse(address, { session: hello.session, log, onHeard });
      const watch = options.wait && !hello.noWait;
      const pulseOffer = pulse?.offer ?? null;
      const session = { hello, xen, claim, log, record, pulse, pulseOffer, heartbeats, watch };
      return { ...session, ...(await prepareStream(hello)) };
    } catch (error) {
      claim.release('as-before');
      throw error;
    }
  }

  constructor(set: Prepared, link: Link) {
    this.#set = set;
    this.#link = link;
  }

  async run(): Promise<BackupOutcome> {
    const { claim, log, pulse } = this.#set;
    this.#status = new StatusWriter(claim, log, () => backupFacts(this.#view()));
    const control = await serveControl(claim.socketPath, (request) => this.#control(request));
    log.info(`session ${this.#set.hello.session} of ${this.#set.hello.domain} begins`);
    try {
      const outcome = await this.#receive();
      this.#outcome = outcome;
      this.#closeStream();
      log.info(`the session is over: ${JSON.stringify(outcome)}`);
      this.#status.write();
      await this.#link.close('the session is over');
      pulse?.pulse.close();
      if (outcome.kind === 'activated') await this.#watch();
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
    this.#intake?.stop();
    this.#set.decoder.close();
  }

  /** What is left to be seen: a takeover and a lost copy; a copy given up in order is not. */
  #release(): void {
    const kind = this.#outcome?.kind;
    const keep = !this.#forgotten && (kind === 'activated' || kind === 'copy-lost');
    this.#set.claim.release(keep ? 'keep-status' : 'forget');
  }

  #receive(): Promise<BackupOutcome> {
    return new Promise((resolve, reject) => {
      this.#link.listen({
        bytes: () => this.#session?.onBytes(),
        message: (message) => {
          if (this.#session === null) this.#begin(message, resolve, reject);
          else this.#onMessage(message, this.#session);
        },
        close: (close) => {
          if (this.#session !== null) this.#session.onLinkClosed(close.reason);
          else resolve({ kind: 'never-whole', reason: close.reason });
        },
      });
    });
  }

  /** The first message must be CONFIG: with it the copy can be prepared. */
  #begin(
    message: Message,
    resolve: (outcome: BackupOutcome) => void,
    reject: (error: unknown) => void,
  ): void {
    const { hello, xen, log, budget } = this.#set;
    if (message.kind !== 'config') {
      throw new OperationError('protocol', `${message.kind} before CONFIG`, { op: 'read-message' });
    }
    this.#config = JSON.parse(message.json) as DomainConfig;
    const limits = epochLimits(hello.memoryBytes);
    const builder = new CopyBuilder(xen, this.#config, {
      name: hello.domain,
      uuid: hello.uuid,
      log,
      queueBytesMax: budget.queueBytes,
      epochBytesMax: limits.epochBytesMax,
      onFailed: (reason) => this.#session?.onCopyFailed(reason),
    });
    this.#builder = builder;
    const session = new BackupSession({
      config: hello.timing,
      xen,
      builder,
      record: this.#sessionRecord(),
      send: (out) => {
        if (out.kind === 'ack') this.#ackWallMs = Date.now();
        if (out.kind === 'echo') this.#echo(out);
        else this.#link.send(out);
      },
      closeLink: (reason) => this.#closeLink(reason),
      log,
      onChange: () => this.#status?.changed(),
    });
    this.#session = session;
    this.#openIntake(builder, session);
    this.#set.heartbeats.take = (seq) => session.onHeartbeat(seq);
    void supersede(hello.uuid, 'backup', log);
    session.run().then(resolve, reject);
  }

  #echo(echo: Extract<ControlMessage, { readonly kind: 'echo' }>): void {
    const ways = this.#echoes.take(echo.seq);
    if (ways.stream) this.#link.send(echo);
    if (ways.datagram) this.#set.pulse?.pulse.send(echo.seq);
  }

  #openIntake(builder: CopyBuilder, session: BackupSession): void {
    const { hello, decoder, buffers } = this.#set;
    const limits = epochLimits(hello.memoryBytes);
    const intake = new StreamIntake(
      {
        limits,
        decoder,
        sink: builder,
        onConsumed: (bytes) => this.#link.consumed(bytes),
        onWhole: (epoch) => session.onEpochWhole(epoch),
        onError: (error) => this.#onBroken(error, session),
      },
      buffers,
    );
    this.#intake = intake;
    this.#assembler = new EpochAssembler({
      ...wireLimits(limits),
      onChunk: (epoch, chunk) => intake.piece(epoch, chunk),
      onEpoch: (end) => intake.end(end),
    });
  }

  #sessionRecord(): SessionRecord {
    const { record } = this.#set;
    return {
      async move(from, to, epoch, why): Promise<Permission> {
        return (await record.move(from, to, { epoch, why })).permission;
      },
      async read() {
        return (await record.read())?.permission ?? 'standby';
      },
      noteRunning: () => record.noteRunning({}),
    };
  }

  #onMessage(message: Message, session: BackupSession): void {
    switch (message.kind) {
      case 'heartbeat':
        this.#echoes.heardByStream(message.seq);
        return session.onHeartbeat(message.seq);
      case 'data':
      case 'epoch-end':
        return this.#onStream(message, session);
      case 'ask':
        return session.onAsk(message.id);
      case 'goodbye':
        return session.onLinkClosed(`the primary ended the session: ${message.reason}`);
      case 'error':
        return session.onLinkClosed(`the primary failed: ${message.text}`);
      default:
        throw new OperationError('protocol', `${message.kind} within a session`, {
          op: 'read-message',
        });
    }
  }

  #onStream(message: StreamMessage, session: BackupSession): void {
    try {
      if (message.kind === 'epoch-end') this.#assembler?.onEpochEnd(message);
      else this.#assembler?.onData(message);
    } catch (error) {
      if (!(error instanceof OperationError)) throw error;
      this.#onBroken(error, session);
    }
  }

  /** Nothing of the stream counts any more; what was whole before does. */
  #onBroken(error: OperationError, session: BackupSession): void {
    this.#set.log.error(error.message);
    this.#intake?.stop();
    this.#broken = error;
    session.onCorrupt(error.message);
  }

  #closeLink(reason: string): void {
    if (this.#broken !== null) this.#link.fail(this.#broken);
    else void this.#link.close(reason);
  }

  #view(): BackupView {
    const { hello } = this.#set;
    return {
      hello,
      running: this.#session,
      domid: this.#restartedAs ?? this.#builder?.domid ?? null,
      outcome: this.#outcome,
      guestEnd: this.#guestEnd,
      ackWallMs: this.#ackWallMs,
      bytes: this.#link.counters.dataBytesReceived,
      rawBytes: this.#intake?.rawBytes ?? 0,
      builder: this.#builder,
      stream: this.#set.stream,
      budget: this.#set.budget,
    };
  }

  async #control(request: ControlRequest): Promise<object> {
    const session = this.#session;
    const { hello } = this.#set;
    switch (request.verb) {
      case 'ask':
        if (request.session !== hello.session || session === null) {
          throw new OperationError('no-such-session', 'this process holds another session', {
            op: 'answer-control',
          });
        }
        return { answer: await session.askFresh() };
      case 'forget':
        if (this.#outcome === null) break;
        this.#forgotten = true;
        this.#set.claim.release('forget');
        return {};
      case 'failover':
        if (session === null) break;
        return this.#failover(session);
      case 'failover-plan':
        if (session === null) break;
        return session.failoverPlan();
      case 'stop':
        break;
    }
    throw new OperationError('command-failed', 'this session cannot do that now', {
      op: 'answer-control',
      hint: adviceLine({ kind: 'show', domain: hello.domain }),
    });
  }

  async #failover(session: BackupSession): Promise<object> {
    const { hello } = this.#set;
    const refused = await session.failover();
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
    const { xen, log, watch, hello } = this.#set;
    const domid = this.#builder?.domid;
    if (!watch || domid === undefined || domid === null || this.#config === null) return;
    const guest = { domid, uuid: hello.uuid, name: hello.domain };
    this.#guestEnd = await watchCopy(xen, guest, this.#config, log, (number) => {
      this.#restartedAs = number;
      this.#status?.write();
    });
  }
}
