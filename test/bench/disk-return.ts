/**
 * What a returned host costs: `tsremus resync` and `tsremus receive` as two processes with a pipe
 * between them, a disk on each side a plain file; the first copy onto a blank disk, and others of
 * which little or nothing has changed. The guest's writes are modelled away (modelled-disks.ts).
 */
import {
  chmodSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { build } from 'esbuild';
import { nativePackages } from '../cli/bundle.ts';
import { main, nativeFile, repository } from '../e2e/built.ts';
import { Running, run } from '../e2e/process.ts';
import { type SimHost, simPair } from '../simxl/sim-host.ts';
import type { Scale } from './options.ts';
import { rounded, type Section } from './report.ts';

const kib = 1024;
const mib = 2 ** 20;
const sizesMib: Readonly<Record<Scale, number>> = { tiny: 8, quick: 256, full: 2048 };
const guest = 'g1';
const image = '/var/lib/xen/images/g1-0.img';

/** A disk is compared in blocks of so many bytes (native/disk/digest.h). */
const blockBytes = 64 * kib;
/** Of the disk, in each case that changes something. */
const changedShare = 0.01;

interface Resynced {
  readonly bytes: number;
  readonly equal_bytes: number;
  readonly sent_bytes: number;
  readonly ms: number;
}

/** The program, but that its kernel's device mapper is a model; beside it its folder of disks. */
async function bundleModelled(folder: string): Promise<string> {
  await build({
    absWorkingDir: repository,
    entryPoints: ['src/main.ts'],
    outdir: join(folder, 'dist'),
    ...{ bundle: true, splitting: true, format: 'esm', platform: 'node', target: 'node20' },
    external: nativePackages,
    define: { __TSREMUS_VERSION__: '"0"' },
    banner: {
      js: "import { createRequire as __cr } from 'node:module'; const require = __cr(import.meta.url);",
    },
    plugins: [
      {
        name: 'modelled disks',
        setup: (plugins) =>
          plugins.onResolve({ filter: /\/disks\.ts$/ }, ({ importer }) =>
            /\/src\/app\/[^/]+$/.test(importer)
              ? { path: join(import.meta.dirname, 'modelled-disks.ts') }
              : null,
          ),
      },
    ],
  });
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
  return join(folder, 'dist/main.js');
}

/** The next number of a row that looks random and is the same in every run. */
function* numbers(): Generator<number, never> {
  for (let state = 2_463_534_242; ; ) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    yield state >>> 0;
  }
}

/** Bytes that no compression makes less of. */
function noise(bytes: number, random: Generator<number, never>): Buffer {
  const data = Buffer.alloc(bytes);
  for (let at = 0; at < bytes; at += 4) data.writeUInt32LE(random.next().value, at);
  return data;
}

/** Two hosts with a disk each, and what is done between them. */
class Bench {
  readonly #sims = simPair();
  readonly #folder = mkdtempSync(join(repository, 'node_modules/.tsremus-bench-'));
  readonly #random = numbers();
  readonly #sizeBytes: number;
  readonly #here: string;
  readonly #there: string;
  #program = '';

  constructor(sizeBytes: number) {
    this.#sizeBytes = sizeBytes;
    this.#here = this.#putDisk(this.#sims.a);
    this.#there = this.#putDisk(this.#sims.b);
  }

  /** Not in the hosts' own folders, which may be in memory. */
  #putDisk(host: SimHost): string {
    const file = join(this.#folder, `${host === this.#sims.a ? 'a' : 'b'}.img`);
    writeFileSync(file, '');
    truncateSync(file, this.#sizeBytes);
    mkdirSync(dirname(join(host.dir, image)), { recursive: true });
    symlinkSync(file, join(host.dir, image));
    return file;
  }

  async begin(): Promise<void> {
    this.#program = await bundleModelled(this.#folder);
    this.#sims.a.create(guest, { fillPercent: 0, beaconMs: 0, more: ['--disk'] });
    const data = noise(4 * mib, this.#random);
    this.#change((fd) => {
      for (let at = 0; at < this.#sizeBytes; at += data.length) {
        // No two blocks are the same.
        for (let block = 0; block < data.length; block += blockBytes) {
          data.writeUInt32LE((at + block) / blockBytes, block);
        }
        writeSync(fd, data, 0, data.length, at);
      }
    });
  }

  #change(work: (fd: number) => void): void {
    const fd = openSync(this.#here, 'r+');
    work(fd);
    closeSync(fd);
  }

  /** Writes so much of the disk anew, in pieces of `bytes` at random places. */
  change(bytes: number): void {
    const pieces = Math.max(1, Math.round((this.#sizeBytes * changedShare) / bytes));
    const data = noise(bytes, this.#random);
    this.#change((fd) => {
      for (let piece = 0; piece < pieces; piece += 1) {
        data.writeUInt32LE(this.#random.next().value, 0);
        const place = this.#random.next().value % (this.#sizeBytes / bytes);
        writeSync(fd, data, 0, bytes, place * bytes);
      }
    });
  }

  #env(host: SimHost): NodeJS.ProcessEnv {
    const dir = dirname(host.dir);
    const name = host === this.#sims.a ? 'a' : 'b';
    return {
      PATH: process.env['PATH'],
      SIMXL_HOST: host.dir,
      TSREMUS_LIBXL: nativeFile('libsimxl.so'),
      TSREMUS_RUN_DIR: join(dir, `run-${name}`),
      TSREMUS_STATE_DIR: join(dir, `state-${name}`),
      TSREMUS_LOG_DIR: join(dir, `log-${name}`),
    };
  }

  async resync(): Promise<Resynced> {
    const receive = join(this.#folder, 'receive');
    const lines = Object.entries(this.#env(this.#sims.b)).map(
      ([key, value]) => `${key}='${value}'`,
    );
    const exec = `exec env ${lines.join(' ')} ${main} receive`;
    writeFileSync(receive, `#!/bin/sh\n${exec}\n`);
    chmodSync(receive, 0o755);
    const argv = [this.#program, 'resync', '--json', '-s', '', guest, receive];
    const session = new Running(process.execPath, argv, {
      ...this.#env(this.#sims.a),
      TSREMUS_NATIVE: nativeFile('bench/libtsremus.so'),
      BENCH_DISK_BYTES: String(this.#sizeBytes),
    });
    const { code, out, err } = await session.ended;
    if (code !== 0) throw new Error(`resync ended with ${code}: ${out.slice(-2_000)}${err}`);
    const same = await run('cmp', [this.#here, this.#there], { PATH: process.env['PATH'] });
    if (same.code !== 0) throw new Error(`the disks differ: ${same.out}${same.err}`);
    const result = session.events.find(({ message_type: kind }) => kind === 'result');
    return result as unknown as Resynced;
  }

  close(): void {
    this.#sims.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

interface Case {
  readonly name: string;
  /** Of the pieces that are written anew before; null: none are. */
  readonly changedBytes: number | null;
}

const cases: readonly Case[] = [
  { name: 'all of it, onto a blank disk', changedBytes: null },
  { name: 'nothing has changed', changedBytes: null },
  { name: '1 % in pieces of 1 MiB', changedBytes: mib },
  { name: '1 % in pieces of 4 KiB', changedBytes: 4 * kib },
];

export async function diskReturn(scale: Scale): Promise<Section> {
  const sizeBytes = sizesMib[scale] * mib;
  const bench = new Bench(sizeBytes);
  try {
    await bench.begin();
    const done: (Case & Resynced)[] = [];
    for (const one of cases) {
      if (one.changedBytes !== null) bench.change(Math.min(one.changedBytes, sizeBytes / 8));
      done.push({ ...one, ...(await bench.resync()) });
    }
    const [whole] = done;
    if (whole === undefined) throw new Error('nothing was measured');
    return {
      name: 'disk-return',
      tables: [
        {
          title: `A disk of ${sizesMib[scale]} MiB is brought up to date, files, two processes`,
          columns: ['', 's', 'of whole', 'MB/s', 'there already', 'MB sent', 'of whole'],
          rows: done.map(({ name, bytes, ms, sent_bytes: sent, equal_bytes: equal }) => [
            name,
            rounded(ms / 1e3),
            rounded(ms / whole.ms),
            rounded(bytes / ms / 1e3),
            `${rounded((100 * equal) / bytes)} %`,
            rounded(sent / 1e6),
            rounded(sent / whole.sent_bytes),
          ]),
        },
      ],
      limits: [
        'Both hosts read and digest all of their disks, except where the copy is blank: what a ' +
          'disk that has hardly changed takes is one reading, whichever of the two is slower. ' +
          'Here both are files on the same disk, and four busy threads share the processors.',
        'A block of 64 KiB that differs is sent whole: small writes at random places cost more ' +
          'than they wrote.',
      ],
      targets: [],
      skipped: [],
      raw: { sizeBytes, cases: done },
    };
  } finally {
    bench.close();
  }
}
