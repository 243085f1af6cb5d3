/**
 * The hypervisor port: what is asked of whatever runs the guest. Xen is the first
 * implementation (xen/; simxl stands in below the same binding); nothing above knows its words.
 *
 * Every method fails with an OperationError that names the guest and what to type next.
 */

import type { FeatureUse } from '../core/check/features.ts';

/** A guest that is, or was, on this host. */
export interface GuestRef {
  /** Which guest, for ever and on every host. Lower case. */
  readonly uuid: string;
  /** What this host calls it since its last boot (Xen: its domain number); not used again soon. */
  readonly id: number;
}

/** How a guest ends by itself; `unknown`: for a reason that the hypervisor has no word for. */
export type LifeEvent = 'poweroff' | 'reboot' | 'crash' | 'watchdog' | 'soft-reset' | 'unknown';

/** What a guest's configuration wants done at its end; whatever is none of these is kept. */
export type EndAction = 'destroy' | 'restart' | `keep (${string})`;

/** A guest as it is found now. */
export interface GuestInfo {
  readonly ref: GuestRef;
  /** Somebody paused it; beside that it may be in any state. */
  readonly paused: boolean;
  /** `suspended`: by a checkpoint, and can be resumed; `dying`: it is being removed. */
  readonly state: 'here' | 'suspended' | 'ended' | 'dying';
  /** Only with `ended`. */
  readonly end: LifeEvent | null;
  readonly memoryBytes: number;
}

export interface GuestInterface {
  /** Its place among the guest's interfaces: vifD.N ends with it. */
  readonly index: number;
  /** Null: the configuration does not say. */
  readonly mac: string | null;
  /** Addresses that the configuration gives it, without the length of their prefix. */
  readonly ips: readonly string[];
}

/** Something of a guest that is not known to be in a copy of it. */
export interface Refusal {
  /** As the adapter's configuration has it. */
  readonly key: string;
  /** Why, a clause. */
  readonly text: string;
  /** What is lost when it is allowed all the same, a clause; null: it cannot be. */
  readonly givesUp: string | null;
}

/** A disk that a guest can write to. */
export interface GuestDisk {
  /** As the guest calls it. */
  readonly name: string;
  /** Where it is on a host, as the configuration says: a path, or what its script understands. */
  readonly target: string;
  /** `raw`: what the guest writes is what the target holds; `qcow2`, `vhd`, ... */
  readonly format: string;
  /** What makes the target a block device; null: it is one, or a file. */
  readonly script: string | null;
}

/**
 * What a guest is made of: enough to boot it, or to build a copy of it, on a host of the same
 * hypervisor. `config` is the adapter's own; everything else is read from it by the adapter.
 */
export interface GuestSpec {
  /** Which adapter understands `config`: `xen`. */
  readonly hypervisor: string;
  readonly name: string;
  readonly uuid: string;
  /** The most memory that it can come to occupy as it is now, bytes. */
  readonly memoryBytes: number;
  /** What a host has to have free for it, with what the hypervisor itself needs for it, bytes. */
  readonly roomBytes: number;
  /** Its disks, as words that differ where they do. */
  readonly disks: readonly string[];
  readonly interfaces: readonly GuestInterface[];
  /** Its virtual processors, at most; null: the configuration does not say. */
  readonly vcpus: number | null;
  readonly writableDisks: readonly GuestDisk[];
  readonly features: FeatureUse;
  /** Why it cannot be protected; empty: it can. */
  readonly refusals: readonly Refusal[];
  readonly onEnd: Readonly<Record<LifeEvent, EndAction>>;
  readonly config: Buffer;
}

/** Something that a guest needs of a host, and that is not there. */
export interface Lack {
  /** A clause that names it. */
  readonly what: string;
  /** A line to type on that host. */
  readonly advice: string;
}

export interface HostInfo {
  readonly version: string;
  readonly freeMemoryBytes: number | null;
  /** Processors that guests can have; null: it does not say. */
  readonly cpus: number | null;
  /** Words of their features, 32 bits each, in the hypervisor's order; empty: it does not say. */
  readonly features: readonly number[];
  /** What only the adapter understands. */
  readonly own: Readonly<Record<string, unknown>>;
}

export type SaveEvent =
  /** Bytes wait for `read`. */
  | { readonly kind: 'data' }
  /** The guest is suspended and every barrier is set. */
  | { readonly kind: 'checkpoint'; readonly epoch: number }
  /** The guest runs again; the whole epoch (`bytes`) is drained; the timer is held. */
  | {
      readonly kind: 'epoch-end';
      readonly epoch: number;
      readonly bytes: number;
      readonly pages: number;
      readonly pauseMs: number;
      /** How long of `pauseMs` the stream waited for `read` to make room. */
      readonly stalledMs: number;
    }
  /**
   * `limitBytes` wait for `read`, nothing more is taken until there is room: the seed is slowed
   * down, a later epoch keeps the guest suspended. Once per epoch.
   */
  | { readonly kind: 'stalled'; readonly epoch: number; readonly waitingBytes: number }
  /** The guest's first output since the last barrier. Once per epoch, not in the seed. */
  | { readonly kind: 'output' }
  /** What the hypervisor logs, a line; `isError`: it says why something failed. */
  | { readonly kind: 'log'; readonly isError: boolean; readonly text: string }
  /** The operation is over, and what is left of it is said. Always the last event. */
  | { readonly kind: 'ended'; readonly end: SaveEnd };

/**
 * How an operation that is over leaves its guest:
 *  - `runs`: seen so, and nothing asks it to suspend;
 *  - `asked`: it was seen to run, but may have been asked to suspend: it will when it gets to it,
 *    and whoever asked sees that it is resumed;
 *  - `suspended`: it could not be resumed.
 */
export type GuestLeft = 'runs' | 'asked' | 'suspended';

export type SaveEnd =
  | { readonly kind: 'aborted'; readonly left: GuestLeft }
  /** The guest is still there. */
  | { readonly kind: 'failed'; readonly reason: string; readonly left: GuestLeft }
  /** The guest shut down or vanished. */
  | { readonly kind: 'guest-ended'; readonly reason: string };

/** What is marked while the guest is suspended: an output buffer's or a disk's handle. */
export type BarrierHandle = number;

/** The primary's operation: checkpoints of a running guest as a byte stream. */
export interface SaveOperation {
  /**
   * Lets the next checkpoint begin; false while an epoch is under way. `last`: the guest is paused
   * before it could run on, so that this epoch is its last here (a handover).
   */
  checkpoint(last?: boolean): boolean;
  /** Fills `out` from the stream, never past the end of an epoch; 0: nothing waits. */
  read(out: Buffer): number;
  /** Ends the operation; `ended` follows, and says how it left the guest. Idempotent. */
  abort(): void;
}

export interface SaveOptions {
  /** The most that may wait for `read`, bytes. */
  readonly limitBytes: number;
  /** Set in this order, in the moment of each suspend. */
  readonly barriers: readonly BarrierHandle[];
  readonly onEvent: (event: SaveEvent) => void;
}

export type RestoreEvent =
  /** The first `bytes` of the stream are with the builder. */
  | { readonly kind: 'fed'; readonly bytes: number }
  /** What the hypervisor logs, a line; `isError`: it says why something failed. */
  | { readonly kind: 'log'; readonly isError: boolean; readonly text: string }
  /** After `finish`: the copy is built, paused, under the name that it had then. */
  | { readonly kind: 'built'; readonly copy: GuestRef }
  /** After `discard`: no trace of the copy is left. */
  | { readonly kind: 'discarded' }
  /** The builder gave up by itself, or could not build. */
  | { readonly kind: 'failed'; readonly reason: string };

/** How far a checkpoint stream is. */
export interface StreamPosition {
  readonly bytes: number;
  /** Epochs that are complete. */
  readonly epochs: number;
  /** Offset of the end of the newest complete one; 0 before the first. */
  readonly epochEnd: number;
  /** True when nothing has come behind it. */
  readonly atBoundary: boolean;
}

/** The backup's operation: a copy that is built only at `finish`. */
export interface RestoreOperation {
  /**
   * Checks that the bytes continue the stream, strictly and record by record, and queues them.
   * Those of epoch 0 go to the builder as they come, later ones wait for `apply`. Null when there
   * is no room (nothing was taken): retry after `fed`. Throws OperationError('protocol') that names
   * record and offset; then the copy can only be discarded.
   */
  feed(data: Buffer): StreamPosition | null;
  /** Lets the builder have everything up to `epochEnd`, the end of a whole epoch. */
  apply(epochEnd: number): void;
  /** End-of-file behind all that was applied: this IS activation. */
  finish(): void;
  /** Never end-of-file: abort and destroy. Idempotent. */
  discard(): void;
}

export interface RestoreOptions {
  /** The most that may wait for the builder, bytes. */
  readonly limitBytes: number;
  readonly onEvent: (event: RestoreEvent) => void;
}

export interface Hypervisor {
  /** The guest of that name; null where there is none. */
  find(name: string): Promise<GuestRef | null>;
  /** The guest that this host calls `id`; null where there is none. */
  numbered(id: number): Promise<GuestRef | null>;
  /** The guests of that UUID (lower case): one, or while a copy is made on the same host two. */
  withUuid(uuid: string): Promise<readonly GuestRef[]>;
  /** Null when the guest is gone, or another one has its number now. */
  info(guest: GuestRef): Promise<GuestInfo | null>;
  /** What it is made of, as it is now. */
  spec(guest: GuestRef): Promise<GuestSpec>;
  /**
   * A specification from another host's bytes, read anew. Throws OperationError('protocol') when
   * they are none, and OperationError('not-allowed') when it asks this host for what the host's own
   * list does not allow a guest from elsewhere.
   */
  readSpec(config: Buffer): GuestSpec;
  /** The same guest with disks, by their names, at other places than on this host. */
  withDisks(spec: GuestSpec, places: ReadonlyMap<string, string>): GuestSpec;
  host(): Promise<HostInfo>;
  /**
   * What this host has not that the guest would need here, beside memory: all of it before a copy
   * is begun, what the build itself takes before that. Never rejects.
   */
  lacks(spec: GuestSpec, before: 'copy' | 'build'): Promise<readonly Lack[]>;
  /** At once, in microseconds. Not idempotent: pauses are counted. */
  pause(guest: GuestRef): void;
  unpause(guest: GuestRef): Promise<void>;
  /** Cooperative resume of a suspended guest. */
  resume(guest: GuestRef): Promise<void>;
  rename(guest: GuestRef, from: string, to: string): Promise<void>;
  destroy(guest: GuestRef): Promise<void>;
  /** Boots it anew, left paused. */
  boot(spec: GuestSpec): Promise<GuestRef>;
  startSave(guest: GuestRef, options: SaveOptions): SaveOperation;
  /** The copy is called `waitingName(spec.name)` until it is renamed, before or after `finish`. */
  startRestore(spec: GuestSpec, options: RestoreOptions): RestoreOperation;
  /**
   * Who else carries out what the guest's configuration says of its end, in words; null: nobody
   * that is known. Two who do would boot it twice.
   */
  otherWatcher(guest: GuestRef, name: string): string | null;
  /**
   * Who else saves or moves the guest now, in words, so that it is found suspended; null: nobody
   * that is known. It must not be resumed under such hands.
   */
  otherSaver(guest: GuestRef, name: string): string | null;
}

/** A guest's copy is called so while it waits, as with xl. */
export function waitingName(name: string): string {
  return `${name}--incoming`;
}

/** Why the guest is not there to run any more, a clause; null: it is. A suspended one is. */
export function endOf(info: GuestInfo | null): string | null {
  if (info === null || info.state === 'dying') return 'the domain is gone';
  return info.state === 'ended' ? (info.end ?? 'shutdown') : null;
}
