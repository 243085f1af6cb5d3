/**
 * Which hypervisor the hosts boot.
 *
 * Live migration of PV guests needs shadow paging, and not every build of Debian's has it
 * (bookworm's security update of 2026 does not, the version in bookworm main does). The package
 * says so itself, in /boot/xen-*.config; so every build of the newest Xen that the sources offer
 * is looked at, newest first, and the first with shadow paging is taken. If none has it, the
 * newest is taken: PVH guests work, and asking for a PV guest fails with a clear message.
 */
import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { artifact } from './cache.ts';
import { LabError, run } from './command.ts';
import {
  downloadPackage,
  type PackageVersion,
  packageNames,
  unpackPackage,
  versionsOf,
} from './packages.ts';
import type { Suite } from './suites.ts';

export interface Hypervisor {
  /** `4.17`: what the package names of the tools end in. */
  readonly series: string;
  readonly version: string;
  /** Whether PV guests can be checkpointed. */
  readonly shadowPaging: boolean;
  /** A multiboot ELF file that QEMU's -kernel takes. */
  readonly path: string;
}

/** Finds, downloads and unpacks the hypervisor. */
export async function ensureHypervisor(suite: Suite): Promise<Hypervisor> {
  const series = await newestSeries(suite);
  const builds = await versionsOf(suite, [`xen-hypervisor-${series}-amd64`]);
  let newest: Hypervisor | undefined;
  for (const build of builds) {
    const hypervisor = await unpackHypervisor(suite, series, build);
    if (hypervisor.shadowPaging) return hypervisor;
    newest ??= hypervisor;
  }
  if (!newest) throw new LabError(`no build of xen-hypervisor-${series}-amd64 to be had`);
  return newest;
}

async function newestSeries(suite: Suite): Promise<string> {
  const names = await packageNames(suite, '^xen-hypervisor-[0-9.]+-amd64$');
  const series = names.map((name) => name.split('-')[2] as string);
  const newest = series.sort((x, y) => y.localeCompare(x, 'en', { numeric: true }))[0];
  if (!newest) {
    throw new LabError(`the sources of ${suite} have no xen-hypervisor-*-amd64`, {
      hint: "the lab needs Debian main among this machine's own sources, see /etc/apt",
    });
  }
  return newest;
}

async function unpackHypervisor(
  suite: Suite,
  series: string,
  build: PackageVersion,
): Promise<Hypervisor> {
  const dir = await artifact(`xen-${suite}`, [build.name, build.version, '1'], async (target) => {
    await unpackPackage(await downloadPackage(suite, build), target, ['./boot/xen-*']);
    const boot = join(target, 'boot');
    const find = (end: string) => readdirSync(boot).find((name) => name.endsWith(end));
    const [image, config] = [find('.gz'), find('.config')];
    if (!image) throw new LabError(`${build.name} ${build.version} holds no hypervisor`);
    await run(['gunzip', join(boot, image)]);
    renameSync(join(boot, image.replace(/\.gz$/, '')), join(target, 'xen'));
    const settings = config ? readFileSync(join(boot, config), 'utf8') : '';
    const shadowPaging = /^CONFIG_SHADOW_PAGING=y$/m.test(settings);
    writeFileSync(join(target, 'info.json'), JSON.stringify({ shadowPaging }));
    rmSync(boot, { recursive: true });
  });
  const info = JSON.parse(readFileSync(join(dir, 'info.json'), 'utf8')) as {
    shadowPaging: boolean;
  };
  return { series, version: build.version, path: join(dir, 'xen'), ...info };
}
