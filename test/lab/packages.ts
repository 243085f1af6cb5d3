/**
 * Debian packages from the machine's own configured sources: found, downloaded, unpacked.
 * No version is written down here or anywhere in the lab.
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
import { updatePackageLists } from './machine.ts';

export interface PackageVersion {
  readonly name: string;
  readonly version: string;
}

/** A download failed: the package lists are older than the archive, which has moved on. */
export class StaleListsError extends LabError {}

/** The suite that this machine runs, as its sources name it. */
export function debianSuite(): string {
  const release = readFileSync('/etc/os-release', 'utf8');
  const suite = /^VERSION_CODENAME=(\w+)$/m.exec(release)?.[1];
  if (!suite) throw new LabError('/etc/os-release names no VERSION_CODENAME: is this Debian?');
  return suite;
}

/** Makes sure that apt knows packages at all; fresh containers come without lists. */
export async function ensurePackageLists(): Promise<void> {
  if ((await versionsOf(['linux-image-amd64'])).length === 0) await updatePackageLists();
}

/**
 * What apt-cache answers, remembered for as long as apt's lists and sources stay as they are:
 * beside two emulators, and where apt keeps no binary cache, each question takes a second.
 */
async function aptCache(...words: readonly string[]): Promise<string> {
  const dir = await artifact(`apt-${digest(words)}`, [listsState()], async (target) => {
    writeFileSync(join(target, 'answer'), await run(['apt-cache', ...words]));
  });
  return readFileSync(join(dir, 'answer'), 'utf8');
}

function listsState(): string {
  const folders = ['/var/lib/apt/lists', '/etc/apt', '/etc/apt/sources.list.d'];
  return folders
    .filter((dir) => existsSync(dir))
    .flatMap((dir) => readdirSync(dir).map((name) => join(dir, name)))
    .map((path) => `${path} ${statSync(path).size} ${statSync(path).mtimeMs}`)
    .join('\n');
}

/** All versions of these packages that the configured sources offer, newest first per package. */
export async function versionsOf(names: readonly string[]): Promise<PackageVersion[]> {
  const output = await aptCache('madison', ...names);
  const found = new Map<string, PackageVersion>();
  for (const line of output.split('\n')) {
    const [name, version, source] = line.split('|').map((field) => field.trim());
    if (!name || !version || !source?.endsWith('Packages')) continue;
    found.set(`${name}=${version}`, { name, version });
  }
  return [...found.values()];
}

/** The version that apt would install of each package; fails when one has none. */
export async function candidates(names: readonly string[]): Promise<PackageVersion[]> {
  const output = await aptCache('policy', ...names);
  const found = new Map<string, string>();
  let name = '';
  for (const line of output.split('\n')) {
    name = /^(\S+):$/.exec(line)?.[1] ?? name;
    const version = /^ {2}Candidate: (\S+)$/.exec(line)?.[1];
    if (version && version !== '(none)') found.set(name, version);
  }
  const missing = names.filter((wanted) => !found.has(wanted));
  if (missing.length > 0) {
    throw new LabError(`the configured apt sources do not have ${missing.join(', ')}`, {
      hint: 'the lab needs Debian main and its security updates, see /etc/apt',
    });
  }
  return names.map((wanted) => ({ name: wanted, version: found.get(wanted) as string }));
}

/** The one package that a metapackage stands for, by the pattern of its name. */
export async function dependencyOf(meta: string, pattern: RegExp): Promise<PackageVersion> {
  const output = await aptCache('show', '--no-all-versions', meta);
  const depends = /^Depends: (.*)$/m.exec(output)?.[1] ?? '';
  const name = depends.split(/[ ,|()=]+/).find((word) => pattern.test(word));
  if (!name) throw new LabError(`${meta} depends on nothing that looks like ${pattern}`);
  return (await candidates([name]))[0] as PackageVersion;
}

/** Names of packages that match a pattern, as apt knows them. */
export async function packageNames(pattern: string): Promise<string[]> {
  const output = await aptCache('pkgnames', pattern.replace(/^\^/, '').split(/[[(]/)[0] ?? '');
  return output.split('\n').filter((name) => new RegExp(pattern).test(name));
}

/** Downloads one package; the answer is the path of its .deb in the cache. */
export async function downloadPackage(wanted: PackageVersion): Promise<string> {
  const dir = await artifact(`deb-${wanted.name}`, [wanted.version], async (target) => {
    const work = join(target, 'partial');
    mkdirSync(work);
    const argv = ['apt-get', 'download', `${wanted.name}=${wanted.version}`];
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
