/**
 * How much of a running guest's output one epoch can hold before its transmit ring stands still,
 * with three set-ups. For a lab's host, where the guest sends as much as it can meanwhile:
 *
 *     node held-main.mjs DOMID SECONDS
 *
 * `plain`: the redirect to the plug and nothing else; `tap`: what tsremus does, a packet socket
 * that takes nothing (native/src/plug.c, open_tap); `veth`: through a pair of veths to the plug,
 * whose crossing copies as well (skb_orphan_frags in __dev_forward_skb2, net/core/dev.c). Each is
 * closed for SECONDS, sampled, and dropped open again. A JSON line for each.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NativeLibrary } from '../../../src/native/library.ts';
import { openPlug, type PlugDriver } from '../../../src/output/plug/driver.ts';
import { openDevices } from '../../../src/output/plug/interfaces.ts';
import { setUpBuffer } from '../../../src/output/plug/set-up.ts';
import { batch, batchAll, loadModules, runTool, tcJson } from '../../../src/output/plug/tools.ts';

const limitBytes = 64 * 1024 * 1024;
const sampleEveryMs = 100;
/** The guest's ring works again, and what was let out is out. */
const restMs = 1000;
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

interface Held {
  readonly packets: number;
  readonly bytes: number;
}

/** Samples until the end; `stalled`: nothing more came in the last half of the time. */
async function sample(seconds: number, look: () => Promise<Held> | Held) {
  const beganMs = performance.now();
  let half: Held | null = null;
  let held: Held = { packets: 0, bytes: 0 };
  while (performance.now() < beganMs + seconds * 1000) {
    await sleep(sampleEveryMs);
    held = await look();
    if (half === null && performance.now() > beganMs + seconds * 500) half = held;
  }
  return { ...held, stalled: half !== null && half.packets === held.packets };
}

/** tsremus's own buffer, with its tap or without it. */
async function own(domid: number, seconds: number, tap: boolean) {
  const dir = mkdtempSync(join(tmpdir(), 'tsremus-held-'));
  const drivers: PlugDriver[] = [];
  const open = () => {
    const driver = openPlug();
    drivers.push(driver);
    if (tap) return driver;
    const add: PlugDriver['add'] = (port) => driver.add({ ...port, interfaceIndex: null });
    return { ...driver, add };
  };
  const tools = { run: runTool, openPlug: open, devices: openDevices() };
  const whose = { domain: 'measured', domid, uuid: '6a7b', session: 'held', script: null };
  const statePath = join(dir, 'state.json');
  const rest = { interfaceCount: 1, limitBytes, statePath, onNews() {} };
  const buffer = await setUpBuffer({ ...whose, ...rest }, tools);
  try {
    new NativeLibrary().plugBarrier(drivers[0]?.handle ?? -1, 0);
    return await sample(seconds, () => buffer.held());
  } finally {
    await buffer.open();
    rmSync(dir, { recursive: true });
  }
}

/** By hand: the frames cross a pair of veths before they come to the plug. */
async function throughVeths(domid: number, seconds: number) {
  const name = openDevices().ofGuest(domid)[0]?.name ?? '';
  const [near, far, queue] = ['tsrheld0', 'tsrheld1', 'tsrheldq'];
  const doing = 'cannot set the veths up';
  const ups = [near, far, queue].flatMap((device) => [
    ['link', 'set', 'dev', device, 'addrgenmode', 'none'],
    ['link', 'set', 'dev', device, 'up'],
  ]);
  const links = [
    ['link', 'add', near, 'type', 'veth', 'peer', 'name', far],
    ['link', 'add', queue, 'txqueuelen', '1000', 'type', 'ifb'],
    ...ups,
  ];
  await batch(runTool, 'ip', links, doing);
  const redirect = (from: string, to: string) => [
    ['qdisc', 'add', 'dev', from, 'clsact'],
    [
      ...['filter', 'add', 'dev', from, 'ingress', 'protocol', 'all', 'matchall'],
      ...['action', 'mirred', 'egress', 'redirect', 'dev', to],
    ],
  ];
  const plug = ['qdisc', 'add', 'dev', queue, 'root', 'plug', 'limit', String(limitBytes)];
  try {
    await batch(runTool, 'tc', [plug, ...redirect(far, queue), ...redirect(name, near)], doing);
    return await sample(seconds, async () => {
      const rows = await tcJson(runTool, ['-s', 'qdisc', 'show', 'dev', queue], 'cannot look');
      const row = rows.find(({ kind }) => kind === 'plug') ?? {};
      return { packets: Number(row['qlen'] ?? 0), bytes: Number(row['backlog'] ?? 0) };
    });
  } finally {
    await batchAll(runTool, 'tc', [['qdisc', 'del', 'dev', name, 'clsact']]);
    const gone = [near, queue].map((device) => ['link', 'del', device]);
    await batchAll(runTool, 'ip', gone);
  }
}

const [domid, seconds] = process.argv.slice(2).map(Number);
if (!domid || !seconds) throw new Error('usage: held-main.mjs DOMID SECONDS');
await loadModules(runTool);
const setUps = {
  plain: () => own(domid, seconds, false),
  tap: () => own(domid, seconds, true),
  veth: () => throughVeths(domid, seconds),
};
for (const [setUp, measure] of Object.entries(setUps)) {
  const held = await measure();
  process.stdout.write(`${JSON.stringify({ setUp, ...held })}\n`);
  await sleep(restMs);
}
