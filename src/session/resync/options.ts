/** What the command line hands to a resync, and what it gets back. */
import type { StopBy } from '../../core/primary/types.ts';
import type { CopiedDisks, Difference } from '../../core/texts/resync.ts';

export interface ResyncOptions {
  /** Name, UUID or number of the domain, as typed. */
  readonly domain: string;
  /** The host whose disks are brought up to date; a shell command when `sshCommand` is empty. */
  readonly host: string;
  readonly sshCommand: string | null;
  /** False with -u. */
  readonly compression: boolean;
  /** What is read of the guest's disks in a second at most; null: as much as goes. */
  readonly bytesPerSecond: number | null;
  /** With --verify: nothing is written. */
  readonly isVerified: boolean;
  /** The whole command line, to be offered again. */
  readonly argv: readonly string[];
}

export type ResyncResult =
  | {
      readonly kind: 'copied';
      readonly domain: string;
      readonly copied: CopiedDisks;
      /** When the disks there were as the guest's. */
      readonly asOf: Date;
    }
  | { readonly kind: 'compared'; readonly domain: string; readonly difference: Difference }
  | { readonly kind: 'stopped'; readonly domain: string; readonly by: StopBy };
