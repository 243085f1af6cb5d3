/**
 * Typed wrapper of native/plug/plug.h: the output buffer, and frames of our own. Nothing here
 * decides; failures are NativeErrors (loader.ts).
 */
import { type NativeEvent, readEvents } from './events.ts';
import { type CType, cString } from './ffi.ts';
import { NativeRoom } from './loader.ts';

const signatures = {
  tsr_plug_open: [],
  tsr_plug_open_tc: ['pointer'],
  tsr_plug_add: ['int', 'pointer'],
  tsr_plug_barrier: ['int', 'uint64'],
  tsr_plug_release: ['int', 'uint64'],
  tsr_plug_pass: ['int'],
  tsr_plug_look: ['int', 'int', 'pointer'],
  tsr_plug_hold: ['int', 'int', 'pointer'],
  tsr_plug_unhold: ['int', 'pointer'],
  tsr_plug_watch: ['int', 'pointer'],
  tsr_plug_unwatch: ['int'],
  tsr_plug_mend: ['int', 'int', 'pointer'],
  tsr_plug_close: ['int'],
  tsr_send_frame: ['pointer', 'pointer', 'size_t'],
} as const satisfies Record<string, readonly CType[]>;

export class PlugLibrary {
  readonly #room: NativeRoom<keyof typeof signatures>;

  /** `path`: of libtsremus, where it is not beside us. */
  constructor(path?: string) {
    this.#room = new NativeRoom(signatures, path);
  }

  plugOpen(): number {
    return this.#room.checked('open the output buffer', this.#room.fn('tsr_plug_open').call());
  }

  /** The same by way of a resident `program -batch -`, which is tc. */
  plugOpenTc(program: string): number {
    const code = this.#room.fn('tsr_plug_open_tc').call(cString(program));
    return this.#room.checked('open the output buffer', code);
  }

  /** `port` is a struct tsr_plug_port; the number of the port. */
  plugAdd(handle: number, port: Buffer): number {
    return this.#room.checked(
      'add to the output buffer',
      this.#room.fn('tsr_plug_add').call(handle, port),
    );
  }

  /** What the save loop does by itself, for tests without one: how many interfaces must wait. */
  plugBarrier(handle: number, epoch: number): number {
    return this.#room.checked('seal', this.#room.fn('tsr_plug_barrier').call(handle, epoch));
  }

  /** How many interfaces released something. */
  async plugRelease(handle: number, epoch: number): Promise<number> {
    const code = await this.#room.fn('tsr_plug_release').callAsync(handle, epoch);
    return this.#room.checked('release', code);
  }

  /** How many interfaces still hold something. */
  async plugPass(handle: number): Promise<number> {
    const code = await this.#room.fn('tsr_plug_pass').callAsync(handle);
    return this.#room.checked('open the output buffer', code);
  }

  /** Fills `stats` (64 bytes, struct tsr_plug_stats); port -1: of all. */
  async plugLook(handle: number, port: number, stats: Buffer): Promise<void> {
    const code = await this.#room.fn('tsr_plug_look').callAsync(handle, port, stats);
    this.#room.checked('look at the output buffer', code);
  }

  /** A second hold for a port, by a name of at most 15 bytes. */
  plugHold(handle: number, port: number, name: string): void {
    const code = this.#room.fn('tsr_plug_hold').call(handle, port, cString(name));
    this.#room.checked('hold a second time', code);
  }

  async plugUnhold(handle: number, name: string): Promise<void> {
    const code = await this.#room.fn('tsr_plug_unhold').callAsync(handle, cString(name));
    this.#room.checked('remove the second hold', code);
  }

  /**
   * Hears of what somebody else changes. `close` ends the reading; not `isTold`: only barriers
   * look.
   */
  plugWatch(
    handle: number,
    onEvent: (event: NativeEvent) => void,
  ): { readonly isTold: boolean; close(): void } {
    const fd = Buffer.alloc(4);
    const code = this.#room.checked('watch', this.#room.fn('tsr_plug_watch').call(handle, fd));
    const { close } = readEvents(fd.readInt32LE(0), onEvent);
    return { isTold: code === 0, close };
  }

  async plugUnwatch(handle: number): Promise<void> {
    const code = await this.#room.fn('tsr_plug_unwatch').callAsync(handle);
    this.#room.checked('watch no more', code);
  }

  /** `given`: a struct tsr_plug_port with the queues as they are now; plug.h. */
  async plugMend(handle: number, port: number, given: Buffer): Promise<number> {
    const code = await this.#room.fn('tsr_plug_mend').callAsync(handle, port, given);
    return this.#room.checked('mend the output buffer', code);
  }

  plugClose(handle: number): void {
    this.#room.fn('tsr_plug_close').call(handle);
  }

  /** Sends one Ethernet frame out of an interface. */
  sendFrame(name: string, frame: Buffer): void {
    const code = this.#room.fn('tsr_send_frame').call(cString(name), frame, frame.length);
    this.#room.checked('send a frame', code);
  }
}
