/**
 * The two kernels of the lab, both Debian's: the dom0's with the modules that the lab needs, and
 * the smaller cloud kernel for the guests (it has no XEN_DOM0). Both are stored uncompressed:
 * under emulation the machine would spend seconds on unpacking its own kernel. HVM guests get
 * theirs as it is, because their firmware loads nothing else.
 */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { artifact, digestFiles } from './cache.ts';
import { execute, LabError, run } from './command.ts';
import { dependencyOf, downloadPackage, unpackPackage } from './packages.ts';
import type { Suite } from './suites.ts';

export interface Kernel {
  readonly vmlinux: string;
  /** As the package has it, for what loads kernels in Linux's own boot protocol. */
  readonly image: string;
  readonly release: string;
  /** Folder that holds lib/modules/RELEASE. */
  readonly dir: string;
}

/** Paths below kernel/ whose modules the dom0 gets. */
const dom0Modules = [
  'net/sched',
  'net/bridge',
  'net/802',
  'net/llc',
  'net/core',
  'net/netfilter',
  'fs/ext4',
  'fs/jbd2',
  'fs/mbcache.ko*',
  'drivers/block',
  'drivers/net/xen-netback',
  'drivers/net/ifb.ko*',
  'drivers/net/virtio_net.ko*',
  'drivers/net/net_failover.ko*',
  'drivers/net/tun.ko*',
  'drivers/net/veth.ko*',
  'drivers/net/dummy.ko*',
  'drivers/xen',
  'drivers/virtio',
  'drivers/md',
  'drivers/char/hw_random',
  'lib',
  'crypto',
  'arch/x86/crypto',
];

/** Paths below kernel/ whose modules the guests get. */
const guestModules = [
  'drivers/net/xen-netfront.ko*',
  'drivers/block/xen-blkfront.ko*',
  'drivers/net/virtio_net.ko*',
  'drivers/net/net_failover.ko*',
  'drivers/virtio',
  'net/core/failover.ko*',
];

/** Kernel and modules of the hosts. */
export function ensureDom0Kernel(suite: Suite): Promise<Kernel> {
  // 6.1.0-57-amd64, 6.12.118+deb13-amd64
  const name = /^linux-image-\d[\d.-]*(\+deb\d+)?-amd64$/;
  return ensureKernel(suite, 'linux-image-amd64', name, dom0Modules);
}

/** Kernel and modules of the guests. */
export function ensureGuestKernel(suite: Suite): Promise<Kernel> {
  const name = /^linux-image-.*-cloud-amd64$/;
  return ensureKernel(suite, 'linux-image-cloud-amd64', name, guestModules);
}

async function ensureKernel(
  suite: Suite,
  meta: string,
  name: RegExp,
  modules: string[],
): Promise<Kernel> {
  const wanted = await dependencyOf(suite, meta, name);
  const inputs = [wanted.name, wanted.version, ...modules, digestFiles(['kernel.ts'])];
  const dir = await artifact(`kernel-${suite}-${meta}`, inputs, async (target) => {
    // In ./lib, or in ./usr/lib since Debian 13.
    const patterns = modules.map((path) => `./*lib/modules/*/kernel/${path}`);
    await unpackPackage(await downloadPackage(suite, wanted), target, [
      './boot/vmlinuz-*',
      './*lib/modules/*/modules.*',
      ...patterns,
    ]);
    const usr = join(target, 'usr');
    if (existsSync(usr)) {
      renameSync(join(usr, 'lib'), join(target, 'lib'));
      rmSync(usr, { recursive: true });
    }
    const image = readdirSync(join(target, 'boot'))[0] as string;
    await extractVmlinux(join(target, 'boot', image), join(target, 'vmlinux'));
    renameSync(join(target, 'boot', image), join(target, 'vmlinuz'));
    rmSync(join(target, 'boot'), { recursive: true });
    await run(['depmod', '--basedir', target, releaseIn(target)]);
  });
  return {
    dir,
    vmlinux: join(dir, 'vmlinux'),
    image: join(dir, 'vmlinuz'),
    release: releaseIn(dir),
  };
}

function releaseIn(dir: string): string {
  return readdirSync(join(dir, 'lib/modules'))[0] as string;
}

/** Programs that undo each compression of a kernel's payload, by its first bytes. */
const decompressors: readonly [magic: string, argv: readonly string[]][] = [
  ['fd377a585a00', ['xz', '--decompress', '--stdout', '--single-stream']],
  ['28b52ffd', ['zstd', '--decompress', '--stdout']],
  ['02214c18', ['lz4', '--decompress', '--stdout']],
  ['1f8b', ['gzip', '--decompress', '--stdout']],
];

/** Takes the ELF kernel out of a bzImage (Documentation/arch/x86/boot.rst: payload_offset). */
async function extractVmlinux(image: string, target: string): Promise<void> {
  const data = readFileSync(image);
  const setupSectors = data[0x1f1] || 4;
  const start = (setupSectors + 1) * 512 + data.readUInt32LE(0x248);
  const payload = data.subarray(start, start + data.readUInt32LE(0x24c));
  const known = decompressors.find(([magic]) =>
    payload.subarray(0, magic.length / 2).equals(Buffer.from(magic, 'hex')),
  );
  if (!known) throw new LabError(`${basename(image)}: unknown compression of the kernel`);
  const packed = `${target}.packed`;
  // The payload's last four bytes are its unpacked size, which decompressors take for garbage.
  writeFileSync(packed, payload.subarray(0, payload.length - 4));
  const script = 'in=$1 out=$2; shift 2; "$@" <"$in" >"$out"';
  const result = await execute(['bash', '-c', script, 'unpack', packed, target, ...known[1]]);
  rmSync(packed);
  const head = readFileSync(target).subarray(0, 4);
  if (head.toString('latin1') !== '\x7fELF') {
    throw new LabError(`${basename(image)}: no kernel in its payload: ${result.stderr}`);
  }
}

/**
 * Copies modules with everything they need into `dir`, and writes their names, in the order of
 * loading, to `dir/modules`. A module that the kernel does not have is built in: left out.
 */
export async function collectModules(
  kernel: Kernel,
  names: readonly string[],
  dir: string,
): Promise<void> {
  const root = join(kernel.dir, 'lib/modules', kernel.release);
  const needs = new Map<string, string[]>();
  for (const line of readFileSync(join(root, 'modules.dep'), 'utf8').split('\n')) {
    const [path, rest] = line.split(':');
    if (path) needs.set(path, rest?.trim() ? rest.trim().split(' ') : []);
  }
  const plain = (path: string) =>
    basename(path)
      .replace(/\.ko.*$/, '')
      .replaceAll('-', '_');
  const order: string[] = [];
  for (const name of names) {
    const path = [...needs.keys()].find((key) => plain(key) === name.replaceAll('-', '_'));
    if (!path) continue;
    // modules.dep lists a module's needs so that the last one must be loaded first.
    for (const need of [...(needs.get(path) ?? [])].reverse().concat(path)) {
      if (!order.includes(need)) order.push(need);
    }
  }
  mkdirSync(join(dir, 'lib'), { recursive: true });
  for (const path of order) await copyModule(join(root, path), join(dir, 'lib'));
  const lines = order.map((path) => `/lib/${plain(path)}.ko\n`);
  writeFileSync(join(dir, 'modules'), lines.join(''));
}

async function copyModule(source: string, dir: string): Promise<void> {
  const plainName = basename(source)
    .replace(/\.ko.*$/, '')
    .replaceAll('-', '_');
  const target = join(dir, `${plainName}.ko`);
  if (existsSync(target)) return;
  writeFileSync(`${target}.part`, readFileSync(source));
  if (source.endsWith('.xz')) {
    renameSync(`${target}.part`, `${target}.xz`);
    await run(['xz', '--decompress', `${target}.xz`]);
  } else {
    renameSync(`${target}.part`, target);
  }
  chmodSync(target, 0o644);
  mkdirSync(dirname(target), { recursive: true });
}
