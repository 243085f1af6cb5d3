/**
 * `tsremus resync`, where the guest runs: its disks are mirrored, and what the other host lacks of
 * them is sent, as at the beginning of a session; when all of it is there the mirrors go. There is
 * no copy of the guest, no record and no permission: whatever fails, the guest runs on here, and
 * the other host's disks are marked as torn until they are whole.
 */
import { version } from '../../config/version.ts';
import { heartbeatTimeoutMsMax, holdMsMax } from '../../core/limits.ts';
import type { StopBy } from '../../core/primary/types.ts';
import { adviceLine } from '../../core/texts/advice.ts';
import type { CopiedDisks } from '../../core/texts/resync.ts';
import { type DiskDriver, firstCopyOf, type PrimaryDisk } from '../../disk/port.ts';
import { every } from '../../host/clock.ts';
import { OperationError } from '../../host/errors.ts';
import type { ProcessLog } from '../../host/log.ts';
import type { HostPorts } from '../../host/ports.ts';
import type { Hypervisor } from '../../hypervisor/port.ts';
import { guestConfig } from '../../link/config-message.ts';
import type { HelloContent } from '../../link/connect.ts';
import type { Purpose } from '../../link/hello-message.ts';
import { newSessionId } from '../../link/identity.ts';
import type { Message } from '../../link/messages.ts';
import {
  agreedStream,
  codecsOf,
  diskStream,
  type StreamAgreement,
} from '../../stream/agreement.ts';
import type { StreamEncoder } from '../../stream/codec/codec.ts';
import { DiskPump } from '../../stream/disk-pump.ts';
import { allOf } from '../all-of.ts';
import { factsFor, specThere } from '../disk-options.ts';
import type { ProtectReporter } from '../options.ts';
import type { Guest } from '../primary/preflight.ts';
import type { BackupConnection, BackupHostPort } from '../primary/protection.ts';
import { disksProgress } from '../progress.ts';
import { Teardown } from '../teardown.ts';
import { DisksLink } from './link.ts';
import type { ResyncOptions } from './options.ts';

/** Progress is shown this often, ms. */
const shownEveryMs = 200;

export interface ResyncPorts extends HostPorts {
  readonly hypervisor: Pick<Hypervisor, 'withDisks'>;
  readonly backup: Pick<BackupHostPort, 'connect'>;
  openEncoder(agreed: StreamAgreement): Promise<StreamEncoder>;
  readonly disks: Pick<DiskDriver, 'name' | 'openPrimary' | 'openCompared'>;
}

export interface ResyncSetting {
  readonly options: ResyncOptions;
  readonly reporter: ProtectReporter;
  readonly guest: Guest;
  readonly log: ProcessLog;
  /** Aborted when it is to be ended. */
  readonly ending: AbortController;
}

/** It was ended by a signal. */
export class Ended extends Error {
  override readonly name = 'Ended';
  readonly by: StopBy;

  constructor(by: StopBy) {
    super(`ended by ${by}`);
    this.by = by;
  }
}

/** Rejects with Ended, or what the signal was aborted with. */
export function whenEnded({ signal }: AbortController): Promise<never> {
  const ended = new Promise<never>((_resolve, reject) => {
    const end = () => reject(signal.reason);
    if (signal.aborted) end();
    else signal.addEventListener('abort', end, { once: true });
  });
  ended.catch(() => {});
  return ended;
}

/** What is said to the other host of a connection that carries disks alone. */
export function helloOf(
  { settings, chance, disks }: ResyncPorts,
  { guest, options }: ResyncSetting,
  purpose: Extract<Purpose, 'resync' | 'verify'>,
): HelloContent {
  const { name } = disks;
  return {
    tsremus: version,
    xen: null,
    host: settings.hostName,
    capabilities: { codecs: codecsOf(options.compression), disks: name === null ? [] : [name] },
    ...{ purpose, domain: guest.name, uuid: guest.ref.uuid, session: newSessionId(chance) },
    // Nobody goes on by itself.
    timing: {
      ...{ heartbeatTimeoutMs: heartbeatTimeoutMsMax, holdMs: holdMsMax, buffered: true },
      withoutWitness: 'manual',
    },
    ...{ memoryBytes: guest.memoryBytes, cacheBytes: 0, noWait: true },
  };
}

export function againLine({ argv }: ResyncOptions): string {
  return adviceLine({ kind: 'again', argv });
}

interface Ready {
  readonly connection: BackupConnection;
  readonly disks: readonly PrimaryDisk[];
  readonly encoders: readonly StreamEncoder[];
}

async function getReady(
  ports: ResyncPorts,
  set: ResyncSetting,
  teardown: Teardown,
): Promise<Ready> {
  const { log, ending, guest, options } = set;
  const hello = helloOf(ports, set, 'resync');
  let connection: BackupConnection | null = null;
  let disks: readonly PrimaryDisk[] = [];
  const connect = async () => {
    const onLine = (line: string) => log.info(`transport: ${line}`);
    const made = await ports.backup.connect(hello, ending.signal, onLine);
    teardown.took('the connection', () => made.close('the disks are copied, or that was ended'));
    connection = made;
  };
  const open = async () => {
    disks = await ports.disks.openPrimary(guest.spec, hello.session, null);
    for (const disk of disks) teardown.took(`disk ${disk.name}`, () => disk.close());
  };
  await allOf([connect(), open()], () => ending.abort());
  if (connection === null) throw new Error('connected to nothing');
  const connected: BackupConnection = connection;
  const offered = { codecs: codecsOf(options.compression), cacheBytes: 0 };
  const agreed = diskStream(agreedStream(connected.reply.stream, offered));
  const encoders: StreamEncoder[] = [];
  for (const { name } of disks) {
    const encoder = await ports.openEncoder(agreed);
    teardown.took(`the encoder of disk ${name}`, () => encoder.close());
    encoders.push(encoder);
  }
  return { connection: connected, disks, encoders };
}

/** Copies over a link that is there; when the disks there were as those here. */
async function copy(
  ports: ResyncPorts,
  { options, guest, log }: ResyncSetting,
  { connection, disks, encoders }: Ready,
  ended: Promise<never>,
): Promise<{ readonly asOf: Date; readonly sentBytes: number }> {
  const { link } = connection;
  let onAck: () => void = () => {};
  const acked = new Promise<void>((resolve) => {
    onAck = resolve;
  });
  const pump = new DiskPump({
    ...{ disks, encoders, sink: link },
    // No checkpoint could make room: the guest's writes wait for the link.
    onFilling() {},
    onCompare: (question) => void link.send({ kind: 'compare', ...question }),
    onLost: (reason) => beats.fail(lostDisk(guest.name, reason)),
    onError: (error) => beats.fail(error),
  });
  const onMessage = (message: Message) => {
    if (message.kind === 'digests') pump.digests(message);
    else if (message.kind === 'ack') onAck();
  };
  const spec = specThere(ports.hypervisor, guest.spec, options.disks);
  const facts = factsFor(disks, options.disks);
  await link.sendConfig(guestConfig(spec, guest.memoryBytes, facts));
  const { host } = options;
  const beats = new DisksLink(ports, { host, connection, hint: againLine(options), onMessage });
  const whole = async () => {
    pump.start();
    await Promise.all(disks.map((disk) => disk.nearlyCopied()));
    for (const disk of disks) disk.endFirst();
    const asOf = ports.clock.wall();
    pump.sealed();
    // Where it never leaves, `failed` says why.
    if (!(await pump.left(0))) return new Promise<never>(() => {});
    // What the guest writes from here on waits for nobody.
    await Promise.all(disks.map((disk) => disk.close()));
    log.info('all of the disks was sent, and the mirrors are gone');
    await acked;
    return asOf;
  };
  try {
    const asOf = await Promise.race([whole(), beats.failed, ended]);
    return { asOf, sentBytes: pump.moved.wireBytes };
  } finally {
    beats.stop();
    pump.stop();
  }
}

function lostDisk(domain: string, reason: string): OperationError {
  return new OperationError('storage', `the disks of ${domain} cannot be copied: ${reason}`, {
    op: 'copy-disks',
    subject: domain,
    hint: adviceLine({ kind: 'show', domain }),
  });
}

/** Brings the other host's disks up to date. Throws Ended, or OperationError. */
export async function resyncDisks(
  ports: ResyncPorts,
  set: ResyncSetting,
): Promise<{ readonly copied: CopiedDisks; readonly asOf: Date }> {
  const { clock, timers } = ports;
  const { log, reporter, options, ending } = set;
  const teardown = new Teardown((text) => log.error(text));
  const ended = whenEnded(ending);
  try {
    const ready = await getReady(ports, set, teardown);
    reporter.event('connected', `connected to ${options.host}; its disks are compared and copied`);
    const beganMs = clock.nowMs();
    const { disks } = ready;
    const show = () => {
      const progress = disksProgress(firstCopyOf(disks), clock.nowMs() - beganMs);
      reporter.seedProgress(progress);
    };
    teardown.took('the progress', every(timers, shownEveryMs, show));
    const { asOf, sentBytes } = await copy(ports, set, ready, ended);
    const { totalBytes: bytes, equalBytes } = firstCopyOf(disks);
    return { asOf, copied: { bytes, equalBytes, sentBytes, ms: clock.nowMs() - beganMs } };
  } catch (error) {
    // Whatever the abort broke, it was ended.
    throw ending.signal.reason instanceof Ended ? ending.signal.reason : error;
  } finally {
    await teardown.run();
  }
}
