/**
 * A host's disk, simulated behind the port `Files`: what was synced survives a power cut, of all
 * else anything may be lost. It belongs to the host, not to a process: processes and boots come
 * and go, each with a `DiskCaller` of its own through which the simulator says when a step is
 * taken, and whether the one who asked for it ever hears of it.
 *
 *   L1  names of a folder are durable as of its last `syncDir`; of each change since then (a new
 *       name, a rename, an unlink) all of it got through or nothing, each for itself
 *   L2  the content of a file is durable as of its last `sync`; behind that nothing, a part
 *       (torn) or all of what was written is there, under all of its names alike
 *   L3  a folder is durable, with all that is in it, once the one above was synced after that
 *
 * Kinder than Linux, too: a sync that failed and is tried again then does hold. Text is torn
 * between characters, not bytes.
 */
import { basename, dirname } from 'node:path';
import type { Files, OpenFile } from '../../src/host/files.ts';
import type { Random } from './random.ts';

/** Who uses the disk: a process, as the simulator sees it. */
export interface DiskCaller {
  /**
   * Runs `work` when the disk gets to it, and settles the promise afterwards with what it returns
   * or throws; never settles for a process that died. `what` is a verb and a path:
   *
   *     make-dir DIR | create FILE | open FILE | write FILE | sync FILE | read FILE | close FILE
   *     link NEW-NAME | rename NEW-NAME | unlink FILE | list DIR | sync-dir DIR | modified FILE
   *
   * `work` must not be run once the power went off.
   */
  perform<T>(what: string, work: () => T): Promise<T>;
}

interface Inode {
  text: string;
  /** So many characters of `text` survive a power cut. */
  durableLength: number;
  modifiedMs: number;
}

/** What names stand for after it; null: nothing. More than one only where that is one step. */
type Change = ReadonlyMap<string, Inode | null>;

interface Folder {
  /** L3 */
  isDurable: boolean;
  readonly visible: Map<string, Inode>;
  durable: Map<string, Inode>;
  /** From `durable` to `visible`, in order. */
  pending: Change[];
}

const errnoTexts = {
  EBADF: 'bad file descriptor',
  EEXIST: 'file already exists',
  EFBIG: 'file too large',
  EIO: 'i/o error',
  EISDIR: 'illegal operation on a directory',
  ENOENT: 'no such file or directory',
  ENOSPC: 'no space left on device',
  ENOTDIR: 'not a directory',
  EROFS: 'read-only file system',
} as const;

/** As Node makes them. */
function errno(code: keyof typeof errnoTexts, what: string): Error {
  return Object.assign(new Error(`${code}: ${errnoTexts[code]}, ${what}`), { code });
}

const changing = /^(make-dir|create|write|sync|link|rename|unlink|sync-dir) /;

export class SimDisk {
  readonly #nowMs: () => number;
  /** With those that every host has. */
  readonly #folders = new Map(['/', '/var', '/var/lib'].map((path) => [path, emptyFolder(true)]));
  #boot = 0;

  /** ENOSPC for a new folder or file, and for what is written; a name more finds its place. */
  isFull = false;
  /** EROFS for whatever would change something, and for a sync of what is not durable yet. */
  isReadOnly = false;
  /** So many of the next steps for which `failsAt` holds end with EIO. */
  failsLeft = 0;
  /** `after`: the step is taken all the same. */
  failMode: 'before' | 'after' = 'before';
  /** Which steps may fail, by `what`; unless told otherwise those that change or sync. */
  failsAt: (what: string) => boolean = (what) => changing.test(what);
  /** So many of the next writes take half of the text, then end with ENOSPC. */
  shortWritesLeft = 0;
  /**
   * What is to be found under a path changed: a name appeared, was replaced or vanished (null),
   * text was added, or the power cut lost something. Not for folders.
   */
  onName?: (path: string, content: string | null) => void;

  /** `nowMs`: the host's wall clock, for the times of files. */
  constructor(nowMs: () => number = () => 0) {
    this.#nowMs = nowMs;
  }

  /** The disk as one process of the running boot sees it: each call is one `perform`. */
  filesFor(caller: DiskCaller): Files {
    const step = <T>(what: string, work: () => T): Promise<T> => {
      const boot = this.#boot;
      return caller.perform(what, () => {
        if (boot !== this.#boot) throw new Error(`the simulator ran ${what} after the power cut`);
        return this.#attempt(what, work);
      });
    };
    return {
      makeDir: (path) => step(`make-dir ${path}`, () => this.#makeDir(path)),
      open: (path, how) =>
        step(`${how === 'new' ? 'create' : 'open'} ${path}`, () => {
          const inode = how === 'new' ? this.#createFile(path) : this.#inode(path);
          return this.#openFile(inode, path, step);
        }),
      link: (from, to) => step(`link ${to}`, () => this.#link(from, to)),
      rename: (from, to) => step(`rename ${to}`, () => this.#rename(from, to)),
      unlink: (path) => step(`unlink ${path}`, () => this.#unlink(path)),
      list: (dir) => step(`list ${dir}`, () => this.#list(dir)),
      syncDir: (dir) => step(`sync-dir ${dir}`, () => this.#syncDir(dir)),
      modifiedMs: (path) => step(`modified ${path}`, () => this.#inode(path).modifiedMs),
    };
  }

  /** What a process would read there now, or null; takes no time and never fails. */
  read(path: string): string | null {
    return this.#folders.get(dirname(path))?.visible.get(basename(path))?.text ?? null;
  }

  /** Visible names in a folder, as of now; none when there is no such folder. */
  names(dir: string): readonly string[] {
    return [...(this.#folders.get(dir)?.visible.keys() ?? [])];
  }

  hasDir(path: string): boolean {
    return this.#folders.has(path);
  }

  /** True when a power cut now could change nothing. */
  get isDurable(): boolean {
    return [...this.#folders.values()].every(
      ({ isDurable, pending, visible }) =>
        isDurable && pending.length === 0 && [...visible.values()].every(isSynced),
    );
  }

  /** The host lost power: L1 to L3. Whatever was open is gone; the faults stay as they are. */
  powerOff(random: Random): void {
    this.#boot += 1;
    const before = this.#contents();
    this.#loseFolders(random);
    const kept = new Set<Inode>();
    for (const folder of this.#folders.values()) {
      for (const change of folder.pending) {
        if (random.chance(0.5)) apply(change, folder.durable);
      }
      folder.pending = [];
      folder.visible.clear();
      for (const [name, inode] of folder.durable) {
        folder.visible.set(name, inode);
        kept.add(inode);
      }
    }
    for (const inode of kept) lose(inode, random);
    const after = this.#contents();
    for (const path of before.keys()) if (!after.has(path)) this.onName?.(path, null);
    for (const [path, text] of after) if (before.get(path) !== text) this.onName?.(path, text);
  }

  /** Those above come first: a folder goes with the one that it is in. */
  #loseFolders(random: Random): void {
    for (const [path, folder] of [...this.#folders].sort(([one], [two]) => (one < two ? -1 : 1))) {
      const hasPlace = this.#folders.has(dirname(path));
      if (hasPlace && (folder.isDurable || random.chance(0.5))) folder.isDurable = true;
      else this.#folders.delete(path);
    }
  }

  #contents(): Map<string, string> {
    const contents = new Map<string, string>();
    for (const [dir, { visible }] of this.#folders) {
      for (const [name, { text }] of visible) contents.set(pathOf(dir, name), text);
    }
    return contents;
  }

  #attempt<T>(what: string, work: () => T): T {
    const fails = this.failsLeft > 0 && this.failsAt(what);
    if (!fails) return work();
    this.failsLeft -= 1;
    if (this.failMode === 'after') work();
    throw errno('EIO', what);
  }

  #makeDir(path: string): void {
    this.#mustBeFree(path);
    this.#mustTakeNew(path);
    this.#folders.set(path, emptyFolder(false));
  }

  #createFile(path: string): Inode {
    this.#mustBeFree(path);
    this.#mustTakeNew(path);
    const inode: Inode = { text: '', durableLength: 0, modifiedMs: this.#nowMs() };
    this.#change(dirname(path), new Map([[basename(path), inode]]));
    return inode;
  }

  #openFile(
    inode: Inode,
    path: string,
    step: <T>(what: string, work: () => T) => Promise<T>,
  ): OpenFile {
    let isOpen = true;
    const onOpen = <T>(what: string, work: () => T): Promise<T> =>
      step(`${what} ${path}`, () => {
        if (!isOpen) throw errno('EBADF', `${what} ${path}`);
        return work();
      });
    return {
      write: (content) => onOpen('write', () => this.#write(inode, content, path)),
      sync: () =>
        onOpen('sync', () => {
          if (this.isReadOnly && !isSynced(inode)) throw errno('EROFS', path);
          inode.durableLength = inode.text.length;
        }),
      read: (bytesMax) =>
        onOpen('read', () => {
          if (Buffer.byteLength(inode.text) > bytesMax) throw errno('EFBIG', path);
          return inode.text;
        }),
      close: () =>
        onOpen('close', () => {
          isOpen = false;
        }),
    };
  }

  #write(inode: Inode, content: string, path: string): void {
    this.#mustTakeNew(path);
    const isShort = this.shortWritesLeft > 0;
    if (isShort) this.shortWritesLeft -= 1;
    inode.text += isShort ? content.slice(0, Math.floor(content.length / 2)) : content;
    inode.modifiedMs = this.#nowMs();
    if (this.onName !== undefined) this.#tellNamesOf(inode);
    if (isShort) throw errno('ENOSPC', path);
  }

  #tellNamesOf(inode: Inode): void {
    for (const [dir, { visible }] of this.#folders) {
      for (const [name, other] of visible) {
        if (other === inode) this.onName?.(pathOf(dir, name), inode.text);
      }
    }
  }

  #link(from: string, to: string): void {
    const inode = this.#inode(from);
    this.#mustBeFree(to);
    if (this.isReadOnly) throw errno('EROFS', to);
    this.#change(dirname(to), new Map([[basename(to), inode]]));
  }

  #rename(from: string, to: string): void {
    const inode = this.#inode(from);
    if (dirname(from) !== dirname(to)) throw new Error(`${from} to ${to}: not simulated`);
    if (this.#folders.has(to)) throw errno('EISDIR', to);
    const replaced = this.#folder(dirname(to)).visible.get(basename(to));
    if (this.isReadOnly) throw errno('EROFS', to);
    // As POSIX wants it: two names of one file stay two.
    if (replaced === inode) return;
    if (replaced === undefined) this.#mustTakeNew(to);
    const change = new Map<string, Inode | null>([
      [basename(from), null],
      [basename(to), inode],
    ]);
    this.#change(dirname(to), change);
  }

  #unlink(path: string): void {
    if (this.#folders.has(path)) throw errno('EISDIR', path);
    this.#inode(path);
    if (this.isReadOnly) throw errno('EROFS', path);
    this.#change(dirname(path), new Map([[basename(path), null]]));
  }

  #list(dir: string): readonly string[] {
    const files = this.#folder(dir).visible.keys();
    const folders = [...this.#folders.keys()].filter((path) => path !== '/');
    const inIt = folders.filter((path) => dirname(path) === dir).map((path) => basename(path));
    return [...files, ...inIt].sort();
  }

  #syncDir(dir: string): void {
    const folder = this.#folder(dir);
    const made = [...this.#folders]
      .filter(([path, { isDurable }]) => path !== '/' && dirname(path) === dir && !isDurable)
      .map(([, child]) => child);
    if (this.isReadOnly && folder.pending.length + made.length > 0) throw errno('EROFS', dir);
    folder.durable = new Map(folder.visible);
    folder.pending = [];
    for (const child of made) child.isDurable = true;
  }

  #change(dir: string, change: Change): void {
    const folder = this.#folder(dir);
    folder.pending.push(change);
    apply(change, folder.visible);
    for (const [name, inode] of change) this.onName?.(pathOf(dir, name), inode?.text ?? null);
  }

  #folder(dir: string): Folder {
    const folder = this.#folders.get(dir);
    if (folder !== undefined) return folder;
    throw errno(this.read(dir) === null ? 'ENOENT' : 'ENOTDIR', dir);
  }

  #inode(path: string): Inode {
    if (this.#folders.has(path)) throw errno('EISDIR', path);
    const inode = this.#folder(dirname(path)).visible.get(basename(path));
    if (inode === undefined) throw errno('ENOENT', path);
    return inode;
  }

  #mustBeFree(path: string): void {
    if (this.#folders.has(path)) throw errno('EEXIST', path);
    if (this.#folder(dirname(path)).visible.has(basename(path))) throw errno('EEXIST', path);
  }

  #mustTakeNew(path: string): void {
    if (this.isReadOnly) throw errno('EROFS', path);
    if (this.isFull) throw errno('ENOSPC', path);
  }
}

function emptyFolder(isDurable: boolean): Folder {
  return { isDurable, visible: new Map(), durable: new Map(), pending: [] };
}

function pathOf(dir: string, name: string): string {
  return dir === '/' ? `/${name}` : `${dir}/${name}`;
}

function apply(change: Change, names: Map<string, Inode>): void {
  for (const [name, inode] of change) {
    if (inode === null) names.delete(name);
    else names.set(name, inode);
  }
}

function isSynced({ text, durableLength }: Inode): boolean {
  return text.length === durableLength;
}

/** L2. */
function lose(inode: Inode, random: Random): void {
  const { text, durableLength } = inode;
  if (isSynced(inode)) return;
  const part = random.pick(['nothing', 'torn', 'all'] as const);
  if (part === 'nothing') inode.text = text.slice(0, durableLength);
  // Of a single character nothing can be torn off.
  const most = Math.max(durableLength + 1, text.length - 1);
  if (part === 'torn') inode.text = text.slice(0, random.int(durableLength + 1, most));
  inode.durableLength = inode.text.length;
}
