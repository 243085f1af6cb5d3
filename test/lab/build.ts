/**
 * Everything that a host needs to boot, built or found in the cache.
 *
 * What does not depend on each other is made at the same time; the KVM probe runs as soon as
 * there are a hypervisor and a kernel to probe with, beside the unpacking of Debian.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Accelerator, ensureAccelerator } from './accelerator.ts';
import { ensureBootDisk } from './boot-disk.ts';
import { artifact, digest, digestFiles, openCache } from './cache.ts';
import { run } from './command.ts';
import { makeInitramfs } from './initramfs.ts';
import { ensureDom0Kernel, ensureGuestKernel, type Kernel } from './kernel.ts';
import { ensureTools } from './machine.ts';
import { ensurePackageLists, StaleListsError, updateLists } from './packages.ts';
import { ensureRootDisk } from './rootfs.ts';
import { labDir } from './settings.ts';
import type { Suite } from './suites.ts';
import { ensureHypervisor, type Hypervisor } from './xen.ts';

/** All that `up` needs, by path. */
export interface Images {
  readonly suite: Suite;
  /** Whether the hosts have what HVM guests need. */
  readonly deviceModel: boolean;
  readonly hypervisor: Hypervisor;
  readonly kernel: string;
  readonly initramfs: string;
  readonly rootDisk: string;
  readonly guestKernel: string;
  readonly guestInitramfs: string;
  /** Both on a disk, for HVM guests; null: none without a device model. */
  readonly bootDisk: string | null;
  /** labguest, which is also the lab's tool in its namespace. */
  readonly program: string;
  /** Folder with the lab's ssh keys. */
  readonly keys: string;
  readonly accelerator: Accelerator;
}

export type Report = (line: string) => void;

/** Builds what is missing; with everything in the cache this takes about a second. */
export async function ensureBuilt(
  suite: Suite,
  deviceModel: boolean,
  report: Report = () => {},
): Promise<Images> {
  await ensureTools(report);
  openCache();
  await ensurePackageLists(suite);
  try {
    return await buildAll(suite, deviceModel, report);
  } catch (error) {
    if (!(error instanceof StaleListsError)) throw error;
    report('the package lists are out of date: reading them anew');
    await updateLists(suite);
    return buildAll(suite, deviceModel, report);
  }
}

/** Modules of every guest. */
const frontEnds = ['xen-netfront', 'xen-blkfront'];

async function buildAll(suite: Suite, deviceModel: boolean, report: Report): Promise<Images> {
  const timed = timer(report);
  const hypervisor = timed('hypervisor', ensureHypervisor(suite));
  const dom0Kernel = timed('kernel of the hosts', ensureDom0Kernel(suite));
  const guestKernel = timed('kernel of the guests', ensureGuestKernel(suite));
  const program = timed('labguest', ensureProgram());
  const keys = ensureKeys();
  const rootDisk = timed(
    'root disk',
    hypervisor.then(({ series }) => ensureRootDisk(suite, series, dom0Kernel, deviceModel)),
  );
  const initramfs = ensureInitramfs(`${suite}-host`, program, dom0Kernel, [
    'virtio_pci',
    'virtio_blk',
    'crc32c_generic',
    'ext4',
  ]);
  const guestInitramfs = ensureInitramfs(`${suite}-guest`, program, guestKernel, frontEnds);
  const bootDisk = deviceModel
    ? ensureInitramfs(`${suite}-hvm`, program, guestKernel, [
        ...frontEnds,
        // An HVM guest without PV drivers has an emulated interface alone.
        'virtio_pci',
        'virtio_net',
      ]).then(async (archive) => ensureBootDisk(suite, (await guestKernel).image, archive))
    : Promise.resolve(null);
  const accelerator = timed('accelerator', probe(suite, hypervisor, dom0Kernel, initramfs));
  // Wait for all before failing with the first: a build must not go on behind the caller's back.
  const parts = [
    hypervisor,
    dom0Kernel,
    guestKernel,
    program,
    keys,
    rootDisk,
    initramfs,
    guestInitramfs,
    bootDisk,
    accelerator,
  ];
  const failed = (await Promise.allSettled(parts)).find((part) => part.status === 'rejected');
  if (failed) throw (failed as PromiseRejectedResult).reason;
  return {
    suite,
    deviceModel,
    hypervisor: await hypervisor,
    kernel: (await dom0Kernel).vmlinux,
    initramfs: await initramfs,
    rootDisk: await rootDisk,
    guestKernel: (await guestKernel).vmlinux,
    guestInitramfs: await guestInitramfs,
    bootDisk: await bootDisk,
    program: await program,
    keys: await keys,
    accelerator: await accelerator,
  };
}

async function probe(
  suite: Suite,
  hypervisor: Promise<Hypervisor>,
  kernel: Promise<Kernel>,
  initramfs: Promise<string>,
): Promise<Accelerator> {
  return ensureAccelerator(suite, (await hypervisor).path, (await kernel).vmlinux, await initramfs);
}

function timer(report: Report): <T>(what: string, work: Promise<T>) => Promise<T> {
  const startMs = performance.now();
  return async (what, work) => {
    const value = await work;
    const seconds = (performance.now() - startMs) / 1000;
    if (seconds > 2) report(`${what}: done after ${seconds.toFixed(1)} s`);
    return value;
  };
}

/** The lab's one C program, compiled. */
export async function ensureProgram(): Promise<string> {
  const sources = readdirSync(join(labDir, 'guest')).filter((name) => /\.[ch]$/.test(name));
  const compiler = await run(['gcc', '--version']);
  const inputs = [compiler, digestFiles(sources.map((name) => `guest/${name}`))];
  const dir = await artifact('program', inputs, async (target) => {
    const files = sources.filter((name) => name.endsWith('.c'));
    await run([
      'gcc',
      '-std=gnu11',
      '-O2',
      '-static',
      '-Wall',
      '-Wextra',
      '-Wconversion',
      '-Werror',
      '-o',
      join(target, 'labguest'),
      ...files.map((name) => join(labDir, 'guest', name)),
    ]);
    await run(['strip', join(target, 'labguest')]);
  });
  return join(dir, 'labguest');
}

async function ensureInitramfs(
  kind: `${Suite}-${'host' | 'guest' | 'hvm'}`,
  program: Promise<string>,
  kernel: Promise<Kernel>,
  modules: readonly string[],
): Promise<string> {
  const inputs = [digest([await program, (await kernel).dir]), ...modules];
  const code = digestFiles(['initramfs.ts', 'kernel.ts']);
  const dir = await artifact(`initramfs-${kind}`, [...inputs, code], async (target) => {
    await makeInitramfs(target, await program, await kernel, modules);
  });
  return join(dir, 'initramfs');
}

/** One key for everybody and one host key: this network never leaves the machine. */
async function ensureKeys(): Promise<string> {
  return artifact('keys', ['1'], async (target) => {
    for (const name of ['id', 'host']) {
      await run([
        'ssh-keygen',
        '-q',
        '-t',
        'ed25519',
        '-N',
        '',
        '-C',
        'tsremus-lab',
        '-f',
        join(target, name),
      ]);
    }
  });
}
