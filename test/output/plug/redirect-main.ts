/**
 * The redirect with u32 on the kernel that this runs on, in a network namespace of its own
 * (redirect.test.ts makes it): the set-up with the real ip and tc, one turn of the action with the
 * real netlink socket (or, told `tc`, with a resident tc), frames of every kind, and the end.
 * Plain queues stand in for the plugs, which few kernels have; so nothing is held, but every
 * device counts what came its way. Prints one JSON line: what was counted, or why this kernel
 * cannot be asked.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { errorText, OperationError } from '../../../src/host/errors.ts';
import { PlugLibrary } from '../../../src/native/plug.ts';
import { driverOf } from '../../../src/output/plug/driver.ts';
import { openDevices } from '../../../src/output/plug/interfaces.ts';
import { setUpBuffer } from '../../../src/output/plug/set-up.ts';
import { batch, findTool, type Run, tcJson, toolRunner } from '../../../src/output/plug/tools.ts';
import { store, time } from '../../fixtures/here.ts';
import { carry } from './in-namespace.ts';

const domid = 9;
/** A frame is there when it is sent, or a moment later: only one that is lost takes as long. */
const arriveMsMax = 60_000;
const [guest, vif] = ['guest0', `vif${domid}.0`];
const doing = 'cannot prepare';
const runTool = toolRunner(process.env);
const toolOf =
  (tool: 'ip' | 'tc') =>
  (...lines: string[]) => {
    const words = lines.map((one) => one.split(' '));
    return batch(runTool, tool, words, doing);
  };
const ip = toolOf('ip');
const tc = toolOf('tc');

/** Broadcast, from a guest: what follows the two addresses, from its type on. */
const kinds: Readonly<Record<string, string>> = {
  ipv4: `0800${'4500005400004000401100000a0900010a0900ff'.padEnd(168, '0')}`,
  ipv6: `86dd${'60000000002411'.padEnd(168, '0')}`,
  arp: `0806${'0001080006040001'.padEnd(56, '0')}`,
  tagged: `81000005${'080045000050'.padEnd(164, '0')}`,
  taggedTwice: `88a8000581000006${'080045000050'.padEnd(164, '0')}`,
  taggedRunt: '8100000508004500',
  ipv4Empty: '0800',
  arpEmpty: '0806',
  unknownEmpty: '88b5',
  unknownOne: '88b501',
  unknownTwo: '88b50102',
  unknownThree: '88b5010203',
  unknownFour: '88b501020304',
  // No type but a length (IEEE 802.3).
  lengthEmpty: '0000',
  lengthThree: '0003424203',
};

/** Why this kernel cannot be asked; null: it can. By hand, with a filter that takes less. */
async function probed(): Promise<string | null> {
  try {
    await ip('link add tprobe0 type veth peer name tprobe1', 'link add tprobe2 type ifb');
    await tc(
      'qdisc add dev tprobe0 clsact',
      'filter add dev tprobe0 ingress protocol all prio 1 u32 match u32 0 0 ' +
        'action mirred egress redirect dev tprobe2',
      'qdisc add dev tprobe2 root pfifo',
    );
    await ip('link del tprobe0', 'link del tprobe2');
    return null;
  } catch (error) {
    return errorText(error);
  }
}

/** As if modprobe knew every module but cls_matchall: this kernel may have them built in. */
const run: Run = async (argv, options) => {
  if (argv[0] !== 'modprobe') return runTool(argv, options);
  if (!argv.includes('cls_matchall')) return { stdout: '', code: 0 };
  throw new OperationError('command-failed', 'modprobe: exit code 1', { op: 'run-command' });
};

/** Frames that came to a device so far. */
const received = (device: string) =>
  Number(readFileSync(`/sys/class/net/${device}/statistics/rx_packets`, 'utf8'));

/** Which kinds did not come to `device` when they were sent, each by itself. */
async function sendAll(native: PlugLibrary, device: string): Promise<string[]> {
  const missed: string[] = [];
  for (const [kind, hex] of Object.entries(kinds)) {
    const due = received(device) + 1;
    native.sendFrame(guest, Buffer.from(`ffffffffffff00163e000001${hex}`, 'hex'));
    const endMs = performance.now() + arriveMsMax;
    while (received(device) < due && performance.now() < endMs) await sleep(1);
    if (received(device) !== due) missed.push(kind);
  }
  return missed;
}

async function measure(dir: string) {
  for (const which of ['all', 'default']) {
    // Only what the guest sends is to be counted.
    writeFileSync(`/proc/sys/net/ipv6/conf/${which}/disable_ipv6`, '1');
  }
  await ip(`link add ${guest} type veth peer name ${vif}`, `link set ${guest} up`);
  await ip(`link set ${vif} up`);
  await carry(guest, vif);
  const native = new PlugLibrary();
  const real = openDevices();
  const handle = process.argv.includes('tc')
    ? native.plugOpenTc(findTool('tc', process.env) ?? '')
    : native.plugOpen();
  const driver = driverOf(native, handle);
  const index = real.index(vif) ?? 0;
  const news: string[] = [];
  const buffer = await setUpBuffer(
    {
      ...{ domain: 'web1', domid, uuid: '6a7b', session: 'abc', interfaceCount: 1, script: null },
      ...{ limitBytes: 1 << 26, statePath: join(dir, 'state.json') },
      onNews: (text) => news.push(text),
    },
    {
      ...time,
      store,
      run,
      // No xen-netback made this interface: it has no parent that says whose it is.
      devices: { ...real, ofGuest: () => [{ name: vif, index, devid: 0, emulated: false }] },
      openPlug: () => ({
        ...{ ...driver, add: () => 0, pass: async () => 0, close() {} },
        // Without plugs it is not as it has to be: hold.test.ts tries these.
        ...{ hold() {}, watch() {} },
      }),
    },
  );
  const [first, second] = [`tsr${domid}.0a`, `tsr${domid}.0b`];
  await tc(...[first, second].map((queue) => `qdisc add dev ${queue} root pfifo`));
  const toFirst = await sendAll(native, first);
  // Adopted: the plug that the action points to comes last.
  const queues = [second, first].map((queue) => real.index(queue) ?? 0);
  const action = 0x4000_0000 + index;
  const port = { interfaceIndex: null, queues, action, limitBytes: 0, how: 'adopt' as const };
  driver.add(port);
  native.plugBarrier(handle, 1);
  const before = received(first);
  const toSecond = await sendAll(native, second);
  const late = received(first) - before;
  await buffer.open();
  driver.close();
  const left = [
    ...(await tcJson(runTool, ['qdisc', 'show'], doing)).filter(({ kind }) => kind === 'clsact'),
    ...(await tcJson(runTool, ['actions', 'list', 'action', 'mirred'], doing)).flatMap(
      ({ actions }) => actions ?? [],
    ),
    ...real.names().filter((name) => name.startsWith('tsr')),
  ];
  const gone = await sendAll(native, vif);
  return {
    kinds: Object.keys(kinds).length,
    missed: { toFirst, toSecond, gone },
    late,
    left,
    news,
  };
}

const dir = mkdtempSync(join(tmpdir(), 'tsremus-redirect-'));
try {
  const skip = await probed();
  process.stdout.write(`${JSON.stringify(skip === null ? await measure(dir) : { skip })}\n`);
} finally {
  rmSync(dir, { recursive: true });
}
