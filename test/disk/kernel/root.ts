/**
 * The root disk of the disk tests' machine: Debian packages, unpacked and not configured, the
 * kernel's modules and a PID 1 of a few lines. What changes often comes with the payload disk.
 */
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  readFileSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { join } from 'node:path';
import { artifact, digest } from '../../lab/cache.ts';
import { buildMs, execute, LabError, run } from '../../lab/command.ts';
import type { Kernel } from '../../lab/kernel.ts';
import { candidates, sourcesFile } from '../../lab/packages.ts';
import { defaultSuite as suite } from '../../lab/suites.ts';

const here = import.meta.dirname;

const packages = [
  ...['base-files', 'base-passwd', 'bash', 'coreutils', 'util-linux', 'mount', 'kmod', 'sed'],
  ...['grep', 'gawk', 'findutils', 'tar', 'procps', 'libc-bin', 'ncurses-base', 'e2fsprogs'],
  ...['udev', 'dmsetup', 'lvm2'],
];

const diskBytes = 700 * 1024 * 1024;

/** The machine's root disk, built or found; its path. */
export async function ensureRoot(kernel: Kernel): Promise<string> {
  const versions = JSON.stringify(await candidates(suite, packages));
  const own = digest(['init', 'root.ts'].map((name) => readFileSync(join(here, name), 'utf8')));
  const inputs = [suite, versions, kernel.dir, own];
  const dir = await artifact('diskroot', inputs, async (target) => {
    const root = join(target, 'root');
    await bootstrap(root);
    const modules = join(kernel.dir, 'lib/modules');
    await run(['cp', '--archive', modules, join(root, 'usr/lib/modules')]);
    await run(['ldconfig', '-r', root]);
    const image = join(target, 'root.raw');
    await run(['truncate', '--size', String(diskBytes), image]);
    const quick = ['-q', '-t', 'ext4', '-O', '^has_journal,^metadata_csum'];
    await run(['mke2fs', ...quick, '-E', 'lazy_itable_init=1,nodiscard', '-d', root, image], {
      timeoutMs: buildMs,
    });
    rmSync(root, { recursive: true });
  });
  return join(dir, 'root.raw');
}

/** Debian, unpacked and not configured, with the few lines that its scripts would have written. */
async function bootstrap(root: string): Promise<void> {
  const result = await execute(
    [
      ...['mmdebstrap', '--variant=extract', '--mode=root'],
      '--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr',
      `--include=${packages.join(',')}`,
      ...['doc', 'locale', 'man', 'info'].map(
        (one) => `--dpkgopt=path-exclude=/usr/share/${one}/*`,
      ),
      ...[suite, root, sourcesFile(suite)],
    ],
    { timeoutMs: buildMs },
  );
  if (result.code !== 0) {
    throw new LabError(`mmdebstrap failed:\n${result.stderr.slice(-3000)}`, {
      hint: 'is the network there, and do the sources in /etc/apt answer?',
    });
  }
  for (const name of ['cache/apt', 'lib/apt']) {
    rmSync(join(root, 'var', name), { recursive: true, force: true });
  }
  copyFileSync(join(root, 'usr/share/base-passwd/passwd.master'), join(root, 'etc/passwd'));
  copyFileSync(join(root, 'usr/share/base-passwd/group.master'), join(root, 'etc/group'));
  appendFileSync(join(root, 'etc/hostname'), 'disk\n');
  rmSync(join(root, 'usr/bin/sh'), { force: true });
  symlinkSync('bash', join(root, 'usr/bin/sh'));
  rmSync(join(root, 'usr/bin/awk'), { force: true });
  symlinkSync('gawk', join(root, 'usr/bin/awk'));
  copyFileSync(join(here, 'init'), join(root, 'usr/sbin/lab-init'));
  chmodSync(join(root, 'usr/sbin/lab-init'), 0o755);
}
