/**
 * What every hypervisor has to do (src/hypervisor/port.ts), as one suite over a bench: a host with
 * one running guest. The model of the simulator and libxenlight's binding pass it alike, so that
 * what is shown on the one can be believed of the other. A copy is made on the guest's own host.
 */
import { strict as assert } from 'node:assert';
import {
  endOf,
  type GuestRef,
  type Hypervisor,
  type RestoreEvent,
  type RestoreOperation,
  type SaveEnd,
  type SaveEvent,
  type SaveOperation,
  type StreamPosition,
  waitingName,
} from '../../src/hypervisor/port.ts';

export interface Bench {
  readonly hypervisor: Hypervisor;
  /** Of the guest that runs. */
  readonly name: string;
  /** Lets the host go on until `isDone`; fails after a time that only a hang takes. */
  until(isDone: () => boolean): Promise<void>;
  /** The guest powers itself off. */
  powerOff(): void;
  /** The last whole epoch that a built copy was made from. */
  epochOf(copy: GuestRef): number;
  close(): Promise<void>;
}

export interface Clause {
  readonly name: string;
  run(bench: Bench): Promise<void>;
}

const limitBytes = 1 << 28;

/** What a promise comes to, while the host goes on. */
async function settle<T>(bench: Bench, work: Promise<T>): Promise<T> {
  let isSettled = false;
  const settled = () => {
    isSettled = true;
  };
  work.then(settled, settled);
  await bench.until(() => isSettled);
  return work;
}

async function guestOf(bench: Bench): Promise<GuestRef> {
  const found = await settle(bench, bench.hypervisor.find(bench.name));
  assert.ok(found !== null, `${bench.name} is there`);
  return found;
}

async function infoOf(bench: Bench, guest: GuestRef) {
  return settle(bench, bench.hypervisor.info(guest));
}

/** A save under way, and all that was heard of it. */
class Save {
  readonly events: SaveEvent[] = [];
  readonly operation: SaveOperation;
  readonly #bench: Bench;

  constructor(bench: Bench, guest: GuestRef) {
    this.#bench = bench;
    this.operation = bench.hypervisor.startSave(guest, {
      limitBytes,
      saveHelper: 'own',
      barriers: [],
      onEvent: (event) => this.events.push(event),
    });
  }

  get end(): SaveEnd | null {
    const last = this.events.at(-1);
    return last?.kind === 'ended' ? last.end : null;
  }

  #seen(kind: SaveEvent['kind'], epoch: number): SaveEvent | undefined {
    return this.events.find(
      (event) => event.kind === kind && 'epoch' in event && event.epoch === epoch,
    );
  }

  async epochEnd(epoch: number) {
    await this.#bench.until(() => this.#seen('epoch-end', epoch) !== undefined);
    const event = this.#seen('epoch-end', epoch);
    assert.ok(event?.kind === 'epoch-end');
    assert.ok(this.#seen('checkpoint', epoch) !== undefined, `a checkpoint of epoch ${epoch}`);
    return event;
  }

  /** Everything that waits, in one read each until nothing does. */
  drain(): Uint8Array[] {
    const buffer = Buffer.alloc(1 << 24);
    const pieces: Uint8Array[] = [];
    for (let n = this.operation.read(buffer); n > 0; n = this.operation.read(buffer)) {
      pieces.push(Buffer.from(buffer.subarray(0, n)));
    }
    return pieces;
  }

  async next(epoch: number): Promise<Buffer> {
    assert.equal(this.operation.checkpoint(), true);
    await this.epochEnd(epoch);
    return Buffer.concat(this.drain());
  }

  async ended(): Promise<SaveEnd> {
    await this.#bench.until(() => this.end !== null);
    assert.ok(this.end !== null);
    return this.end;
  }
}

/** The first epochs of the guest, whole, as a stream each. */
async function epochs(bench: Bench, count: number): Promise<Buffer[]> {
  const save = new Save(bench, await guestOf(bench));
  await save.epochEnd(0);
  const all: Buffer[] = [Buffer.concat(save.drain())];
  for (let epoch = 1; epoch < count; epoch += 1) all.push(await save.next(epoch));
  save.operation.abort();
  await save.ended();
  return all;
}

class Restore {
  readonly events: RestoreEvent[] = [];
  readonly operation: RestoreOperation;
  readonly #bench: Bench;

  private constructor(
    bench: Bench,
    start: (onEvent: (event: RestoreEvent) => void) => RestoreOperation,
  ) {
    this.#bench = bench;
    this.operation = start((event) => this.events.push(event));
  }

  static async start(bench: Bench): Promise<Restore> {
    const { hypervisor } = bench;
    const spec = await settle(bench, hypervisor.spec(await guestOf(bench)));
    return new Restore(bench, (onEvent) => hypervisor.startRestore(spec, { limitBytes, onEvent }));
  }

  feed(data: Buffer): StreamPosition {
    const position = this.operation.feed(data);
    assert.ok(position !== null, 'room for it');
    return position;
  }

  async heard(kind: RestoreEvent['kind']): Promise<RestoreEvent> {
    await this.#bench.until(() => this.events.some((event) => event.kind === kind));
    const event = this.events.find((one) => one.kind === kind);
    assert.ok(event !== undefined);
    return event;
  }

  async fed(bytes: number): Promise<void> {
    await this.#bench.until(() =>
      this.events.some((event) => event.kind === 'fed' && event.bytes >= bytes),
    );
  }

  async built(): Promise<GuestRef> {
    this.operation.finish();
    const event = await this.heard('built');
    assert.ok(event.kind === 'built');
    return event.copy;
  }

  async discarded(bench: Bench): Promise<void> {
    this.operation.discard();
    this.operation.discard();
    await this.heard('discarded');
    assert.equal(await settle(bench, bench.hypervisor.find(waitingName(bench.name))), null);
  }
}

const aboutGuests: readonly Clause[] = [
  {
    name: 'finds a guest by its name and by its number, and none where there is none',
    async run(bench) {
      const guest = await guestOf(bench);
      assert.deepEqual(await settle(bench, bench.hypervisor.numbered(guest.id)), guest);
      assert.equal(await settle(bench, bench.hypervisor.find('nobody')), null);
      assert.equal(await settle(bench, bench.hypervisor.numbered(guest.id + 1000)), null);
    },
  },
  {
    name: 'takes no other guest with its number for it',
    async run(bench) {
      const guest = await guestOf(bench);
      const other = { ...guest, uuid: guest.uuid.replace(/^./, (c) => (c === '0' ? '1' : '0')) };
      assert.equal(await infoOf(bench, other), null);
      assert.equal((await infoOf(bench, guest))?.state, 'here');
    },
  },
  {
    name: 'reads what it says of a guest',
    async run(bench) {
      const { hypervisor } = bench;
      const spec = await settle(bench, hypervisor.spec(await guestOf(bench)));
      assert.equal(spec.name, bench.name);
      const read = hypervisor.readSpec(spec.config);
      assert.equal(read.name, spec.name);
      assert.equal(read.hypervisor, spec.hypervisor);
      assert.equal(read.memoryBytes, spec.memoryBytes);
      assert.deepEqual(read.onEnd, spec.onEnd);
    },
  },
  {
    name: 'places disks that it names elsewhere, and changes nothing else',
    async run(bench) {
      const { hypervisor } = bench;
      const spec = await settle(bench, hypervisor.spec(await guestOf(bench)));
      const places = new Map(spec.writableDisks.map(({ name }) => [name, `/dev/there/${name}`]));
      const placed = hypervisor.withDisks(spec, places);
      const targets = placed.writableDisks.map(({ target }) => target);
      assert.deepEqual(targets, [...places.values()]);
      const back = new Map(spec.writableDisks.map(({ name, target }) => [name, target]));
      const again = hypervisor.withDisks(placed, new Map([...back, ['none', '/dev/none']]));
      assert.deepEqual(JSON.parse(JSON.stringify(again)), JSON.parse(JSON.stringify(spec)));
    },
  },
  {
    name: 'counts pauses',
    async run(bench) {
      const { hypervisor } = bench;
      const guest = await guestOf(bench);
      hypervisor.pause(guest);
      hypervisor.pause(guest);
      await settle(bench, hypervisor.unpause(guest));
      assert.equal((await infoOf(bench, guest))?.paused, true);
      await settle(bench, hypervisor.unpause(guest));
      assert.equal((await infoOf(bench, guest))?.paused, false);
    },
  },
  {
    name: 'calls a guest by its new name',
    async run(bench) {
      const { hypervisor, name } = bench;
      const guest = await guestOf(bench);
      await settle(bench, hypervisor.rename(guest, name, `${name}-old`));
      assert.equal(await settle(bench, hypervisor.find(name)), null);
      assert.deepEqual(await settle(bench, hypervisor.find(`${name}-old`)), guest);
      await settle(bench, hypervisor.rename(guest, `${name}-old`, name));
    },
  },
  {
    name: 'leaves nothing of a guest that it destroys',
    async run(bench) {
      const guest = await guestOf(bench);
      await settle(bench, bench.hypervisor.destroy(guest));
      assert.notEqual(endOf(await infoOf(bench, guest)), null);
      assert.equal(await settle(bench, bench.hypervisor.find(bench.name)), null);
    },
  },
];

const aboutSaves: readonly Clause[] = [
  {
    name: 'copies the guest, which runs again then, and waits to be told of the next epoch',
    async run(bench) {
      const guest = await guestOf(bench);
      const save = new Save(bench, guest);
      const { bytes } = await save.epochEnd(0);
      const info = await infoOf(bench, guest);
      assert.deepEqual([info?.state, info?.paused], ['here', false]);
      assert.equal(Buffer.concat(save.drain()).length, bytes);
      const before = save.events.length;
      await infoOf(bench, guest);
      await infoOf(bench, guest);
      assert.equal(
        save.events.slice(before).some(({ kind }) => kind === 'checkpoint'),
        false,
      );
      await save.next(1);
      save.operation.abort();
      await save.ended();
    },
  },
  {
    name: 'begins no checkpoint while an epoch is under way',
    async run(bench) {
      const save = new Save(bench, await guestOf(bench));
      // The next one may be over before it is asked again: every yes is an epoch of its own.
      const early = save.operation.checkpoint() ? 1 : 0;
      await save.epochEnd(early);
      await bench.until(() => save.operation.checkpoint());
      const last = early + 1 + (save.operation.checkpoint() ? 1 : 0);
      await save.epochEnd(last);
      save.operation.abort();
      await save.ended();
    },
  },
  {
    name: 'reads never past the end of an epoch',
    async run(bench) {
      const save = new Save(bench, await guestOf(bench));
      const seed = await save.epochEnd(0);
      assert.equal(save.operation.checkpoint(), true);
      const first = await save.epochEnd(1);
      const sizes = [];
      let sum = 0;
      for (const piece of save.drain()) {
        sum += piece.length;
        sizes.push(sum);
      }
      assert.ok(sizes.includes(seed.bytes), `${sizes} has the end at ${seed.bytes}`);
      assert.equal(sum, seed.bytes + first.bytes);
      save.operation.abort();
      await save.ended();
    },
  },
  {
    name: 'ends when it is told to, and leaves the guest running',
    async run(bench) {
      const guest = await guestOf(bench);
      const save = new Save(bench, guest);
      await save.epochEnd(0);
      save.operation.abort();
      save.operation.abort();
      assert.deepEqual(await save.ended(), { kind: 'aborted', left: 'runs' });
      const info = await infoOf(bench, guest);
      assert.deepEqual([info?.state, info?.paused], ['here', false]);
      assert.equal(save.events.filter(({ kind }) => kind === 'ended').length, 1);
    },
  },
  {
    name: 'ends a seed when it is told to, and leaves the guest running',
    async run(bench) {
      const guest = await guestOf(bench);
      const save = new Save(bench, guest);
      await bench.until(() => save.events.some(({ kind }) => kind === 'data'));
      save.operation.abort();
      const end = await save.ended();
      assert.equal(end.kind, 'aborted');
      assert.ok(end.left !== 'suspended');
      assert.equal((await infoOf(bench, guest))?.state, 'here');
    },
  },
  {
    name: 'says that the guest has ended by itself, and how',
    async run(bench) {
      const guest = await guestOf(bench);
      const save = new Save(bench, guest);
      await save.epochEnd(0);
      bench.powerOff();
      const info = await infoOf(bench, guest);
      assert.deepEqual([info?.state, info?.end], ['ended', 'poweroff']);
      save.operation.checkpoint();
      assert.equal((await save.ended()).kind, 'guest-ended');
    },
  },
];

const aboutCopies: readonly Clause[] = [
  {
    name: 'builds a copy at the end of the stream, paused, under the name that waits',
    async run(bench) {
      const { hypervisor } = bench;
      const [seed, first] = (await epochs(bench, 2)) as [Buffer, Buffer];
      const restore = await Restore.start(bench);
      restore.feed(seed);
      restore.operation.apply(restore.feed(first).epochEnd);
      await restore.fed(seed.length + first.length);
      const copy = await restore.built();
      assert.deepEqual(await settle(bench, hypervisor.find(waitingName(bench.name))), copy);
      assert.equal((await infoOf(bench, copy))?.paused, true);
      assert.equal(bench.epochOf(copy), 1);
      await settle(bench, hypervisor.unpause(copy));
      assert.equal((await infoOf(bench, copy))?.paused, false);
    },
  },
  {
    name: 'builds a copy under the name that it was given before the end of the stream',
    async run(bench) {
      const { hypervisor, name } = bench;
      const [seed] = (await epochs(bench, 1)) as [Buffer];
      const restore = await Restore.start(bench);
      restore.feed(seed);
      await settle(bench, hypervisor.rename(await guestOf(bench), name, `${name}-old`));
      const waiting = await settle(bench, hypervisor.find(waitingName(name)));
      assert.ok(waiting !== null);
      await settle(bench, hypervisor.rename(waiting, waitingName(name), name));
      const copy = await restore.built();
      assert.deepEqual(copy, waiting);
      assert.deepEqual(await settle(bench, hypervisor.find(name)), copy);
      assert.equal(await settle(bench, hypervisor.find(waitingName(name))), null);
      assert.equal((await infoOf(bench, copy))?.paused, true);
    },
  },
  {
    name: 'builds nothing of an epoch that it may not apply',
    async run(bench) {
      const [seed, first, second] = (await epochs(bench, 3)) as [Buffer, Buffer, Buffer];
      const restore = await Restore.start(bench);
      restore.feed(seed);
      restore.operation.apply(restore.feed(first).epochEnd);
      restore.feed(second);
      assert.equal(bench.epochOf(await restore.built()), 1);
    },
  },
  {
    name: 'knows the ends of epochs in pieces of any size',
    async run(bench) {
      const all = await epochs(bench, 2);
      const stream = Buffer.concat(all);
      const [seed, end] = [all[0]?.length ?? 0, stream.length];
      const ends = [seed, end];
      const restore = await Restore.start(bench);
      const cuts = [1, seed >> 1, seed - 1, seed, seed + 1, end];
      let from = 0;
      for (const to of cuts) {
        const position = restore.feed(stream.subarray(from, to));
        const whole = ends.filter((end) => end <= to);
        assert.equal(position.epochs, whole.length, `epochs at ${to}`);
        assert.equal(position.epochEnd, whole.at(-1) ?? 0, `end of the epoch at ${to}`);
        assert.equal(position.atBoundary, ends.includes(to), `a boundary at ${to}`);
        from = to;
      }
      await restore.discarded(bench);
    },
  },
  {
    name: 'leaves no trace of a copy that it discards',
    async run(bench) {
      const [seed] = (await epochs(bench, 1)) as [Buffer];
      const restore = await Restore.start(bench);
      restore.feed(seed);
      await restore.discarded(bench);
      assert.equal((await infoOf(bench, await guestOf(bench)))?.state, 'here');
    },
  },
  {
    name: 'refuses a stream that leaves something out, and discards the copy',
    async run(bench) {
      const [seed, , second] = (await epochs(bench, 3)) as [Buffer, Buffer, Buffer];
      const restore = await Restore.start(bench);
      restore.feed(seed);
      const bytes = Buffer.concat([second.subarray(second.length >> 1), second]);
      assert.throws(() => restore.operation.feed(bytes), { code: 'protocol' });
      await restore.discarded(bench);
    },
  },
];

export const clauses: readonly Clause[] = [...aboutGuests, ...aboutSaves, ...aboutCopies];
