/**
 * One QEMU machine without Xen: Debian's stock kernel, its udev and its LVM, and a program of ours
 * in place of a session. Everything in it is built or found in the lab's cache (test/lab).
 */
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { externalPackages, stageInstallation } from '../../../scripts/stage.mjs';
import { ensureProgram } from '../../lab/build.ts';
import { artifact, digest, openCache } from '../../lab/cache.ts';
import { buildMs, execute, run } from '../../lab/command.ts';
import { makeInitramfs } from '../../lab/initramfs.ts';
import { ensureDom0Kernel, type Kernel } from '../../lab/kernel.ts';
import { ensureTools } from '../../lab/machine.ts';
import { ensurePackageLists } from '../../lab/packages.ts';
import { checkoutDir } from '../../lab/settings.ts';
import { defaultSuite } from '../../lab/suites.ts';
import { ensureRoot } from './root.ts';

const here = import.meta.dirname;

/** Twenty captures keep 64 MiB each in memory. */
const memoryMb = 3072;

/** All that a boot needs, by path. */
export interface DiskMachine {
  readonly kernel: Kernel;
  readonly initramfs: string;
  readonly rootDisk: string;
}

/** Builds what is missing; installs the lab's tools where this process may. */
export async function ensureMachine(report: (line: string) => void): Promise<DiskMachine> {
  await ensureTools(report);
  openCache();
  await ensurePackageLists(defaultSuite);
  const kernel = await ensureDom0Kernel(defaultSuite);
  const modules = ['virtio_pci', 'virtio_blk', 'crc32c_generic', 'ext4'];
  const program = await ensureProgram();
  const inputs = [digest([program, kernel.dir]), ...modules];
  const initramfs = await artifact('initramfs-disk', inputs, async (target) => {
    await makeInitramfs(target, program, kernel, modules);
  });
  return { kernel, initramfs: join(initramfs, 'initramfs'), rootDisk: await ensureRoot(kernel) };
}

/** Compiles the programs that run in the machine: the disk guard, and the test's own. */
async function makePrograms(into: string): Promise<void> {
  const native = join(checkoutDir, 'native');
  await run(['make', '-s', '-C', native, 'build/tsremus-disk-guard'], { timeoutMs: buildMs });
  copyFileSync(join(native, 'build/tsremus-disk-guard'), join(into, 'tsremus-disk-guard'));
  const sourcesIn = (dir: string) =>
    readdirSync(dir)
      .filter((name) => name.endsWith('.c') && name !== 'guard.c')
      .map((name) => join(dir, name));
  const sources = [join(native, 'disk'), join(native, 'common'), here].flatMap(sourcesIn);
  const warnings = ['-Wall', '-Wextra', '-Wconversion', '-Werror'];
  const program = ['-o', join(into, 'disktest'), ...sources];
  await run([
    'gcc',
    '-std=gnu11',
    '-D_GNU_SOURCE',
    '-O2',
    '-g',
    '-pthread',
    ...warnings,
    ...program,
  ]);
}

/** Libraries that Node needs and the machine has not, as the dynamic linker finds them here. */
const nodeLibraries = ['libstdc++.so.6', 'libgcc_s.so.1'];

/** Node as it runs here, the program's packages, and the driver's test as one bundle. */
async function makeDriver(into: string): Promise<void> {
  await run(['make', '-s', '-C', join(checkoutDir, 'native'), 'all'], { timeoutMs: buildMs });
  stageInstallation(join(into, 'tsremus'));
  await build({
    absWorkingDir: checkoutDir,
    entryPoints: ['mirror.ts', 'marks.ts'].map((name) => join(here, name)),
    outdir: join(into, 'tsremus/dist'),
    bundle: true,
    format: 'esm',
    platform: 'node',
    external: externalPackages,
    define: { __TSREMUS_VERSION__: '"0"' },
    banner: {
      js: "import { createRequire as __cr } from 'node:module'; const require = __cr(import.meta.url);",
    },
    logLevel: 'warning',
  });
  const libraries = await run(['ldd', process.execPath]);
  mkdirSync(join(into, 'node'));
  copyFileSync(process.execPath, join(into, 'node/node'));
  for (const name of nodeLibraries) {
    const path = libraries.split(/\s+/).find((word) => word.endsWith(`/${name}`));
    if (path !== undefined) copyFileSync(path, join(into, 'node', name));
  }
}

/** What the machine's cases said, its kernel's console, and how long it took. */
export interface MachineRun {
  readonly said: string;
  readonly console: string;
  readonly seconds: number;
}

/** Boots the machine, runs `cases` in it and returns when it has switched itself off. */
export async function runMachine(
  machine: DiskMachine,
  cases: readonly string[],
  limits: { readonly timeoutMs: number },
): Promise<MachineRun> {
  const dir = mkdtempSync(join(tmpdir(), 'tsremus-disk-'));
  try {
    const stage = join(dir, 'stage/lab');
    mkdirSync(stage, { recursive: true });
    await makePrograms(stage);
    await makeDriver(stage);
    for (const name of ['start', 'cases']) {
      copyFileSync(join(here, name), join(stage, name));
      chmodSync(join(stage, name), 0o755);
    }
    writeFileSync(join(stage, 'wanted'), `${cases.join('\n')}\n`);
    const payload = join(dir, 'payload.tar');
    await run(['tar', '--create', '--file', payload, '--directory', join(dir, 'stage'), '.']);
    const said = join(dir, 'said');
    const result = await execute(emulator(machine, payload, said), {
      ...limits,
      until: /LAB failed.*|Kernel panic.*|reboot: Power down/,
    });
    return {
      said: existsSync(said) ? readFileSync(said, 'latin1') : '',
      console: result.stdout,
      seconds: result.durationMs / 1000,
    };
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

function emulator(machine: DiskMachine, payload: string, said: string): string[] {
  const kvm = process.env['TSREMUS_LAB_ACCEL'] === 'kvm' && existsSync('/dev/kvm');
  const drive = (name: string, file: string, more: string) => [
    ...['-drive', `file=${file},if=none,id=${name},format=raw,cache=unsafe,${more}`],
    ...['-device', `virtio-blk-pci,drive=${name}`],
  ];
  return [
    ...['qemu-system-x86_64', '-name', 'tsremus-disk'],
    ...['-accel', kvm ? 'kvm' : 'tcg,thread=multi,tb-size=256', '-cpu', kvm ? 'host' : 'max'],
    ...['-machine', 'pc', '-smp', '2', '-m', String(memoryMb)],
    ...['-nodefaults', '-display', 'none', '-no-reboot', '-monitor', 'none'],
    ...['-serial', 'stdio', '-serial', `file:${said}`],
    ...['-kernel', machine.kernel.vmlinux, '-initrd', machine.initramfs],
    ...['-append', 'console=ttyS0 quiet mitigations=off panic=-1 lab.host=disk'],
    ...drive('root', machine.rootDisk, 'snapshot=on'),
    ...drive('payload', payload, 'readonly=on'),
    ...['-device', 'virtio-rng-pci'],
  ];
}
