/**
 * What a host gets at every boot: a plain tar on a disk of its own, made in a moment.
 *
 *   /opt/tsremus     this checkout, as its packages install it (scripts/stage.mjs)
 *   /usr/local/sbin  tsremus, in PATH also for `ssh HOST tsremus`
 *   /lab             kernel and initramfs of the guests, HVM guests' disk, the host's start script
 *   /root/.ssh, /etc keys and configuration of ssh, names of the hosts
 */
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { join } from 'node:path';
import { installedParts, stageInstallation as stageProgram } from '../../scripts/stage.mjs';
import type { Images } from './build.ts';
import { digest } from './cache.ts';
import { run } from './command.ts';
import { checkoutDir, labDir } from './settings.ts';

const home = 'opt/tsremus';

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
  if (images.bootDisk !== null) put(images.bootDisk, 'lab/boot.img');
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
  const missing = stageProgram(join(stage, home));
  const command = join(stage, 'usr/local/sbin/tsremus');
  mkdirSync(join(command, '..'), { recursive: true });
  // As npm installs it: what the program's first line says counts here as well.
  symlinkSync(join('/', home, 'dist/main.js'), command);
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
