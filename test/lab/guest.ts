/**
 * The guests: created in a host, and asked from outside, wherever they run at the moment.
 *
 * A guest's name decides its address, so that a test can ask a guest without knowing where it
 * is: g1, g2, … are PV, h1, h2, … are PVH or HVM by habit, and any name may be of any kind.
 */
import { bootDiskPath, lineBytesMax, makeBootDisk } from './boot-disk.ts';
import type { Images } from './build.ts';
import { hangMs, LabError, RefusedError, waitFor } from './command.ts';
import { executeIn, isRunning, quote } from './host.ts';
import { executeInside } from './network.ts';
import { type HostId, hostIds, hosts } from './settings.ts';

export const guestKinds = ['pv', 'pvh', 'hvm'] as const;
export type GuestKind = (typeof guestKinds)[number];

/** Reads a kind of guest from a command line. */
export function parseKind(text: string | undefined): GuestKind {
  const kind = guestKinds.find((name) => name === text);
  if (kind !== undefined) return kind;
  throw new LabError(`expected ${guestKinds.join(', ')}, not ${text || 'nothing'}`);
}

/** Fails where guests of a kind cannot be protected in hosts of these images, and says why. */
export function requireKind(
  images: Pick<Images, 'hypervisor' | 'suite' | 'deviceModel'>,
  kind: GuestKind,
): void {
  if (kind === 'hvm' && !images.deviceModel) {
    throw new RefusedError('no HVM guests: the hosts that are up have no device model', {
      hint: 'npm run lab -- down; npm run lab -- --kind hvm up',
    });
  }
  const { version, shadowPaging } = images.hypervisor;
  if (kind !== 'pv' || shadowPaging) return;
  throw new RefusedError(
    `no PV guests on ${images.suite}: Xen ${version} is built without shadow paging (XSA-495), ` +
      'without which the pages that a PV guest writes cannot be told, and the suite has no ' +
      'build with it',
    { hint: 'use a PVH guest' },
  );
}

export interface GuestOptions {
  /** Pages rewritten per second from the start; changeable later. Default 0. */
  readonly rate?: number;
  /** Pages of the working set. Default 4,096 (16 MB). */
  readonly pages?: number;
  readonly memoryMb?: number;
  /** Virtual processors. Default 1. */
  readonly vcpus?: number;
  /** Network interfaces. Default 1. */
  readonly interfaces?: number;
  /** A block device of the host that is the guest's disk, written to by `setGuestDisk`. */
  readonly disk?: string;
  /** What makes the disk a block device, of Xen's scripts; `disk` is its target then. */
  readonly diskScript?: string;
  /** Another one, with an ext4 on it, whose files are changed by `setGuestFiles`. */
  readonly files?: string;
  /** Words added to its kernel's command line. */
  readonly extraLine?: string;
  /** Lines added to the guest's configuration as they are. */
  readonly extraConfig?: string;
  /** Whether to wait until the guest answers. Default true. */
  readonly wait?: boolean;
}

/** What the guest's own bookkeeping says; see guest/server.c. */
export interface GuestState {
  readonly name: string;
  /** Random at the guest's start, kept in its memory only. */
  readonly boot: string;
  /** Grows by one every 10 ms of the guest's time. */
  readonly counter: number;
  readonly rate: number;
  readonly pages: number;
  readonly runs: number;
  readonly rewrites: number;
  readonly checksum: string;
  readonly checksumOk: boolean;
  readonly beaconMs: number;
  readonly beaconSequence: number;
  readonly uptimeMs: number;
  /** How often it was suspended and resumed, or activated, by its own clocks. */
  readonly suspends: number;
  /** The last number said over IPv4 and over IPv6; see guest/traffic.c. */
  readonly numbers: readonly [number, number];
  /** Frames sent by all flows, and by each of them; see guest/flows.c. */
  readonly frames: number;
  readonly flows: readonly number[];
  readonly pauses: GuestPauses;
}

/** Gaps in the guest's main loop by its time-stamp counter, since the last reset. */
export interface GuestPauses {
  readonly count: number;
  readonly thresholdMs: number;
  readonly meanMs: number;
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly maxMs: number;
  readonly totalMs: number;
  readonly observedMs: number;
  readonly clockJumps: number;
  readonly ticksPerMs: number;
}

/** What a guest takes for the time. */
export interface GuestClocks {
  readonly realtimeMs: number;
  readonly monotonicMs: number;
  readonly boottimeMs: number;
  /** What drives them, by the kernel's name for it. */
  readonly source: string;
  /** The time outside, ms since 1970, right within `withinMs`. */
  readonly outsideMs: number;
  readonly withinMs: number;
}

/** Result of a pass over all pages. */
export interface GuestVerification {
  readonly ok: boolean;
  readonly boot: string;
  readonly counter: number;
  readonly pages: number;
  readonly bad: number;
  readonly stale: number;
  readonly torn: number;
  readonly checksumOk: boolean;
  readonly firstBad?: { readonly page: number; readonly has: number; readonly due: number };
}

/** The address of a guest: 10.77.0.100 + n for gN, + 50 + n for hN, by a digest otherwise. */
export function guestIp(name: string): string {
  return `10.77.0.${guestNumber(name)}`;
}

/** Its IPv6 address ends with the same digits. */
export function guestIp6(name: string): string {
  return `fd77::${guestNumber(name)}`;
}

/** The MAC of a guest's interface. guest/frame.c knows guests by its first four bytes. */
export function guestMac(name: string, index = 0): string {
  const bytes = [index, guestNumber(name)].map((byte) => byte.toString(16).padStart(2, '0'));
  return `00:16:3e:77:${bytes.join(':')}`;
}

function guestNumber(name: string): number {
  const [, letter, digits] = /^([gh])(\d{1,2})$/.exec(name) ?? [];
  if (letter && Number(digits) < 50) return (letter === 'g' ? 100 : 150) + Number(digits);
  let sum = 0;
  for (const byte of Buffer.from(name)) sum = (sum * 31 + byte) % 50;
  return 200 + sum;
}

/** The command line of the guest's kernel. */
function guestLine(name: string, options: GuestOptions): string {
  return [
    'console=hvc0 quiet mitigations=off panic=1',
    `lab.name=${name} lab.ip=${guestIp(name)} lab.pages=${options.pages ?? 4096}`,
    `lab.rate=${options.rate ?? 0} lab.vifs=${options.interfaces ?? 1}`,
    ...(options.disk === undefined ? [] : ['lab.disk=1']),
    ...(options.files === undefined ? [] : ['lab.files=1']),
    ...(options.extraLine === undefined ? [] : [options.extraLine]),
  ].join(' ');
}

/** Of the guest's memory. */
const displayMb = 8;

/** SeaBIOS moves no byte of an AHCI disk itself; of an IDE disk each. */
const hvmLines = ['boot = "c"', 'hdtype = "ahci"'];

/** The configuration that xl gets. */
export function guestConfig(name: string, kind: GuestKind, options: GuestOptions = {}): string {
  const interfaces = options.interfaces ?? 1;
  const vifs = Array.from(
    { length: interfaces },
    (_, index) => `"mac=${guestMac(name, index)},bridge=xenbr0"`,
  );
  const disks = [
    ...disksOf(options),
    // Not where xvda may be: to Linux hda is the same.
    ...(kind === 'hvm' ? [`"${bootDiskPath(name)},raw,hdd,w"`] : []),
  ];
  return [
    `name = "${name}"`,
    `type = "${kind}"`,
    ...(kind === 'hvm'
      ? hvmLines
      : [
          'kernel = "/lab/vmlinux"',
          'ramdisk = "/lab/initramfs"',
          `extra = "${guestLine(name, options)}"`,
        ]),
    `memory = ${(options.memoryMb ?? 128) + (kind === 'hvm' ? displayMb : 0)}`,
    `vcpus = ${options.vcpus ?? 1}`,
    `vif = [${vifs.join(', ')}]`,
    ...(disks.length === 0 ? [] : [`disk = [${disks.join(', ')}]`]),
    // RDTSCP fails in an emulated SVM guest otherwise.
    ...(kind === 'pv' ? [] : ['tsc_mode = "native"']),
    ...(options.extraConfig ? [options.extraConfig] : []),
    '',
  ].join('\n');
}

function disksOf({ disk, diskScript, files }: GuestOptions): string[] {
  const first =
    diskScript === undefined
      ? `"phy:${disk},xvda,w"`
      : `"format=raw,vdev=xvda,access=w,script=${diskScript},target=${disk}"`;
  return [
    ...(disk === undefined ? [] : [first]),
    ...(files === undefined ? [] : [`"phy:${files},xvdb,w"`]),
  ];
}

/** The guest's disk to boot from, in both hosts: it is opened at a failover, too. */
async function putBootDisks(images: Images, name: string, options: GuestOptions): Promise<void> {
  const input = guestLine(name, options);
  if (Buffer.byteLength(input) >= lineBytesMax) throw new LabError(`${name}: too many options`);
  const put = async (id: HostId) => {
    const result = await executeIn(id, images, makeBootDisk(name), { input });
    if (result.code === 0) return;
    throw new LabError(`no disk for ${name} on ${hosts[id].name}: ${result.stderr.trim()}`);
  };
  await Promise.all(hostIds.filter(isRunning).map(put));
}

/** Creates a guest in a host and waits until it answers. */
export async function createGuest(
  images: Images,
  id: HostId,
  name: string,
  kind: GuestKind,
  options: GuestOptions = {},
): Promise<void> {
  requireKind(images, kind);
  if (kind === 'hvm') await putBootDisks(images, name, options);
  const path = `/run/${name}.cfg`;
  const script = `cat > ${quote(path)} && xl create -q ${quote(path)}`;
  const input = guestConfig(name, kind, options);
  const result = await executeIn(id, images, script, { input });
  if (result.code !== 0) {
    throw new LabError(`cannot create ${name} on ${hosts[id].name}: ${result.stderr.trim()}`, {
      log: hosts[id].consoleLog,
      hint: `npm run lab -- ssh ${id} cat /var/log/xen/console/guest-${name}.log`,
    });
  }
  if (options.wait !== false) await waitForGuest(name);
}

/** Waits until a guest answers, wherever it runs. */
export async function waitForGuest(name: string, timeoutMs = hangMs): Promise<GuestState> {
  const probe = async () => {
    try {
      return await guestState(name, 1000);
    } catch {
      return undefined;
    }
  };
  return waitFor(`an answer of guest ${name}`, timeoutMs, probe, { everyMs: 50 });
}

let program: string | undefined;

/** Says where labguest is; the lab does so before anything is asked. */
export function setProgram(path: string): void {
  program = path;
}

/** The program that runs in the lab's namespace. */
export function labProgram(): string {
  if (!program) throw new LabError('the lab is not up', { hint: 'npm run lab -- up' });
  return program;
}

/** For the program that asks to start, and to say that nobody answered. */
const answerMs = 60_000;

/** Sends one line to a guest's query service and returns its answer. */
export async function askGuest(
  name: string,
  command: string,
  timeoutMs = hangMs,
): Promise<unknown> {
  const argv = [labProgram(), 'ask', guestIp(name), String(timeoutMs), command];
  const result = await executeInside(argv, { timeoutMs: timeoutMs + answerMs });
  if (result.code !== 0) throw new LabError(`guest ${name}: ${result.stderr.trim()}`);
  const value = JSON.parse(result.stdout) as { error?: string };
  if (value.error) throw new LabError(`guest ${name}: ${command}: ${value.error}`);
  return value;
}

export async function guestState(name: string, timeoutMs?: number): Promise<GuestState> {
  return (await askGuest(name, 'state', timeoutMs)) as GuestState;
}

/** Reads the guest's clocks beside ours: of some tries the one with the quickest answer. */
export async function guestClocks(name: string): Promise<GuestClocks> {
  let best: GuestClocks | null = null;
  for (let tries = 0; tries < 10; tries += 1) {
    const askedMs = Date.now();
    const said = (await askGuest(name, 'clocks')) as GuestClocks;
    const withinMs = (Date.now() - askedMs) / 2;
    if (best !== null && best.withinMs <= withinMs) continue;
    best = { ...said, outsideMs: askedMs + withinMs, withinMs };
  }
  return best as GuestClocks;
}

/** Looks at every page of the guest's working set. */
export async function verifyGuest(name: string, timeoutMs?: number): Promise<GuestVerification> {
  return (await askGuest(name, 'verify', timeoutMs)) as GuestVerification;
}

/** Sets how many pages a second the guest rewrites. */
export async function setGuestRate(name: string, pagesPerSecond: number): Promise<GuestState> {
  return (await askGuest(name, `rate ${pagesPerSecond}`)) as GuestState;
}

/** Sets how many of a page's 64 runs of 64 bytes each rewrite changes. */
export async function setGuestRuns(name: string, runs: number): Promise<GuestState> {
  return (await askGuest(name, `runs ${runs}`)) as GuestState;
}

/** What the guest found on its disk, by the books in its memory; see guest/disk.c. */
export interface DiskVerification {
  readonly ok: boolean;
  readonly sectors: number;
  readonly lost: number;
  readonly early: number;
  readonly torn: number;
  /** An errno; 0: no request failed. */
  readonly error: number;
  readonly requests: number;
  /** Of its journal, durable. */
  readonly entries: number;
  readonly firstBad: { readonly sector: number; readonly has: number; readonly due: number };
}

/** Sets how many requests a second the guest makes of its disk. */
export async function setGuestDisk(name: string, perSecond: number): Promise<GuestState> {
  return (await askGuest(name, `disk ${perSecond}`)) as GuestState;
}

/** Looks at every sector of the guest's disk, with nothing under way. */
export async function verifyGuestDisk(name: string): Promise<DiskVerification> {
  return (await askGuest(name, 'disk-verify')) as DiskVerification;
}

/** What the guest found in its file system, by the books in its memory; see guest/files.c. */
export interface FilesVerification {
  readonly ok: boolean;
  readonly files: number;
  readonly wrong: number;
  readonly firstWrong: number;
  /** Lines of its journal that are there, and that it knows as durable. */
  readonly entries: number;
  readonly durable: number;
  /** An errno; 0: nothing failed. */
  readonly error: number;
  readonly changes: number;
  readonly syncs: number;
  readonly mounted: boolean;
}

/** Sets how many of its files the guest changes in a second. */
export async function setGuestFiles(name: string, perSecond: number): Promise<GuestState> {
  return (await askGuest(name, `files ${perSecond}`)) as GuestState;
}

/** Reads every file from the disk, with nothing under way. */
export async function verifyGuestFiles(name: string): Promise<FilesVerification> {
  return (await askGuest(name, 'files-verify')) as FilesVerification;
}

/** Has the guest unmount its file system. */
export async function unmountGuestFiles(name: string): Promise<FilesVerification> {
  return (await askGuest(name, 'files-unmount')) as FilesVerification;
}

/** Has the guest write the next entry of its journal; which, told once it is durable. */
export async function appendInGuest(name: string, timeoutMs?: number): Promise<number> {
  return ((await askGuest(name, 'append', timeoutMs)) as { entry: number }).entry;
}

/** Sets the beacon's interval; 0 silences it. */
export async function setGuestBeacon(name: string, everyMs: number): Promise<GuestState> {
  return (await askGuest(name, `beacon ${everyMs}`)) as GuestState;
}

/** Forgets all pauses seen so far. */
export async function resetGuestPauses(name: string): Promise<void> {
  await askGuest(name, 'reset');
}

/** Makes the guest end itself. */
export async function endGuest(name: string, how: 'poweroff' | 'reboot' | 'crash'): Promise<void> {
  await askGuest(name, how);
}

/** What a client of the guest's echo service saw. */
export interface EchoReport {
  readonly sent: number;
  readonly answered: number;
  /** A TCP connection that broke. */
  readonly broken: boolean;
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly maxMs: number;
  readonly gapMaxMs: number;
  readonly gaps: number;
  readonly gapsTotalMs: number;
}

/** Echoes through one connection for some seconds, across whatever happens meanwhile. */
export async function pingGuest(
  name: string,
  protocol: 'tcp' | 'udp',
  intervalMs: number,
  seconds: number,
): Promise<EchoReport> {
  const argv = [labProgram(), 'ping', guestIp(name), protocol, String(intervalMs), String(seconds)];
  const result = await executeInside(argv, { timeoutMs: seconds * 1000 + hangMs });
  if (result.code !== 0) throw new LabError(`guest ${name}: ${result.stderr.trim()}`);
  return JSON.parse(result.stdout) as EchoReport;
}
