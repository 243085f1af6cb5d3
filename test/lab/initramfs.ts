/**
 * The initramfs images of hosts and guests: one static program as /init and a few modules.
 *
 * Written in cpio's `newc` format (Documentation/driver-api/early-userspace/buffer-format.rst),
 * uncompressed, for the same reason as the kernels.
 */
import {
  copyFileSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { collectModules, type Kernel } from './kernel.ts';

/** Builds an initramfs in `dir` from the lab's program and these modules; returns its path. */
export async function makeInitramfs(
  dir: string,
  program: string,
  kernel: Kernel,
  modules: readonly string[],
): Promise<string> {
  const tree = join(dir, 'tree');
  for (const folder of ['dev', 'proc', 'sys', 'root']) {
    mkdirSync(join(tree, folder), { recursive: true });
  }
  copyFileSync(program, join(tree, 'init'));
  await collectModules(kernel, modules, tree);
  const image = join(dir, 'initramfs');
  writeFileSync(image, packTree(tree));
  return image;
}

/** Files as a newc archive that goes behind another one: the kernel unpacks both. */
export function packFiles(files: ReadonlyMap<string, Buffer>): Buffer {
  const parts: Buffer[] = [];
  const folders = new Set<string>();
  for (const [name, data] of files) {
    for (let at = name.indexOf('/'); at > 0; at = name.indexOf('/', at + 1)) {
      const folder = name.slice(0, at);
      if (!folders.has(folder)) parts.push(entry(folder, 0o40755, Buffer.alloc(0)));
      folders.add(folder);
    }
    parts.push(entry(name, 0o100644, data));
  }
  parts.push(entry('TRAILER!!!', 0, Buffer.alloc(0)));
  return Buffer.concat(parts);
}

/** All entries below `tree` as one newc archive, ended by its trailer. */
function packTree(tree: string): Buffer {
  const parts: Buffer[] = [];
  // The kernel opens /dev/console for init before any file system is mounted.
  parts.push(entry('dev', 0o40755, Buffer.alloc(0)));
  parts.push(entry('dev/console', 0o20600, Buffer.alloc(0), [5, 1]));
  addFolder(parts, tree, '');
  parts.push(entry('TRAILER!!!', 0, Buffer.alloc(0)));
  return Buffer.concat(parts);
}

function addFolder(parts: Buffer[], tree: string, prefix: string): void {
  for (const name of readdirSync(join(tree, prefix)).sort()) {
    const path = prefix ? `${prefix}/${name}` : name;
    const stat = lstatSync(join(tree, path));
    if (stat.isDirectory()) {
      if (path !== 'dev') parts.push(entry(path, 0o40755, Buffer.alloc(0)));
      addFolder(parts, tree, path);
    } else {
      parts.push(entry(path, stat.mode, readFileSync(join(tree, path))));
    }
  }
}

let inode = 0;

function entry(
  name: string,
  mode: number,
  data: Buffer,
  device: [number, number] = [0, 0],
): Buffer {
  inode += 1;
  const fields = [
    inode,
    mode,
    0,
    0,
    1,
    0,
    data.length,
    0,
    0,
    device[0],
    device[1],
    name.length + 1,
    0,
  ];
  const header = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`;
  return Buffer.concat([padded(Buffer.from(`${header}${name}\0`)), padded(data)]);
}

function padded(data: Buffer): Buffer {
  return Buffer.concat([data, Buffer.alloc((4 - (data.length % 4)) % 4)]);
}
