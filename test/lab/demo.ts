/**
 * `npm run demo`: two real Xen hosts, a guest that rewrites its memory, protection, the death of
 * the first host, and the guest going on at the second. Exits 0 only if boot id, counter and memory
 * checksum continue there.
 */
import {
  down,
  type GuestState,
  guestState,
  hosts,
  type Lab,
  openLab,
  setGuestRate,
  verifyGuest,
  waitForGuest,
} from './lab.ts';
import { peek, protect, protectOutput, sessionLog, waitForEpoch } from './session.ts';

const guest = 'g1';
const pagesPerSecond = 2000;
const epochs = 30;
/** The protocol's own bounds under emulation: the heartbeat timeout and the build of the copy. */
const takeoverMsMax = 60_000;

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
}

async function run(lab: Lab): Promise<boolean> {
  await lab.clean();
  await lab.install();
  const kind = lab.images.hypervisor.shadowPaging ? 'pv' : 'pvh';
  say(`Xen ${lab.images.hypervisor.version} on ${hosts.a.name} and ${hosts.b.name}`);
  await lab.createGuest('a', guest, kind);
  await setGuestRate(guest, pagesPerSecond);
  say(
    `guest ${guest} (${kind}, 128 MB) runs on ${hosts.a.name}, rewriting ${pagesPerSecond} pages/s`,
  );
  say(`$ tsremus protect -F -n -d ${guest} ${hosts.b.name}`);
  await protect(lab, 'a', guest);
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
  return report(lab, await killAndWait(lab));
}

async function killAndWait(lab: Lab): Promise<Ending> {
  const before = await guestState(guest);
  const killedMs = await lab.kill('a');
  say(`host ${hosts.a.name} is dead (SIGKILL of its emulator)`);
  const after = await waitForGuest(guest, takeoverMsMax);
  return { killedMs, before, after, answeredMs: Date.now() };
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
  const later = await guestState(guest);
  const checks: [string, boolean][] = [
    ['same boot id, kept in memory only', before.boot === after.boot],
    // The copy may be one epoch older than the last look, never more.
    [
      'the counter continues',
      after.counter > before.counter - 500 && later.counter > after.counter,
    ],
    [`memory checksum over ${verified.pages} pages`, verified.ok && verified.checksumOk],
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

const keep = process.argv.includes('--keep');
let ok = false;
const lab = await openLab('demo', say);
try {
  ok = await run(lab);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
} finally {
  lab.close();
  if (!keep) await down();
}
console.log(ok ? '\nThe guest survived the death of its host.' : '\nThe demonstration FAILED.');
process.exitCode = ok ? 0 : 1;
