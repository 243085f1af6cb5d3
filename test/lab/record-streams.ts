/**
 * Records the streams of test/fixtures/streams from real Xen: the first copy and a few epochs of a
 * small PV and a small PVH guest, as libxl wrote them. Run by hand when Xen's version changes:
 *
 *     node --import tsx test/lab/record-streams.ts
 *
 * `tee` stands between protect and its transport, so that what is recorded is what crossed the
 * wire. Of the pages only the numbers are kept, their bodies become zeroes: the recordings are
 * small, and hold no memory of anybody's.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, constants, gunzipSync } from 'node:zlib';
import { FrameDecoder } from '../../src/link/frame-decoder.ts';
import { decodeMessage } from '../../src/link/messages.ts';
import { openStreamDecoder } from '../../src/stream/codec/decoder.ts';
import { pageBodies, readRecords, recordName } from '../native/stream-records.ts';
import { type GuestKind, type Lab, LabError, openLab } from './lab.ts';
import { backupName, waitForEpoch } from './session.ts';
import { checkoutDir } from './settings.ts';

const target = join(checkoutDir, 'test/fixtures/streams');
const recording = '/var/tmp/recorded-stream';
const epochs = 3;
/** The transfer is base64 over an emulated ssh. */
const transferTimeoutMs = 300_000;

async function must(lab: Lab, command: string, timeoutMs = 60_000): Promise<string> {
  const result = await lab.ssh('a', command, { timeoutMs });
  if (result.code !== 0) throw new LabError(`${command}: ${result.stderr.trim()}`);
  return result.stdout;
}

/** Everything that the primary said on the wire. */
async function record(lab: Lab, guest: string, kind: GuestKind): Promise<Buffer> {
  await lab.clean();
  await lab.createGuest('a', guest, kind, { rate: 200, pages: 1024 });
  const transport = `tee ${recording} | ssh ${backupName('a')} tsremus receive`;
  const protect = `tsremus protect -F -n -d -u -s '' ${guest} '${transport}'`;
  await must(lab, `(setsid ${protect} </dev/null >/run/record.out 2>&1 &)`);
  await waitForEpoch(lab, 'a', guest, epochs);
  await must(lab, `tsremus stop ${guest}`);
  const text = await must(lab, `gzip -1 -c ${recording} | base64 -w0`, transferTimeoutMs);
  await must(lab, `rm ${recording}`);
  return gunzipSync(Buffer.from(text, 'base64'));
}

/** The checkpoint stream that frames carried, up to the end of the last whole epoch wanted. */
async function streamOf(wire: Buffer): Promise<Buffer> {
  const decoder = new FrameDecoder();
  decoder.push(wire);
  const batches = await openStreamDecoder({ codec: 'none', cacheBytes: 0 });
  const chunks: Buffer[] = [];
  let whole = 0;
  for (let frame = decoder.next(); frame !== null; frame = decoder.next()) {
    const message = decodeMessage(frame);
    if (message.kind === 'data') {
      await batches.decode(message.chunk, (raw) => void chunks.push(raw));
    }
    if (message.kind !== 'epoch-end') continue;
    await batches.endEpoch(message.digest);
    whole = chunks.length;
    if (message.epoch === epochs) break;
  }
  batches.close();
  return Buffer.concat(chunks.slice(0, whole));
}

function withoutPages(stream: Buffer): Buffer {
  const reduced = Buffer.from(stream);
  for (const found of readRecords(stream)) {
    if (recordName(found) !== 'libxc PAGE_DATA') continue;
    const { from, to } = pageBodies(stream, found);
    reduced.fill(0, from, to);
  }
  return reduced;
}

function compress(stream: Buffer): Buffer {
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: 9,
    [constants.BROTLI_PARAM_LGWIN]: 24,
    [constants.BROTLI_PARAM_SIZE_HINT]: stream.length,
  };
  return brotliCompressSync(stream, { params });
}

async function main(): Promise<void> {
  const lab = await openLab('recording of streams', console.log);
  try {
    await lab.install();
    mkdirSync(target, { recursive: true });
    const notes: Record<string, object> = {};
    for (const [guest, kind] of [
      ['g1', 'pv'],
      ['h1', 'pvh'],
    ] as const) {
      const stream = withoutPages(await streamOf(await record(lab, guest, kind)));
      const compressed = compress(stream);
      writeFileSync(join(target, `${kind}.br`), compressed);
      const records = readRecords(stream).length;
      notes[kind] = { epochs: epochs + 1, records, bytes: stream.length, memory_mib: 128 };
      console.log(`${kind}: ${stream.length} bytes, ${compressed.length} compressed`);
    }
    const tools = (await must(lab, "dpkg-query -W 'libxenmisc*' || true")).trim();
    const note = {
      recorded: new Date().toISOString().slice(0, 10),
      hypervisor: lab.images.hypervisor.version,
      tools: tools.replace(/\s+/g, ' '),
      tsremus: (
        JSON.parse(readFileSync(join(checkoutDir, 'package.json'), 'utf8')) as {
          version: string;
        }
      ).version,
      streams: notes,
    };
    writeFileSync(join(target, 'recorded.json'), `${JSON.stringify(note, null, 2)}\n`);
  } finally {
    lab.close();
  }
}

await main();
