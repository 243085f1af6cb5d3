/**
 * Which program is the device model of a guest, and which firmware boots it: what an HVM guest
 * cannot run without. A disk that is neither a device nor raw is served by the former, too.
 *
 * The guest's configuration may name them; else libxl takes those that were built into it
 * (libxl_dm.c, qemu_xen_path; libxl_paths.c) and tells nobody which. Each is a text in the library,
 * the only one with that end.
 */
import { readFileSync, statSync } from 'node:fs';
import { cleanText } from '../../host/text.ts';

type Json = { readonly [key: string]: unknown };

const object = (value: unknown): Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : {};

const ends = {
  /** Called so for guests of 64 bits too (tools/configure.ac). */
  model: /\/[\w/.+-]*qemu-system-i386(?=\0)/,
  seabios: /\/[\w/.+-]*seabios[\w/.+-]*\.bin(?=\0)/,
  ovmf: /\/[\w/.+-]*ovmf[\w/.+-]*(?=\0)/i,
} as const;

/** Paths that are built into a libxl; null: it is not to be found, or there is none. */
export type BuiltIn = { readonly [Name in keyof typeof ends]: string | null };

export const nothingBuiltIn: BuiltIn = { model: null, seabios: null, ovmf: null };

/** Those of the libxl in the file `library`. */
export function builtInto(library: string): BuiltIn {
  let text: string;
  try {
    text = readFileSync(library, 'latin1');
  } catch {
    return nothingBuiltIn;
  }
  const pathOf = (name: keyof typeof ends) => ends[name].exec(text)?.[0] ?? null;
  return { model: pathOf('model'), seabios: pathOf('seabios'), ovmf: pathOf('ovmf') };
}

/** Whether it is an HVM guest, of which libxl says so in two places. */
export function isHvm(config: Json): boolean {
  const build = object(object(config['b_info'])['type']);
  return object(config['c_info'])['type'] === 'hvm' || build['hvm'] !== undefined;
}

/** Whether the guest takes the device model that is built into libxl. */
export function takesBuiltIn(config: Json): boolean {
  const build = object(config['b_info']);
  if (typeof build['device_model'] === 'string' && build['device_model'] !== '') return false;
  // In a domain of its own it is a kernel; and the older one was another program.
  const version = build['device_model_version'] ?? 'qemu_xen';
  if (build['device_model_stubdomain'] === true || version !== 'qemu_xen') return false;
  const disks = Array.isArray(config['disks']) ? config['disks'].map(object) : [];
  const isServed = disks.some(({ backend }) => backend === 'qdisk');
  return isHvm(config) || isServed;
}

/** Which firmware that is built into libxl boots the guest; null: another one, or none. */
export function firmwareOf(config: Json): 'seabios' | 'ovmf' | null {
  if (!isHvm(config)) return null;
  const { bios = 'seabios', system_firmware: own } = object(
    object(object(config['b_info'])['type'])['hvm'],
  );
  const isOwn = typeof own === 'string' && own !== '';
  return !isOwn && (bios === 'seabios' || bios === 'ovmf') ? bios : null;
}

/** What it says of itself when all is well. */
const ordinary = /^(VNC server running on .*)?$/;
const saidBytesMax = 150;

/**
 * What the device model of the domain `name`, which is not begun yet, says last: for the sentence
 * that says why it did not start. libxl knows only that, and has what the program says written to a
 * file, a new one each time (libxl_dm.c, libxl__spawn_local_dm). Null: it said nothing.
 */
export function listenToModel(name: string, root: string): () => string | null {
  const path = `${root}/var/log/xen/qemu-dm-${name}.log`;
  const earlier = inodeOf(path);
  return () => {
    const now = inodeOf(path);
    if (now === 0 || now === earlier) return null;
    const lines = readFileSync(path, 'utf8').split('\n');
    const last = lines.findLast((line) => !ordinary.test(line));
    return last === undefined ? null : cleanText(last, saidBytesMax);
  };
}

/** 0: there is no such file. */
function inodeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.ino ?? 0;
}
