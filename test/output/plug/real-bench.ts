/**
 * The contract's bench on the kernel that this runs on (root, sch_plug, ifb, tcpdump): for each
 * interface a pair of veths and a bridge, as a guest's interface hangs on one.
 *
 *     tg9.0 ═ vif9001.0 ─ tb9.0 ─ ti9.0 ═ to9.0 ◄ tcpdump
 *     the guest            bridge           outside
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { OperationError } from '../../../src/host/errors.ts';
import { PlugLibrary } from '../../../src/native/plug.ts';
import { driverOf, openPlug } from '../../../src/output/plug/driver.ts';
import { holdName, openDevices, queueNames } from '../../../src/output/plug/interfaces.ts';
import { actionTargets, findTool, type Run, toolRunner } from '../../../src/output/plug/tools.ts';
import { store, time } from '../../fixtures/here.ts';
import type { Bench, BenchOptions, Kind, Sabotage } from './contract.ts';

/** Each bench has a guest of its own: what a failed clause left is no concern of the next. */
let lastDomid = 9000;
const magic = Buffer.from('TSRN');
/** How long a frame may take from the guest to the capture, ms; generous under emulation. */
const settleMs = 150;

const etherTypes = { ipv4: 0x0800, ipv6: 0x86dd, arp: 0x0806, vlan: 0x8100 } as const;

/** A broadcast frame that ends in the magic and its number. */
function frameOf(number: number, kind: Kind): Buffer {
  const frame = Buffer.alloc(98);
  frame.fill(0xff, 0, 6);
  Buffer.from('00163e000001', 'hex').copy(frame, 6);
  frame.writeUInt16BE(etherTypes[kind], 12);
  const bodies = {
    ipv4: '4500005400004000401100000a0900010a0900ff',
    ipv6: '6000000000241140fe800000000000000000000000000001ff020000000000000000000000000001',
    arp: '0001080006040001',
    vlan: '0005080045000050',
  };
  Buffer.from(bodies[kind], 'hex').copy(frame, 14);
  magic.copy(frame, 90);
  frame.writeUInt32BE(number, 94);
  return frame;
}

/** Frames of ours as tcpdump writes them (pcap: 24 bytes, then 16 and the frame each). */
class Capture {
  readonly numbers: number[] = [];
  readonly #child: ChildProcessByStdio<null, Readable, Readable>;
  #rest: Buffer = Buffer.alloc(0);
  #begun = false;
  #said = '';
  #onSaid: () => void = () => {};
  #isClosed = false;

  constructor(name: string) {
    // Room for a whole release at once: as long as a frame may be, few fit into tcpdump's buffer.
    const room = ['-s', '256', '-B', '16384'];
    const how = ['-U', '--immediate-mode', ...room, '-Q', 'in', '-Z', 'root'];
    const argv = ['-i', name, '-w', '-', ...how];
    this.#child = spawn('tcpdump', argv, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child.stdout.on('data', (chunk: Buffer) => this.#take(chunk));
    // Read to the end: it says its line in pieces, and a closed pipe would end it between two.
    this.#child.stderr.on('data', (chunk: Buffer) => {
      this.#said += String(chunk);
      this.#onSaid();
    });
    this.#child.on('close', () => this.#onSaid());
  }

  /** Resolves when it listens. */
  async ready(): Promise<void> {
    const isReady = () => /listening on .*\n/.test(this.#said);
    while (!isReady() && this.#isAlive) {
      await new Promise<void>((resolve) => {
        this.#onSaid = resolve;
      });
    }
    this.check();
  }

  get #isAlive(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Throws where nothing is captured any more: an empty list would say that nothing came. */
  check(): void {
    if (this.#isAlive || this.#isClosed) return;
    const { exitCode, signalCode } = this.#child;
    throw new Error(`tcpdump ended (${exitCode ?? signalCode}): ${this.#said}`);
  }

  #take(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    if (!this.#begun && this.#rest.length >= 24) {
      this.#begun = true;
      this.#rest = this.#rest.subarray(24);
    }
    while (this.#begun && this.#rest.length >= 16) {
      const length = this.#rest.readUInt32LE(8);
      if (this.#rest.length < 16 + length) return;
      const frame = this.#rest.subarray(16, 16 + length);
      this.#rest = this.#rest.subarray(16 + length);
      const at = frame.lastIndexOf(magic);
      if (at >= 0 && at + 8 <= frame.length) this.numbers.push(frame.readUInt32BE(at + 4));
    }
  }

  close(): void {
    this.#isClosed = true;
    this.#child.kill('SIGKILL');
  }
}

const runTool = toolRunner(process.env);
const ip = (...words: string[]) => runTool(['ip', ...words]);

async function makeInterface(name: string, at: number): Promise<Capture> {
  const [guest, bridge, inside, outside] = ['tg', 'tb', 'ti', 'to'].map((kind) => `${kind}9.${at}`);
  await ip('link', 'add', `${guest}`, 'type', 'veth', 'peer', 'name', name);
  await ip('link', 'add', `${inside}`, 'type', 'veth', 'peer', 'name', `${outside}`);
  const bare = ['forward_delay', '0', 'stp_state', '0', 'mcast_snooping', '0'];
  await ip('link', 'add', `${bridge}`, 'type', 'bridge', ...bare);
  for (const port of [name, inside]) await ip('link', 'set', `${port}`, 'master', `${bridge}`);
  for (const one of [bridge, name, guest, inside, outside]) {
    // No address, and none of the frames with which a host looks for one.
    await ip('link', 'set', `${one}`, 'addrgenmode', 'none');
    await ip('link', 'set', `${one}`, 'up');
  }
  const capture = new Capture(`${outside}`);
  await capture.ready();
  return capture;
}

async function removeInterface(at: number): Promise<void> {
  for (const kind of ['tg', 'ti', 'tb']) await ip('link', 'del', `${kind}9.${at}`).catch(() => {});
}

/** As if modprobe knew no cls_matchall. */
const withoutMatchall: Run = (argv, options) => {
  if (!argv.includes('cls_matchall')) return runTool(argv, options);
  return Promise.reject(
    new OperationError('command-failed', 'modprobe: exit code 1', { op: 'run-command' }),
  );
};

/** A bench on this kernel; with `fallback` by way of u32 and of tc, which must do the same. */
export async function realBench(options: BenchOptions, fallback = false): Promise<Bench> {
  const domid = ++lastDomid;
  const native = new PlugLibrary();
  const real = openDevices();
  const dir = mkdtempSync(join(tmpdir(), 'tsremus-network-'));
  const captures = new Map<string, Capture>();
  const gone = new Set<string>();
  let handle = -1;
  const plugIn = async () => {
    const at = captures.size;
    const name = `vif${domid}.${at}`;
    captures.set(name, await makeInterface(name, at));
    return name;
  };
  const interfaces: string[] = [];
  while (interfaces.length < options.interfaceCount) interfaces.push(await plugIn());
  const numberOf = (name: string) => Number(name.split('.')[1]);
  return {
    domid,
    interfaces,
    statePath: join(dir, 'web1.network.json'),
    tools: {
      ...time,
      store,
      run: fallback ? withoutMatchall : runTool,
      openPlug: () => {
        const driver = fallback
          ? driverOf(native, native.plugOpenTc(findTool('tc', process.env) ?? ''))
          : openPlug({ tc: findTool('tc', process.env) });
        handle = driver.handle;
        return driver;
      },
      devices: {
        ...real,
        // No xen-netback made these: they have no parent that says whose they are.
        ofGuest: () =>
          [...captures.keys()]
            .filter((name) => !gone.has(name) && real.index(name) !== null)
            .map((name) => {
              const index = real.index(name) ?? 0;
              return { name, index, devid: numberOf(name), emulated: false };
            }),
      },
    },
    send(name, number, kind = 'ipv4') {
      native.sendFrame(`tg9.${numberOf(name)}`, frameOf(number, kind));
    },
    async arrived(name) {
      await new Promise((resolve) => setTimeout(resolve, settleMs));
      const capture = captures.get(name);
      capture?.check();
      return [...(capture?.numbers ?? [])];
    },
    barrier: (epoch) => native.plugBarrier(handle, epoch),
    plugIn,
    async sabotage(kind, name) {
      const [first = '', second = ''] = queueNames(domid, {
        devid: numberOf(name),
        emulated: false,
      });
      const action = 0x4000_0000 + (real.index(name) ?? 0);
      const current = (await actionTargets(runTool)).get(action) ?? first;
      const mirred = ['mirred', 'egress', 'redirect', 'dev', `ti9.${numberOf(name)}`];
      const acts: Record<Sabotage, readonly string[][]> = {
        'ingress-qdisc': [['tc', 'qdisc', 'del', 'dev', name, 'clsact']],
        filter: [['tc', 'filter', 'del', 'dev', name, 'ingress']],
        action: [['tc', 'actions', 'replace', 'action', ...mirred, 'index', String(action)]],
        plug: [['tc', 'qdisc', 'del', 'dev', current, 'root']],
        'plug-replaced': [['tc', 'qdisc', 'replace', 'dev', current, 'root', 'pfifo']],
        device: [['ip', 'link', 'del', current]],
        'both-devices': [first, second].map((queue) => ['ip', 'link', 'del', queue]),
        'device-down': [['ip', 'link', 'set', current, 'down']],
        'second-hold': [],
      };
      for (const argv of acts[kind]) await runTool(argv);
      if (kind === 'second-hold')
        await native.plugUnhold(
          native.plugOpen(),
          holdName(domid, {
            devid: numberOf(name),
            emulated: false,
          }),
        );
    },
    async unplug(name) {
      gone.add(name);
      await ip('link', 'del', `tg9.${numberOf(name)}`);
    },
    devices: () => readdirSync('/sys/class/net'),
    async close() {
      for (const capture of captures.values()) capture.close();
      for (const name of captures.keys()) await removeInterface(numberOf(name));
      for (const name of readdirSync('/sys/class/net')) {
        if (name.startsWith(`tsr${domid}.`)) await ip('link', 'del', name).catch(() => {});
      }
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
