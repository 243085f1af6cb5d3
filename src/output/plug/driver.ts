/**
 * The native plug (native/plug/plug.c) in the words of this room: one driver per guest, one port
 * per interface.
 */
import { errorText, OperationError } from '../../host/errors.ts';
import type { NativeEvent } from '../../native/events.ts';
import { PlugLibrary } from '../../native/plug.ts';

export interface PlugPort {
  /** The kernel's number of the guest's interface; null: it is gone. */
  readonly interfaceIndex: number | null;
  /** The kernel's numbers of its queues: two, or one with sch_plug's own counts. */
  readonly queues: readonly number[];
  /** The mirred action that points to the first of two queues; null with one. */
  readonly action: number | null;
  /** Bytes that each queue may hold, with `frameOverheadBytes` for each frame. */
  readonly limitBytes: number;
  /**
   * `make`: put the plugs on the queues; `made`: a script did; `adopt`: a process that died left
   * them, the older queue comes first.
   */
  readonly how: 'make' | 'made' | 'adopt';
}

export interface PlugFigures {
  readonly packets: number;
  readonly bytes: number;
  readonly dropped: number;
  /** The oldest sealed epoch; null: none. */
  readonly sealed: number | null;
  readonly barriers: number;
  readonly merged: number;
  readonly barrierMsMax: number;
  readonly releaseMsMax: number;
}

/** What somebody else did to a port (enum tsr_plug_fault), in the order of its bits. */
const faultNames = [
  'unredirected',
  'turned',
  'unplugged',
  'touched',
  'no-device',
  'device-down',
  'no-hold',
  'unseen',
] as const;
export type Fault = (typeof faultNames)[number];

/** Somebody else changed a port. */
export interface PortLoss {
  readonly port: number;
  readonly found: readonly Fault[];
  /** What could not be mended at once: nothing of the port gets out until it is. */
  readonly left: readonly Fault[];
  /** The interface was taken down for that. */
  readonly isDown: boolean;
  /** What is not redirected was dropped all the time. */
  readonly isHeldTwice: boolean;
  /** From when it was heard of until nothing got out any more, microseconds. */
  readonly openUs: number;
}

export interface Mended {
  readonly left: readonly Fault[];
  /** Which of the queues collects; it stays while something is left. */
  readonly current: number;
}

export interface PlugWatch {
  onLoss(loss: PortLoss): void;
  /** Nobody tells any more, or from the beginning: only barriers look. Why, a clause. */
  onDeaf(why: string): void;
}

export interface PlugDriver {
  /** What a save is given for its barriers. */
  readonly handle: number;
  /** The number of the new port. All passes until the first barrier. */
  add(port: PlugPort): number;
  /** Off the main thread, like all that follows: the kernel may be busy with its devices. */
  release(epoch: number): Promise<void>;
  /** Opens everything for good; how many ports still hold something. */
  pass(): Promise<number>;
  /** null: of all ports. */
  look(port: number | null): Promise<PlugFigures>;
  /** A second hold on what the port's interface sends. Throws where this kernel has none. */
  hold(port: number, name: string): void;
  /** Removes a second hold, whoever made it. */
  unhold(name: string): Promise<void>;
  /** From now on losses are heard of, and looked for at every barrier. */
  watch(watch: PlugWatch): void;
  unwatch(): Promise<void>;
  /** What is missing was made anew; the port's queues as they are now. */
  mend(port: number, queues: readonly number[]): Promise<Mended>;
  close(): void;
}

/** What dom0 needs for a frame beside its bytes (TSR_PLUG_OVERHEAD). */
export const frameOverheadBytes = 768;

const portBytes = 28;
const statsBytes = 64;
const flags = { make: 0, adopt: 1, made: 2 } as const;
/** TSR_PLUG_SECOND */
const secondCollects = 0x100;
const noEpoch = 2n ** 64n - 1n;

/** struct tsr_plug_port. */
export function encodePort(port: PlugPort): Buffer {
  const out = Buffer.alloc(portBytes);
  const words = [
    port.interfaceIndex ?? 0,
    port.queues[0] ?? 0,
    port.queues[1] ?? 0,
    port.action ?? 0,
    port.limitBytes,
    flags[port.how],
  ];
  for (const [at, word] of words.entries()) out.writeUInt32LE(word, at * 4);
  return out;
}

function faultsOf(bits: number): Fault[] {
  return faultNames.filter((_, bit) => (bits & (1 << bit)) !== 0);
}

/** TSR_EV_LOST. */
export function decodeLoss({ a, b, c, d, e, f }: NativeEvent): PortLoss {
  return {
    port: a,
    found: faultsOf(b),
    left: faultsOf(c),
    isDown: d !== 0,
    isHeldTwice: f !== 0,
    openUs: Math.round(e / 1000),
  };
}

/** struct tsr_plug_stats. */
export function decodeFigures(stats: Buffer): PlugFigures {
  const at = (word: number) => stats.readBigUInt64LE(word * 8);
  return {
    packets: Number(at(0)),
    bytes: Number(at(1)),
    dropped: Number(at(2)),
    sealed: at(3) === noEpoch ? null : Number(at(3)),
    barriers: Number(at(4)),
    merged: Number(at(5)),
    barrierMsMax: Number(at(6)) / 1e6,
    releaseMsMax: Number(at(7)) / 1e6,
  };
}

function refused(error: unknown): OperationError {
  return new OperationError('no-buffer', `the output buffer: ${errorText(error)}`, {
    op: 'drive-plug',
    cause: error,
  });
}

function tried<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw refused(error);
  }
}

async function triedLater<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw refused(error);
  }
}

/**
 * A handle by way of netlink, else of a resident tc, which `onNews` then says: where a host lets
 * us have no netlink socket or does not answer on it. What the kernel refuses when it has been
 * asked is no such case: it would refuse tc the same. `tc`: where it lies; null: nowhere.
 */
export function openHandle(
  native: Pick<PlugLibrary, 'plugOpen' | 'plugOpenTc'>,
  tc: string | null,
  onNews: (text: string) => void,
): number {
  let why: string;
  try {
    return native.plugOpen();
  } catch (error) {
    why = errorText(error);
  }
  if (tc === null) throw new Error(`${why}; and tc is not installed`);
  try {
    const handle = native.plugOpenTc(tc);
    onNews(`no netlink socket for the output buffer (${why}): ${tc} -batch is told instead`);
    return handle;
  } catch (error) {
    throw new Error(`${why}; nor by way of ${tc}: ${errorText(error)}`);
  }
}

export interface PlugPlaces {
  /** Where tc lies; null: nowhere. */
  readonly tc: string | null;
  /** Of libtsremus, where it is not beside us. */
  readonly nativePath?: string | undefined;
}

/**
 * Opens a driver. Throws `no-buffer` when the library cannot be had, or neither a netlink socket
 * nor tc works; `onNews`: it is tc.
 */
export function openPlug(
  { tc, nativePath }: PlugPlaces,
  onNews: (text: string) => void = () => {},
): PlugDriver {
  const native = tried(() => new PlugLibrary(nativePath));
  return driverOf(
    native,
    tried(() => openHandle(native, tc, onNews)),
  );
}

/** The driver behind a handle of the native plug. */
export function driverOf(native: PlugLibrary, handle: number): PlugDriver {
  let reading: { readonly isTold: boolean; close(): void } | null = null;
  return {
    handle,
    add: (port) => tried(() => native.plugAdd(handle, encodePort(port))),
    release: async (epoch) => {
      await triedLater(native.plugRelease(handle, epoch));
    },
    pass: () => triedLater(native.plugPass(handle)),
    async look(port) {
      const stats = Buffer.alloc(statsBytes);
      await native.plugLook(handle, port ?? -1, stats);
      return decodeFigures(stats);
    },
    hold: (port, name) => tried(() => native.plugHold(handle, port, name)),
    unhold: (name) => triedLater(native.plugUnhold(handle, name)),
    watch(watch) {
      const onEvent = (event: NativeEvent) => {
        if (event.kind === 'lost') watch.onLoss(decodeLoss(event));
        if (event.kind === 'ended') watch.onDeaf(event.text);
      };
      reading = tried(() => native.plugWatch(handle, onEvent));
      if (!reading.isTold) watch.onDeaf('there is no netlink socket');
    },
    async unwatch() {
      if (reading === null) return;
      await triedLater(native.plugUnwatch(handle));
      reading?.close();
      reading = null;
    },
    async mend(port, queues) {
      const given = { interfaceIndex: null, queues, action: null, limitBytes: 0 };
      const call = native.plugMend(handle, port, encodePort({ ...given, how: 'make' }));
      const code = await triedLater(call);
      return { left: faultsOf(code), current: (code & secondCollects) === 0 ? 0 : 1 };
    },
    close() {
      reading?.close();
      native.plugClose(handle);
    },
  };
}
