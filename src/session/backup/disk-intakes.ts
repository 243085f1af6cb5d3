/** The way in of each disk of a copy, and the questions of its primary about them. */
import type { BackupDisk } from '../../disk/port.ts';
import type { Timers } from '../../host/clock.ts';
import { OperationError } from '../../host/errors.ts';
import type { Link } from '../../link/link.ts';
import type { Compare } from '../../link/messages.ts';
import { diskStream, type StreamAgreement } from '../../stream/agreement.ts';
import type { StreamDecoder } from '../../stream/codec/codec.ts';
import { DiskIntake } from '../../stream/disk-intake.ts';
import type { DiskQuestions } from '../../stream/disk-questions.ts';
import { RawBuffers } from '../../stream/intake.ts';

export interface DiskIntakePorts {
  readonly timers: Timers;
  openDecoder(agreed: StreamAgreement, allocate: (bytes: number) => Buffer): Promise<StreamDecoder>;
}

/** For each disk, in their order. `onBroken`: what came of one is wrong. */
export async function openDiskIntakes(
  ports: DiskIntakePorts,
  link: Pick<Link, 'consumed' | 'send'>,
  disks: readonly BackupDisk[],
  agreed: StreamAgreement,
  onBroken: (error: OperationError) => void,
): Promise<readonly DiskIntake[]> {
  const intakes: DiskIntake[] = [];
  for (const [number, disk] of disks.entries()) {
    const buffers = new RawBuffers();
    const decoder = await ports.openDecoder(diskStream(agreed), buffers.allocate);
    const intake = new DiskIntake({
      ...{ timers: ports.timers, disk, decoder, buffers },
      onConsumed: (bytes) => link.consumed(bytes),
      onDigests: (answer) => link.send({ kind: 'digests', disk: number, ...answer }),
      onError: onBroken,
    });
    intakes.push(intake);
  }
  return intakes;
}

/** Asks that disk. Throws OperationError('protocol') where there is none, or for too much. */
export function askOf(
  all: readonly { readonly questions: DiskQuestions }[],
  { disk: number, ...question }: Compare,
): void {
  const disk = all[number];
  if (disk !== undefined) return disk.questions.ask(question);
  const text = `protocol error in compare: field disk is ${number}, there are ${all.length}`;
  throw new OperationError('protocol', text, { op: 'read-message', subject: 'disk' });
}
