/**
 * The output buffer port: what the guest sends waits here until its epoch is acknowledged
 * (Remus, NSDI 2008, section 3.4, "Network buffering").
 *
 * The barrier itself is not among the methods: it belongs to the moment at which the guest is
 * suspended, which only the native save loop knows (native/xen/save_drain.c). The save is given
 * `barrier`, and sets it at every epoch's first X86_TSC_INFO record.
 *
 * One order holds in every implementation: barrier(0), the end of the seed, closes the buffer;
 * barrier(n) seals what was sent since the last seal as epoch n, unless a sealed epoch still waits:
 * then its packets stay with what comes next and go with that later acknowledgement.
 */

/** What waits at one moment. */
export interface HeldOutput {
  readonly packets: number;
  /** Bytes of frames, without what the kernel needs to keep them. */
  readonly bytes: number;
  /** Frames dropped at the limit since the session began. */
  readonly dropped: number;
  /** A checkpoint is due now: soon frames would be dropped. */
  readonly nearLimit: boolean;
}

/**
 * `protected`; `lost`: somebody else took apart what holds it, and it is mute until that is made
 * anew (`reason`: what is not as it was made, a clause); `blocked`: it came later and is mute;
 * `open`: it came later and could not be blocked, so nothing holds what it sends; `gone`:
 * unplugged from the guest.
 */
export type InterfaceState =
  | { readonly state: 'protected' | 'blocked' | 'open' | 'gone' }
  | { readonly state: 'lost'; readonly reason: string };

/** `name`: as dom0 calls it, vif3.0. */
export type HeldInterface = HeldOutput & { readonly name: string } & InterfaceState;

/** Somebody else took apart what holds an interface, or it holds again. */
export type OutputLoss =
  | {
      readonly kind: 'lost';
      readonly name: string;
      /** What was found, a clause. */
      readonly reason: string;
      /** Frames that should have waited may have got out, until it was blocked just now. */
      readonly escaped: boolean;
    }
  | { readonly kind: 'mended'; readonly name: string };

export type LossListener = (loss: OutputLoss) => void;

/** What the save loop sets its barriers in; null: nothing is buffered. */
export type BarrierHandle = number | null;

export interface OutputBuffer {
  /** Every interface of the guest that is looked after. */
  readonly interfaces: readonly HeldInterface[];
  readonly barrier: BarrierHandle;
  /**
   * Lets go what was sealed up to and including `epoch`: as a rule in microseconds, and off the
   * main thread, because the kernel may be busy with its devices. Call it for nothing that is not
   * acknowledged. In order; an end of the buffer waits for it. A look follows. Rejects with
   * OperationError('no-buffer') when the kernel refuses.
   */
  release(epoch: number): Promise<void>;
  /**
   * Only with the permission: lets everything out, waits until it is out, and removes the
   * buffer in the order that loses no packet. Idempotent.
   */
  open(): Promise<void>;
  /**
   * Takes the interfaces down, throws away what is held and removes the buffer: not one frame
   * gets out. To be done before the guest is destroyed: netback may keep the guest's pages
   * granted while packets wait, and then the destroy would wait for them. Idempotent.
   */
  drop(): Promise<void>;
  /** The guest has sent something: what waits is looked at now, not when it is due. */
  look(): void;
  /** The sum over all interfaces, as it was when it was last looked at. */
  held(): HeldOutput;
  /** Says what is held at every look, until the buffer is opened, dropped or closed. */
  listen(listener: (held: HeldOutput) => void): void;
  /**
   * Says what was lost to somebody else: removed, replaced, opened. When it is said nothing gets
   * out there any more, and it is being made anew: `mended` follows. Nothing is missed: whatever
   * nobody tells of is found at the next barrier. What was lost with its plug is not sent again,
   * and an interface that is lost seals and releases nothing, until it is mended.
   */
  onLoss(listener: LossListener): void;
  /** Stops looking; whatever is held stays held. Idempotent. */
  close(): void;
}

/** -n, and a guest without interfaces: nothing waits, nothing is held back. */
export const nullBuffer: OutputBuffer = {
  interfaces: [],
  barrier: null,
  async release() {},
  async open() {},
  async drop() {},
  look() {},
  held: () => ({ packets: 0, bytes: 0, dropped: 0, nearLimit: false }),
  listen() {},
  onLoss() {},
  close() {},
};

/** Whose a buffer is, as its session wrote it down. */
export interface BufferOwner {
  readonly domain: string;
  readonly uuid: string;
  readonly session: string;
  /** How the session's backup is asked for its promise; null: not known. */
  readonly peer: {
    readonly host: string;
    readonly sshCommand: string | null;
    readonly heartbeatTimeoutMs: number;
  } | null;
  /** False with -e: nobody carries out what the guest's own end asks for; null: not known. */
  readonly watch: boolean | null;
  /** The permission was given, and only the removal failed. */
  readonly mayOpen: boolean;
}

/** A guest with a buffer of ours, by whatever shows it. */
export interface FoundBuffer {
  /** The guest's number on this host. */
  readonly id: number;
  /** The file that says whose it is; null: there is none. */
  readonly statePath: string | null;
  /** Null: the buffer itself is all there is, and nothing is written on it. */
  readonly owner: BufferOwner | null;
}

/** The buffers of this host, whoever looks after them, and the files that make no sense. */
export interface BuffersHere {
  readonly found: readonly FoundBuffer[];
  readonly broken: readonly { readonly path: string; readonly reason: string }[];
}
