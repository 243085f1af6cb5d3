/** What a primary's session is put together from. */

import type { PrimaryConfig } from '../../core/primary/types.ts';
import type { Answer } from '../../core/vocabulary.ts';
import type { OperationError } from '../../host/errors.ts';
import type { Log } from '../../host/log.ts';
import type { Hypervisor } from '../../hypervisor/port.ts';
import type { ControlMessage } from '../../link/link.ts';
import type { Pulse } from '../../link/pulse.ts';
import type { OutputBuffer } from '../../output/port.ts';
import type { StreamEncoder } from '../../stream/codec/codec.ts';
import type { PumpSink } from '../../stream/pump.ts';

/** What the session needs of the link; the primary's half of src/link. */
export interface SessionLink extends PumpSink {
  send(message: ControlMessage): boolean;
  /** Ends the session because of an error; the peer is told. */
  fail(error: OperationError): void;
  close(reason: string): Promise<void>;
}

export interface PrimaryParts {
  readonly config: PrimaryConfig;
  readonly xen: Hypervisor;
  readonly domid: number;
  readonly link: SessionLink;
  readonly encoder: StreamEncoder;
  /** Bytes of the stream that may wait to be sent: past it a checkpoint keeps the guest waiting. */
  readonly queueBytes: number;
  /** What the guest sends waits in it. */
  readonly output: OutputBuffer;
  /** Sends a heartbeat on the datagram path too, where there is one. */
  readonly pulse: Pick<Pulse, 'send' | 'newest'> | null;
  /** Asks for the promise by a fresh run of the transport. */
  readonly askFresh: () => Promise<Answer>;
  readonly log: Log;
  /** Something changed that status and progress may want to show. */
  readonly onChange: () => void;
  /** The guest is about to be paused: to be written down before this returns. */
  readonly onPause: () => void;
}
