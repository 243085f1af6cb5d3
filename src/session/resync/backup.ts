/**
 * The backup's side of `tsremus resync`, in a run of `tsremus receive` of its own: its disks are
 * written, or read, and that is all. No copy of the guest is here, so nothing is recorded that
 * could permit one to go on; the guest is claimed, so that no session begins beside it.
 */
import { digestBlockBytes, digestBytes } from '../../core/digests.ts';
import { configMsMax, resyncBeatMs, resyncSilenceMsMax } from '../../core/limits.ts';
import type { BackupDisk, ComparedDisk, DiskDriver } from '../../disk/port.ts';
import { every } from '../../host/clock.ts';
import { OperationError } from '../../host/errors.ts';
import type { ProcessLog } from '../../host/log.ts';
import type { HostPorts } from '../../host/ports.ts';
import type { GuestSpec, Hypervisor } from '../../hypervisor/port.ts';
import { checkConfig, checkConfigDisks, type GuestConfig } from '../../link/config-message.ts';
import { nextMessage } from '../../link/hello.ts';
import type { Hello } from '../../link/hello-message.ts';
import type { Link } from '../../link/link.ts';
import type { Digests, Message } from '../../link/messages.ts';
import type { Claim, Registry } from '../../registry/port.ts';
import { ResyncTeller } from '../../registry/resync-teller.ts';
import { chooseStream, type StreamAgreement } from '../../stream/agreement.ts';
import { EpochAssembler } from '../../stream/assembler.ts';
import type { DiskIntake } from '../../stream/disk-intake.ts';
import { DiskQuestions } from '../../stream/disk-questions.ts';
import { askOf, type DiskIntakePorts, openDiskIntakes } from '../backup/disk-intakes.ts';
import { checkDisks, checkNames, checkOtherHost, checkOwnMemory } from '../backup/preflight.ts';
import { disksProgress, resyncFigures } from '../progress.ts';

export interface ResyncBackupPorts extends HostPorts, DiskIntakePorts {
  readonly registry: Registry;
  readonly hypervisor: Hypervisor;
  readonly disks: DiskDriver;
}

/** What is there before the primary's HELLO is accepted. */
export interface PreparedResync {
  readonly hello: Hello;
  readonly claim: Claim;
  readonly log: ProcessLog;
  readonly stream: StreamAgreement;
}

/** Checks and claims; throws an OperationError that becomes the refusal. */
export async function prepareResync(
  ports: ResyncBackupPorts,
  hello: Hello,
): Promise<PreparedResync> {
  const { registry } = ports;
  const log = ports.openLog(`${hello.domain}.resync`);
  const subject = { uuid: hello.uuid, domain: hello.domain, role: 'backup' } as const;
  const claim = await registry.claimSession(subject);
  try {
    checkOtherHost(registry, hello);
    checkDisks(ports.disks, hello);
    await checkNames(ports, hello);
    return { hello, claim, log, stream: chooseStream(hello, 0) };
  } catch (error) {
    claim.release('as-before');
    throw error;
  }
}

/** A link over which disks are copied or compared: answered, watched, and told what went wrong. */
class DisksReception {
  readonly #ports: ResyncBackupPorts;
  readonly #link: Link;
  readonly #hello: Hello;
  readonly #done: Promise<void>;
  #finish: () => void = () => {};
  #error: OperationError | null = null;

  constructor(ports: ResyncBackupPorts, link: Link, hello: Hello) {
    this.#ports = ports;
    this.#link = link;
    this.#hello = hello;
    this.#done = new Promise((resolve) => {
      this.#finish = resolve;
    });
  }

  /** CONFIG, as the adapter reads it. Throws OperationError. */
  async config(): Promise<{ readonly config: GuestConfig; readonly spec: GuestSpec }> {
    const { timers, hypervisor } = this.#ports;
    const patience = { timers, timeoutMs: configMsMax };
    const config = await nextMessage(this.#link, this.#hello.host, patience);
    if (config.kind !== 'config') {
      const text = `${config.kind} instead of CONFIG`;
      throw new OperationError('protocol', text, { op: 'read-message' });
    }
    const spec = hypervisor.readSpec(config.config);
    checkConfig(config, this.#hello, spec);
    checkConfigDisks(config, this.#hello, spec.writableDisks);
    return { config, spec };
  }

  /** It ends with this. */
  fail(error: OperationError): void {
    this.#error ??= error;
    this.#finish();
  }

  /** Until the primary has ended it. Throws OperationError when it did not end well. */
  async serve(onMessage: (message: Message) => void): Promise<void> {
    const { clock, timers } = this.#ports;
    let heardMs = clock.nowMs();
    const lost = (reason: string) =>
      this.fail(new OperationError('peer-unreachable', reason, { op: 'copy-disks' }));
    this.#link.listen({
      bytes: () => {
        heardMs = clock.nowMs();
      },
      message: (message) => {
        if (message.kind === 'heartbeat') this.#link.send({ kind: 'echo', seq: message.seq });
        else if (message.kind === 'goodbye') this.#finish();
        else if (message.kind === 'error') lost(`the primary failed: ${message.text}`);
        else onMessage(message);
      },
      close: ({ reason, error }) => (error === null ? lost(reason) : this.fail(error)),
    });
    const stopLooking = every(timers, resyncBeatMs, () => {
      if (clock.nowMs() - heardMs < resyncSilenceMsMax) return;
      // What came while this process stood still is read first.
      timers.soon(() => {
        if (clock.nowMs() - heardMs < resyncSilenceMsMax) return;
        lost(`${this.#hello.host} has said nothing for ${resyncSilenceMsMax / 1_000} s`);
      });
    });
    await this.#done.finally(stopLooking);
    if (this.#error !== null) throw this.#error;
  }
}

const unexpected = (kind: string) =>
  new OperationError('protocol', `${kind} while disks are copied`, { op: 'read-message' });

/**
 * How far the primary has come, as it is seen here: to where it was told what a disk holds, or to
 * what it has sent, where there was nothing to tell. What its guest writes meanwhile is in that.
 */
class SeenCopy {
  readonly #sizes: readonly number[];
  readonly #told: number[];
  /** Of a disk. */
  readonly #takenBytes: (disk: number) => number;

  constructor(disks: readonly { readonly sizeBytes: number }[], takenBytes = (_disk: number) => 0) {
    this.#sizes = disks.map(({ sizeBytes }) => sizeBytes);
    this.#told = disks.map(() => 0);
    this.#takenBytes = takenBytes;
  }

  told(disk: number, { first, digests }: Pick<Digests, 'first' | 'digests'>): void {
    if (digests.length === 0) return;
    const at = (first + digests.length / digestBytes) * digestBlockBytes;
    this.#told[disk] = Math.max(this.#told[disk] ?? 0, at);
  }

  get progress() {
    const sum = (all: readonly number[]) => all.reduce((total, one) => total + one, 0);
    const done = this.#sizes.map((size, disk) => {
      return Math.min(size, Math.max(this.#told[disk] ?? 0, this.#takenBytes(disk)));
    });
    return { doneBytes: sum(done), totalBytes: sum(this.#sizes) };
  }
}

/** Tells of it in this host's status until the reception is over. */
function tellOf(
  ports: ResyncBackupPorts,
  { hello, claim, log }: PreparedResync,
  seen: SeenCopy,
): ResyncTeller {
  const { domain, uuid, host: peer, purpose } = hello;
  const beganMs = ports.clock.nowMs();
  return new ResyncTeller({
    ...{ ...ports, claim, log, owner: ports.processes.self },
    of: { domain, uuid, role: 'backup', peer, compare_only: purpose === 'verify' },
    figures: () => resyncFigures(disksProgress(seen.progress, ports.clock.nowMs() - beganMs)),
  });
}

/** Throws OperationError where the disks are not whole. */
async function takeDisks(
  ports: ResyncBackupPorts,
  prepared: PreparedResync,
  link: Link,
  reception: DisksReception,
): Promise<void> {
  const { hello, log, stream } = prepared;
  const { config, spec } = await reception.config();
  // There is no memory to be copied, and no page cache.
  checkOwnMemory(ports.settings, { ...hello, memoryBytes: 0 }, 0, config.disks.length);
  await ports.disks.bringOut(hello.uuid);
  const disks = await ports.disks.openBackup(spec, hello, config.disks);
  const onBroken = (error: OperationError) => reception.fail(error);
  const intakes: DiskIntake[] = [];
  const seen = new SeenCopy(config.disks, (disk) => intakes[disk]?.rawBytes ?? 0);
  const answering = {
    consumed: (bytes: number) => link.consumed(bytes),
    send(message: Parameters<Link['send']>[0]) {
      if (message.kind === 'digests') seen.told(message.disk, message);
      return link.send(message);
    },
  };
  intakes.push(...(await openDiskIntakes(ports, answering, disks, stream, onBroken)));
  let left = disks.length;
  let keeping: Promise<boolean> = Promise.resolve(false);
  const keep = async () => {
    for (const disk of disks) await disk.keepFirst();
    log.info('the disks are whole');
    link.send({ kind: 'ack', epoch: 0 });
    return true;
  };
  for (const disk of disks) listen(disk);
  function listen(disk: BackupDisk): void {
    disk.listen({
      whole() {
        left -= 1;
        if (left > 0) return;
        keeping = keep().catch((error: unknown) => {
          if (!(error instanceof OperationError)) throw error;
          reception.fail(error);
          return false;
        });
      },
      lost(reason) {
        const text = `disk ${disk.name}: ${reason}`;
        reception.fail(new OperationError('storage', text, { op: 'copy-disks' }));
      },
    });
  }
  const assembler = new EpochAssembler({
    ...{ seedBytesMax: 0, epochBytesMax: 0 },
    onChunk() {},
    onEpoch() {},
    disks: intakes.map(({ assembly }) => assembly),
  });
  const teller = tellOf(ports, prepared, seen);
  try {
    await reception.serve((message) => {
      if (message.kind === 'disk') assembler.onDisk(message);
      else if (message.kind === 'disk-end') assembler.onDiskEnd(message);
      else if (message.kind === 'compare') askOf(intakes, message);
      else throw unexpected(message.kind);
    });
  } finally {
    teller.close();
    for (const intake of intakes) intake.close();
    if (!(await keeping)) for (const disk of disks) await disk.rollBack();
  }
}

/** Throws OperationError where they could not be compared. */
async function tellDisks(
  ports: ResyncBackupPorts,
  prepared: PreparedResync,
  link: Link,
  reception: DisksReception,
): Promise<void> {
  const { config, spec } = await reception.config();
  await ports.disks.bringOut(spec.uuid);
  const disks = await ports.disks.openCompared(spec, config.disks);
  const onError = (error: OperationError) => reception.fail(error);
  const seen = new SeenCopy(config.disks);
  const asked = disks.map((disk: ComparedDisk, number) => {
    const onDigests = (answer: { first: number; digests: Buffer }) => {
      seen.told(number, answer);
      link.send({ kind: 'digests', disk: number, ...answer });
    };
    return { questions: new DiskQuestions({ disk, onDigests, onError }) };
  });
  const teller = tellOf(ports, prepared, seen);
  try {
    await reception.serve((message) => {
      if (message.kind !== 'compare') throw unexpected(message.kind);
      askOf(asked, message);
    });
  } finally {
    teller.close();
    for (const { questions } of asked) questions.close();
    for (const disk of disks) await disk.close();
  }
}

/** Serves the link until it ends. Throws the OperationError that the primary was told. */
export async function serveResync(
  ports: ResyncBackupPorts,
  prepared: PreparedResync,
  link: Link,
): Promise<void> {
  const { hello, claim, log } = prepared;
  const reception = new DisksReception(ports, link, hello);
  log.info(`the disks of ${hello.domain}: ${hello.purpose}, from ${hello.host}`);
  try {
    if (hello.purpose === 'verify') await tellDisks(ports, prepared, link, reception);
    else await takeDisks(ports, prepared, link, reception);
    await link.close('it is done');
  } catch (error) {
    if (!(error instanceof OperationError)) throw error;
    log.error(error.message);
    link.fail(error);
    throw error;
  } finally {
    await ports.disks.release(hello.uuid);
    claim.release('as-before');
    log.close();
  }
}
