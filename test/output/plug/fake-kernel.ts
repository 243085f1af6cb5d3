/**
 * A kernel of our own for the contract: devices, ingress qdiscs, mirred actions and plugs (the
 * simulator's model of sch_plug), and the few commands of `ip` and `tc` that src/output/plug gives.
 * A command that it does not know fails.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { OperationError } from '../../../src/host/errors.ts';
import {
  type Fault,
  frameOverheadBytes,
  type Mended,
  type PlugDriver,
  type PlugPort,
  type PlugWatch,
} from '../../../src/output/plug/driver.ts';
import { queueNames } from '../../../src/output/plug/interfaces.ts';
import type { Run } from '../../../src/output/plug/tools.ts';
import { store, time } from '../../fixtures/here.ts';
import { PlugModel } from '../../sim/plug-model.ts';
import type { Bench, BenchOptions, Sabotage } from './contract.ts';

interface Frame {
  readonly bytes: number;
  readonly number: number;
  readonly from: Device;
}

interface Device {
  readonly name: string;
  readonly index: number;
  readonly isIfb: boolean;
  isUp: boolean;
  ingress: boolean;
  filter: { action: number } | 'drop' | null;
  plug: PlugModel<Frame> | null;
  arrived: number[];
  alias: string;
}

const frameBytes = 98;

export class FakeKernel {
  readonly devices = new Map<string, Device>();
  readonly actions = new Map<number, string>();
  readonly commands: string[] = [];
  /** False: a kernel without cls_matchall, which modprobe does not know. */
  hasMatchall = true;
  /** Interfaces with a second hold, by its name. */
  readonly holds = new Map<string, string>();
  /** False: no nftables. */
  hasHolds = true;
  /** Somebody else changed something: whoever watches looks. */
  onChange: () => void = () => {};
  /** Commands that fail. */
  refuses: RegExp | null = null;
  #nextIndex = 1;

  add(name: string, isIfb = false): Device {
    const device: Device = {
      name,
      index: this.#nextIndex++,
      isIfb,
      isUp: !isIfb,
      ingress: false,
      filter: null,
      plug: null,
      arrived: [],
      alias: '',
    };
    this.devices.set(name, device);
    return device;
  }

  byIndex(index: number): Device {
    for (const device of this.devices.values()) if (device.index === index) return device;
    throw new Error('no such device');
  }

  send(name: string, number: number): void {
    const from = this.devices.get(name);
    if (!from?.isUp || from.filter === 'drop') return;
    const isHeldTwice = [...this.holds.values()].includes(name);
    if (from.filter === null) return isHeldTwice ? undefined : void from.arrived.push(number);
    const target = this.devices.get(this.actions.get(from.filter.action) ?? '');
    if (!target?.isUp) return; // act_mirred: TC_ACT_SHOT
    if (target.plug === null) return void from.arrived.push(number);
    // As sch_plug counts: the frame with the overhead of tc-stab.
    target.plug.enqueue({ bytes: frameBytes + frameOverheadBytes, number, from });
  }

  /** What an ifb does with a frame: it comes in again where it came from. */
  back(frame: Frame): void {
    if (frame.from.isUp && this.devices.has(frame.from.name)) frame.from.arrived.push(frame.number);
  }

  readonly run: Run = async (argv, options = {}) => {
    const [program, ...rest] = argv;
    const force = rest.includes('-force');
    if (program === 'modprobe') return { stdout: '', code: 0 };
    if (program === 'tc' && rest[0] === '-json') {
      return { stdout: this.#show(rest.slice(1)), code: 0 };
    }
    const lines = rest.includes('-batch')
      ? (options.input ?? '').trim().split('\n')
      : [rest.join(' ')];
    for (const line of lines) {
      this.commands.push(`${program} ${line}`);
      const problem = this.#command(`${program} ${line}`);
      if (problem === null || force) continue;
      throw new OperationError('command-failed', `${program} ${line}: exit code 2: ${problem}`, {
        op: 'run-command',
        subject: program,
      });
    }
    return { stdout: '', code: 0 };
  };

  #show(words: readonly string[]): string {
    if (words[0] === 'actions') {
      const actions = [...this.actions].map(([index, to]) => ({ index, to_dev: to }));
      return JSON.stringify([{ 'total acts': actions.length }, { actions }]);
    }
    const all = [...this.devices.values()].filter(({ name }) => !words[3] || words[3] === name);
    return JSON.stringify(
      all.flatMap((device) => [
        { kind: device.plug === null ? 'noqueue' : 'plug', dev: device.name },
        ...(device.ingress ? [{ kind: 'clsact', dev: device.name }] : []),
      ]),
    );
  }

  /** What is wrong with it; null: done. */
  #command(line: string): string | null {
    if (this.refuses?.test(line)) return 'Device or resource busy';
    const device = this.devices.get(/ dev (\S+)/.exec(line)?.[1] ?? '');
    const action = Number(/ index (\d+)/.exec(line)?.[1] ?? 0);
    if (/^ip link add dev \S+ txqueuelen 1000 type ifb$/.test(line)) {
      if (device !== undefined) return 'File exists';
      this.add(/ dev (\S+)/.exec(line)?.[1] ?? '', true);
      return null;
    }
    if (/^tc actions del action mirred index/.test(line)) {
      return this.actions.delete(action) ? null : 'No such file or directory';
    }
    const target = this.devices.get(/^\S+ \S+ \S+ dev (\S+)/.exec(line)?.[1] ?? '');
    if (target === undefined) return 'Cannot find device';
    return this.#change(line, target, action);
  }

  #change(line: string, device: Device, action: number): string | null {
    if (/^ip link set dev \S+ addrgenmode none$/.test(line)) return null;
    const alias = /^ip link set dev \S+ alias (\S{1,255})$/.exec(line)?.[1];
    if (alias !== undefined) device.alias = alias;
    else if (/^ip link set dev \S+ up$/.test(line)) device.isUp = true;
    else if (/^ip link set dev \S+ down$/.test(line)) device.isUp = false;
    else if (/^ip link del/.test(line)) this.devices.delete(device.name);
    else if (/^tc qdisc add dev \S+ clsact$/.test(line)) {
      if (device.ingress) return 'Exclusivity flag on, cannot modify';
      device.ingress = true;
    } else if (/^tc qdisc del dev \S+ clsact$/.test(line)) {
      device.ingress = false;
      if (device.filter !== null && device.filter !== 'drop') {
        this.actions.delete(device.filter.action);
      }
      device.filter = null;
    } else if (/ matchall /.test(line) && !this.hasMatchall) {
      return 'Error: TC classifier not found.';
    } else if (
      /^tc filter add .* protocol all prio 1 (matchall|u32 match u32 0 0 at -4) action drop$/.test(
        line,
      )
    ) {
      device.filter = 'drop';
    } else if (
      /^tc filter add .* prio 1 (matchall|u32 match u32 0 0 at -4) action mirred/.test(line)
    ) {
      if (!this.actions.has(action))
        this.actions.set(action, / redirect dev (\S+)/.exec(line)?.[1] ?? '');
      device.filter = { action };
    } else return `unknown command ${line}`;
    return null;
  }

  /** The rule of native/plug/plug.c for pairs of queues, over the model's plugs. */
  openPlug(): PlugDriver & { barrier(epoch: number): number } {
    return new FakeDriver(this);
  }
}

interface FakePort {
  readonly interface: string | null;
  readonly limitBytes: number;
  readonly queues: readonly string[];
  readonly action: number;
  current: number;
  passing: boolean;
  sealed: number | null;
  plugs: (PlugModel<Frame> | null)[];
  hold: string | null;
  left: readonly Fault[];
  isDown: boolean;
}

class FakeDriver implements PlugDriver {
  readonly handle = 1;
  readonly #kernel: FakeKernel;
  readonly #ports: FakePort[] = [];
  #watch: PlugWatch | null = null;
  #isOpen = false;

  constructor(kernel: FakeKernel) {
    this.#kernel = kernel;
  }

  #plug(port: FakePort, which: number): PlugModel<Frame> {
    const plug = this.#kernel.devices.get(port.queues[which] ?? '')?.plug;
    if (!plug) throw new Error('there is no plug');
    return plug;
  }

  add({ interfaceIndex, queues, action, limitBytes, how }: PlugPort): number {
    const devices = queues.map((index) => this.#kernel.byIndex(index));
    for (const device of devices) {
      if (how !== 'make') continue;
      device.plug = new PlugModel(limitBytes, (frame: Frame) => this.#kernel.back(frame));
    }
    const names = devices.map(({ name }) => name);
    const adopted = how === 'adopt';
    const port: FakePort = {
      interface:
        interfaceIndex === null ? null : (this.#kernel.byIndex(interfaceIndex)?.name ?? null),
      limitBytes,
      plugs: devices.map(({ plug }) => plug),
      hold: null,
      left: [],
      isDown: false,
      queues: names,
      action: action ?? 0,
      current: 0,
      passing: !adopted,
      sealed: null,
    };
    this.#ports.push(port);
    if (adopted) port.current = names.length - 1;
    else this.#plug(port, 0).change('release-indefinite');
    return this.#ports.length - 1;
  }

  barrier(epoch: number): number {
    let merged = 0;
    for (const port of this.#isOpen ? [] : this.#ports) {
      if (this.#watch !== null) this.#check(port);
      if (isLost(port)) port.passing = false;
      if (isLost(port) || port.sealed !== null) merged += 1;
      else {
        const other = 1 - port.current;
        this.#plug(port, other).change('buffer');
        this.#kernel.actions.set(port.action, port.queues[other] ?? '');
        port.current = other;
        if (!port.passing) port.sealed = epoch;
        port.passing = false;
      }
    }
    return merged;
  }

  async release(epoch: number): Promise<void> {
    for (const port of this.#ports) {
      if (port.sealed === null || port.sealed > epoch || isLost(port)) continue;
      this.#plug(port, 1 - port.current).change('release-indefinite');
      port.sealed = null;
    }
  }

  async pass(): Promise<number> {
    this.#isOpen = true;
    for (const port of this.#ports) {
      if (port.isDown) this.#setUp(port, true);
      for (const which of port.queues.length === 2 ? [1 - port.current, port.current] : [0]) {
        if (!isLost(port)) this.#plug(port, which).change('release-indefinite');
      }
    }
    return 0;
  }

  async look(which: number | null) {
    const ports = this.#ports.filter((_, at) => which === null || which === at);
    const plugs = ports
      .filter((port) => !isLost(port))
      .flatMap((port) => port.queues.map((_, at) => this.#plug(port, at)));
    const sum = (of: (plug: PlugModel<Frame>) => number) =>
      plugs.reduce((total, plug) => total + of(plug), 0);
    const packets = sum((plug) => plug.queue.length);
    return {
      packets,
      bytes: sum((plug) => plug.backlogBytes) - packets * frameOverheadBytes,
      dropped: sum((plug) => plug.drops),
      sealed: null,
      barriers: 0,
      merged: 0,
      barrierMsMax: 0,
      releaseMsMax: 0,
    };
  }

  // What somebody else changes, as native/plug/check.c has it.

  hold(at: number, name: string): void {
    const port = this.#ports[at];
    if (!this.#kernel.hasHolds) throw new Error('this kernel has no second hold');
    if (port?.interface == null) return;
    this.#kernel.holds.set(name, port.interface);
    port.hold = name;
  }

  async unhold(name: string): Promise<void> {
    this.#kernel.holds.delete(name);
  }

  watch(watch: PlugWatch): void {
    this.#watch = watch;
    this.#kernel.onChange = () => {
      for (const port of this.#ports) this.#check(port);
    };
  }

  async unwatch(): Promise<void> {
    this.#watch = null;
    this.#kernel.onChange = () => {};
  }

  async mend(at: number): Promise<Mended> {
    const port = this.#ports[at];
    if (port === undefined || this.#isOpen) return { left: [], current: 0 };
    this.#mend(port, this.#look(port));
    this.#settle(port);
    return { left: port.left, current: port.current };
  }

  #look(port: FakePort): Fault[] {
    const { devices, actions, holds } = this.#kernel;
    const vif = devices.get(port.interface ?? '');
    const found: Fault[] = [];
    const its = port.queues.map((name) => devices.get(name));
    if (vif !== undefined) {
      const { filter } = vif;
      if (filter === null || filter === 'drop' || filter.action !== port.action) {
        found.push('unredirected');
      }
      if (actions.get(port.action) !== port.queues[port.current]) found.push('turned');
      if (port.hold !== null && !holds.has(port.hold)) found.push('no-hold');
    }
    if (its.includes(undefined)) found.push('no-device');
    if (its.some((one, at) => one !== undefined && one.plug !== port.plugs[at])) {
      found.push('unplugged');
    }
    if (its.some((one) => one?.isUp === false)) found.push('device-down');
    return found;
  }

  #mend(port: FakePort, found: readonly Fault[]): void {
    const { devices, actions } = this.#kernel;
    for (const [at, name] of port.queues.entries()) {
      const device = devices.get(name);
      if (device === undefined) continue;
      device.isUp = true;
      if (device.plug === port.plugs[at] && device.plug !== null) continue;
      device.plug = new PlugModel(port.limitBytes, (frame: Frame) => this.#kernel.back(frame));
      port.plugs[at] = device.plug;
      if (at !== port.current) port.sealed = null;
      else if (port.passing) device.plug.change('release-indefinite');
    }
    const current = port.queues[port.current] ?? '';
    if (port.interface !== null && devices.has(current)) actions.set(port.action, current);
    if (found.includes('no-hold') && port.hold !== null && port.interface !== null) {
      this.#kernel.holds.set(port.hold, port.interface);
    }
    if (isLost(port) && !port.passing && devices.has(current)) {
      this.#plug(port, port.current).change('buffer');
    }
  }

  #setUp(port: FakePort, isUp: boolean): void {
    const device = this.#kernel.devices.get(port.interface ?? '');
    if (device !== undefined) device.isUp = isUp;
    port.isDown = !isUp;
  }

  /** What is left, and the interface down or up for it. */
  #settle(port: FakePort): void {
    port.left = this.#look(port);
    const isOpen = port.left.includes('unredirected') && port.hold === null;
    if (isOpen !== port.isDown) this.#setUp(port, !isOpen);
  }

  #check(port: FakePort): void {
    if (this.#isOpen) return;
    const before = port.left;
    const found = this.#look(port);
    if (found.length > 0) this.#mend(port, found);
    this.#settle(port);
    const isNews = found.some((one) => !before.includes(one));
    if (!isNews && !before.some((one) => !port.left.includes(one))) return;
    this.#watch?.onLoss({
      ...{ port: this.#ports.indexOf(port), found, left: port.left, isDown: port.isDown },
      ...{ isHeldTwice: port.hold !== null && !found.includes('no-hold'), openUs: 0 },
    });
  }

  close(): void {}
}

const isLost = ({ left }: FakePort) => left.some((one) => one !== 'no-hold');

/** A bench on a kernel of our own. */
export async function fakeBench(options: BenchOptions): Promise<Bench & { kernel: FakeKernel }> {
  const kernel = new FakeKernel();
  const domid = 9;
  const dir = mkdtempSync(join(tmpdir(), 'tsremus-network-'));
  let driver: FakeDriver | null = null;
  let count = 0;
  const plugIn = () => kernel.add(`vif${domid}.${count++}`).name;
  const interfaces = Array.from({ length: options.interfaceCount }, plugIn);
  const isVif = (name: string) => /^vif/.test(name);
  return {
    kernel,
    domid,
    interfaces,
    statePath: join(dir, 'web1.network.json'),
    tools: {
      ...time,
      store,
      run: kernel.run,
      openPlug: () => {
        driver = new FakeDriver(kernel);
        return driver;
      },
      devices: {
        ofGuest: () =>
          [...kernel.devices.values()]
            .filter(({ name }) => isVif(name))
            .map(({ name, index }) => {
              const devid = Number(name.split('.')[1]);
              return { name, index, devid, emulated: false };
            }),
        index: (name) => kernel.devices.get(name)?.index ?? null,
        names: () => [...kernel.devices.keys()],
        alias: (name) => kernel.devices.get(name)?.alias ?? '',
      },
    },
    send: (name, number) => kernel.send(name, number),
    arrived: async (name) => kernel.devices.get(name)?.arrived ?? [],
    barrier: (epoch) => driver?.barrier(epoch) ?? 0,
    plugIn: async () => plugIn(),
    sabotage: async (kind, name) => {
      const [action, device] = [0x4000_0000 + (kernel.devices.get(name)?.index ?? 0), name];
      const [first = '', second = ''] = queueNames(domid, { devid: 0, emulated: false });
      const current = kernel.devices.get(kernel.actions.get(action) ?? first);
      const vif = kernel.devices.get(device);
      if (vif === undefined) return;
      const acts: Record<Sabotage, () => void> = {
        'ingress-qdisc': () => {
          vif.ingress = false;
          vif.filter = null;
          kernel.actions.delete(action);
        },
        filter: () => {
          vif.filter = null;
          kernel.actions.delete(action);
        },
        action: () => void kernel.actions.set(action, ''),
        plug: () => {
          if (current !== undefined) current.plug = null;
        },
        'plug-replaced': () => {
          if (current !== undefined) current.plug = new PlugModel(1, () => {});
        },
        device: () => void kernel.devices.delete(current?.name ?? ''),
        'both-devices': () => {
          for (const queue of [first, second]) kernel.devices.delete(queue);
        },
        'device-down': () => {
          if (current !== undefined) current.isUp = false;
        },
        'second-hold': () => kernel.holds.clear(),
      };
      acts[kind]();
      kernel.onChange();
    },
    unplug: async (name) => {
      kernel.devices.delete(name);
    },
    devices: () => [...kernel.devices.keys()],
    close: async () => rmSync(dir, { recursive: true, force: true }),
  };
}
