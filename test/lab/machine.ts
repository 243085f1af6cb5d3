/**
 * What the machine itself must have: root, and a few Debian packages.
 *
 * With root the packages are installed from the machine's own sources; without root, or with a
 * tool missing that cannot be installed, the lab prints the line to type and stops.
 */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { buildMs, execute, LabError, run } from './command.ts';

/** Program that must be in PATH, and the Debian package that brings it. */
const tools: Readonly<Record<string, string>> = {
  'qemu-system-x86_64': 'qemu-system-x86',
  'qemu-img': 'qemu-utils',
  mmdebstrap: 'mmdebstrap',
  mke2fs: 'e2fsprogs',
  depmod: 'kmod',
  xz: 'xz-utils',
  zstd: 'zstd',
  lz4: 'lz4',
  gcc: 'gcc',
  ip: 'iproute2',
  nft: 'nftables',
  ssh: 'openssh-client',
  tar: 'tar',
};

const aptEnvironment = { DEBIAN_FRONTEND: 'noninteractive' };
const systemPath = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin'];

function inPath(program: string): boolean {
  return systemPath.some((dir) => {
    try {
      accessSync(join(dir, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

function missingPackages(): string[] {
  const missing = Object.keys(tools).filter((tool) => !inPath(tool));
  const packages = missing.map((tool) => tools[tool] as string);
  if (!exists('/usr/include/stdlib.h')) packages.push('libc6-dev');
  return packages;
}

function exists(path: string): boolean {
  try {
    accessSync(path);
    return true;
  } catch {
    return false;
  }
}

/** Fails unless this process may make namespaces, taps and file systems. */
export function requireRoot(): void {
  const packages = missingPackages();
  if (process.getuid?.() === 0) return;
  throw new LabError('the lab needs root: it makes a network namespace, taps and disk images', {
    hint: packages.length > 0 ? `${aptLine(packages)}, then run it as root` : 'run it as root',
  });
}

/** Makes sure that every tool is there, installing what is missing. */
export async function ensureTools(report: (line: string) => void): Promise<void> {
  process.env['PATH'] = systemPath.join(delimiter);
  requireRoot();
  const packages = missingPackages();
  if (packages.length === 0) return;
  if (!inPath('apt-get')) {
    throw new LabError(`missing: ${packages.join(' ')}; and there is no apt-get here`);
  }
  report(`installing ${packages.join(' ')}`);
  await updatePackageLists();
  const install = ['apt-get', 'install', '--yes', '--no-install-recommends', ...packages];
  const result = await execute(install, { timeoutMs: buildMs, env: aptEnvironment });
  if (missingPackages().length > 0) {
    throw new LabError(`cannot install what the lab needs:\n${result.stderr.slice(-2000)}`, {
      hint: aptLine(packages),
    });
  }
}

/** Reads the package lists of the machine's configured sources anew. */
async function updatePackageLists(): Promise<void> {
  await run(['apt-get', 'update', '--quiet'], { timeoutMs: buildMs, env: aptEnvironment });
}

function aptLine(packages: readonly string[]): string {
  return `apt-get update && apt-get install --no-install-recommends ${packages.join(' ')}`;
}
