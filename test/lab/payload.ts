/**
 * What a host gets at every boot: a plain tar on a disk of its own, made in a moment.
 *
 *   /opt/tsremus     this checkout: package.json, dist/, native/build/libtsremus.so, man/, and the
 *                    native packages with what they need
 *   /usr/local/sbin  tsremus, in PATH also for `ssh HOST tsremus`
 *   /lab             kernel and initramfs of the guests, the host's start script
 *   /root/.ssh, /etc keys and configuration of ssh, names of the hosts
 */
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { basename, join, relative } from 'node:path';
import type { Images } from './build.ts';
import { digest } from './cache.ts';
import { run } from './command.ts';
import { checkoutDir, labDir } from './settings.ts';

/** Packages that stay outside the bundle because they bring native code or WebAssembly. */
const externalPackages = ['ffi-napi', 'ref-napi', 'zstd-codec'];

/** Parts of the checkout that make up an installation. */
const installedParts = ['package.json', 'dist', 'native/build/libtsremus.so', 'man'];

/** Builds the payload disk at `target` by way of the folder `stage`; says what is missing. */
export async function makePayload(
  stage: string,
  target: string,
  images: Images,
): Promise<string[]> {
  rmSync(stage, { recursive: true, force: true });
  const missing = stageInstallation(stage);
  const put = (source: string, path: string, mode = 0o644) => {
    mkdirSync(join(stage, path, '..'), { recursive: true });
    copyFileSync(source, join(stage, path));
    chmodSync(join(stage, path), mode);
  };
  put(join(labDir, 'host/start'), 'lab/start', 0o755);
  put(images.guestKernel, 'lab/vmlinux');
  put(images.guestInitramfs, 'lab/initramfs');
  put(images.program, 'usr/local/bin/labguest', 0o755);
  put(join(labDir, 'host/allow'), 'etc/tsremus/allow');
  put(join(labDir, 'host/hosts'), 'etc/hosts');
  put(join(labDir, 'host/sshd_config'), 'etc/ssh/sshd_config');
  put(join(labDir, 'host/ssh_config'), 'root/.ssh/config', 0o600);
  put(join(images.keys, 'id'), 'root/.ssh/id_ed25519', 0o600);
  put(join(images.keys, 'id.pub'), 'root/.ssh/authorized_keys', 0o600);
  put(join(images.keys, 'host'), 'etc/ssh/ssh_host_ed25519_key', 0o600);
  await run([
    'tar',
    '--create',
    '--file',
    target,
    '--format=gnu',
    '--owner=0',
    '--group=0',
    '--directory',
    stage,
    '.',
  ]);
  rmSync(stage, { recursive: true, force: true });
  return missing;
}

/** Lays out /opt/tsremus and the command below `stage`; the answer is what does not exist yet. */
export function stageInstallation(stage: string): string[] {
  const target = join(stage, 'opt/tsremus');
  mkdirSync(target, { recursive: true });
  const missing: string[] = [];
  for (const part of installedParts) {
    const source = join(checkoutDir, part);
    if (!existsSync(source)) missing.push(part);
    else cpSync(source, join(target, part), { recursive: true });
  }
  for (const name of packageClosure(externalPackages, missing)) copyPackage(name, target);
  const command = join(stage, 'usr/local/sbin/tsremus');
  mkdirSync(join(command, '..'), { recursive: true });
  // As npm installs it: what the program's first line says counts here as well.
  symlinkSync(mainProgram(), command);
  return missing;
}

/** Names the checkout's present build, so that a host with an older one is found out. */
export function buildStamp(): string {
  const files = installedParts.flatMap((part) => {
    const path = join(checkoutDir, part);
    if (!existsSync(path)) return [];
    return statSync(path).isDirectory()
      ? readdirSync(path).map((name) => join(path, name))
      : [path];
  });
  return digest(files.map((path) => `${path} ${statSync(path).size} ${statSync(path).mtimeMs}`));
}

/** The installed program's path in the host, as package.json's `bin` names it. */
function mainProgram(): string {
  const path = join(checkoutDir, 'package.json');
  const bin = existsSync(path)
    ? (JSON.parse(readFileSync(path, 'utf8')) as { bin?: string | Record<string, string> }).bin
    : undefined;
  const file = (typeof bin === 'string' ? bin : bin?.['tsremus']) ?? 'dist/main.js';
  return join('/opt/tsremus', file);
}

/** These packages and all that they depend on, as far as they are installed here. */
function packageClosure(names: readonly string[], missing: string[]): string[] {
  const found = new Set<string>();
  const queue = [...names];
  for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
    if (found.has(name)) continue;
    const manifest = join(checkoutDir, 'node_modules', name, 'package.json');
    if (!existsSync(manifest)) {
      if (names.includes(name)) missing.push(`node_modules/${name}`);
      continue;
    }
    found.add(name);
    const { dependencies } = JSON.parse(readFileSync(manifest, 'utf8')) as {
      dependencies?: Record<string, string>;
    };
    queue.push(...Object.keys(dependencies ?? {}));
  }
  return [...found];
}

/** Copies a package without its sources, tests and binaries of other systems. */
function copyPackage(name: string, target: string): void {
  const source = join(checkoutDir, 'node_modules', name);
  const unwanted = /^(test|tests|docs|example|examples|deps|src|build)$/;
  cpSync(source, join(target, 'node_modules', name), {
    recursive: true,
    filter: (path) => {
      const parts = relative(source, path).split('/');
      if (parts[0] === 'prebuilds' && parts[1] && parts[1] !== 'linux-x64') return false;
      // Some packages keep their program in src/: only those whose main lies elsewhere lose it.
      if (unwanted.test(parts[0] ?? '') && !mainLiesIn(source, parts[0] ?? '')) return false;
      return !/\.(md|ts|map|c|cc|h|gyp|gypi)$/.test(basename(path));
    },
  });
}

function mainLiesIn(source: string, folder: string): boolean {
  const manifest = JSON.parse(readFileSync(join(source, 'package.json'), 'utf8')) as {
    main?: string;
  };
  const main = (manifest.main ?? 'index.js').replace(/^\.\//, '');
  return main.startsWith(`${folder}/`);
}
