/**
 * Typed wrapper of native/xen/xen.h: libxenlight, save, restore, the check of a stream. Nothing
 * here decides; failures are NativeErrors (loader.ts).
 */
import { type NativeEvent, readEvents } from './events.ts';
import { type CType, cString } from './ffi.ts';
import { NativeError, NativeRoom } from './loader.ts';

/** A configuration of a big guest is some 10 KiB; the header allows a megabyte. */
const jsonBytesMax = 1 << 20;

/** More than Xen can have (their numbers end below 0x7ff0). */
const domainsMax = 1 << 15;

/** libxl's ERROR_* numbers that mean something to us (libxl.h). */
export const xlError = {
  fail: -3,
  inval: -6,
  domainNotFound: -21,
  aborted: -22,
  notFound: -23,
} as const;

/** ENOSYS. */
const notThere = 38;

const signatures = {
  tsr_open: ['pointer'],
  tsr_domain_id: ['pointer'],
  tsr_domain_ids: ['pointer', 'uint32'],
  tsr_domain_info: ['uint32', 'pointer', 'size_t'],
  tsr_domain_config: ['uint32', 'pointer', 'size_t'],
  tsr_host_info: ['pointer', 'size_t'],
  tsr_pool_info: ['pointer', 'pointer', 'size_t'],
  tsr_end_words: ['pointer', 'size_t'],
  tsr_domain_pause: ['uint32'],
  tsr_domain_unpause: ['uint32'],
  tsr_domain_resume: ['uint32'],
  tsr_domain_rename: ['uint32', 'pointer', 'pointer'],
  tsr_domain_destroy: ['uint32'],
  tsr_domain_create: ['pointer'],
  tsr_save_start: ['uint32', 'uint64', 'pointer', 'uint32', 'pointer'],
  tsr_save_checkpoint: ['int', 'int'],
  tsr_save_read: ['int', 'pointer', 'size_t'],
  tsr_save_abort: ['int'],
  tsr_save_free: ['int'],
  tsr_restore_start: ['pointer', 'uint64', 'pointer'],
  tsr_restore_feed: ['int', 'pointer', 'size_t', 'pointer'],
  tsr_restore_apply: ['int', 'uint64'],
  tsr_restore_finish: ['int'],
  tsr_restore_abort: ['int'],
  tsr_restore_free: ['int'],
  tsr_stream_new: [],
  tsr_stream_check: ['int', 'pointer', 'size_t', 'pointer'],
  tsr_stream_free: ['int'],
} as const satisfies Record<string, readonly CType[]>;

export class XenLibrary {
  readonly #room: NativeRoom<keyof typeof signatures>;

  /** `path`: of libtsremus, where it is not beside us. */
  constructor(path?: string) {
    this.#room = new NativeRoom(signatures, path);
  }

  async #text(name: 'tsr_domain_info' | 'tsr_domain_config', domid: number): Promise<string> {
    const out = Buffer.alloc(name === 'tsr_domain_info' ? 1 << 16 : jsonBytesMax);
    const length = await this.#room.fn(name).callAsync(domid, out, out.length);
    return out.toString('utf8', 0, this.#room.checked(name, length));
  }

  /** Opens libxenlight by path or soname. */
  async openXen(path: string): Promise<void> {
    const name = cString(path);
    this.#room.checked('open libxenlight', await this.#room.fn('tsr_open').callAsync(name));
  }

  async domainId(name: string): Promise<number> {
    return this.#room.checked(
      'domain id',
      await this.#room.fn('tsr_domain_id').callAsync(cString(name)),
    );
  }

  /** Of all domains but domain 0. */
  async domainIds(): Promise<number[]> {
    const out = Buffer.alloc(4 * domainsMax);
    const call = this.#room.fn('tsr_domain_ids').callAsync(out, domainsMax);
    const count = this.#room.checked('list domains', await call);
    return Array.from({ length: count }, (_, at) => out.readUInt32LE(4 * at));
  }

  /** libxl_dominfo as JSON text. */
  domainInfo(domid: number): Promise<string> {
    return this.#text('tsr_domain_info', domid);
  }

  /** libxl_domain_config as JSON text. */
  domainConfig(domid: number): Promise<string> {
    return this.#text('tsr_domain_config', domid);
  }

  async hostInfo(): Promise<string> {
    const out = Buffer.alloc(1 << 16);
    const length = await this.#room.fn('tsr_host_info').callAsync(out, out.length);
    return out.toString('utf8', 0, this.#room.checked('host info', length));
  }

  /**
   * libxl_cpupoolinfo as JSON text, of the pool that a configuration means by its name or number;
   * `none`: there is no such pool; `unknown`: this libxl does not say.
   */
  async poolInfo(pool: string): Promise<{ readonly json: string } | 'none' | 'unknown'> {
    const out = Buffer.alloc(1 << 16);
    const fn = this.#room.fn('tsr_pool_info');
    const length = await fn.callAsync(cString(pool), out, out.length);
    try {
      return { json: out.toString('utf8', 0, this.#room.checked('pool info', length)) };
    } catch (error) {
      if (!(error instanceof NativeError)) throw error;
      if (error.xlCode === xlError.notFound) return 'none';
      if (error.errno === notThere) return 'unknown';
      throw error;
    }
  }

  /** libxl's words for a guest's end, as JSON (native/xen/xen.h). Asks no hypervisor: quick. */
  endWords(): string {
    const out = Buffer.alloc(1 << 14);
    const length = this.#room.fn('tsr_end_words').call(out, out.length);
    return out.toString('utf8', 0, this.#room.checked('end words', length));
  }

  /** On this thread: the lease must not wait for a free thread of the pool. */
  pause(domid: number): void {
    this.#room.checked('pause', this.#room.fn('tsr_domain_pause').call(domid));
  }

  async unpause(domid: number): Promise<void> {
    this.#room.checked('unpause', await this.#room.fn('tsr_domain_unpause').callAsync(domid));
  }

  async resume(domid: number): Promise<void> {
    this.#room.checked('resume', await this.#room.fn('tsr_domain_resume').callAsync(domid));
  }

  async rename(domid: number, from: string, to: string): Promise<void> {
    const fn = this.#room.fn('tsr_domain_rename');
    this.#room.checked('rename', await fn.callAsync(domid, cString(from), cString(to)));
  }

  async destroy(domid: number): Promise<void> {
    this.#room.checked('destroy', await this.#room.fn('tsr_domain_destroy').callAsync(domid));
  }

  async create(configJson: string): Promise<number> {
    const config = cString(configJson);
    return this.#room.checked('create', await this.#room.fn('tsr_domain_create').callAsync(config));
  }

  /**
   * Starts a save that sets the barriers of `plugs` (handles), in that order, while the guest is
   * suspended; events go to `onEvent` until `ended`.
   */
  saveStart(
    domid: number,
    limitBytes: number,
    plugs: readonly number[],
    onEvent: (e: NativeEvent) => void,
  ): number {
    const fd = Buffer.alloc(4);
    const handles = plugs.length === 0 ? null : Buffer.from(Int32Array.from(plugs).buffer);
    const fn = this.#room.fn('tsr_save_start');
    const code = fn.call(domid, limitBytes, handles, plugs.length, fd);
    const handle = this.#room.checked('save', code);
    this.#readUntilEnded(fd.readInt32LE(0), onEvent);
    return handle;
  }

  /**
   * False while an epoch is under way. `last`: the guest is paused at the end of this epoch and
   * does not run on; only `unpause` lets it.
   */
  saveCheckpoint(handle: number, last = false): boolean {
    const code = this.#room.fn('tsr_save_checkpoint').call(handle, last ? 1 : 0);
    if (code === -11) return false;
    this.#room.checked('checkpoint', code, handle);
    return true;
  }

  /** Bytes of the stream put into `out`, never past the end of an epoch; 0: nothing waits. */
  saveRead(handle: number, out: Buffer): number {
    return this.#room.checked(
      'read',
      this.#room.fn('tsr_save_read').call(handle, out, out.length),
      handle,
    );
  }

  saveAbort(handle: number): void {
    this.#room.checked('abort', this.#room.fn('tsr_save_abort').call(handle), handle);
  }

  async saveFree(handle: number): Promise<void> {
    await this.#room.fn('tsr_save_free').callAsync(handle);
  }

  restoreStart(
    configJson: string,
    limitBytes: number,
    onEvent: (event: NativeEvent) => void,
  ): number {
    const fd = Buffer.alloc(4);
    const fn = this.#room.fn('tsr_restore_start');
    const handle = this.#room.checked('restore', fn.call(cString(configJson), limitBytes, fd));
    this.#readUntilEnded(fd.readInt32LE(0), onEvent);
    return handle;
  }

  /**
   * Checks and queues `data`; `stats` (64 bytes, struct tsr_stream_stats) says where the stream is.
   * False when there is no room; try again after a `fed` event.
   */
  restoreFeed(handle: number, data: Buffer, stats: Buffer): boolean {
    const code = this.#room.fn('tsr_restore_feed').call(handle, data, data.length, stats);
    if (code === -105) return false;
    this.#room.checked('feed', code, handle);
    return true;
  }

  /** Lets libxl have the stream up to `offset`, the end of a whole epoch. */
  restoreApply(handle: number, offset: number): void {
    this.#room.checked('apply', this.#room.fn('tsr_restore_apply').call(handle, offset), handle);
  }

  restoreFinish(handle: number): void {
    this.#room.checked('build', this.#room.fn('tsr_restore_finish').call(handle), handle);
  }

  restoreAbort(handle: number): void {
    this.#room.checked('discard', this.#room.fn('tsr_restore_abort').call(handle), handle);
  }

  async restoreFree(handle: number): Promise<void> {
    await this.#room.fn('tsr_restore_free').callAsync(handle);
  }

  streamNew(): number {
    return this.#room.checked('stream', this.#room.fn('tsr_stream_new').call());
  }

  /** Checks `data`; `stats` (64 bytes, struct tsr_stream_stats) is filled. Throws NativeError. */
  streamCheck(handle: number, data: Buffer, stats: Buffer): void {
    const code = this.#room.fn('tsr_stream_check').call(handle, data, data.length, stats);
    this.#room.checked('check', code, handle);
  }

  streamFree(handle: number): void {
    this.#room.fn('tsr_stream_free').call(handle);
  }

  #readUntilEnded(fd: number, onEvent: (event: NativeEvent) => void): void {
    const reader = readEvents(fd, (event) => {
      onEvent(event);
      if (event.kind === 'ended') reader.close();
    });
  }
}
