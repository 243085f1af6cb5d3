/** The primary's side of `tsremus check`: asks the backup, and measures the path to it. */
import {
  type ClockLooks,
  compareHosts,
  compareVcpus,
  type HostFacts,
} from '../../core/check/compare.ts';
import type { CheckLine } from '../../core/check/line.ts';
import { adviceLine } from '../../core/texts/advice.ts';
import type { AnnouncedDisk } from '../../disk/port.ts';
import { type Time, within } from '../../host/clock.ts';
import { OperationError } from '../../host/errors.ts';
import type { GuestSpec } from '../../hypervisor/port.ts';
import type { Checked } from '../../link/checked-message.ts';
import { guestConfig } from '../../link/config-message.ts';
import type { HelloContent } from '../../link/connect.ts';
import { nextMessage } from '../../link/hello.ts';
import type { Link } from '../../link/link.ts';

/** For the backup to look at itself, and to try the way back; ms. */
const answerMsMax = 90_000;
const measureMs = 1_000;
/** What was sent in that time may wait in the buffers of a slow path, ms. */
const drainMsMax = 60_000;
const pieceBytes = 1024 * 1024;

/** What the backup said, and both clocks. */
export interface Answered {
  readonly checked: Checked;
  readonly looks: ClockLooks;
}

/** Asks what the backup's host is like for the guest. Throws OperationError. */
export async function askChecked(
  link: Link,
  hello: HelloContent,
  { spec, disks }: { readonly spec: GuestSpec; readonly disks: readonly AnnouncedDisk[] },
  { clock, timers }: Time,
): Promise<Answered> {
  const askedMs = clock.wall().getTime();
  await link.sendConfig(guestConfig(spec, hello.memoryBytes, disks));
  const message = await nextMessage(link, hello.host, { timers, timeoutMs: answerMsMax });
  const answeredMs = clock.wall().getTime();
  if (message.kind === 'checked') {
    return { checked: message, looks: { askedMs, ...message.clock, answeredMs } };
  }
  const said = message.kind === 'error' ? message.text : `${message.kind} instead of CHECKED`;
  throw new OperationError('peer-refused', `the backup gave no answer: ${said}`, { op: 'check' });
}

/** What this host has beside it. */
interface Beside {
  readonly here: HostFacts;
  readonly looks: ClockLooks;
  readonly spec: GuestSpec;
  /** A line that is typed on the backup's host, as it is typed here. */
  there(line: string): string;
}

/** What the backup said of its host and of the way to it, and what the two hosts come to. */
export function checkedLines(
  { lines, facts }: Pick<Checked, 'lines' | 'facts'>,
  { here, looks, spec, there }: Beside,
): { readonly there: readonly CheckLine[]; readonly between: readonly CheckLine[] } {
  const theirs = lines.map((line) => ({
    ...line,
    next: line.next === null ? null : there(line.next),
  }));
  const isWay = ({ name }: CheckLine) => name === 'way-back';
  return {
    there: [...theirs.filter((line) => !isWay(line)), compareVcpus(spec.vcpus, facts)],
    between: [
      ...theirs.filter(isWay),
      ...compareHosts({ here, there: facts }, looks, spec.features),
    ],
  };
}

/**
 * Sends bytes that cannot be compressed for a second, as an epoch is sent; bytes a second up to the
 * acknowledgement. Throws OperationError.
 */
export async function measurePath(link: Link, piece: Buffer, { clock, timers }: Time) {
  const acknowledged = new Promise<void>((resolve, reject) => {
    link.listen({
      message: (message) => message.kind === 'ack' && resolve(),
      close: ({ reason }) => reject(cutOff(reason)),
    });
  });
  acknowledged.catch(() => {});
  const beganMs = clock.nowMs();
  let bytes = 0;
  while (clock.nowMs() - beganMs < measureMs) {
    if (!(await link.sendData(0, piece))) break;
    bytes += piece.length;
  }
  const digest = { rawBytes: bytes, checksum: 0n, cacheState: 0n };
  await link.endEpoch(0, Math.ceil(bytes / 4096), digest);
  await within(timers, drainMsMax, acknowledged, () => {
    const said = `what was sent is not acknowledged within ${drainMsMax / 1000} s`;
    throw cutOff(`${said}: large packets may be lost on their way`);
  });
  return (bytes * 1_000) / Math.max(1, clock.nowMs() - beganMs);
}

function cutOff(reason: string): OperationError {
  return new OperationError('peer-unreachable', `the path could not be measured: ${reason}`, {
    op: 'measure-path',
    hint: adviceLine({ kind: 'see-links' }),
  });
}

/** What is sent to measure. */
export function measuredPiece(chance: { bytes(count: number): Buffer }): Buffer {
  return chance.bytes(pieceBytes);
}

/** A tsremus that knows no `check` says that HELLO is wrong. */
export function explainOld(error: unknown): unknown {
  if (!(error instanceof OperationError) || !/field purpose/.test(error.message)) return error;
  const text = 'its tsremus is an older one, which answers no check';
  const hint = adviceLine({ kind: 'same-version' });
  return new OperationError('version-mismatch', text, { ...error.detail, hint });
}
