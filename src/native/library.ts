/**
 * Typed wrapper of native/common/tsremus.h. Nothing here decides; every failure becomes a
 * NativeError that carries the library's own sentence.
 */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type NativeEvent, readEvents } from './events.ts';
import {
  type CType,
  cString,
  type ForeignFunction,
  type ForeignLibrary,
  openLibrary,
} from './ffi.ts';

const abiVersion = 4;
const xlBase = 10_000;
/** A configuration of a big guest is some 10 KiB; the header allows a megabyte. */
const jsonBytesMax = 1 << 20;

/** A call of the native library that failed. */
export class NativeError extends Error {
  override readonly name = 'NativeError';
  /** libxl's negative error number, or null if the system refused. */
  readonly xlCode: number | null;
  /** The system's errno, or null if libxl refused. */
  readonly errno: number | null;

  constructor(op: string, code: number, text: string) {
    super(text === '' ? `${op} failed with ${code}` : text);
    this.xlCode = code < -xlBase ? code + xlBase : null;
    this.errno = code < -xlBase ? null : -code;
  }
}

/** libxl's ERROR_* numbers that mean something to us (libxl.h). */
export const xlError = { fail: -3, inval: -6, domainNotFound: -21, aborted: -22 } as const;

/** A running save (primary) or restore (backup) operation. */
export interface NativeOperation {
  readonly handle: number;
}

const signatures = {
  tsr_abi_version: [],
  tsr_open: ['pointer'],
  tsr_error_text: ['int', 'pointer', 'size_t'],
  tsr_detach: [],
  tsr_domain_id: ['pointer'],
  tsr_domain_info: ['uint32', 'pointer', 'size_t'],
  tsr_domain_config: ['uint32', 'pointer', 'size_t'],
  tsr_host_info: ['pointer', 'size_t'],
  tsr_domain_pause: ['uint32'],
  tsr_domain_unpause: ['uint32'],
  tsr_domain_resume: ['uint32'],
  tsr_domain_rename: ['uint32', 'pointer', 'pointer'],
  tsr_domain_destroy: ['uint32'],
  tsr_domain_create: ['pointer'],
  tsr_save_start: ['uint32', 'uint64', 'int', 'pointer'],
  tsr_save_checkpoint: ['int'],
  tsr_save_read: ['int', 'pointer', 'size_t'],
  tsr_save_abort: ['int'],
  tsr_save_free: ['int'],
  tsr_restore_start: ['pointer', 'uint64', 'pointer'],
  tsr_restore_feed: ['int', 'pointer', 'size_t', 'pointer'],
  tsr_restore_apply: ['int', 'uint64'],
  tsr_restore_finish: ['int'],
  tsr_restore_abort: ['int'],
  tsr_restore_free: ['int'],
  tsr_plug_open: [],
  tsr_plug_open_tc: ['pointer'],
  tsr_plug_add: ['int', 'pointer'],
  tsr_plug_barrier: ['int', 'uint64'],
  tsr_plug_release: ['int', 'uint64'],
  tsr_plug_pass: ['int'],
  tsr_plug_look: ['int', 'int', 'pointer'],
  tsr_plug_close: ['int'],
  tsr_send_frame: ['pointer', 'pointer', 'size_t'],
  tsr_stream_new: [],
  tsr_stream_check: ['int', 'pointer', 'size_t', 'pointer'],
  tsr_stream_free: ['int'],
  tsr_codec_has_zstd: [],
  tsr_codec_new: ['uint32', 'uint64', 'int'],
  tsr_codec_run: ['int', 'uint64', 'pointer', 'size_t', 'pointer', 'size_t'],
  tsr_codec_end: ['int', 'pointer'],
  tsr_codec_free: ['int'],
  tsr_batch_seal: ['pointer', 'size_t'],
  tsr_batch_check: ['pointer', 'size_t'],
} as const satisfies Record<string, readonly CType[]>;

/** enum tsr_codec_flags */
export const codecFlags = { decode: 1, plain: 2, zstd: 4 } as const;

type FunctionName = keyof typeof signatures;

/** native/build/libtsremus.so, wherever this file was bundled to; TSREMUS_NATIVE overrides. */
function findNative(): string {
  const given = process.env['TSREMUS_NATIVE'];
  if (given) return given;
  let dir = dirname(fileURLToPath(import.meta.url));
  for (let up = 0; up < 4; up++) {
    const path = join(dir, 'native/build/libtsremus.so');
    if (existsSync(path)) return path;
    dir = dirname(dir);
  }
  throw new NativeError('open', -2, 'libtsremus.so is missing; build it with `npm run build`');
}

export class NativeLibrary {
  readonly #library: ForeignLibrary;
  readonly #bound = new Map<FunctionName, ForeignFunction>();

  /** Loads libtsremus. Throws NativeError when it is missing or of another build. */
  constructor() {
    this.#library = openLibrary(findNative());
    const version = this.#fn('tsr_abi_version').call();
    if (version !== abiVersion) {
      throw new NativeError('open', -8, `libtsremus.so is of build ${version}, not ${abiVersion}`);
    }
  }

  #fn(name: FunctionName): ForeignFunction {
    let fn = this.#bound.get(name);
    if (fn === undefined) {
      fn = this.#library.bind(name, signatures[name]);
      this.#bound.set(name, fn);
    }
    return fn;
  }

  #fail(op: string, code: number, handle = -1): NativeError {
    const text = Buffer.alloc(1024);
    // Calls off this thread fail there: without a handle the code tells which failure is meant.
    const which = handle < 0 ? code : handle;
    const length = this.#fn('tsr_error_text').call(which, text, text.length);
    return new NativeError(op, code, text.toString('utf8', 0, Math.max(0, length)));
  }

  #checked(op: string, code: number, handle = -1): number {
    if (code < 0) throw this.#fail(op, code, handle);
    return code;
  }

  async #text(name: 'tsr_domain_info' | 'tsr_domain_config', domid: number): Promise<string> {
    const out = Buffer.alloc(name === 'tsr_domain_info' ? 1 << 16 : jsonBytesMax);
    const length = await this.#fn(name).callAsync(domid, out, out.length);
    return out.toString('utf8', 0, this.#checked(name, length));
  }

  /** Opens libxenlight by path or soname. */
  async openXen(path: string): Promise<void> {
    const name = cString(path);
    this.#checked('open libxenlight', await this.#fn('tsr_open').callAsync(name));
  }

  /** A session of our own, deaf to SIGHUP and SIGPIPE. */
  detach(): void {
    this.#checked('detach', this.#fn('tsr_detach').call());
  }

  async domainId(name: string): Promise<number> {
    return this.#checked('domain id', await this.#fn('tsr_domain_id').callAsync(cString(name)));
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
    const length = await this.#fn('tsr_host_info').callAsync(out, out.length);
    return out.toString('utf8', 0, this.#checked('host info', length));
  }

  /** On this thread: the lease must not wait for a free thread of the pool. */
  pause(domid: number): void {
    this.#checked('pause', this.#fn('tsr_domain_pause').call(domid));
  }

  async unpause(domid: number): Promise<void> {
    this.#checked('unpause', await this.#fn('tsr_domain_unpause').callAsync(domid));
  }

  async resume(domid: number): Promise<void> {
    this.#checked('resume', await this.#fn('tsr_domain_resume').callAsync(domid));
  }

  async rename(domid: number, from: string, to: string): Promise<void> {
    const fn = this.#fn('tsr_domain_rename');
    this.#checked('rename', await fn.callAsync(domid, cString(from), cString(to)));
  }

  async destroy(domid: number): Promise<void> {
    this.#checked('destroy', await this.#fn('tsr_domain_destroy').callAsync(domid));
  }

  async create(configJson: string): Promise<number> {
    const config = cString(configJson);
    return this.#checked('create', await this.#fn('tsr_domain_create').callAsync(config));
  }

  /**
   * Starts a save that sets its barriers in `plug` (null: nowhere); events go to `onEvent` until
   * `ended`.
   */
  saveStart(
    domid: number,
    limitBytes: number,
    plug: number | null,
    onEvent: (e: NativeEvent) => void,
  ): number {
    const fd = Buffer.alloc(4);
    const code = this.#fn('tsr_save_start').call(domid, limitBytes, plug ?? -1, fd);
    const handle = this.#checked('save', code);
    this.#readUntilEnded(fd.readInt32LE(0), onEvent);
    return handle;
  }

  /** False while an epoch is under way. */
  saveCheckpoint(handle: number): boolean {
    const code = this.#fn('tsr_save_checkpoint').call(handle);
    if (code === -11) return false;
    this.#checked('checkpoint', code, handle);
    return true;
  }

  /** Bytes of the stream put into `out`, never past the end of an epoch; 0: nothing waits. */
  saveRead(handle: number, out: Buffer): number {
    return this.#checked('read', this.#fn('tsr_save_read').call(handle, out, out.length), handle);
  }

  saveAbort(handle: number): void {
    this.#checked('abort', this.#fn('tsr_save_abort').call(handle), handle);
  }

  async saveFree(handle: number): Promise<void> {
    await this.#fn('tsr_save_free').callAsync(handle);
  }

  restoreStart(
    configJson: string,
    limitBytes: number,
    onEvent: (event: NativeEvent) => void,
  ): number {
    const fd = Buffer.alloc(4);
    const fn = this.#fn('tsr_restore_start');
    const handle = this.#checked('restore', fn.call(cString(configJson), limitBytes, fd));
    this.#readUntilEnded(fd.readInt32LE(0), onEvent);
    return handle;
  }

  /**
   * Checks and queues `data`; `stats` (64 bytes, struct tsr_stream_stats) says where the stream is.
   * False when there is no room; try again after a `fed` event.
   */
  restoreFeed(handle: number, data: Buffer, stats: Buffer): boolean {
    const code = this.#fn('tsr_restore_feed').call(handle, data, data.length, stats);
    if (code === -105) return false;
    this.#checked('feed', code, handle);
    return true;
  }

  /** Lets libxl have the stream up to `offset`, the end of a whole epoch. */
  restoreApply(handle: number, offset: number): void {
    this.#checked('apply', this.#fn('tsr_restore_apply').call(handle, offset), handle);
  }

  restoreFinish(handle: number): void {
    this.#checked('build', this.#fn('tsr_restore_finish').call(handle), handle);
  }

  restoreAbort(handle: number): void {
    this.#checked('discard', this.#fn('tsr_restore_abort').call(handle), handle);
  }

  async restoreFree(handle: number): Promise<void> {
    await this.#fn('tsr_restore_free').callAsync(handle);
  }

  plugOpen(): number {
    return this.#checked('open the output buffer', this.#fn('tsr_plug_open').call());
  }

  /** The same by way of a resident `program -batch -`, which is tc. */
  plugOpenTc(program: string): number {
    const code = this.#fn('tsr_plug_open_tc').call(cString(program));
    return this.#checked('open the output buffer', code);
  }

  /** `port` is a struct tsr_plug_port; the number of the port. */
  plugAdd(handle: number, port: Buffer): number {
    return this.#checked('add to the output buffer', this.#fn('tsr_plug_add').call(handle, port));
  }

  /** What the save loop does by itself, for tests without one: how many interfaces must wait. */
  plugBarrier(handle: number, epoch: number): number {
    return this.#checked('seal', this.#fn('tsr_plug_barrier').call(handle, epoch));
  }

  /** How many interfaces released something. */
  plugRelease(handle: number, epoch: number): number {
    return this.#checked('release', this.#fn('tsr_plug_release').call(handle, epoch));
  }

  /** How many interfaces still hold something. */
  plugPass(handle: number): number {
    return this.#checked('open the output buffer', this.#fn('tsr_plug_pass').call(handle));
  }

  /** Fills `stats` (64 bytes, struct tsr_plug_stats); port -1: of all. */
  async plugLook(handle: number, port: number, stats: Buffer): Promise<void> {
    const code = await this.#fn('tsr_plug_look').callAsync(handle, port, stats);
    this.#checked('look at the output buffer', code);
  }

  plugClose(handle: number): void {
    this.#fn('tsr_plug_close').call(handle);
  }

  /** Sends one Ethernet frame out of an interface. */
  sendFrame(name: string, frame: Buffer): void {
    const code = this.#fn('tsr_send_frame').call(cString(name), frame, frame.length);
    this.#checked('send a frame', code);
  }

  streamNew(): number {
    return this.#checked('stream', this.#fn('tsr_stream_new').call());
  }

  /** Checks `data`; `stats` (64 bytes, struct tsr_stream_stats) is filled. Throws NativeError. */
  streamCheck(handle: number, data: Buffer, stats: Buffer): void {
    const code = this.#fn('tsr_stream_check').call(handle, data, data.length, stats);
    this.#checked('check', code, handle);
  }

  streamFree(handle: number): void {
    this.#fn('tsr_stream_free').call(handle);
  }

  /** True: libzstd is there, and encoders and decoders use it by themselves. */
  codecHasZstd(): boolean {
    return this.#fn('tsr_codec_has_zstd').call() === 1;
  }

  /** `flags` as in `codecFlags`. */
  codecNew(flags: number, cacheBytes: number, level: number): number {
    return this.#checked('codec', this.#fn('tsr_codec_new').call(flags, cacheBytes, level));
  }

  /** Off this thread; how many bytes of `out` were written. See tsr_codec_run for `ticket`. */
  async codecRun(handle: number, ticket: number, input: Buffer, out: Buffer): Promise<number> {
    const fn = this.#fn('tsr_codec_run');
    const code = await fn.callAsync(handle, ticket, input, input.length, out, out.length);
    return this.#checked('codec', code, handle);
  }

  /** struct tsr_codec_digest into `digest` (88 bytes). */
  codecEnd(handle: number, digest: Buffer): void {
    this.#checked('codec', this.#fn('tsr_codec_end').call(handle, digest), handle);
  }

  codecFree(handle: number): void {
    this.#fn('tsr_codec_free').call(handle);
  }

  batchSeal(batch: Buffer): void {
    this.#checked('batch', this.#fn('tsr_batch_seal').call(batch, batch.length));
  }

  /** Throws NativeError if a batch's header or checksum is wrong. */
  batchCheck(batch: Buffer): void {
    this.#checked('batch', this.#fn('tsr_batch_check').call(batch, batch.length));
  }

  #readUntilEnded(fd: number, onEvent: (event: NativeEvent) => void): void {
    const reader = readEvents(fd, (event) => {
      onEvent(event);
      if (event.kind === 'ended') reader.close();
    });
  }
}
