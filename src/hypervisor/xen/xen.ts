/**
 * The hypervisor port on libxenlight. Opens the library that fits, puts libxl's results into our
 * words, and turns failures into errors that say what to do.
 */

import { readFileSync } from 'node:fs';
import { adviceLine } from '../../core/texts/advice.ts';
import { OperationError } from '../../host/errors.ts';
import { cleanText } from '../../host/text.ts';
import type { NativeEvent } from '../../native/events.ts';
import { NativeError } from '../../native/loader.ts';
import { XenLibrary, xlError } from '../../native/xen.ts';
import {
  type GuestInfo,
  type GuestLeft,
  type GuestRef,
  type GuestSpec,
  type HostInfo,
  type Hypervisor,
  type Lack,
  type RestoreEvent,
  type RestoreOperation,
  type RestoreOptions,
  type SaveEnd,
  type SaveEvent,
  type SaveOperation,
  type SaveOptions,
  type StreamPosition,
  waitingName,
} from '../port.ts';
import { type BuiltIn, builtInto, isHvm, listenToModel } from './device-model.ts';
import { type EndWords, endWords, lifeEventOf } from './end-words.ts';
import { checkVariables, isXen, libxenlightCandidates } from './find-library.ts';
import {
  bootConfig,
  configOf,
  copyConfig,
  placedConfig,
  specFrom,
  specOf,
  withUuid,
} from './guest-config.ts';
import { lacksOf, poolLacks } from './lacks.ts';
import { otherSaver } from './other-saver.ts';
import { otherWatcher } from './other-watcher.ts';
import {
  type Allowed,
  allowFileDefault,
  allowFileVariable,
  checkPolicy,
  parseAllowed,
} from './policy.ts';
import { helperEventIn, SaveHelpers } from './save-helper.ts';

type Json = Readonly<Record<string, unknown>>;

/** struct tsr_stream_stats. */
const streamStatsBytes = 64;
/** Greater numbers are no domain's (DOMID_FIRST_RESERVED, xen/include/public/xen.h). */
const domainIdMax = 0x7fef;
/** EPROTO: the bytes do not continue the stream. */
const errnoProto = 71;

/**
 * Opens libxenlight. `nativePath`: of libtsremus, where it is not beside us. Errors: `no-xen` (69)
 * where there is no Xen, or one that is too old; `not-root` (77) where only root is missing.
 */
export async function openXen(env: NodeJS.ProcessEnv, nativePath?: string): Promise<Hypervisor> {
  checkVariables(env);
  const candidates = libxenlightCandidates(env);
  let native: XenLibrary;
  try {
    native = new XenLibrary(nativePath);
  } catch (error) {
    throw new OperationError('no-xen', `cannot load the native library: ${text(error)}`, {
      op: 'open',
      hint: adviceLine({ kind: 'build-native' }),
      cause: error,
    });
  }
  if (candidates.length === 0) {
    throw new OperationError('no-xen', 'no libxenlight is installed on this machine', {
      op: 'open',
      hint: adviceLine({
        kind: 'install-packages',
        packages: ['xen-system-amd64'],
        why: 'then boot it; or set TSREMUS_LIBXL to the library',
      }),
    });
  }
  let last: unknown;
  for (const path of candidates) {
    try {
      await native.openXen(path);
      // The stand-in's host is a folder, and has its own files in it.
      const root = env['SIMXL_HOST'] ?? '';
      const saveHelpers = new SaveHelpers(env, path, nativePath);
      const allowFile = env[allowFileVariable] || allowFileDefault;
      return new Xen(native, path, allowFile, root, saveHelpers);
    } catch (error) {
      last = error;
    }
  }
  if (process.geteuid?.() !== 0 && !env['TSREMUS_LIBXL']) {
    throw new OperationError('not-root', 'only root may talk to Xen', {
      op: 'open',
      cause: last,
    });
  }
  const where = isXen() ? '' : '; this machine does not run under Xen';
  throw new OperationError('no-xen', `cannot open ${candidates[0]}: ${text(last)}${where}`, {
    op: 'open',
    hint: adviceLine({ kind: 'see-host' }),
    cause: last,
  });
}

function text(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** This host's own list; none is an empty one. Throws OperationError('storage'). */
function readAllowed(file: string): Allowed[] {
  let lines: string;
  try {
    lines = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw new OperationError('storage', `cannot read ${file}: ${text(error)}`, {
      op: 'read-policy',
      subject: file,
      hint: adviceLine({ kind: 'see-file', path: file }),
    });
  }
  return parseAllowed(lines, file);
}

function operationError(op: string, subject: string, error: unknown): OperationError {
  return new OperationError('hypervisor', `cannot ${op} domain ${subject}: ${text(error)}`, {
    op,
    subject,
    cause: error,
  });
}

class Xen implements Hypervisor {
  readonly #native: XenLibrary;
  /** The file that libxl is in. */
  readonly #library: string;
  readonly #allowFile: string;
  #words: EndWords | null = null;
  #builtIn: BuiltIn | null = null;
  readonly #root: string;

  readonly #saveHelpers: SaveHelpers;

  constructor(
    native: XenLibrary,
    library: string,
    allowFile: string,
    root: string,
    saveHelpers: SaveHelpers,
  ) {
    this.#native = native;
    this.#library = library;
    this.#saveHelpers = saveHelpers;
    this.#allowFile = allowFile;
    this.#root = root;
  }

  /** Asked once: they are the library's. */
  #endWords(): EndWords {
    try {
      this.#words ??= endWords(this.#native.endWords());
      return this.#words;
    } catch (error) {
      throw operationError('learn the ends of', 'any', error);
    }
  }

  async find(name: string): Promise<GuestRef | null> {
    let id: number;
    try {
      id = await this.#native.domainId(name);
    } catch (error) {
      const code = error instanceof NativeError ? error.xlCode : null;
      // libxl_name_to_domid says INVAL for a name that nobody has; newer ones say NOTFOUND.
      if (code === xlError.inval || code === xlError.domainNotFound) return null;
      throw operationError('find', name, error);
    }
    return this.numbered(id);
  }

  async numbered(id: number): Promise<GuestRef | null> {
    if (id > domainIdMax) return null;
    return (await this.#look(id))?.ref ?? null;
  }

  async withUuid(uuid: string): Promise<readonly GuestRef[]> {
    const ids = await this.#do('list', uuid, () => this.#native.domainIds());
    const found: GuestRef[] = [];
    for (const id of ids) {
      const ref = await this.numbered(id);
      if (ref?.uuid === uuid) found.push(ref);
    }
    return found;
  }

  async info(guest: GuestRef): Promise<GuestInfo | null> {
    const info = await this.#look(guest.id);
    // A number may come back; the UUID makes it certain.
    return info?.ref.uuid === guest.uuid ? info : null;
  }

  async #look(id: number): Promise<GuestInfo | null> {
    try {
      return guestInfo(JSON.parse(await this.#native.domainInfo(id)));
    } catch (error) {
      if (error instanceof NativeError && error.xlCode === xlError.domainNotFound) return null;
      throw operationError('look at', String(id), error);
    }
  }

  async spec(guest: GuestRef): Promise<GuestSpec> {
    return this.#do('read the configuration of', String(guest.id), async () => {
      const text = await this.#native.domainConfig(guest.id);
      // Older libxl leaves the UUID out of the configuration; the domain itself always has one.
      return specOf(withUuid(JSON.parse(text), guest.uuid), this.#endWords());
    });
  }

  withDisks(spec: GuestSpec, places: ReadonlyMap<string, string>): GuestSpec {
    return specOf(placedConfig(configOf(spec), places), this.#endWords());
  }

  readSpec(bytes: Buffer): GuestSpec {
    return specFrom(bytes, this.#endWords(), (config) => {
      checkPolicy(config, readAllowed(this.#allowFile), this.#allowFile);
    });
  }

  /** Looked for once, before a copy is begun: no failover waits for it. */
  #builtInto(): BuiltIn {
    this.#builtIn ??= builtInto(this.#library);
    return this.#builtIn;
  }

  async lacks(spec: GuestSpec, before: 'copy' | 'build'): Promise<readonly Lack[]> {
    const config = configOf(spec);
    const builtIn = () => this.#builtInto();
    const devices = await lacksOf(config, this.#root, { before, builtIn });
    // A copy that was begun is in its pool, whatever that is called now.
    if (before === 'build') return devices;
    return [...(await poolLacks(config, (pool) => this.#native.poolInfo(pool))), ...devices];
  }

  async host(): Promise<HostInfo> {
    const raw = JSON.parse(await this.#native.hostInfo()) as Json;
    const part = (name: string) => String(raw[`xen_version_${name}`] ?? '');
    const free = raw['free_memory_kb'];
    const { nr_cpus: cpus, hw_cap: features } = (raw['physinfo'] ?? {}) as Json;
    return {
      version: `${part('major')}.${part('minor')}${part('extra')}`,
      freeMemoryBytes: typeof free === 'number' ? free * 1024 : null,
      cpus: typeof cpus === 'number' ? cpus : null,
      features: Array.isArray(features) ? features.map((word) => Number(word) >>> 0) : [],
      own: raw,
    };
  }

  pause({ id }: GuestRef): void {
    try {
      this.#native.pause(id);
    } catch (error) {
      throw operationError('pause', String(id), error);
    }
  }

  unpause({ id }: GuestRef): Promise<void> {
    return this.#do('unpause', String(id), () => this.#native.unpause(id));
  }

  resume({ id }: GuestRef): Promise<void> {
    return this.#do('resume', String(id), () => this.#native.resume(id));
  }

  rename({ id }: GuestRef, from: string, to: string): Promise<void> {
    return this.#do('rename', from, () => this.#native.rename(id, from, to));
  }

  destroy({ id }: GuestRef): Promise<void> {
    return this.#do('destroy', String(id), () => this.#native.destroy(id));
  }

  async boot(spec: GuestSpec): Promise<GuestRef> {
    const config = JSON.stringify(bootConfig(configOf(spec)));
    const id = await this.#do('create', '', () => this.#native.create(config));
    return { uuid: spec.uuid, id };
  }

  async #do<T>(op: string, subject: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw operationError(op, subject, error);
    }
  }

  startSave({ id }: GuestRef, options: SaveOptions): SaveOperation {
    const { limitBytes, barriers, onEvent } = options;
    const native = this.#native;
    let handle = -1;
    let broken: string | null = null;
    const { ownBytes, event: chosen } = this.#saveHelpers.choose(options.saveHelper, limitBytes);
    // Told with the first that happens: whoever starts the save has it not yet.
    let first: SaveEvent | null = chosen;
    try {
      handle = native.saveStart(id, limitBytes - ownBytes, barriers, (event) => {
        if (event.kind === 'failed') broken = event.text;
        if (first !== null) onEvent(first);
        first = null;
        const changed = event.kind === 'log' ? helperEventIn(event.text) : null;
        if (changed !== null) onEvent(changed);
        let ours = saveEvent(event);
        if (ours === null) return;
        // The library gave up because of a broken stream: it says which record, and where.
        if (ours.kind === 'ended' && ours.end.kind === 'aborted' && broken !== null) {
          ours = { kind: 'ended', end: { ...ours.end, kind: 'failed', reason: broken } };
        }
        onEvent(ours);
        if (ours.kind === 'ended') void native.saveFree(handle);
      });
    } catch (error) {
      throw operationError('start checkpoints of', String(id), error);
    }
    return {
      checkpoint: (last) => native.saveCheckpoint(handle, last),
      read: (out) => native.saveRead(handle, out),
      abort: () => native.saveAbort(handle),
    };
  }

  startRestore(spec: GuestSpec, options: RestoreOptions): RestoreOperation {
    return new XenRestore(this.#native, this.#root, spec, options);
  }

  otherWatcher(guest: GuestRef, name: string): string | null {
    return otherWatcher({ domid: guest.id, uuid: guest.uuid, name });
  }

  otherSaver(guest: GuestRef, name: string): string | null {
    return otherSaver({ domid: guest.id, name });
  }
}

class XenRestore implements RestoreOperation {
  readonly #native: XenLibrary;
  readonly #handle: number;
  readonly #uuid: string;
  #wanted: 'nothing' | 'build' | 'discard' = 'nothing';
  #ended = false;
  #why: string | null = null;
  readonly #stats = Buffer.alloc(streamStatsBytes);
  /** What the copy's device model said, should that be why there is none. */
  readonly #modelSaid: () => string | null;

  constructor(
    native: XenLibrary,
    root: string,
    spec: GuestSpec,
    { limitBytes, onEvent }: RestoreOptions,
  ) {
    this.#native = native;
    this.#uuid = spec.uuid;
    const name = waitingName(spec.name);
    const config = JSON.stringify(copyConfig(configOf(spec), name));
    this.#modelSaid = isHvm(configOf(spec)) ? listenToModel(name, root) : () => null;
    try {
      this.#handle = native.restoreStart(config, limitBytes, (event) => {
        if (event.kind === 'log') onEvent(logEvent(event));
        else if (event.kind === 'fed') onEvent({ kind: 'fed', bytes: event.a });
        else if (event.kind === 'failed') this.#why = event.text;
        else if (event.kind === 'ended') {
          this.#ended = true;
          onEvent(this.#endOf(event));
          void native.restoreFree(this.#handle);
        }
      });
    } catch (error) {
      throw operationError('prepare the copy of', waitingName(spec.name), error);
    }
  }

  #endOf(event: NativeEvent): RestoreEvent {
    if (this.#wanted === 'discard') return { kind: 'discarded' };
    if (this.#wanted === 'build' && event.a === 0) {
      return { kind: 'built', copy: { uuid: this.#uuid, id: event.b } };
    }
    const reason = whyEnded(this.#why ?? event.text, event.a, this.#modelSaid());
    return { kind: 'failed', reason };
  }

  feed(data: Buffer): StreamPosition | null {
    if (this.#ended) throw new OperationError('hypervisor', 'the copy is gone', { op: 'feed' });
    const stats = this.#stats;
    try {
      if (!this.#native.restoreFeed(this.#handle, data, stats)) return null;
    } catch (error) {
      const isStream = error instanceof NativeError && error.errno === errnoProto;
      const code = isStream ? 'protocol' : 'hypervisor';
      throw new OperationError(code, text(error), { op: 'feed', cause: error });
    }
    return {
      bytes: Number(stats.readBigUInt64LE(0)),
      epochs: Number(stats.readBigUInt64LE(8)),
      epochEnd: Number(stats.readBigUInt64LE(40)),
      atBoundary: stats.readUInt32LE(32) === 1,
    };
  }

  apply(epochEnd: number): void {
    this.#native.restoreApply(this.#handle, epochEnd);
  }

  finish(): void {
    this.#wanted = 'build';
    this.#native.restoreFinish(this.#handle);
  }

  discard(): void {
    if (this.#ended || this.#wanted === 'discard') return;
    this.#wanted = 'discard';
    this.#native.restoreAbort(this.#handle);
  }
}

/** libxl's XTL_ERROR; only XTL_CRITICAL is above it. */
const errorLevel = 8;

function logEvent({ a: level, text }: NativeEvent) {
  return { kind: 'log', isError: level >= errorLevel, text } as const;
}

/** What libxl logged of its errors (native/xen/log.c), one line; most of its codes say nothing. */
function whyEnded(said: string, code: number, modelWords: string | null = null): string {
  const own = said === '' ? `libxl logged no error, and ended with ${code}` : said;
  if (modelWords === null) return cleanText(own, reasonBytesMax);
  const end = `; its device model said: ${modelWords}`;
  return `${cleanText(own, reasonBytesMax - Buffer.byteLength(end))}${end}`;
}

/** A reason is for a log line, a record and the wire. */
const reasonBytesMax = 400;

function saveEvent(event: NativeEvent): SaveEvent | null {
  switch (event.kind) {
    case 'data':
    case 'output':
      return { kind: event.kind };
    case 'checkpoint':
      return { kind: 'checkpoint', epoch: event.a };
    case 'epoch-end': {
      const pauseMs = event.d / 1e6;
      const { a: epoch, b: bytes, c: pages } = event;
      return { kind: 'epoch-end', epoch, bytes, pages, pauseMs, stalledMs: event.f / 1e6 };
    }
    case 'stalled':
      return { kind: 'stalled', epoch: event.a, waitingBytes: event.b };
    case 'log':
      return logEvent(event);
    case 'failed':
      return { kind: 'log', isError: true, text: event.text };
    case 'ended':
      return { kind: 'ended', end: saveEnd(event) };
    default:
      return null;
  }
}

function saveEnd(event: NativeEvent): SaveEnd {
  const found = parseEnd(event.text);
  if (found.gone) return { kind: 'guest-ended', reason: 'the domain is gone' };
  if (found.shutdown && found.reason !== 'suspend') {
    return { kind: 'guest-ended', reason: String(found.reason) };
  }
  const isSuspended = found.shutdown === true;
  const left: GuestLeft = isSuspended ? 'suspended' : event.c === 1 ? 'asked' : 'runs';
  if (event.a === xlError.aborted) return { kind: 'aborted', left };
  return { kind: 'failed', reason: whyEnded(found.error ?? '', event.a), left };
}

interface EndText {
  readonly gone?: boolean;
  readonly shutdown?: boolean;
  readonly reason?: string;
  readonly error?: string;
}

function parseEnd(json: string): EndText {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === 'object' && value !== null ? (value as EndText) : {};
  } catch {
    return { error: json };
  }
}

function guestInfo(raw: Record<string, unknown>): GuestInfo {
  const reason = raw['shutdown'] === true ? String(raw['shutdown_reason'] ?? 'unknown') : null;
  const stopped = reason === 'suspend' ? 'suspended' : 'ended';
  const state = raw['dying'] === true ? 'dying' : reason === null ? 'here' : stopped;
  return {
    ref: { uuid: String(raw['uuid']).toLowerCase(), id: Number(raw['domid']) },
    paused: raw['paused'] === true,
    state,
    end: state === 'ended' ? lifeEventOf(reason) : null,
    memoryBytes: Number(raw['current_memkb'] ?? 0) * 1024,
  };
}
