/**
 * The root disk of the hosts: Debian packages, unpacked and not configured, node (the suite's or
 * the machine's own), and a PID 1 of a few lines. What changes often (the checkout, the lab's
 * scripts) is not in it but comes with the payload disk at every boot: see payload.ts.
 */
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { artifact, digest, digestFiles } from './cache.ts';
import { buildMs, execute, LabError, run } from './command.ts';
import type { Kernel } from './kernel.ts';
import { candidates, sourcesFile } from './packages.ts';
import { labDir } from './settings.ts';
import { type Suite, suitesWithNode } from './suites.ts';

/** What a dom0 of the lab consists of; Xen's tools are added by series. */
const packages = [
  'base-files',
  'base-passwd',
  'bash',
  'dash',
  'coreutils',
  'util-linux',
  'mount',
  'kmod',
  'iproute2',
  'iputils-ping',
  'bridge-utils',
  'openssh-server',
  'openssh-client',
  'procps',
  'sed',
  'grep',
  'gawk',
  'findutils',
  'tar',
  'gzip',
  'zstd',
  'hostname',
  'login',
  'passwd',
  'libc-bin',
  'xen-utils-common',
  'xenstore-utils',
  'drbd-utils',
  'nbd-client',
  'nbd-server',
  'socat',
  'tcpdump',
  'ethtool',
  'e2fsprogs',
  'udev',
  'netcat-openbsd',
  'strace',
  'dmsetup',
  'lvm2',
  'psmisc',
  'debianutils',
  'ncurses-base',
  'lsof',
  'python3-minimal',
  'libstdc++6',
  'man-db',
  'mandoc',
];

/** What HVM guests need on top: qemu, which brings their firmware along. */
const modelPackages = ['qemu-system-xen'];

const diskBytes = 1600 * 1024 * 1024;
/** Of the packages above with all that they need. */
const modelBytes = 400 * 1024 * 1024;

/**
 * Builds the root disk, or finds it; the answer is the path of a raw ext4 image. With a device
 * model it is another one, so that who wants no HVM guest does not wait for its packages.
 */
export async function ensureRootDisk(
  suite: Suite,
  series: string,
  kernel: Promise<Kernel>,
  deviceModel: boolean,
): Promise<string> {
  const hasNode = suitesWithNode.includes(suite);
  const wanted = [
    ...packages,
    `xen-utils-${series}`,
    ...(hasNode ? ['nodejs'] : []),
    ...(deviceModel ? modelPackages : []),
  ];
  const kind = deviceModel ? `${suite}-hvm` : suite;
  const versions = await candidates(suite, wanted);
  const base = artifact(`base-${kind}`, ['2', JSON.stringify(versions)], (dir) =>
    bootstrap(suite, dir, wanted),
  );
  const node = statSync(process.execPath);
  const inputs = [
    digest([await base, (await kernel).dir]),
    hasNode ? "the suite's node" : `${process.version} ${node.size} ${node.mtimeMs}`,
    digestFiles(['rootfs.ts', 'host/init']),
  ];
  const dir = await artifact(`rootdisk-${kind}`, inputs, async (target) => {
    const root = join(target, 'root');
    await run(['cp', '--archive', join(await base, 'root'), root], { timeoutMs: buildMs });
    configure(root, series);
    if (!hasNode) await installNode(root);
    const modules = join((await kernel).dir, 'lib/modules');
    await run(['cp', '--archive', modules, join(root, 'usr/lib/modules')]);
    await run(['ldconfig', '-r', root]);
    await makeImage(root, join(target, 'root.raw'), diskBytes + (deviceModel ? modelBytes : 0));
    rmSync(root, { recursive: true });
  });
  return join(dir, 'root.raw');
}

/** Unpacks the packages without running their scripts: seconds instead of a minute. */
async function bootstrap(suite: Suite, target: string, wanted: readonly string[]): Promise<void> {
  const result = await execute(
    [
      'mmdebstrap',
      '--variant=extract',
      '--mode=root',
      '--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr',
      `--include=${wanted.join(',')}`,
      '--dpkgopt=path-exclude=/usr/share/doc/*',
      '--dpkgopt=path-exclude=/usr/share/locale/*',
      suite,
      join(target, 'root'),
      sourcesFile(suite),
    ],
    { timeoutMs: buildMs },
  );
  if (result.code !== 0) {
    throw new LabError(`mmdebstrap failed:\n${result.stderr.slice(-3000)}`, {
      hint: 'is the network there, and do the sources in /etc/apt answer?',
    });
  }
  const waste = ['doc', 'locale', 'info'].map((name) => join(target, 'root/usr/share', name));
  for (const path of [
    ...waste,
    join(target, 'root/var/cache/apt'),
    join(target, 'root/var/lib/apt'),
  ]) {
    rmSync(path, { recursive: true, force: true });
  }
}

/** Does what the packages' own scripts would have done, as far as the lab needs it. */
function configure(root: string, series: string): void {
  const at = (path: string) => join(root, path);
  copyFileSync(at('usr/share/base-passwd/passwd.master'), at('etc/passwd'));
  copyFileSync(at('usr/share/base-passwd/group.master'), at('etc/group'));
  const passwd = readFileSync(at('etc/passwd'), 'utf8').replace(/^root:[^:]*:/m, 'root:x:');
  writeFileSync(at('etc/passwd'), passwd);
  appendFileSync(at('etc/passwd'), 'sshd:x:101:65534::/run/sshd:/usr/sbin/nologin\n');
  // `*` allows keys and no password.
  writeFileSync(at('etc/shadow'), 'root:*:19000:0:99999:7:::\n', { mode: 0o600 });
  for (const dir of ['lab', 'root', 'opt', 'usr/local/bin', 'usr/local/sbin', 'var/lib/xen']) {
    mkdirSync(at(dir), { recursive: true });
  }
  link('gawk', at('usr/bin/awk'));
  link('bash', at('usr/bin/sh'));
  // Debian's /usr/sbin/xl asks the hypervisor for its version first; that costs 0.2 s here.
  link(`/usr/lib/xen-${series}/bin/xl`, at('usr/local/sbin/xl'));
  link(`/usr/lib/xen-${series}`, at('usr/lib/xen'));
  rmSync(at('var/run'), { recursive: true, force: true });
  link('/run', at('var/run'));
  copyFileSync(join(labDir, 'host/init'), at('usr/sbin/lab-init'));
  chmodSync(at('usr/sbin/lab-init'), 0o755);
}

function link(target: string, path: string): void {
  rmSync(path, { force: true });
  symlinkSync(target, path);
}

/** Puts this very node into the host, with the libraries that the packages do not bring. */
async function installNode(root: string): Promise<void> {
  copyFileSync(process.execPath, join(root, 'usr/bin/node'));
  chmodSync(join(root, 'usr/bin/node'), 0o755);
  const libraries = await run(['ldd', process.execPath]);
  for (const [, path] of libraries.matchAll(/=> (\/\S+) /g)) {
    const target = join(root, 'usr/lib/x86_64-linux-gnu', basename(path as string));
    if (existsSync(join(root, path as string)) || existsSync(target)) continue;
    mkdirSync(dirname(target), { recursive: true });
    copyFileSync(path as string, target);
  }
}

/** A journal, small: a killed host must be able to boot again from what it left. */
async function makeImage(root: string, image: string, bytes: number): Promise<void> {
  if (readlinkSync(join(root, 'bin')) !== 'usr/bin') {
    throw new LabError('the unpacked Debian has no merged /usr: mmdebstrap is too old');
  }
  await run(['truncate', '--size', String(bytes), image]);
  const extended = 'lazy_itable_init=1,lazy_journal_init=1,nodiscard';
  await run(
    [
      'mke2fs',
      '-q',
      '-t',
      'ext4',
      '-O',
      '^metadata_csum',
      '-J',
      'size=8',
      '-E',
      extended,
      '-d',
      root,
      image,
    ],
    { timeoutMs: buildMs },
  );
}
