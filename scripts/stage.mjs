/**
 * What an installation of tsremus consists of, laid out below a folder: the bundle, libtsremus.so,
 * the pages, and the packages that stay outside the bundle with all that they need. The Debian
 * package, the npm tarball and the hosts of the lab are made of it. Nothing in it is compiled where
 * it is installed, and nothing is fetched there.
 */
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Parts of the checkout, beside package.json. */
export const installedParts = [
  ...['dist', 'native/build/libtsremus.so', 'native/build/tsremus-disk-guard'],
  ...['native/build/libtsremus-pause.so', 'native/build/libxl-save-helper'],
  ...['share/xen/block-tsremus', 'man', 'docs/JSON.md', 'docs/PROTOCOL.md', 'README.md', 'LICENSE'],
];

/** What node_modules has of a package, by its name; null where it is not installed. */
function manifestOf(name) {
  const path = join(root, 'node_modules', name, 'package.json');
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : null;
}

/** The packages that stay outside the bundle: they find files by their own path. */
export const externalPackages = ['ffi-napi', 'ref-napi', 'zstd-codec'];

/** These packages and all that they depend on, as far as they are installed here. */
function closureOf(names) {
  const found = new Set();
  const queue = [...names];
  for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
    const manifest = found.has(name) ? null : manifestOf(name);
    if (manifest === null) continue;
    found.add(name);
    queue.push(...Object.keys(manifest.dependencies ?? {}));
  }
  return [...found];
}

/** Its sources, tests and binaries of other systems stay behind. */
function copyPackage(name, target) {
  const source = join(root, 'node_modules', name);
  const { main = 'index.js' } = manifestOf(name);
  const unwanted = /^(test|tests|docs|example|examples|deps|src|build|include|tools)$/;
  cpSync(source, join(target, 'node_modules', name), {
    recursive: true,
    filter: (path) => {
      const [folder = '', below] = relative(source, path).split('/');
      if (folder.startsWith('.')) return false;
      if (folder === 'prebuilds' && below && below !== 'linux-x64') return false;
      // Some packages keep their program in src/: only those whose main lies elsewhere lose it.
      if (unwanted.test(folder) && !main.replace(/^\.\//, '').startsWith(`${folder}/`))
        return false;
      if (/^electron/.test(basename(path))) return false;
      return !/\.(md|ts|map|c|cc|h|gyp|gypi|yml)$/.test(basename(path));
    },
  });
  // npm would compile it on the host where it is installed, and fail; what it ships works.
  const path = join(target, 'node_modules', name, 'package.json');
  const { scripts, ...manifest } = manifestOf(name);
  writeFileSync(path, `${JSON.stringify({ ...manifest, gypfile: false }, null, 2)}\n`);
}

/** package.json as it is installed: everything that it depends on is in it. */
function manifestOfInstallation(packages) {
  const { devDependencies, scripts, files, dependencies, ...kept } = JSON.parse(
    readFileSync(join(root, 'package.json'), 'utf8'),
  );
  const versions = packages.map((name) => [name, manifestOf(name).version]);
  return {
    ...kept,
    cpu: ['x64'],
    dependencies: Object.fromEntries(versions),
    bundleDependencies: packages,
  };
}

/** Lays it out below `target`; the answer is what of it does not exist yet. */
export function stageInstallation(target) {
  mkdirSync(target, { recursive: true });
  const missing = installedParts.filter((part) => !existsSync(join(root, part)));
  missing.push(...externalPackages.filter((name) => manifestOf(name) === null));
  for (const part of installedParts.filter((one) => !missing.includes(one))) {
    cpSync(join(root, part), join(target, part), { recursive: true });
  }
  const packages = closureOf(externalPackages);
  for (const name of packages) copyPackage(name, target);
  const manifest = manifestOfInstallation(packages);
  writeFileSync(join(target, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  return missing;
}
