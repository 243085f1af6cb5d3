/**
 * What an administrator installs, in the hosts of the lab in place of the checkout: on host A the
 * Debian package's files, on host B what `npm install --global` makes of the tarball. Both are laid
 * out on this machine, since the hosts have no network to install from; what the package's own
 * scripts do is not done (test/e2e/packages.test.ts).
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildMs, run } from './command.ts';
import { type HostId, hosts, type Lab, LabError } from './lab.ts';
import { checkoutDir, hostIds, labDir } from './settings.ts';

const script = join(checkoutDir, 'scripts/package.mjs');
const ofTheLab = 'rm -rf /opt/tsremus /usr/local/sbin/tsremus; rm -rf /etc/tsremus';
const ofNpm = '/usr/local/bin/tsremus /usr/local/lib/node_modules/tsremus /usr/local/share/man';
/** Folders of the package's own; what else it has are single files that nothing runs. */
const ofDebian = '/usr/sbin/tsremus /usr/lib/tsremus /etc/tsremus';

async function build(kind: 'deb' | 'pack'): Promise<string> {
  const printed = await run([process.execPath, script, kind], { timeoutMs: buildMs });
  return printed.trim().split('\n').at(-1) as string;
}

async function layOut(root: string): Promise<Readonly<Record<HostId, string>>> {
  const [a, b] = [join(root, 'a'), join(root, 'b')];
  mkdirSync(a);
  await run(['dpkg-deb', '--extract', await build('deb'), a]);
  const quiet = ['--no-audit', '--no-fund', '--offline'];
  const tarball = await build('pack');
  const prefix = join(b, 'usr/local');
  await run(['npm', 'install', '--global', ...quiet, '--prefix', prefix, tarball]);
  return { a, b };
}

async function typed(lab: Lab, id: HostId, line: string, input?: Buffer): Promise<void> {
  const result = await lab.ssh(id, line, input === undefined ? {} : { input });
  if (result.code === 0) return;
  throw new LabError(`${hosts[id].name}: ${line.slice(0, 60)}: ${result.stderr.trim()}`);
}

/** Takes the checkout off both hosts and puts the packages there. */
export async function installPackages(lab: Lab): Promise<void> {
  const root = mkdtempSync(join(tmpdir(), 'tsremus-installed-'));
  try {
    for (const [id, folder] of Object.entries(await layOut(root)) as [HostId, string][]) {
      const archive = join(root, `${id}.tar`);
      const made = ['--create', '--file', archive, '--owner=0', '--group=0'];
      await run(['tar', ...made, '--directory', folder, '.']);
      const input = readFileSync(archive);
      await typed(lab, id, ofTheLab);
      // Folders that are there keep what they are: /bin leads to /usr/bin.
      await typed(lab, id, 'tar -x -C / --keep-directory-symlink --no-overwrite-dir', input);
    }
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

/** The hosts as they were. */
export async function removePackages(lab: Lab): Promise<void> {
  await typed(lab, 'a', `rm -rf ${ofDebian}`);
  await typed(lab, 'b', `rm -rf ${ofNpm} /etc/tsremus`);
  const allow = readFileSync(join(labDir, 'host/allow'));
  for (const id of hostIds) {
    await typed(lab, id, 'mkdir -p /etc/tsremus && cat > /etc/tsremus/allow', allow);
  }
  await lab.install();
}
