/**
 * Streams recorded in the lab from real Xen parse the same way as those of simxl: the checker takes
 * both, and the records of both come in the same order.
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliDecompressSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { NativeError } from '../../src/native/loader.ts';
import { XenLibrary } from '../../src/native/xen.ts';
import { simPair } from '../simxl/sim-host.ts';
import { pageBodies, readRecords, recordName, sequenceOf } from './stream-records.ts';

const folder = join(import.meta.dirname, '../fixtures/streams');
const side = join(import.meta.dirname, '../simxl/side.ts');
const kinds = ['pv', 'pvh'] as const;
const mayBeEmpty = new Set(['libxc X86_PV_VCPU_XSAVE', 'libxc X86_PV_VCPU_MSRS']);

interface Notes {
  readonly streams: Readonly<Record<string, { epochs: number; records: number; bytes: number }>>;
}

const notes = JSON.parse(readFileSync(join(folder, 'recorded.json'), 'utf8')) as Notes;
const recorded = (kind: string) => brotliDecompressSync(readFileSync(join(folder, `${kind}.br`)));

/** struct tsr_stream_stats, as far as this test looks. */
function check(stream: Buffer, chunkBytes: number) {
  const native = new XenLibrary();
  const handle = native.streamNew();
  const stats = Buffer.alloc(64);
  try {
    for (let at = 0; at < stream.length; at += chunkBytes) {
      native.streamCheck(handle, stream.subarray(at, at + chunkBytes), stats);
    }
  } finally {
    native.streamFree(handle);
  }
  return {
    offset: Number(stats.readBigUInt64LE(0)),
    epochs: Number(stats.readBigUInt64LE(8)),
    records: Number(stats.readBigUInt64LE(24)),
  };
}

/** What simxl writes for a guest of this kind: the first copy and some epochs. */
async function simulated(kind: string, epochs: number): Promise<Buffer> {
  const pair = simPair();
  try {
    pair.a.create('guest', { type: kind as 'pv', rate: 2000 });
    const child = spawn(
      process.execPath,
      ['--import', 'tsx', side, 'save', 'guest', String(epochs), 'stock'],
      { env: { ...process.env, ...pair.a.env }, stdio: ['ignore', 'pipe', 'ignore'] },
    );
    const chunks: Buffer[] = [];
    for await (const chunk of child.stdout) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks);
  } finally {
    pair.close();
  }
}

describe.each(kinds)('a %s stream recorded from real Xen', (kind) => {
  const stream = recorded(kind);
  const note = notes.streams[kind];

  it('is taken by the checker, in whatever pieces it comes', () => {
    for (const chunkBytes of [stream.length, 65_536, 4_099]) {
      const { offset, epochs, records } = check(stream, chunkBytes);
      expect({ offset, epochs, records }).toEqual({
        offset: stream.length,
        epochs: note?.epochs,
        records: note?.records,
      });
    }
  });

  it('has its records in the order in which simxl writes them', async () => {
    const real = readRecords(stream);
    const ours = readRecords(await simulated(kind, 3));
    // libxc leaves out a vCPU's XSAVE and MSRS where they are empty (xg_sr_save_x86_pv.c), as on
    // the lab's emulated processor, which has no XSAVE.
    const isThere = (name: string) => !mayBeEmpty.has(name) || names.has(name);
    const names = new Set([0, 1, 2].flatMap((epoch) => sequenceOf(real, epoch)));
    for (const epoch of [0, 1, 2]) {
      expect(sequenceOf(ours, epoch).filter(isThere)).toEqual(sequenceOf(real, epoch));
    }
  });

  it('is refused where it was damaged', () => {
    for (const record of readRecords(stream).filter((r) => r.epoch > 0)) {
      if (recordName(record) !== 'libxc PAGE_DATA') continue;
      const damaged = Buffer.from(stream);
      // One page number more than there are: the bodies no longer fit.
      damaged.writeUInt32LE(damaged.readUInt32LE(record.offset + 8) + 1, record.offset + 8);
      expect(() => check(damaged, damaged.length)).toThrow(NativeError);
      expect(pageBodies(stream, record).to).toBeGreaterThan(record.offset);
      break;
    }
  });
});
