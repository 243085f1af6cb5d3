/**
 * What the kernel tells when somebody takes a buffer apart, and what is done at once, in a network
 * namespace of its own (watch.test.ts makes it). Plain queues stand in for the plugs, which few
 * kernels have: so a plug is found to be missing all the time, and the interface is down. Prints
 * one JSON line: for each command what was found, and whether the action was turned back; or why
 * this kernel cannot be asked.
 */
import { once } from 'node:events';
import { errorText } from '../../../src/host/errors.ts';
import { PlugLibrary } from '../../../src/native/plug.ts';
import { driverOf, type PortLoss } from '../../../src/output/plug/driver.ts';
import { openDevices } from '../../../src/output/plug/interfaces.ts';
import { actionTargets, batch, toolRunner } from '../../../src/output/plug/tools.ts';

const [guest, vif, first, second] = ['guest0', 'vif9.0', 'tsr9.0a', 'tsr9.0b'];
const hold = 'tsr9.0';
const runTool = toolRunner(process.env);
const native = new PlugLibrary();
const devices = openDevices();

/** Several commands, each beginning with `ip` or `tc`, as somebody else gives them. */
async function does(...lines: readonly string[]): Promise<void> {
  for (const line of lines) {
    const [tool, ...words] = line.split(' ');
    await batch(runTool, tool === 'ip' ? 'ip' : 'tc', [words], 'cannot prepare');
  }
}

const redirect = (queue: string, action: number) => [
  `tc qdisc add dev ${vif} clsact`,
  `tc filter add dev ${vif} ingress protocol all prio 1 u32 match u32 0 0 at -4 ` +
    `action mirred egress redirect dev ${queue} index ${action}`,
];

async function prepare(): Promise<number> {
  await does(
    `ip link add ${guest} type veth peer name ${vif}`,
    ...[first, second, 'other'].map((name) => `ip link add ${name} type ifb`),
    ...[guest, vif, first, second, 'other'].map((name) => `ip link set ${name} up`),
    ...[first, second].map((name) => `tc qdisc add dev ${name} root pfifo`),
  );
  const action = 0x4000_0000 + (devices.index(vif) ?? 0);
  await does(...redirect(second, action));
  return action;
}

async function measure() {
  const action = await prepare();
  const driver = driverOf(native, native.plugOpen());
  const queues = [first, second].map((name) => devices.index(name) ?? 0);
  const given = { queues, action, limitBytes: 1 << 20, how: 'adopt' as const };
  const port = driver.add({ interfaceIndex: devices.index(vif), ...given });
  driver.hold(port, hold);
  const told = new EventTarget();
  let loss: PortLoss | null = null;
  driver.watch({
    onLoss(found) {
      loss = found;
      told.dispatchEvent(new Event('loss'));
    },
    onDeaf(why) {
      throw new Error(why);
    },
  });
  await once(told, 'loss');
  const other = driverOf(native, native.plugOpen());
  const acts: Readonly<Record<string, () => Promise<void>>> = {
    turned: () =>
      does(`tc actions replace action mirred egress redirect dev other index ${action}`),
    qdisc: () => does(`tc qdisc del dev ${vif} clsact`),
    back: () => does(...redirect(second, action)),
    filter: () => does(`tc filter del dev ${vif} ingress`),
    hold: () => other.unhold(hold),
    down: () => does(`ip link set ${first} down`),
    gone: () => does(`ip link del ${second}`),
  };
  const found: Record<string, unknown> = {};
  for (const [name, act] of Object.entries(acts)) {
    const isTold = once(told, 'loss');
    await act();
    await isTold;
    const its = (loss as PortLoss | null)?.found.filter((one) => one !== 'unplugged');
    found[name] = its?.join(' ');
    if (name === 'turned') found['turnedBack'] = (await actionTargets(runTool)).get(action);
  }
  // Our own changes are none of somebody else's. The end of a device comes in several messages, and
  // less of it may be told once more by now.
  const lossNow = () => (loss as PortLoss | null)?.found ?? [];
  const before = new Set(lossNow());
  let ours = 0;
  told.addEventListener('loss', () => {
    if (lossNow().some((one) => !before.has(one))) ours += 1;
  });
  native.plugBarrier(driver.handle, 1);
  await driver.unwatch();
  await other.unhold(hold);
  return { ...found, ours };
}

/** Why this kernel cannot be asked; null: it can. */
async function probed(): Promise<string | null> {
  try {
    await does(
      'ip link add tprobe0 type veth peer name tprobe1',
      'ip link add tprobe2 type ifb',
      'tc qdisc add dev tprobe0 clsact',
      'tc filter add dev tprobe0 ingress protocol all prio 1 u32 match u32 0 0 ' +
        'action mirred egress redirect dev tprobe2',
      'tc qdisc add dev tprobe2 root pfifo',
    );
    const driver = driverOf(native, native.plugOpen());
    const given = { queues: [1], action: null, limitBytes: 0, how: 'adopt' as const };
    const interfaceIndex = devices.index('tprobe0');
    driver.hold(driver.add({ interfaceIndex, ...given }), 'tprobe');
    await driver.unhold('tprobe');
    driver.close();
    await does('ip link del tprobe0', 'ip link del tprobe2');
    return null;
  } catch (error) {
    return errorText(error);
  }
}

const skip = await probed();
process.stdout.write(`${JSON.stringify(skip === null ? await measure() : { skip })}\n`);
process.exit(0);
