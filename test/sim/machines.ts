/** What a run is made of besides the world: the real parts, each of which a mutant replaces. */
import { stepBackup } from '../../src/core/backup/backup.ts';
import { stepPrimary } from '../../src/core/primary/primary.ts';
import type { Answered } from '../../src/core/vocabulary.ts';
import type { Hello } from '../../src/link/hello-message.ts';
import type { SessionStatus } from '../../src/registry/status.ts';
import { OutputBuffer } from './output-buffer.ts';

export interface Machines {
  readonly stepPrimary: typeof stepPrimary;
  readonly stepBackup: typeof stepBackup;
  readonly OutputBuffer: typeof OutputBuffer;
  /** What host B takes the primary's HELLO for. */
  readonly hears: (hello: Hello) => Hello;
  /** When the save loop sets the barriers. */
  readonly barrierAt: 'suspended' | 'resumed';
  /** When host B's disk takes an epoch's writes. */
  readonly diskAppliesAt: 'commit' | 'arrival';
  /** Whether what host B's disk was told to apply is awaited. */
  readonly diskSettles: boolean;
  /** What of the first copy enters the stream: what the guest has not written meanwhile. */
  readonly diskAdmits: 'uncovered' | 'all';
  /** What of the first copy stays out where host B's disk is compared. */
  readonly diskLeavesOut: 'equal' | 'asked';
  /** How whoever cleans up asks the backup. */
  readonly askBackup: (ask: () => Promise<Answered>, left: SessionStatus) => Promise<Answered>;
}

export const realMachines: Machines = {
  stepPrimary,
  stepBackup,
  OutputBuffer,
  hears: (hello) => hello,
  barrierAt: 'suspended',
  diskAppliesAt: 'commit',
  diskSettles: true,
  diskAdmits: 'uncovered',
  diskLeavesOut: 'equal',
  askBackup: (ask) => ask(),
};
