/**
 * `npm run demo`: two real Xen hosts, a guest that rewrites its memory and its disk, protection,
 * the death of the first host, and the guest going on at the second. A client keeps one TCP
 * connection open all the time. Exits 0 only if boot id, counter and memory checksum continue
 * there, the disk is of the same moment, what was durable before is there, and the client's
 * connection goes on with the very next number.
 */
import { parseArgs } from 'node:util';
import { checkNumbers } from './commit-check.ts';
import { journalOn, makeVolume, volumePath } from './disks.ts';
import {
  appendInGuest,
  down,
  type GuestState,
  guestState,
  hangMs,
  hosts,
  type Lab,
  LabError,
  openLab,
  setGuestDisk,
  setGuestRate,
  verifyGuest,
  verifyGuestDisk,
  waitForGuest,
} from './lab.ts';
import { peek, protect, protectOutput, sessionLog, waitForEpoch } from './session.ts';
import { askedSuite } from './suites.ts';
import { startTalk, type Talk } from './traffic.ts';

const guest = 'g1';
const pagesPerSecond = 2000;
const volumeMib = 16;
const requestsPerSecond = 50;
/** Of a journal on its disk: each is told once it is durable. */
const journalEntries = 3;
const epochs = 30;
/** What was on its way when the host died has come by then. */
const inFlightMs = 300;
/** The client asks this often, whether it has answers or not. */
const askEveryUs = 20_000;

const startedMs = Date.now();

function say(text: string): void {
  const seconds = ((Date.now() - startedMs) / 1000).toFixed(1).padStart(6);
  console.log(`${seconds} s  ${text}`);
}

interface Ending {
  readonly killedMs: number;
  readonly before: GuestState;
  readonly after: GuestState;
  readonly answeredMs: number;
  readonly client: Talk;
  /** The last entry of the journal that somebody was told of before. */
  readonly entry: number;
}

async function run(lab: Lab): Promise<boolean> {
  await lab.clean();
  await lab.install();
  const kind = lab.images.hypervisor.shadowPaging ? 'pv' : 'pvh';
  say(`Xen ${lab.images.hypervisor.version} on ${hosts.a.name} and ${hosts.b.name}`);
  const disk = await makeVolume(lab, guest, volumeMib);
  await lab.createGuest('a', guest, kind, { disk });
  await setGuestRate(guest, pagesPerSecond);
  await setGuestDisk(guest, requestsPerSecond);
  say(
    `guest ${guest} (${kind}, 128 MB) runs on ${hosts.a.name}, rewriting ${pagesPerSecond} pages/s`,
  );
  say(`and ${disk} (${volumeMib} MB), ${requestsPerSecond} requests/s`);
  const client = await startTalk(guest, { intervalUs: askEveryUs });
  say('a client outside asks it for the next number, over one TCP connection');
  say(`$ tsremus protect ${guest} ${hosts.b.name}`);
  await protect(lab, 'a', guest, { buffered: true, disks: true, inWindow: true });
  await waitForEpoch(lab, 'a', guest, 0);
  const first = Date.now();
  say('the first copy is acknowledged: protected');
  const entry = await waitForEpoch(lab, 'a', guest, epochs);
  const pauses = entry.epochs.map((epoch) => epoch.pause_ms);
  const mean = pauses.reduce((sum, ms) => sum + ms, 0) / Math.max(1, pauses.length);
  const periodMs = (Date.now() - first) / (entry.epoch ?? 1);
  say(
    `${entry.epoch} epochs acknowledged, one every ${Math.round(periodMs)} ms, ` +
      `pause ${Math.round(mean)} ms`,
  );
  console.log(indent(await protectOutput(lab, 'a', guest)));
  const ok = await report(lab, await killAndWait(lab, client));
  await client.stop();
  return ok;
}

async function killAndWait(lab: Lab, client: Talk): Promise<Ending> {
  let entry = 0;
  while (entry < journalEntries) entry = await appendInGuest(guest);
  say(`${entry} entries of its journal are durable, as it says`);
  const before = await guestState(guest);
  const killedMs = await lab.kill('a');
  say(`host ${hosts.a.name} is dead (SIGKILL of its emulator)`);
  const after = await waitForGuest(guest);
  const answeredMs = Date.now();
  // Its connection goes on when TCP tries again, which it does ever more rarely.
  await client.waitForAnswers(10, answeredMs, hangMs).catch((error) => say(String(error)));
  return { killedMs, before, after, answeredMs, client, entry };
}

/** What the client saw; the silence is the whole of what it felt. */
function reportClient({ client, killedMs }: Ending): [string, boolean][] {
  const verdict = checkNumbers(client.answers);
  // What was on its way when the host died still arrives.
  const last = client.answers.filter(({ timeMs }) => timeMs <= killedMs + inFlightMs).at(-1);
  const first = client.answers.find(({ timeMs }) => timeMs > killedMs + inFlightMs);
  console.log('\nThe client, over one TCP connection:');
  console.log(
    `  ${verdict.answers} answers; the longest silence was ${seconds(verdict.silenceMs)}`,
  );
  console.log(`  the last number from ${hosts.a.name} was ${last?.number ?? 'none'}`);
  const late = first === undefined ? '' : `, ${seconds(first.timeMs - killedMs)} after the kill`;
  console.log(`  it went on with ${first?.number ?? 'none'}${late}`);
  const goesOn = client.broken === null && first !== undefined;
  return [
    ["the client's TCP connection goes on", goesOn],
    ['every number the one before and one more', verdict.breaks === 0],
  ];
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

async function report(lab: Lab, ending: Ending): Promise<boolean> {
  const { killedMs, before, after, answeredMs } = ending;
  const copy = await peek(lab, 'b', guest, 'backup');
  const log = await sessionLog(lab, 'b', guest, 'backup');
  const at = (pattern: RegExp) => log.find((line) => pattern.test(line.text));
  const row = (timeMs: number | undefined, text: string) => {
    const ms = timeMs === undefined ? '       ?' : `${Math.round(timeMs - killedMs)}`.padStart(8);
    console.log(`  ${ms} ms  ${text}`);
  };
  console.log('\nTimeline, from the kill:');
  row(killedMs, `${hosts.a.name} killed; the guest's counter was ${before.counter}`);
  const detected = at(/record standby -> activating/);
  row(detected?.timeMs, `${hosts.b.name} activates: ${detected?.text.replace(/^ *-> /, '') ?? ''}`);
  row(at(/^built/)?.timeMs, `the copy of epoch ${copy?.epoch ?? '?'} is built`);
  row(at(/^running/)?.timeMs, `the guest runs on ${hosts.b.name}`);
  row(answeredMs, `the guest answers; its counter is ${after.counter}`);
  const verified = await verifyGuest(guest);
  const disked = await verifyGuestDisk(guest);
  const entries = await journalOn(lab, 'b', volumePath(guest), before.boot);
  const later = await guestState(guest);
  const checks: [string, boolean][] = [
    ['same boot id, kept in memory only', before.boot === after.boot],
    // What it said before was let out because its epoch was acknowledged: the copy knows of it.
    ['the counter continues', after.counter > before.counter && later.counter > after.counter],
    [`memory checksum over ${verified.pages} pages`, verified.ok && verified.checksumOk],
    [`${disked.sectors} sectors of the disk as its memory knows them`, disked.ok],
    [`the journal on ${hosts.b.name}'s disk has entry ${ending.entry}`, entries >= ending.entry],
    ...reportClient(ending),
  ];
  console.log('');
  for (const [what, ok] of checks) console.log(`  ${ok ? 'ok    ' : 'FAILED'}  ${what}`);
  console.log(indent((await lab.ssh('b', 'tsremus status')).stdout));
  return checks.every(([, ok]) => ok);
}

function indent(text: string): string {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => `          | ${line}`)
    .join('\n');
}

async function main(): Promise<boolean> {
  const { values } = parseArgs({
    options: { suite: { type: 'string' }, keep: { type: 'boolean', default: false } },
  });
  const lab = await openLab('demo', say, { suite: askedSuite(values.suite) });
  try {
    return await run(lab);
  } finally {
    lab.close();
    if (!values.keep) await down();
  }
}

let ok = false;
try {
  ok = await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  if (error instanceof LabError && error.hint) console.error(`Try: ${error.hint}`);
}
console.log(ok ? '\nThe guest survived the death of its host.' : '\nThe demonstration FAILED.');
process.exitCode = ok ? 0 : 1;
