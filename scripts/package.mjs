/**
 * The two things that an administrator installs, both without a compiler and without a network:
 *
 *     npm run deb     build/tsremus_VERSION_amd64.deb, for Debian's dom0
 *     npm run pack    build/tsremus-VERSION.tgz, for `npm install --global`
 *
 * The same commit gives the same bytes: times are those of the commit.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { stageInstallation } from './stage.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const out = join(root, 'build');
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

function run(file, argv, options = {}) {
  return execFileSync(file, argv, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    ...options,
  });
}

/** Seconds; of a checkout without git, of now. */
function timeOfCommit() {
  try {
    return Number(run('git', ['-C', root, 'log', '-1', '--format=%ct'], { stdio: 'pipe' }));
  } catch {
    return Math.floor(Date.now() / 1000);
  }
}

/** Everything that is installed, below `target`; fails where something was not built. */
function stage(target) {
  const missing = stageInstallation(target);
  if (missing.length > 0) throw new Error(`not built yet: ${missing.join(', ')}`);
  const binaries = filesIn(target).filter((name) => isBinary(join(target, name)));
  run('strip', ['--strip-unneeded', ...binaries.map((name) => join(target, name))]);
}

function pack(work) {
  stage(work);
  const [{ filename }] = JSON.parse(run('npm', ['pack', '--json', '--silent'], { cwd: work }));
  renameSync(join(work, filename), join(out, filename));
  return join(out, filename);
}

/** Every file below a folder, by its path from there. */
function filesIn(folder, from = folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return filesIn(path, from);
    return entry.isFile() ? [relative(from, path)] : [];
  });
}

function put(path, text, mode = 0o644) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  chmodSync(path, mode);
}

const gzip = (text) => gzipSync(text, { level: 9 });

const begins = (path, bytes) => readFileSync(path).subarray(0, bytes.length).equals(bytes);
const isBinary = (path) => begins(path, Buffer.from('\x7fELF'));

/** A library is loaded, not run. */
function isProgram(path) {
  return begins(path, Buffer.from('#!')) || (isBinary(path) && !/\.(so|node)$/.test(path));
}

/** As Debian has it: no folder or file that its group may write. */
function modes(folder) {
  chmodSync(folder, 0o755);
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) modes(path);
    else if (entry.isFile()) chmodSync(path, isProgram(path) ? 0o755 : 0o644);
  }
}

const description = `${manifest.description.replace(/:.*/, '')}
 tsremus copies a running guest (memory, devices, network output) to a
 second Xen host many times a second. When the first host dies, the copy goes
 on from the last checkpoint, with the same open TCP connections. The guest is
 not changed, and no shared storage is needed.
 .
 It replaces "xl remus": every checkpoint is acknowledged, a silent host is
 detected, only one side may go on, and "tsremus status" says at any time how
 things are.`;

function controlOf(version, kibibytes) {
  return `Package: tsremus
Version: ${version}
Architecture: amd64
Maintainer: tsremus developers <tsremus@localhost.localdomain>
Installed-Size: ${kibibytes}
Depends: nodejs (>= 20), iproute2, libc6 (>= 2.34), libstdc++6
Recommends: openssh-client, openssh-server, libzstd1, xen-utils
Section: admin
Priority: optional
Description: ${description}
`;
}

function putPages(tree) {
  const pages = join(tree, 'usr/lib/tsremus/man');
  for (const name of readdirSync(pages)) {
    const section = name.split('.').at(-1);
    const path = join(tree, `usr/share/man/man${section}/${name}.gz`);
    put(path, gzip(readFileSync(join(pages, name))));
  }
  rmSync(pages, { recursive: true });
}

function putDocuments(tree, version, time) {
  const doc = join(tree, 'usr/share/doc/tsremus');
  const date = new Date(time * 1000).toUTCString().replace('GMT', '+0000');
  const by = 'tsremus developers <tsremus@localhost.localdomain>';
  const what = `tsremus (${version}) unstable; urgency=medium\n\n  * See the project's log.`;
  const changes = `${what}\n\n -- ${by}  ${date}\n`;
  put(join(doc, 'changelog.gz'), gzip(changes));
  put(join(doc, 'copyright'), readFileSync(join(root, 'share/debian/copyright'), 'utf8'));
  const home = join(tree, 'usr/lib/tsremus');
  cpSync(join(home, 'README.md'), join(doc, 'README.md'));
  cpSync(join(home, 'docs'), join(doc, 'docs'), { recursive: true });
  for (const name of ['README.md', 'LICENSE', 'docs'])
    rmSync(join(home, name), { recursive: true });
}

/** Where each shell looks for what packages complete. */
const completions = {
  bash: 'usr/share/bash-completion/completions/tsremus',
  zsh: 'usr/share/zsh/vendor-completions/_tsremus',
  fish: 'usr/share/fish/vendor_completions.d/tsremus.fish',
};

function putCompletions(tree) {
  const main = join(tree, 'usr/lib/tsremus/dist/main.js');
  for (const [shell, path] of Object.entries(completions)) {
    put(join(tree, path), execFileSync(process.execPath, [main, 'completion', shell]));
  }
}

function deb(work) {
  const tree = join(work, 'tree');
  const { version } = manifest;
  const time = timeOfCommit();
  const home = join(tree, 'usr/lib/tsremus');
  stage(home);
  putPages(tree);
  putCompletions(tree);
  putDocuments(tree, version, time);
  modes(tree);
  mkdirSync(join(tree, 'usr/sbin'));
  // For an administrator's settings, and for what guests from other hosts may have here.
  mkdirSync(join(tree, 'etc/tsremus'), { recursive: true });
  symlinkSync('../lib/tsremus/dist/main.js', join(tree, 'usr/sbin/tsremus'));
  put(join(tree, 'etc/logrotate.d/tsremus'), readFileSync(join(root, 'share/logrotate')));
  put(join(tree, 'usr/lib/tmpfiles.d/tsremus.conf'), readFileSync(join(root, 'share/tmpfiles')));
  const unit = 'tsremus@.service';
  put(join(tree, 'usr/lib/systemd/system', unit), readFileSync(join(root, 'share/systemd', unit)));
  const agent = readFileSync(join(root, 'share/ocf/protect'));
  put(join(tree, 'usr/lib/ocf/resource.d/tsremus/protect'), agent, 0o755);
  const blockScript = readFileSync(join(root, 'share/xen/block-tsremus'));
  put(join(tree, 'etc/xen/scripts/block-tsremus'), blockScript, 0o755);
  const overrides = readFileSync(join(root, 'share/debian/lintian-overrides'));
  put(join(tree, 'usr/share/lintian/overrides/tsremus'), overrides);
  const files = filesIn(tree).sort();
  const sum = (name) =>
    createHash('md5')
      .update(readFileSync(join(tree, name)))
      .digest('hex');
  const bytes = files.reduce((all, name) => all + statSync(join(tree, name)).size, 0);
  put(join(tree, 'DEBIAN/control'), controlOf(version, Math.ceil(bytes / 1024)));
  const settings = ['/etc/logrotate.d/tsremus', '/etc/xen/scripts/block-tsremus'];
  put(join(tree, 'DEBIAN/conffiles'), settings.map((name) => `${name}\n`).join(''));
  put(join(tree, 'DEBIAN/md5sums'), files.map((name) => `${sum(name)}  ${name}\n`).join(''));
  for (const name of ['prerm', 'postrm']) {
    put(join(tree, 'DEBIAN', name), readFileSync(join(root, 'share/debian', name)), 0o755);
  }
  const path = join(out, `tsremus_${version}_amd64.deb`);
  const env = { ...process.env, SOURCE_DATE_EPOCH: String(time) };
  run('dpkg-deb', ['--root-owner-group', '-Zxz', '--build', tree, path], { env });
  return path;
}

const kinds = { deb, pack };
const make = kinds[process.argv[2]];
if (make === undefined) {
  console.error(`usage: package.mjs ${Object.keys(kinds).join('|')}`);
  process.exit(64);
}
mkdirSync(out, { recursive: true });
const work = mkdtempSync(join(tmpdir(), 'tsremus-package-'));
try {
  console.log(make(work));
} finally {
  rmSync(work, { recursive: true, force: true });
}
