/**
 * One host: its emulator process, its console, and commands run in it.
 *
 * Guarantees: a process is signalled only after its command line proved that the lab started it;
 * a host's console log survives the host; every wait has a limit and names that log.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { cpuModel, xenArguments } from './accelerator.ts';
import type { Images } from './build.ts';
import { type CommandResult, execute, hangMs, LabError, run, waitFor } from './command.ts';
import { inNamespace } from './network.ts';
import { type HostId, hosts, labDir } from './settings.ts';

/** Of a host and of its dom0; qemu takes of the latter for each guest that it serves. */
const memoryMb = { plain: 2048, model: 3072 } as const;
const dom0MemoryMb = { plain: 768, model: 1024 } as const;

/** The emulator's process id, if it runs and is ours. */
export function emulatorPid(id: HostId): number | undefined {
  const { pidFile, name } = hosts[id];
  if (!existsSync(pidFile)) return undefined;
  const pid = Number(readFileSync(pidFile, 'utf8').trim());
  return pid > 1 && isOurs(pid, ['qemu-system-x86_64', `tsremus-lab-${name}`]) ? pid : undefined;
}

/** Whether the process's command line holds all these words. */
function isOurs(pid: number, words: readonly string[]): boolean {
  try {
    const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
    return words.every((word) => line.includes(word));
  } catch {
    return false;
  }
}

export function isRunning(id: HostId): boolean {
  return emulatorPid(id) !== undefined;
}

/**
 * Starts a host's emulator and returns at once. The disk of an earlier life is kept unless
 * `fresh` is set: a killed host boots again from what it left.
 */
export async function startEmulator(
  id: HostId,
  images: Images,
  payload: string,
  options: { readonly fresh: boolean },
): Promise<void> {
  const host = hosts[id];
  mkdirSync(host.dir, { recursive: true });
  const disk = join(host.dir, 'disk.qcow2');
  if (options.fresh) rmSync(disk, { force: true });
  if (!existsSync(disk)) {
    await run([
      'qemu-img',
      'create',
      '-q',
      '-f',
      'qcow2',
      '-b',
      images.rootDisk,
      '-F',
      'raw',
      disk,
    ]);
  }
  const data = join(host.dir, 'data.raw');
  if (!existsSync(data)) {
    writeFileSync(data, '');
    truncateSync(data, 256 * 1024 * 1024);
  }
  rmSync(host.pidFile, { force: true });
  const argv = [
    ...inNamespace,
    'nice',
    '-n',
    '5',
    ...emulatorArguments(id, images, disk, payload, data),
  ];
  await run(argv, { log: host.consoleLog });
}

function emulatorArguments(
  id: HostId,
  images: Images,
  disk: string,
  payload: string,
  data: string,
): string[] {
  const host = hosts[id];
  const accelerator = images.accelerator === 'kvm' ? 'kvm' : 'tcg,thread=multi,tb-size=512';
  const dom0 = `console=hvc0 ro quiet mitigations=off net.ifnames=0 lab.host=${id}`;
  const size = images.deviceModel ? 'model' : 'plain';
  const memory = `dom0_mem=${dom0MemoryMb[size]}M,max:${dom0MemoryMb[size]}M`;
  const drive = (name: string, file: string, more: string) => [
    '-drive',
    `file=${file},if=none,id=${name},cache=unsafe,${more}`,
    '-device',
    `virtio-blk-pci,drive=${name}`,
  ];
  const network = (name: string, tap: string, mac: string) => [
    '-netdev',
    `tap,id=${name},ifname=${tap},script=no,downscript=no`,
    '-device',
    `virtio-net-pci,netdev=${name},mac=${mac}`,
  ];
  return [
    'qemu-system-x86_64',
    '-name',
    `tsremus-lab-${host.name}`,
    '-accel',
    accelerator,
    '-machine',
    'pc',
    '-cpu',
    cpuModel(images.accelerator),
    '-smp',
    process.env['TSREMUS_LAB_SMP'] ?? '1',
    '-m',
    String(memoryMb[size]),
    '-display',
    'none',
    '-nodefaults',
    '-no-reboot',
    '-pidfile',
    host.pidFile,
    '-daemonize',
    '-monitor',
    `unix:${join(host.dir, 'monitor')},server,nowait`,
    '-chardev',
    `socket,id=con,path=${join(host.dir, 'console')},server=on,wait=off,` +
      `logfile=${host.consoleLog},logappend=on`,
    '-serial',
    'chardev:con',
    '-kernel',
    images.hypervisor.path,
    '-append',
    `${xenArguments} ${memory}`,
    '-initrd',
    `${images.kernel} ${dom0},${images.initramfs}`,
    ...drive('root', disk, 'format=qcow2'),
    ...drive('payload', payload, 'format=raw,readonly=on'),
    ...drive('data', data, 'format=raw'),
    ...network('lan', host.lanTap, host.lanMac),
    ...network('repl', host.replicationTap, host.replicationMac),
    '-device',
    'virtio-rng-pci',
  ];
}

/** Marks in the console log where a life of the host begins; the answer is its offset. */
export function markConsole(id: HostId): number {
  const { dir, consoleLog } = hosts[id];
  mkdirSync(dir, { recursive: true });
  const before = existsSync(consoleLog) ? readFileSync(consoleLog, 'utf8') : '';
  return Buffer.byteLength(before);
}

/** Waits until a host's sshd runs, reading its console from `offset` on. */
export async function waitForBoot(id: HostId, offset: number): Promise<void> {
  const log = hosts[id].consoleLog;
  const name = hosts[id].name;
  const boot = () => {
    const text = existsSync(log) ? readFileSync(log).subarray(offset).toString('latin1') : '';
    const trouble = /Panic on CPU.*|Kernel panic.*|LAB failed.*/.exec(text)?.[0];
    if (trouble) throw new LabError(`${name} does not boot: ${trouble.trim()}`, { log });
    if (!isRunning(id)) throw new LabError(`${name}: its emulator has ended`, { log });
    return /LAB \S+ ready/.test(text);
  };
  await waitFor(`boot of ${name}`, hangMs, boot, { log });
}

const controlPath = (id: HostId) => join(hosts[id].dir, 'ssh');

function sshArguments(id: HostId, images: Pick<Images, 'keys'>): string[] {
  return [
    ...inNamespace,
    'ssh',
    '-F',
    join(labDir, 'host/ssh_config'),
    '-i',
    join(images.keys, 'id'),
    '-o',
    'BatchMode=yes',
    // One connection for all commands: under emulation a new one takes more than a second.
    '-o',
    'ControlMaster=auto',
    '-o',
    `ControlPath=${controlPath(id)}`,
    '-o',
    'ControlPersist=yes',
    '-o',
    'ServerAliveInterval=5',
    '-o',
    'ServerAliveCountMax=60',
    `root@${hosts[id].lanIp}`,
  ];
}

/** Runs a command in a host; a string goes through its shell, words are quoted for it. */
export async function executeIn(
  id: HostId,
  images: Pick<Images, 'keys'>,
  command: string | readonly string[],
  options: { timeoutMs?: number; input?: string | Buffer; inherit?: boolean } = {},
): Promise<CommandResult> {
  if (!isRunning(id)) throw new LabError(`${hosts[id].name} does not run`);
  const line = typeof command === 'string' ? command : command.map(quote).join(' ');
  const argv = [...sshArguments(id, images), ...(line ? [line] : [])];
  return execute(argv, options);
}

/** Quotes a word for a POSIX shell. */
export function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** Ends the shared ssh connection to a host without talking to the host. */
export async function closeConnection(id: HostId): Promise<void> {
  const path = controlPath(id);
  if (!existsSync(path)) return;
  await execute(['ssh', '-o', `ControlPath=${path}`, '-O', 'exit', 'lab'], { timeoutMs: 5000 });
  rmSync(path, { force: true });
}

/** SIGKILL of the host's emulator: no FIN, no goodbye. Returns when the process is gone. */
export async function killEmulator(id: HostId): Promise<void> {
  const pid = emulatorPid(id);
  if (pid === undefined) return;
  process.kill(pid, 'SIGKILL');
  await waitFor(
    `end of the emulator of ${hosts[id].name}`,
    hangMs,
    () => !isOurs(pid, [`tsremus-lab-${hosts[id].name}`]),
    { everyMs: 5 },
  );
  rmSync(hosts[id].pidFile, { force: true });
}

/** Sends one command to the emulator's monitor (`stop`, `cont`, …) without waiting for its end. */
export function monitor(id: HostId, command: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(join(hosts[id].dir, 'monitor'));
    socket.on('error', reject);
    socket.setTimeout(5000, () => socket.destroy(new Error('the monitor does not answer')));
    let greeted = false;
    socket.on('data', (data) => {
      // Its prompt comes once as a greeting and once more after the command.
      if (!data.toString().includes('(qemu)')) return;
      if (greeted) socket.end(() => resolve());
      else socket.write(`${command}\n`);
      greeted = true;
    });
  });
}
