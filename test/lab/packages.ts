/**
 * Debian packages of a suite: found, downloaded, unpacked. No version is written down here or
 * anywhere in the lab.
 *
 * apt is asked with lists, sources and a state of its own in the cache, so that it knows nothing
 * of what the machine has installed, and the machine's own apt knows nothing of the suite. What
 * the machine's configuration says beside that (a proxy, for one) counts.
 */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { artifact, digest } from './cache.ts';
import { buildMs, execute, LabError, run } from './command.ts';
import { cacheDir } from './settings.ts';
import { type Suite, sourcesFor } from './suites.ts';

export interface PackageVersion {
  readonly name: string;
  readonly version: string;
}

/** A download failed: the package lists are older than the archive, which has moved on. */
export class StaleListsError extends LabError {}

const aptDir = (suite: Suite) => join(cacheDir, `lists-${suite}`);

/** The sources file of a suite, written anew where the machine's sources have changed. */
export function sourcesFile(suite: Suite): string {
  const path = join(aptDir(suite), 'lab.sources');
  const text = sourcesFor(suite, machineSources(), machineCodename());
  if (!existsSync(path) || readFileSync(path, 'utf8') !== text) {
    mkdirSync(aptDir(suite), { recursive: true });
    writeFileSync(`${path}.new`, text);
    renameSync(`${path}.new`, path);
  }
  return path;
}

function machineSources(): { readonly path: string; readonly text: string }[] {
  const dir = '/etc/apt/sources.list.d';
  const listed = existsSync(dir) ? readdirSync(dir).map((name) => join(dir, name)) : [];
  return ['/etc/apt/sources.list', ...listed]
    .filter((path) => /\.(list|sources)$/.test(path) && existsSync(path))
    .map((path) => ({ path, text: readFileSync(path, 'utf8') }));
}

/** The release of this machine as its sources name it; empty where it is none of Debian's. */
function machineCodename(): string {
  const release = readFileSync('/etc/os-release', 'utf8');
  const isDebian = /^ID="?debian"?$/m.test(release);
  return (isDebian && /^VERSION_CODENAME=(\w+)$/m.exec(release)?.[1]) || '';
}

/** Makes apt a stranger on this machine: see above. */
function aptOptions(suite: Suite): string[] {
  const dir = aptDir(suite);
  const lists = join(dir, 'lists');
  const archives = join(dir, 'cache/archives');
  for (const folder of [lists, archives]) mkdirSync(join(folder, 'partial'), { recursive: true });
  const status = join(dir, 'status');
  if (!existsSync(status)) writeFileSync(status, '');
  const options = {
    'Dir::Etc::sourcelist': sourcesFile(suite),
    'Dir::Etc::sourceparts': '-',
    'Dir::State::lists': lists,
    'Dir::State::status': status,
    'Dir::Cache': join(dir, 'cache'),
    // Containers switch it off; without it each question takes a second.
    'Dir::Cache::pkgcache': 'pkgcache.bin',
    // The cache is root's alone.
    'APT::Sandbox::User': 'root',
    'Acquire::Languages': 'none',
  };
  return Object.entries(options).flatMap(([key, value]) => ['-o', `${key}=${value}`]);
}

/** Makes sure that apt knows packages of the suite at all. */
export async function ensurePackageLists(suite: Suite): Promise<void> {
  if ((await versionsOf(suite, ['linux-image-amd64'])).length === 0) await updateLists(suite);
}

/** Reads the package lists of a suite anew. */
export async function updateLists(suite: Suite): Promise<void> {
  await run(['apt-get', 'update', '--quiet', ...aptOptions(suite)], { timeoutMs: buildMs });
}

/**
 * What apt-cache answers, remembered for as long as the suite's lists and sources stay as they
 * are: beside two emulators each question takes a second.
 */
async function aptCache(suite: Suite, ...words: readonly string[]): Promise<string> {
  const kind = `apt-${suite}-${digest(words)}`;
  const dir = await artifact(kind, [listsState(suite)], async (target) => {
    const argv = ['apt-cache', ...aptOptions(suite), ...words];
    writeFileSync(join(target, 'answer'), await run(argv));
  });
  return readFileSync(join(dir, 'answer'), 'utf8');
}

function listsState(suite: Suite): string {
  const lists = join(aptDir(suite), 'lists');
  const files = existsSync(lists) ? readdirSync(lists).map((name) => join(lists, name)) : [];
  const stamps = files.map((path) => `${path} ${statSync(path).size} ${statSync(path).mtimeMs}`);
  return [readFileSync(sourcesFile(suite), 'utf8'), ...stamps].join('\n');
}

/** All versions of these packages that the suite offers, newest first per package. */
export async function versionsOf(
  suite: Suite,
  names: readonly string[],
): Promise<PackageVersion[]> {
  const output = await aptCache(suite, 'madison', ...names);
  const found = new Map<string, PackageVersion>();
  for (const line of output.split('\n')) {
    const [name, version, source] = line.split('|').map((field) => field.trim());
    if (!name || !version || !source?.endsWith('Packages')) continue;
    found.set(`${name}=${version}`, { name, version });
  }
  return [...found.values()];
}

/** The version that apt would install of each package; fails when one has none. */
export async function candidates(
  suite: Suite,
  names: readonly string[],
): Promise<PackageVersion[]> {
  const output = await aptCache(suite, 'policy', ...names);
  const found = new Map<string, string>();
  let name = '';
  for (const line of output.split('\n')) {
    name = /^(\S+):$/.exec(line)?.[1] ?? name;
    const version = /^ {2}Candidate: (\S+)$/.exec(line)?.[1];
    if (version && version !== '(none)') found.set(name, version);
  }
  const missing = names.filter((wanted) => !found.has(wanted));
  if (missing.length > 0) {
    throw new LabError(`the sources of ${suite} do not have ${missing.join(', ')}`, {
      hint: `look at ${sourcesFile(suite)}, made from this machine's own in /etc/apt`,
    });
  }
  return names.map((wanted) => ({ name: wanted, version: found.get(wanted) as string }));
}

/** The one package that a metapackage stands for, by the pattern of its name. */
export async function dependencyOf(
  suite: Suite,
  meta: string,
  pattern: RegExp,
): Promise<PackageVersion> {
  const output = await aptCache(suite, 'show', '--no-all-versions', meta);
  const depends = /^Depends: (.*)$/m.exec(output)?.[1] ?? '';
  const name = depends.split(/[ ,|()=]+/).find((word) => pattern.test(word));
  if (!name) throw new LabError(`${meta} depends on nothing that looks like ${pattern}`);
  return (await candidates(suite, [name]))[0] as PackageVersion;
}

/** Names of packages that match a pattern, as apt knows them. */
export async function packageNames(suite: Suite, pattern: string): Promise<string[]> {
  const begin = pattern.replace(/^\^/, '').split(/[[(]/)[0] ?? '';
  const output = await aptCache(suite, 'pkgnames', begin);
  return output.split('\n').filter((name) => new RegExp(pattern).test(name));
}

/** Downloads one package; the answer is the path of its .deb in the cache. */
export async function downloadPackage(suite: Suite, wanted: PackageVersion): Promise<string> {
  const dir = await artifact(`deb-${wanted.name}`, [wanted.version], async (target) => {
    const work = join(target, 'partial');
    mkdirSync(work);
    const which = `${wanted.name}=${wanted.version}`;
    const argv = ['apt-get', 'download', ...aptOptions(suite), which];
    const result = await execute(argv, { cwd: work, timeoutMs: buildMs });
    const file = readdirSync(work).find((name) => name.endsWith('.deb'));
    if (result.code !== 0 || !file) {
      throw new StaleListsError(
        `cannot download ${wanted.name} ${wanted.version}:\n${result.stderr}`,
      );
    }
    renameSync(join(work, file), join(target, file));
  });
  const file = readdirSync(dir).find((name) => name.endsWith('.deb'));
  return join(dir, file as string);
}

/** Unpacks the members of a package that match the patterns (as tar's) below `dir`. */
export async function unpackPackage(
  deb: string,
  dir: string,
  patterns: readonly string[],
): Promise<void> {
  const script =
    'deb=$1; dir=$2; shift 2; dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$dir" --wildcards "$@"';
  const argv = ['bash', '-o', 'pipefail', '-c', script, 'unpack', deb, dir, ...patterns];
  await run(argv, { timeoutMs: buildMs });
}
