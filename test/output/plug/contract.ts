/**
 * What every output buffer has to do, as one suite over a bench: a guest whose interface sends
 * numbered frames, and somebody outside who sees what arrives. The bench may be a model of the
 * kernel (fake-kernel.ts) or a kernel (real-bench.ts). Nothing here knows which.
 */
import { strict as assert } from 'node:assert';
import { adoptBuffer } from '../../../src/output/plug/adopt.ts';
import type { PlugDriver } from '../../../src/output/plug/driver.ts';
import type { BufferTools } from '../../../src/output/plug/set-up.ts';
import { setUpBuffer } from '../../../src/output/plug/set-up.ts';
import type { OutputBuffer, OutputLoss } from '../../../src/output/port.ts';

/** The kinds of frames that must all be held. */
export const kinds = ['ipv4', 'ipv6', 'arp', 'vlan'] as const;
export type Kind = (typeof kinds)[number];

/**
 * What somebody else may do to a buffer; `plug`, `device` and the like: those of the queue that
 * frames come to now. `second-hold`: of every interface.
 */
export const sabotages = [
  ...(['ingress-qdisc', 'filter', 'action', 'plug', 'plug-replaced'] as const),
  ...(['device', 'both-devices', 'device-down', 'second-hold'] as const),
] as const;
export type Sabotage = (typeof sabotages)[number];

export interface Bench {
  readonly tools: BufferTools;
  /** A file that does not exist yet. */
  readonly statePath: string;
  readonly domid: number;
  /** Names of the guest's interfaces. */
  readonly interfaces: readonly string[];
  /** The guest sends frame `number` on an interface. */
  send(name: string, number: number, kind?: Kind): void;
  /** The numbers of the frames that came out on the outside of an interface, in order. */
  arrived(name: string): Promise<readonly number[]>;
  /** The barrier, as the save loop sets it: where the guest is suspended. Interfaces that wait. */
  barrier(epoch: number): number;
  /** One more interface appears; its name. */
  plugIn(): Promise<string>;
  unplug(name: string): Promise<void>;
  /** Somebody else takes a part of the buffer away. */
  sabotage(kind: Sabotage, name: string): Promise<void>;
  /** The names of all devices that the host has now. */
  devices(): readonly string[];
  close(): Promise<void>;
}

export interface BenchOptions {
  readonly interfaceCount: number;
  /** Handed to the driver that the bench opens: its barriers come from here. */
  readonly onDriver?: (driver: PlugDriver) => void;
}

export type MakeBench = (options: BenchOptions) => Promise<Bench>;

export interface Clause {
  readonly name: string;
  readonly interfaceCount: number;
  /** Somebody has to tell of changes, which takes a netlink socket. */
  readonly isTold?: boolean;
  run(bench: Bench): Promise<void>;
}

const limitBytes = 4 * 1024 * 1024;
const overhead = 768;

function requestOf(bench: Bench, limit = limitBytes) {
  const news: string[] = [];
  const request = {
    domain: 'web1',
    domid: bench.domid,
    uuid: '6a7b',
    session: 'abc',
    interfaceCount: bench.interfaces.length,
    limitBytes: limit,
    script: null,
    statePath: bench.statePath,
    onNews: (text: string) => news.push(text),
  };
  return { request, news };
}

async function setUp(bench: Bench, limit = limitBytes): Promise<[OutputBuffer, string[]]> {
  const { request, news } = requestOf(bench, limit);
  return [await setUpBuffer(request, bench.tools), news];
}

/** As if the interface `at` were the only one of a guest of its own. */
function setUpOne(bench: Bench, at: number): Promise<OutputBuffer> {
  const { devices } = bench.tools;
  const ofGuest = () => devices.ofGuest(bench.domid).slice(at, at + 1);
  const { request } = requestOf(bench);
  const domid = bench.domid + 10_000 * at;
  const own = { ...request, domid, interfaceCount: 1, statePath: `${bench.statePath}.${at}` };
  return setUpBuffer(own, { ...bench.tools, devices: { ...devices, ofGuest } });
}

function first(bench: Bench): string {
  return bench.interfaces[0] ?? '';
}

/** A buffer that is past its first barrier: it holds; with the name of the first interface. */
async function holding(bench: Bench, limit = limitBytes) {
  const [buffer, news] = await setUp(bench, limit);
  bench.barrier(0);
  return { buffer, news, name: first(bench) };
}

/** Only a hang takes as long. */
const hangMs = 120_000;

/** Waits for what is due at once, and would be seen within this time if it were wrong. */
async function until(
  what: () => Promise<boolean> | boolean,
  name: string,
  seen: () => unknown = () => undefined,
): Promise<void> {
  const endMs = performance.now() + hangMs;
  while (!(await what())) {
    const late = performance.now() >= endMs;
    assert.ok(!late, `in time: ${name}; seen: ${JSON.stringify(seen())}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

async function expectArrived(bench: Bench, name: string, numbers: readonly number[]) {
  let seen: readonly number[] = [];
  await until(
    async () => {
      seen = await bench.arrived(name);
      return seen.length >= numbers.length;
    },
    `${numbers.length} frames`,
    () => seen,
  );
  assert.deepEqual(await bench.arrived(name), numbers);
}

const numbers = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, at) => from + at);

function sendAll(bench: Bench, name: string, from: number, to: number, kind?: Kind): void {
  for (const number of numbers(from, to)) bench.send(name, number, kind);
}

const isWell = ({ interfaces }: OutputBuffer) =>
  interfaces.every((one) => one.state === 'protected');

/**
 * After what somebody did: it holds again, a frame that is sent then waits for its epoch, and comes
 * after it; and at the end nothing is left.
 */
async function mends(bench: Bench, kind: Sabotage): Promise<void> {
  const { buffer, news, name } = await holding(bench);
  const losses: OutputLoss[] = [];
  buffer.onLoss((loss) => losses.push(loss));
  const isOver = () => losses.at(-1)?.kind === 'mended' && isWell(buffer);
  const isDone = () =>
    kind === 'second-hold' ? news.some((text) => /second/.test(text)) : isOver();
  bench.barrier(1);
  await buffer.release(1);
  await bench.sabotage(kind, name);
  await until(isDone, `mended: ${kind}`, () => ({ losses, news }));
  assert.deepEqual(await bench.arrived(name), []);
  sendAll(bench, name, 0, 3);
  await until(
    () => buffer.held().packets === 3,
    'three held again',
    () => news,
  );
  // The first may find that the last release still empties.
  for (let epoch = 2; buffer.held().packets > 0; epoch += 1) {
    assert.deepEqual(await bench.arrived(name), []);
    if (bench.barrier(epoch) > 0) continue;
    await buffer.release(epoch);
    break;
  }
  await expectArrived(bench, name, numbers(0, 3));
  await buffer.open();
  sendAll(bench, name, 3, 5);
  await expectArrived(bench, name, numbers(0, 5));
  assert.ok(isClean(bench));
}

const isClean = (bench: Bench) => bench.devices().every((name) => !name.startsWith('tsr'));

export const clauses: readonly Clause[] = [
  ...sabotages.map((kind) => ({
    name: `mends what somebody else takes away: ${kind}`,
    interfaceCount: 1,
    isTold: true,
    run: (bench: Bench) => mends(bench, kind),
  })),
  {
    name: 'lets the seed through and holds from the first barrier on',
    interfaceCount: 1,
    async run(bench) {
      const [buffer] = await setUp(bench);
      const name = first(bench);
      sendAll(bench, name, 0, 5);
      await expectArrived(bench, name, numbers(0, 5));
      assert.equal(bench.barrier(0), 0);
      sendAll(bench, name, 5, 10);
      await buffer.release(0);
      await until(() => buffer.held().packets === 5, 'five frames held');
      await expectArrived(bench, name, numbers(0, 5));
      await buffer.open();
      await expectArrived(bench, name, numbers(0, 10));
      assert.ok(isClean(bench));
    },
  },
  {
    name: 'holds frames of every kind',
    interfaceCount: 1,
    async run(bench) {
      const { buffer, name } = await holding(bench);
      for (const [at, kind] of kinds.entries()) bench.send(name, at, kind);
      await until(() => buffer.held().packets === kinds.length, 'all held');
      assert.deepEqual(await bench.arrived(name), []);
      bench.barrier(1);
      await buffer.release(1);
      await expectArrived(bench, name, numbers(0, kinds.length));
      await buffer.open();
    },
  },
  {
    name: 'releases exactly what is acknowledged, epoch by epoch, in order',
    interfaceCount: 1,
    async run(bench) {
      const { buffer, name } = await holding(bench);
      let sent = 0;
      let due = 0;
      for (let epoch = 1; epoch <= 30; epoch++) {
        const more = (epoch * 7) % 12;
        sendAll(bench, name, sent, sent + more);
        sent += more;
        assert.equal(bench.barrier(epoch), 0, `epoch ${epoch} is sealed`);
        sendAll(bench, name, sent, sent + 2);
        await expectArrived(bench, name, numbers(0, due));
        await buffer.release(epoch);
        due = sent;
        sent += 2;
        await expectArrived(bench, name, numbers(0, due));
      }
      await buffer.open();
      await expectArrived(bench, name, numbers(0, sent));
    },
  },
  {
    name: 'lets an epoch that could not be sealed go with a later one, never earlier',
    interfaceCount: 1,
    async run(bench) {
      const { buffer, name } = await holding(bench);
      sendAll(bench, name, 0, 3);
      assert.equal(bench.barrier(1), 0);
      sendAll(bench, name, 3, 6);
      assert.equal(bench.barrier(2), 1);
      await buffer.release(1);
      await expectArrived(bench, name, numbers(0, 3));
      await buffer.release(2);
      await until(() => buffer.held().packets === 3, 'epoch 2 still held');
      assert.equal(bench.barrier(3), 0);
      await buffer.release(2);
      await expectArrived(bench, name, numbers(0, 3));
      await buffer.release(3);
      await expectArrived(bench, name, numbers(0, 6));
      await buffer.open();
    },
  },
  {
    name: 'counts what is held, and says when a checkpoint is due',
    interfaceCount: 1,
    async run(bench) {
      const { buffer, name } = await holding(bench, 200 * overhead);
      sendAll(bench, name, 0, 10);
      await until(() => buffer.held().packets === 10, 'ten');
      const { bytes, nearLimit, dropped } = buffer.held();
      assert.ok(bytes >= 10 * 60 && bytes <= 10 * 120, `${bytes} bytes`);
      assert.ok(!nearLimit && dropped === 0);
      sendAll(bench, name, 10, 55);
      await until(() => buffer.held().nearLimit, 'near the limit');
      assert.equal(buffer.held().dropped, 0);
      sendAll(bench, name, 55, 200);
      await until(() => buffer.held().dropped > 0, 'dropped');
      // Half the limit for each of two queues, a frame counted with what dom0 needs for it.
      assert.ok(buffer.held().packets <= 100, `${buffer.held().packets} frames`);
      assert.deepEqual(await bench.arrived(name), []);
      await buffer.drop();
    },
  },
  {
    name: 'drops everything that is held when it is told to',
    interfaceCount: 1,
    async run(bench) {
      const { buffer, name } = await holding(bench);
      sendAll(bench, name, 0, 4);
      bench.barrier(1);
      sendAll(bench, name, 4, 8);
      await until(() => buffer.held().packets === 8, 'eight held');
      await buffer.drop();
      sendAll(bench, name, 8, 10);
      assert.deepEqual(await bench.arrived(name), []);
      assert.ok(isClean(bench));
    },
  },
  {
    name: 'keeps several interfaces, each in its own order',
    interfaceCount: 3,
    async run(bench) {
      const { buffer } = await holding(bench);
      for (const name of bench.interfaces) sendAll(bench, name, 0, 4);
      await until(() => buffer.held().packets === 12, 'twelve held');
      bench.barrier(1);
      for (const name of bench.interfaces) assert.deepEqual(await bench.arrived(name), []);
      await buffer.release(1);
      for (const name of bench.interfaces) await expectArrived(bench, name, numbers(0, 4));
      assert.deepEqual(
        buffer.interfaces.map(({ name, state }) => [name, state]),
        bench.interfaces.map((name) => [name, 'protected']),
      );
      await buffer.open();
      assert.ok(isClean(bench));
    },
  },
  {
    name: 'stays closed when its process dies, and is opened by the next one',
    interfaceCount: 1,
    async run(bench) {
      const { buffer, name } = await holding(bench);
      sendAll(bench, name, 0, 3);
      bench.barrier(1);
      sendAll(bench, name, 3, 6);
      // What the end of the process does: descriptors are closed, nothing is tidied up.
      buffer.close();
      sendAll(bench, name, 6, 9);
      assert.deepEqual(await bench.arrived(name), []);
      await assert.rejects(setUp(bench), /left from before/);
      const left = await adoptBuffer(bench.statePath, bench.domid, bench.tools);
      assert.ok(left !== null);
      await left.open();
      await expectArrived(bench, name, numbers(0, 9));
      assert.ok(isClean(bench));
      assert.equal(await adoptBuffer(bench.statePath, bench.domid, bench.tools), null);
    },
  },
  {
    name: 'is dropped by the next process when the copy took over',
    interfaceCount: 1,
    async run(bench) {
      const { buffer, name } = await holding(bench);
      sendAll(bench, name, 0, 3);
      buffer.close();
      await (await adoptBuffer(bench.statePath, bench.domid, bench.tools))?.drop();
      assert.deepEqual(await bench.arrived(name), []);
      assert.ok(isClean(bench));
    },
  },
  {
    name: 'blocks an interface that comes later and lets it go at the end',
    interfaceCount: 1,
    async run(bench) {
      const { buffer, news } = await holding(bench);
      const late = await bench.plugIn();
      await until(() => news.some((text) => text.includes(late)), 'news of it');
      sendAll(bench, late, 0, 3);
      assert.deepEqual(await bench.arrived(late), []);
      assert.deepEqual(
        buffer.interfaces.map(({ name, state }) => [name, state]),
        [
          [first(bench), 'protected'],
          [late, 'blocked'],
        ],
      );
      await buffer.open();
      sendAll(bench, late, 3, 5);
      await expectArrived(bench, late, numbers(3, 5));
    },
  },
  {
    name: 'goes on when an interface is unplugged',
    interfaceCount: 2,
    async run(bench) {
      const { buffer, news } = await holding(bench);
      const [one = '', two = ''] = bench.interfaces;
      sendAll(bench, one, 0, 2);
      sendAll(bench, two, 0, 2);
      await bench.unplug(one);
      await until(() => news.some((text) => text.includes(one)), 'news of it');
      assert.equal(bench.barrier(1), 0);
      await buffer.release(1);
      await expectArrived(bench, two, numbers(0, 2));
      await buffer.open();
      assert.ok(isClean(bench));
    },
  },
  {
    name: 'keeps guests apart that are protected at the same moment',
    interfaceCount: 2,
    async run(bench) {
      const buffers = await Promise.all(bench.interfaces.map((_, at) => setUpOne(bench, at)));
      for (const [at, name] of bench.interfaces.entries()) bench.send(name, at);
      for (const [at, name] of bench.interfaces.entries()) await expectArrived(bench, name, [at]);
      for (const buffer of buffers) await buffer.open();
      assert.ok(isClean(bench));
    },
  },
  {
    name: 'leaves filters of the administrator alone',
    interfaceCount: 1,
    async run(bench) {
      const name = first(bench);
      await bench.tools.run(['tc', 'qdisc', 'add', 'dev', name, 'clsact']);
      await assert.rejects(setUp(bench), /has an ingress qdisc already \(clsact\)/);
      assert.ok(isClean(bench));
      await bench.tools.run(['tc', 'qdisc', 'del', 'dev', name, 'clsact']);
      const [buffer] = await setUp(bench);
      await buffer.open();
    },
  },
];
