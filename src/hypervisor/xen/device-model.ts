/**
 * Which program is the device model of a guest: what an HVM guest cannot run without, and what
 * serves a disk that is neither a device nor raw.
 *
 * The guest's configuration may name one; else libxl takes the one that was built into it
 * (libxl_dm.c, qemu_xen_path) and tells nobody which. It is a text in the library, the only one
 * with that end.
 */
import { readFileSync, statSync } from 'node:fs';
import { cleanText } from '../../host/text.ts';

type Json = { readonly [key: string]: unknown };

const object = (value: unknown): Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : {};

/** `qemu-system-i386`, which is called so for guests of 64 bits too (tools/configure.ac). */
const builtIn = /\/[\w/.+-]*qemu-system-i386(?=\0)/;

/** The path that libxl at `library` has built in; null: it is not to be found. */
export function modelBuiltInto(library: string): string | null {
  try {
    return builtIn.exec(readFileSync(library, 'latin1'))?.[0] ?? null;
  } catch {
    return null;
  }
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
