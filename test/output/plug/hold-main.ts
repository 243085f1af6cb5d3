/**
 * The second hold on the kernel that this runs on, in a network namespace of its own (hold.test.ts
 * makes it), with real frames: a redirect of ours by way of plain queues (few kernels have plugs),
 * and somebody else who takes it away while frames come. Prints one JSON line: what came out, or
 * why this kernel cannot be asked.
 *
 *     guest0 = vif9.0 - br0 - in0 = out0 (counts)
 *                |  ^
 *                v  |
 *              tsr9.0a
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { errorText } from '../../../src/host/errors.ts';
import { PlugLibrary } from '../../../src/native/plug.ts';
import { driverOf } from '../../../src/output/plug/driver.ts';
import { openDevices } from '../../../src/output/plug/interfaces.ts';
import { batch, toolRunner } from '../../../src/output/plug/tools.ts';
import { carry } from './in-namespace.ts';

const [guest, vif, queue, outside] = ['guest0', 'vif9.0', 'tsr9.0a', 'out0'];
const hold = 'tsr9.0';
/** What comes out does so when it is sent, or a moment later: only what is lost takes as long. */
const arriveMsMax = 60_000;
const runTool = toolRunner(process.env);
const toolOf =
  (tool: 'ip' | 'tc') =>
  (...lines: string[]) => {
    const words = lines.map((one) => one.split(' '));
    return batch(runTool, tool, words, 'cannot prepare');
  };
const ip = toolOf('ip');
const tc = toolOf('tc');
const native = new PlugLibrary();
const driver = driverOf(native, native.plugOpen());

/** A sender of its own keeps sending: what is taken away meanwhile lets out what it lets out. */
const isSender = process.argv[2] === 'send';
const frame = Buffer.from(`ffffffffffff00163e00000188b5${'00'.repeat(60)}`, 'hex');
const send = (count: number) => {
  for (let at = 0; at < count; at++) native.sendFrame(guest, frame);
};

const counted = (device: string, what: string) =>
  Number(readFileSync(`/sys/class/net/${device}/statistics/${what}`, 'utf8'));
const arrived = () => counted(outside, 'rx_packets');

/** How many more come out while `work` is done, once as many as `due` have, or all is quiet. */
async function comesOut(due: number, work: () => Promise<void> | void): Promise<number> {
  const before = arrived();
  await work();
  const endMs = performance.now() + (due > 0 ? arriveMsMax : 200);
  while (arrived() - before < due || due === 0) {
    if (performance.now() > endMs) break;
    await sleep(1);
  }
  return arrived() - before;
}

const redirect = (action: number) => [
  `qdisc add dev ${vif} clsact`,
  `filter add dev ${vif} ingress protocol all prio 1 u32 match u32 0 0 at -4 ` +
    `action mirred egress redirect dev ${queue} index ${action}`,
];

async function prepare(): Promise<void> {
  for (const which of ['all', 'default']) {
    // Only what the guest sends is to be counted.
    writeFileSync(`/proc/sys/net/ipv6/conf/${which}/disable_ipv6`, '1');
  }
  await ip(
    `link add ${guest} type veth peer name ${vif}`,
    `link add in0 type veth peer name ${outside}`,
    'link add br0 type bridge forward_delay 0 stp_state 0 mcast_snooping 0',
    `link add ${queue} txqueuelen 1000 type ifb`,
    ...[vif, 'in0'].map((port) => `link set ${port} master br0`),
    ...[guest, vif, 'br0', 'in0', outside, queue].map((one) => `link set ${one} up`),
  );
  await carry(guest, vif, 'in0', outside);
}

/** Frames come while the ingress qdisc goes: how many got past the redirect and the hold. */
async function race(action: number): Promise<{ sent: number; escaped: number }> {
  await tc(...redirect(action));
  const [before, sentBefore] = [arrived(), counted(guest, 'tx_packets')];
  const returned = counted(queue, 'tx_packets');
  const argv = [...process.execArgv, process.argv[1] ?? '', 'send'];
  const sender = spawn(process.execPath, argv, { stdio: ['pipe', 'ignore', 'inherit'] });
  while (arrived() - before < 500) await sleep(1);
  await tc(`qdisc del dev ${vif} clsact`);
  const last = counted(guest, 'tx_packets');
  while (counted(guest, 'tx_packets') - last < 500) await sleep(1);
  sender.stdin.end();
  await once(sender, 'exit');
  const sent = counted(guest, 'tx_packets') - sentBefore;
  // What was on its way through the queue comes out of it, and is no escape.
  const due = () => counted(queue, 'tx_packets') - returned;
  const endMs = performance.now() + arriveMsMax;
  while (arrived() - before < due() && performance.now() < endMs) await sleep(1);
  return { sent, escaped: arrived() - before - due() };
}

async function measure() {
  await prepare();
  const index = openDevices().index(vif) ?? 0;
  const queues = [openDevices().index(queue) ?? 0];
  const action = 0x4000_0000 + index;
  const given = { interfaceIndex: index, queues, action: null, limitBytes: 0 };
  const port = driver.add({ ...given, how: 'adopt' });
  await tc(...redirect(action));
  driver.hold(port, hold);
  const redirected = await comesOut(20, () => send(20));
  const bare = await comesOut(0, async () => {
    await tc(`qdisc del dev ${vif} clsact`);
    send(20);
  });
  const raced = await race(action);
  // As a firewall that is loaded anew leaves it.
  await driver.unhold(hold);
  const open = await comesOut(20, () => send(20));
  driver.hold(port, hold);
  const again = await comesOut(0, () => send(20));
  await driver.unhold(hold);
  await driver.unhold(hold);
  const gone = await comesOut(20, () => send(20));
  return { redirected, bare, raced: raced.sent >= 1000, escaped: raced.escaped, open, again, gone };
}

/** Why this kernel cannot be asked; null: it can. */
async function probed(): Promise<string | null> {
  try {
    await ip('link add tprobe0 type veth peer name tprobe1', 'link add tprobe2 type ifb');
    await tc(
      'qdisc add dev tprobe0 clsact',
      'filter add dev tprobe0 ingress protocol all prio 1 u32 match u32 0 0 ' +
        'action mirred egress redirect dev tprobe2',
    );
    const index = openDevices().index('tprobe0');
    const given = { queues: [1], action: null, limitBytes: 0, how: 'adopt' as const };
    driver.hold(driver.add({ ...given, interfaceIndex: index }), 'tprobe');
    await driver.unhold('tprobe');
    await ip('link del tprobe0', 'link del tprobe2');
    return null;
  } catch (error) {
    return errorText(error);
  }
}

if (isSender) {
  process.stdin.on('end', () => process.exit(0)).resume();
  for (;;) {
    send(50);
    await sleep(0);
  }
}
const skip = await probed();
process.stdout.write(`${JSON.stringify(skip === null ? await measure() : { skip })}\n`);
