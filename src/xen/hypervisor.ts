/**
 * The hypervisor port: what the engine asks of whatever runs the guest. libxenlight is the first
 * implementation (`xen.ts`; simxl stands in below the same binding). Nothing above knows libxl.
 *
 * Every method fails with an OperationError that names the domain and what to type next.
 */

/** What is known of a domain; a copy of libxl_dominfo in our words. */
export interface DomainInfo {
  readonly domid: number;
  readonly uuid: string;
  readonly paused: boolean;
  /** True when the guest stopped: suspended, powered off, crashed. */
  readonly shutdown: boolean;
  /** Only with `shutdown`: poweroff, reboot, suspend, crash, watchdog, soft-reset. */
  readonly shutdownReason: string | null;
  readonly dying: boolean;
  readonly memoryKb: number;
}

/** libxl_domain_config as it comes from JSON; looked at only by src/xen. */
export type DomainConfig = { readonly [key: string]: unknown };

export interface HostInfo {
  readonly xenVersion: string;
  readonly freeMemoryKb: number | null;
}

export type SaveEvent =
  /** Bytes wait for `read`. */
  | { readonly kind: 'data' }
  /** The guest is suspended and the barrier is set. */
  | {
      readonly kind: 'checkpoint';
      readonly epoch: number;
      /** Interfaces whose packets of this epoch wait for a later one. */
      readonly merged: number;
      readonly barrierMs: number;
    }
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
  | { readonly kind: 'log'; readonly level: number; readonly text: string }
  /** The operation is over and the guest is not suspended (or is gone). Always the last event. */
  | { readonly kind: 'ended'; readonly end: SaveEnd };

export type SaveEnd =
  | { readonly kind: 'aborted' }
  /** The guest is still there. */
  | { readonly kind: 'failed'; readonly reason: string }
  /** The guest shut down or vanished. */
  | { readonly kind: 'guest-ended'; readonly reason: string };

/** The primary's operation: checkpoints of a running guest as a byte stream. */
export interface SaveOperation {
  /** Lets the next checkpoint begin; false while an epoch is under way. */
  checkpoint(): boolean;
  /** Fills `out` from the stream, never past the end of an epoch; 0: nothing waits. */
  read(out: Buffer): number;
  /** Ends the operation; `ended` follows, the guest is not left suspended. Idempotent. */
  abort(): void;
}

export type RestoreEvent =
  /** The first `bytes` of the stream are with the builder. */
  | { readonly kind: 'fed'; readonly bytes: number }
  | { readonly kind: 'log'; readonly level: number; readonly text: string }
  /** After `finish`: the copy is built, paused. */
  | { readonly kind: 'built'; readonly domid: number }
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

export interface Hypervisor {
  /** The domain's number, or null where there is none of that name. */
  find(name: string): Promise<number | null>;
  /** Null when the domain is gone. */
  info(domid: number): Promise<DomainInfo | null>;
  config(domid: number): Promise<DomainConfig>;
  host(): Promise<HostInfo>;
  /** On the calling thread, at once. Not idempotent: pauses are counted. */
  pause(domid: number): void;
  unpause(domid: number): Promise<void>;
  /** Cooperative resume of a suspended guest. */
  resume(domid: number): Promise<void>;
  rename(domid: number, from: string, to: string): Promise<void>;
  destroy(domid: number): Promise<void>;
  /** A new domain from its configuration, left paused. */
  create(config: DomainConfig): Promise<number>;
  /** Barriers are set in `barrier` (an output buffer's), in the moment of each suspend. */
  startSave(
    domid: number,
    limitBytes: number,
    barrier: number | null,
    onEvent: (event: SaveEvent) => void,
  ): SaveOperation;
  /** At most `limitBytes` may wait for the builder. */
  startRestore(
    config: DomainConfig,
    limitBytes: number,
    onEvent: (event: RestoreEvent) => void,
  ): RestoreOperation;
}
