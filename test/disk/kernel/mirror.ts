/**
 * The primary's end of the mirror driver as it ships, in the machine of machine.ts: a session's
 * part, with its pump, and the other host's disks, files. `mirror.js DIR TARGET...`: makes the
 * mirrors, takes the first copy, and then, until SIGTERM: notes what the load's ledger calls
 * completed, sets a barrier, applies the epoch to the copies, and has the first of them judged.
 *
 * DIR has the load's ledger, of the first target, and gets copy, copy1, copy2 .., and pids,
 * inserted, copied, ended, by which a case knows how far it is. With DROP=N in the environment the
 * N-th write of the first disk behind the first copy is lost on purpose.
 */
import { type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process';
import { closeSync, openSync, readSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { mirrorPorts } from '../../../src/app/disks.ts';
import { thisHost } from '../../../src/app/host.ts';
import { openMirrors } from '../../../src/disk/mirror/primary.ts';
import { firstCopyOf, type PrimaryDisk } from '../../../src/disk/port.ts';
import type { GuestSpec } from '../../../src/hypervisor/port.ts';
import { CaptureLibrary } from '../../../src/native/capture.ts';
import type { StreamEncoder } from '../../../src/stream/codec/codec.ts';
import { DiskPump } from '../../../src/stream/disk-pump.ts';

const [dir = '', ...targets] = process.argv.slice(2);
/** Of the ledger (disktest.h): where `completed` is, and its size. */
const sectorsMax = 1 << 17;
const completedBytes = 8 * sectorsMax;
const completedAt = 96 + completedBytes;
const epochEveryMs = 150;

const uuid = '11111111-2222-3333-4444-555555555555';
const disks = targets.map((target, index) => {
  const name = `xvd${String.fromCharCode('a'.charCodeAt(0) + index)}`;
  return { name, target, format: 'raw', script: null };
});
const guest = { name: 'guest', uuid, writableDisks: disks } as unknown as GuestSpec;

const session = 'a'.repeat(32);
const peer = { host: 'hostb', sshCommand: null, heartbeatTimeoutMs: 1000 };

const say = (text: string) => console.log(`session: ${text}`);

function putFile(name: string, text: string): void {
  writeFileSync(join(dir, `${name}.new`), text);
  renameSync(join(dir, `${name}.new`), join(dir, name));
}

/** The other host's disk: `disktest sink`, which applies what it is given. */
class Copy {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  #said: (line: string) => void = () => {};

  constructor(index: number) {
    this.#child = spawn('/lab/disktest', ['sink', join(dir, `copy${index || ''}`)], {
      stdio: ['pipe', 'pipe', 'inherit'],
      // What ends this process ends it, and nothing before.
      detached: true,
    });
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      if (/dropped/.test(line)) say(line);
      else this.#said(line);
    });
  }

  /** From now on the `nth` write is lost. */
  async dropLater(nth: number): Promise<void> {
    const order = Buffer.alloc(8, 0xff);
    order.writeUInt32LE(nth, 4);
    await this.#put(order);
  }

  async take(bytes: Buffer): Promise<void> {
    const length = Buffer.alloc(4);
    length.writeUInt32LE(bytes.length);
    await this.#put(Buffer.concat([length, bytes]));
  }

  /** Resolves when all of the epoch is applied. */
  async end(): Promise<void> {
    const said = new Promise<string>((resolve) => {
      this.#said = resolve;
    });
    await this.#put(Buffer.alloc(4));
    const line = await said;
    if (line !== 'applied') throw new Error(line);
  }

  #put(bytes: Buffer): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#child.stdin.write(bytes, (error) => (error ? reject(error) : resolve()));
    });
  }
}

/** As the bytes are. */
function plainEncoder(): StreamEncoder {
  let rawBytes = 0;
  return {
    async encode(bytes: Buffer) {
      rawBytes += bytes.length;
      return Buffer.from(bytes);
    },
    async endEpoch() {
      const digest = { rawBytes, pages: 0, checksum: 0n, cacheState: 0n };
      rawBytes = 0;
      return digest;
    },
    close() {},
  } as unknown as StreamEncoder;
}

/** Moves what is captured as a session does. */
function pumpOf(opened: readonly PrimaryDisk[]): DiskPump {
  return new DiskPump({
    disks: opened,
    encoders: opened.map(plainEncoder),
    sink: {
      async sendDisk(epoch, disk, bytes) {
        if (epoch !== epochs) throw new Error(`epoch ${epoch} where ${epochs} is due`);
        pieces += 1;
        await copies[disk]?.take(bytes);
        return true;
      },
      async endDisk(_epoch, disk) {
        await copies[disk]?.end();
        return true;
      },
    },
    // The other ends are files that nobody has copied to: nothing of them is to be compared.
    onCompare: ({ disk, first }) => opened[disk]?.digests(first, Buffer.alloc(0)),
    onFilling: () => say('filling'),
    onLost(reason) {
      lost = reason;
    },
    onError(error) {
      lost = String(error);
    },
  });
}

function noteCompleted(): void {
  const fd = openSync(join(dir, 'ledger'), 'r');
  const bytes = Buffer.alloc(completedBytes);
  readSync(fd, bytes, 0, completedBytes, completedAt);
  closeSync(fd);
  writeFileSync(join(dir, 'before'), bytes);
}

function disktest(...words: string[]): boolean {
  const { status, stdout } = spawnSync('/lab/disktest', words, { encoding: 'utf8' });
  process.stdout.write(stdout);
  return status === 0;
}

const wait = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

let epochs = 0;
let pieces = 0;
let isNoted = false;
let isTold = false;
let isRight = true;
let lost: string | null = null;
const copies = targets.map((_, index) => new Copy(index));
const library = new CaptureLibrary();

async function checkpoint(opened: readonly PrimaryDisk[], pump: DiskPump): Promise<void> {
  noteCompleted();
  for (const { barrier } of opened) library.sealCapture(barrier ?? -1, epochs);
  if (!(await pump.left(epochs))) throw new Error(`epoch ${epochs} never leaves`);
  epochs += 1;
  pump.begin(epochs);
  isRight =
    disktest('judge', join(dir, 'ledger'), join(dir, 'before'), join(dir, 'copy')) && isRight;
}

async function takeFirstCopy(opened: readonly PrimaryDisk[]): Promise<void> {
  const began = performance.now();
  let hasCopied = false;
  void Promise.all(opened.map((disk) => disk.nearlyCopied())).then(() => {
    hasCopied = true;
  });
  while (!hasCopied && lost === null && !isTold) {
    const { doneBytes, totalBytes } = firstCopyOf(opened);
    if (doneBytes > 0) putFile('inserted', `${doneBytes}\n`);
    if (doneBytes > totalBytes) throw new Error(`${doneBytes} of ${totalBytes} bytes are copied`);
    await wait(20);
  }
  const { doneBytes } = firstCopyOf(opened);
  const ms = Math.round(performance.now() - began);
  console.log(`figure: the first copy: bytes=${doneBytes} ms=${ms} pieces=${pieces}`);
}

/** For a case to kill: this process and the first disk's guard. */
function notePids(guardPid: number | null): void {
  if (isNoted || guardPid === null) return;
  isNoted = true;
  putFile('pids', `session=${process.pid} guard=${guardPid}\n`);
}

async function main(): Promise<number> {
  const host = thisHost({ ...process.env, TSREMUS_RUN_DIR: join(dir, 'run') });
  const own = await mirrorPorts(host, guest, say);
  const ports = {
    ...own,
    startGuard(...args: Parameters<typeof own.startGuard>) {
      const started = own.startGuard(...args);
      notePids(started.pid);
      return started;
    },
  };
  const openedAt = Math.round(performance.now());
  const opened = await openMirrors(ports, guest, session, peer);
  say(`up after ${openedAt} ms, its mirrors ready after ${Math.round(performance.now())} ms`);
  const pump = pumpOf(opened);
  pump.start();
  let ended: unknown = null;
  try {
    await takeFirstCopy(opened);
    const dropAt = process.env['DROP'];
    while (!isTold && lost === null) {
      await checkpoint(opened, pump);
      // Of what the load knows: a block of the first copy may be of sectors that it never wrote.
      if (dropAt !== undefined && epochs === 1) await copies[0]?.dropLater(Number(dropAt));
      putFile('copied', `${epochs}\n`);
      await wait(epochEveryMs);
    }
    if (lost === null && epochs > 0) await checkpoint(opened, pump);
  } catch (error) {
    ended = error;
  }
  pump.stop();
  say(`over: epochs=${epochs} lost="${lost ?? ''}" ended="${ended ?? ''}"`);
  await Promise.all(opened.map((disk) => disk.close()));
  putFile('ended', '');
  return isRight ? 0 : 1;
}

process.on('SIGTERM', () => {
  isTold = true;
});
main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    console.log(`problem: ${error instanceof Error ? error.stack : error}`);
    process.exit(1);
  },
);
