/**
 * Records the page mixes of test/fixtures/mixes from a real guest: what stock `xl remus` writes, a
 * seed and some epochs, while the guest does one kind of work. Run by hand:
 *
 *     node --import tsx test/lab/record-mixes.ts [NAME...]
 *
 * The receiver is a shell that greets as xl migrate-receive does and keeps the stream. Of the seed
 * only those pages stay that a later epoch has again: the rest would be megabytes that no delta
 * ever meets. The guest is the lab's, with nothing of anybody's in it; what it unpacks is this
 * project's own tree.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, constants, gunzipSync } from 'node:zlib';
import { epochsOf, filterPages, mixesDir, pagesOf } from '../bench/mixes.ts';
import { readRecords, recordName } from '../native/stream-records.ts';
import { guestConfig, setGuestBeacon, setGuestRate, waitForGuest } from './guest.ts';
import { packFiles } from './initramfs.ts';
import { askGuest, down, type Lab, LabError, openLab, sleep } from './lab.ts';
import { acquireInTurn } from './lock.ts';
import { checkoutDir } from './settings.ts';

const recording = '/var/tmp/recorded-mix';
const ramdisk = '/var/tmp/initramfs-mix';
const guest = 'g1';
const intervalMs = 200;
const epochsMax = 12;
/** A fixture is not to be bigger, compressed. */
const bytesMax = 1_500_000;
const transferTimeoutMs = 300_000;
/** Before the first epoch that counts: the load has come to rest by then. */
const settleMs = 5000;
const recordMs = 12_000;

interface Load {
  /** Of labguest (guest/load.c); `pattern` at rate 0 is an idle guest. */
  readonly load: string;
  /** Pages, rows or lines of a page a second. */
  readonly rate: number;
}

const loads: Readonly<Record<string, Load>> = {
  idle: { load: 'pattern', rate: 0 },
  unpack: { load: 'unpack', rate: 1000 },
  database: { load: 'database', rate: 2000 },
  text: { load: 'text', rate: 1000 },
  random: { load: 'random', rate: 150 },
};

async function must(lab: Lab, command: string, timeoutMs = 60_000, input?: Buffer) {
  const options =
    input === undefined ? { timeoutMs } : { timeoutMs, input: input.toString('base64') };
  const result = await lab.ssh('a', command, options);
  if (result.code !== 0) throw new LabError(`${command.slice(0, 80)}: ${result.stderr.trim()}`);
  return result.stdout;
}

/** The project's own sources and what is built of them: what the guest unpacks. */
function ownTree(): Map<string, Buffer> {
  const listed = execFileSync('git', ['ls-files'], { cwd: checkoutDir, encoding: 'utf8' });
  const names = listed.split('\n').filter((name) => name !== '' && !name.includes('fixtures/'));
  const built = ['dist/main.js', 'native/build/libtsremus.so', 'native/build/libsimxl.so'];
  return new Map(
    [...names, ...built].map((name) => [`source/${name}`, readFileSync(join(checkoutDir, name))]),
  );
}

async function bootGuest(lab: Lab): Promise<void> {
  await lab.clean();
  const config = guestConfig(guest, 'pv', { pages: 1024 }).replace('/lab/initramfs', ramdisk);
  await must(
    lab,
    `base64 -d >/run/mix.cfg && xl create -q /run/mix.cfg`,
    60_000,
    Buffer.from(config),
  );
  await waitForGuest(guest);
}

/** What xl wrote: its own header, then libxl's stream. */
async function record(lab: Lab, { load, rate }: Load): Promise<Buffer> {
  await bootGuest(lab);
  // A beacon ten times a second: an idle machine on a network hears about as much.
  await setGuestBeacon(guest, 100);
  await askGuest(guest, `load ${load}`);
  await setGuestRate(guest, rate);
  await sleep(settleMs);
  const banner = 'xl migration receiver ready, send binary domain data.';
  const receiver = `echo "${banner}"; exec cat >${recording}`;
  const remus = `xl remus -F -n -d -i ${intervalMs} -s '' ${guest} '${receiver}'`;
  await must(lab, `(setsid ${remus} </dev/null >/run/mix.out 2>&1 &)`);
  await sleep(recordMs);
  const end = 'for p in $(pidof libxl-save-helper) $(pidof xl); do kill -KILL $p; done; true';
  await must(lab, end);
  const text = await must(lab, `gzip -1 -c ${recording} | base64 -w0`, transferTimeoutMs);
  await must(lab, `rm -f ${recording}`);
  return gunzipSync(Buffer.from(text, 'base64'));
}

/** Behind xl's header (xl.h, save_file_header): its last word is the configuration's length. */
function withoutXlHeader(saved: Buffer): Buffer {
  const fixedBytes = 48;
  return saved.subarray(fixedBytes + saved.readUInt32LE(fixedBytes - 4));
}

/** The seed and the first `count` epochs; the end of the recording is torn. */
function wholeEpochs(stream: Buffer, count: number): Buffer {
  let end = 0;
  const step = (at: number) => 8 + Math.ceil(stream.readUInt32LE(at + 4) / 8) * 8;
  // readRecords refuses what goes beyond the end: find the last whole epoch first.
  let [at, inLibxc, epochs] = [16, false, 0];
  while (at + 8 <= stream.length && epochs <= count) {
    const type = stream.readUInt32LE(at);
    const next = at + step(at);
    if (next > stream.length) break;
    at = next;
    if (!inLibxc && type === 1) {
      at += 40;
      inLibxc = true;
    } else if (inLibxc && type === 14) {
      inLibxc = false;
    } else if (!inLibxc && type === 4) {
      inLibxc = true;
      epochs += 1;
      end = at;
    }
  }
  return stream.subarray(0, end);
}

const numberMask = (1n << 52n) - 1n;

/** Of the seed only what comes again. */
function reduced(stream: Buffer): Buffer {
  const again = new Set<bigint>();
  for (const found of readRecords(stream)) {
    if (recordName(found) !== 'libxc PAGE_DATA' || found.epoch === 0) continue;
    for (const { name } of pagesOf(stream, found)) again.add(name & numberMask);
  }
  return filterPages(stream, ({ name }, epoch) => epoch > 0 || again.has(name & numberMask));
}

function compress(stream: Buffer): Buffer {
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: 9,
    [constants.BROTLI_PARAM_LARGE_WINDOW]: 1,
    [constants.BROTLI_PARAM_LGWIN]: 27,
    [constants.BROTLI_PARAM_SIZE_HINT]: stream.length,
  };
  return brotliCompressSync(stream, { params });
}

/** What xl wrote -> as many of its epochs as fit into a fixture. */
export function fixtureOf(saved: Buffer): { compressed: Buffer; stream: Buffer; epochs: number } {
  const whole = wholeEpochs(withoutXlHeader(saved), epochsMax);
  for (let epochs = epochsOf(whole).length - 1; epochs > 0; epochs--) {
    const stream = reduced(wholeEpochs(whole, epochs));
    const compressed = compress(stream);
    if (compressed.length <= bytesMax) return { compressed, stream, epochs };
  }
  throw new LabError(`not even one epoch fits into ${bytesMax} bytes`);
}

async function main(names: readonly string[]): Promise<void> {
  const release = await acquireInTurn('recording of page mixes', console.log);
  // The hosts may run with a guest program that knows no loads.
  await down();
  const lab = await openLab('recording of page mixes', console.log);
  try {
    await must(lab, `base64 -d >${ramdisk}.more`, 120_000, packFiles(ownTree()));
    await must(lab, `cat /lab/initramfs ${ramdisk}.more >${ramdisk}`);
    mkdirSync(mixesDir, { recursive: true });
    const notes: Record<string, object> = {};
    for (const name of names) {
      const load = loads[name];
      if (load === undefined) throw new LabError(`no load ${name}`);
      const { compressed, stream, epochs } = fixtureOf(await record(lab, load));
      writeFileSync(join(mixesDir, `${name}.br`), compressed);
      notes[name] = { ...load, epochs, bytes: stream.length };
      console.log(`${name}: ${epochs} epochs, ${stream.length} bytes, ${compressed.length} kept`);
    }
    const note = {
      recorded: new Date().toISOString().slice(0, 10),
      hypervisor: lab.images.hypervisor.version,
      guest: 'PV, 128 MiB',
      interval_ms: intervalMs,
      mixes: notes,
    };
    writeFileSync(join(mixesDir, 'recorded.json'), `${JSON.stringify(note, null, 2)}\n`);
    await lab.clean();
  } finally {
    lab.close();
    release();
  }
}

if (process.argv[1] === import.meta.filename) {
  const named = process.argv.slice(2);
  await main(named.length > 0 ? named : Object.keys(loads));
}
