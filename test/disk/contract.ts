/**
 * What every disk driver has to do (src/disk/port.ts, D1 to D8), as one suite over a bench: two
 * hosts with a disk each, of which the guest writes to the one, and which can lose their link,
 * their processes, their power or their blocks at any step. The bytes of both disks are compared,
 * not what a driver says of them.
 */
import { strict as assert } from 'node:assert';
import type { BackupDisk, PrimaryDisk } from '../../src/disk/port.ts';

/** What a guest's back end asks of its disk; bytes, multiples of a sector. */
export type DiskRequest =
  | { readonly kind: 'write'; readonly at: number; readonly data: Buffer; readonly fua?: boolean }
  | { readonly kind: 'zeroes' | 'discard'; readonly at: number; readonly length: number }
  | { readonly kind: 'flush' };

export type SectorBytes = 512 | 4096;

/** A session whose two ends are open, and which has taken no barrier yet. */
export interface Bench {
  readonly sectorBytes: SectorBytes;
  /** Of either disk: at least 64 sectors. */
  readonly sizeBytes: number;
  readonly primary: PrimaryDisk;
  readonly backup: BackupDisk;
  /** What the backup's end told since it was opened. */
  readonly whole: readonly number[];
  readonly lost: readonly string[];
  /** The guest's: resolves when it is completed, rejects with the guest's own error. */
  request(request: DiskRequest): Promise<void>;
  /** As the save does it, the guest being suspended. Throws when no barrier is taken any more. */
  barrier(epoch: number): void;
  /** All of the disk of host A, as the guest reads it. Rejects with the guest's own error. */
  readHere(): Promise<Buffer>;
  /** All of the disk of host B, as a guest that is started there would read it. */
  readThere(): Promise<Buffer>;
  /** Resolves once nothing happens any more without another call. */
  quiet(): Promise<void>;
  cutLink(): void;
  /** SIGKILL, of the process in which that end of the session is. */
  kill(end: 'primary' | 'backup'): void;
  /** A host loses power and comes back; what its disk had not made durable is gone. */
  powerCut(host: 'here' | 'there'): Promise<void>;
  /** From here on the medium takes no write at `at` or behind it; it can be read. */
  failWrites(host: 'here' | 'there', at: number): void;
  close(): Promise<void>;
}

/** Opens a bench; host A's disk holds what no write of the suite looks like. */
export type OpenBench = (sectorBytes: SectorBytes) => Promise<Bench>;

export interface Clause {
  readonly name: string;
  run(open: OpenBench, sectorBytes: SectorBytes): Promise<void>;
}

/** A guest: what it wrote, and what its disk was at each barrier. */
class Guest {
  readonly bench: Bench;
  image: Buffer;
  readonly atBarrier: Buffer[] = [];
  /** The disk after each request, and the epoch that it belongs to. */
  readonly written: { readonly epoch: number; readonly image: Buffer }[] = [];
  #value = 0;

  constructor(bench: Bench, image: Buffer) {
    this.bench = bench;
    this.image = image;
  }

  /** Sectors that nothing else was written to. */
  data(sectors: number): Buffer {
    this.#value += 1;
    const { sectorBytes } = this.bench;
    const data = Buffer.alloc(sectors * sectorBytes);
    for (let at = 0; at < data.length; at += 8) {
      data.writeUInt32LE(this.#value, at);
      data.writeUInt32LE(0xd15c0000 + at / 8, at + 4);
    }
    return data;
  }

  /** Its effect on what the guest knows; what a discard leaves nobody relies on. */
  #note(request: DiskRequest): void {
    if (request.kind === 'write') request.data.copy(this.image, request.at);
    if (request.kind === 'zeroes') this.image.fill(0, request.at, request.at + request.length);
    this.written.push({ epoch: this.atBarrier.length, image: Buffer.from(this.image) });
  }

  async write(sector: number, sectors = 1, fua = false): Promise<void> {
    const at = sector * this.bench.sectorBytes;
    const request = { kind: 'write', at, data: this.data(sectors), fua } as const;
    await this.bench.request(request);
    this.#note(request);
  }

  async clear(kind: 'zeroes' | 'discard', sector: number, sectors: number): Promise<void> {
    const { sectorBytes } = this.bench;
    const request = { kind, at: sector * sectorBytes, length: sectors * sectorBytes };
    await this.bench.request(request);
    this.#note(request);
  }

  flush(): Promise<void> {
    return this.bench.request({ kind: 'flush' });
  }

  barrier(): number {
    const epoch = this.atBarrier.length;
    this.bench.barrier(epoch);
    this.atBarrier.push(Buffer.from(this.image));
    return epoch;
  }

  /** Ends the epoch, and waits until it is whole on host B. */
  async checkpoint(): Promise<number> {
    const epoch = this.barrier();
    await this.bench.quiet();
    assert.ok(this.bench.whole.includes(epoch), `epoch ${epoch} is whole`);
    return epoch;
  }

  /** And commits it. */
  async commit(): Promise<number> {
    const epoch = await this.checkpoint();
    if (epoch > 0) this.bench.backup.commit(epoch);
    await this.bench.quiet();
    return epoch;
  }
}

/** The ranges of sectors that differ, for whoever has to find out why. */
function differing(one: Buffer, other: Buffer, sectorBytes: number): string {
  const found: number[] = [];
  for (let at = 0; at < one.length; at += sectorBytes) {
    const end = at + sectorBytes;
    if (!one.subarray(at, end).equals(other.subarray(at, end))) found.push(at / sectorBytes);
  }
  return `sectors ${found.slice(0, 16).join(' ')} (${found.length} of them)`;
}

function same(bench: Bench, found: Buffer, expected: Buffer | undefined, what: string): void {
  assert.ok(expected !== undefined, what);
  assert.equal(found.length, expected.length, what);
  if (found.equals(expected)) return;
  assert.fail(`${what}: ${differing(found, expected, bench.sectorBytes)} differ`);
}

async function thereIs(guest: Guest, epoch: number): Promise<void> {
  const { bench, atBarrier } = guest;
  same(bench, await bench.readThere(), atBarrier[epoch], `host B's disk is at epoch ${epoch}`);
}

/** As a session does before the copy is built. */
async function activate({ backup }: Bench): Promise<void> {
  await backup.rollBack();
  await backup.settle();
}

/** A clause on a bench of its own, with a guest whose seed has been taken. */
function clause(name: string, run: (guest: Guest, bench: Bench) => Promise<void>): Clause {
  return {
    name,
    async run(open, sectorBytes) {
      const bench = await open(sectorBytes);
      try {
        const guest = new Guest(bench, await bench.readHere());
        await guest.commit();
        await run(guest, bench);
      } finally {
        await bench.close();
      }
    },
  };
}

const basics: readonly Clause[] = [
  {
    name: 'holds with the first epoch all that the disk held at its barrier (D1)',
    async run(open, sectorBytes) {
      const bench = await open(sectorBytes);
      const guest = new Guest(bench, await bench.readHere());
      // Written while the first copy is under way, before and behind where it may be.
      for (const sector of [0, 63, 31, 7, 62, 1, 31]) await guest.write(sector);
      await guest.write(20, 9);
      guest.barrier();
      for (const sector of [63, 40, 0]) await guest.write(sector);
      await bench.quiet();
      assert.deepEqual(bench.whole, [0]);
      await activate(bench);
      await thereIs(guest, 0);
      await bench.close();
    },
  },
  clause('has all of an epoch with its commit, nothing before (D1)', async (guest, bench) => {
    for (const sector of [0, 5, 63]) await guest.write(sector);
    await guest.write(8, 32);
    const epoch = await guest.checkpoint();
    await thereIs(guest, 0);
    bench.backup.commit(epoch);
    await bench.backup.settle();
    await thereIs(guest, epoch);
  }),
  clause('tells once of each epoch that it is whole, empty or not', async (guest, bench) => {
    await guest.write(3);
    await guest.commit();
    await guest.commit();
    await guest.checkpoint();
    await guest.write(4);
    await guest.checkpoint();
    assert.deepEqual(bench.whole, [0, 1, 2, 3, 4]);
    assert.deepEqual(bench.lost, []);
  }),
  clause('leaves the last of writes to one place (D3)', async (guest, bench) => {
    await guest.write(10, 8);
    await guest.write(12, 2);
    await guest.write(9, 4);
    await guest.write(12);
    const one = await guest.checkpoint();
    await guest.write(12);
    await guest.write(13, 8);
    const two = await guest.checkpoint();
    await guest.write(14);
    const three = await guest.checkpoint();
    for (const epoch of [one, two]) bench.backup.commit(epoch);
    await bench.backup.settle();
    await thereIs(guest, two);
    bench.backup.commit(three);
    await bench.backup.settle();
    await thereIs(guest, three);
  }),
  clause('counts to an epoch what completed by its barrier (D2)', async (guest, bench) => {
    await guest.write(1);
    await guest.write(2);
    const one = guest.barrier();
    await guest.write(2);
    await guest.write(3);
    await bench.quiet();
    bench.backup.commit(one);
    await bench.backup.settle();
    await thereIs(guest, one);
    await guest.commit();
    await bench.backup.settle();
    await thereIs(guest, 2);
  }),
  clause(
    'has a write under way at a barrier in this epoch or the next (D2)',
    async (guest, bench) => {
      const { sectorBytes } = bench;
      const data = guest.data(1);
      const done = bench.request({ kind: 'write', at: 6 * sectorBytes, data });
      const one = guest.barrier();
      await done;
      const without = Buffer.from(guest.image);
      data.copy(guest.image, 6 * sectorBytes);
      await bench.quiet();
      bench.backup.commit(one);
      await bench.backup.settle();
      const found = await bench.readThere();
      if (!found.equals(guest.image)) same(bench, found, without, 'early, or not yet');
      const two = await guest.commit();
      await bench.backup.settle();
      await thereIs(guest, two);
    },
  ),
  clause('moves single sectors, the last one, and touches no neighbour', async (guest, bench) => {
    const last = bench.sizeBytes / bench.sectorBytes - 1;
    for (const sector of [1, 3, 9, last]) await guest.write(sector);
    await guest.write(17, 3);
    const epoch = await guest.commit();
    await bench.backup.settle();
    await thereIs(guest, epoch);
  }),
  clause('makes zeroes, and discards nothing that comes later', async (guest, bench) => {
    await guest.write(16, 16);
    await guest.commit();
    await guest.clear('zeroes', 18, 5);
    await guest.write(20);
    await guest.clear('discard', 24, 4);
    await guest.write(24, 4);
    await guest.flush();
    await guest.clear('zeroes', 63, 1);
    const epoch = await guest.commit();
    await bench.backup.settle();
    await thereIs(guest, epoch);
  }),
];

const ends: readonly Clause[] = [
  clause('leaves no trace of a torn epoch (D1)', async (guest, bench) => {
    await guest.write(4, 4);
    await guest.commit();
    for (const sector of [0, 8, 16, 24, 32, 40]) await guest.write(sector, 2);
    guest.barrier();
    // Some of it arrives, and the rest does not.
    for (const sector of [5, 60, 61, 62, 5, 60]) await guest.write(sector);
    bench.cutLink();
    await guest.write(61);
    await bench.quiet();
    assert.deepEqual(bench.whole, [0, 1]);
    await activate(bench);
    await thereIs(guest, 1);
    same(bench, await bench.readHere(), guest.image, 'the guest has what it wrote');
  }),
  clause('rolls back what was not committed, takes nothing more (D4)', async (guest, bench) => {
    await guest.write(4, 4);
    const one = await guest.checkpoint();
    await guest.write(5);
    const two = await guest.checkpoint();
    bench.backup.commit(one);
    await bench.backup.rollBack();
    bench.backup.commit(two);
    await guest.write(6);
    bench.barrier(3);
    await bench.quiet();
    await bench.backup.rollBack();
    await bench.backup.settle();
    assert.deepEqual(bench.whole, [0, 1, 2]);
    await thereIs(guest, one);
  }),
  clause('has on the medium all that it settled (D5)', async (guest, bench) => {
    await guest.write(2, 30);
    const epoch = await guest.checkpoint();
    bench.backup.commit(epoch);
    await activate(bench);
    await bench.powerCut('there');
    await thereIs(guest, epoch);
  }),
  clause('leaves flush and FUA to the guest as they are (D6)', async (guest, bench) => {
    await guest.write(2, 4);
    await guest.flush();
    await guest.write(8, 2, true);
    await bench.powerCut('here');
    same(bench, await bench.readHere(), guest.image, 'what was flushed, or written with FUA');
  }),
  clause('ends, and the guest writes on as before (D6)', async (guest, bench) => {
    await guest.write(2);
    await guest.commit();
    await bench.primary.close();
    await guest.write(3);
    await guest.flush();
    await bench.primary.close();
    await guest.write(4);
    await errorOf(Promise.resolve().then(() => bench.barrier(2)));
    await bench.quiet();
    same(bench, await bench.readHere(), guest.image, 'the guest has what it wrote');
    assert.deepEqual(bench.whole, [0, 1]);
    await activate(bench);
    await thereIs(guest, 1);
  }),
];

/** The guest's own error; null: it was told of none. */
async function errorOf(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => null,
    (error: unknown) => error ?? 'nothing',
  );
}

const errors: readonly Clause[] = [
  clause(
    'leaves to the guest the errors of its disk, and good blocks (D7)',
    async (guest, bench) => {
      const { sectorBytes } = bench;
      await guest.write(1);
      await guest.commit();
      bench.failWrites('here', 32 * sectorBytes);
      await guest.write(2);
      const failing = { kind: 'write', at: 40 * sectorBytes, data: guest.data(1) } as const;
      assert.notEqual(await errorOf(bench.request(failing)), null, 'the guest is told');
      await bench.quiet();
      same(bench, await bench.readHere(), guest.image, 'what is good can be read');
      await guest.write(3);
      same(bench, await bench.readHere(), guest.image, 'and written');
      // What host A's disk holds is not known any more, so nothing is told of it.
      await errorOf(Promise.resolve().then(() => guest.barrier()));
      await bench.quiet();
      assert.deepEqual(bench.whole, [0, 1]);
    },
  ),
  clause('tells its session once of an error there, the guest never (D7)', async (guest, bench) => {
    bench.failWrites('there', 32 * bench.sectorBytes);
    await guest.write(40);
    const epoch = await guest.checkpoint();
    bench.backup.commit(epoch);
    await bench.quiet();
    assert.equal(bench.lost.length, 1);
    assert.notEqual(await errorOf(bench.backup.settle()), null, 'nothing is settled');
    await guest.write(41);
    guest.barrier();
    await bench.quiet();
    assert.deepEqual(bench.whole, [0, 1]);
    assert.equal(bench.lost.length, 1);
    same(bench, await bench.readHere(), guest.image, 'the guest has what it wrote');
  }),
];

/** What may end at any step of a session. */
const deaths = {
  'the link': (bench: Bench) => bench.cutLink(),
  'the process on host A': (bench: Bench) => bench.kill('primary'),
  'the process on host B': (bench: Bench) => bench.kill('backup'),
  'host B': (bench: Bench) => bench.powerCut('there'),
} as const;
type Death = keyof typeof deaths;

/** The steps of a session of three epochs; each leaves the driver in the middle of something. */
function storyOf(guest: Guest, bench: Bench, committed: number[]): (() => Promise<void> | void)[] {
  const commitWhole = () => {
    const epoch = committed.length;
    if (!bench.whole.includes(epoch)) return;
    committed.push(epoch);
    bench.backup.commit(epoch);
  };
  const barrier = () => errorOf(Promise.resolve().then(() => guest.barrier())).then(() => {});
  return [
    () => guest.write(0, 4),
    () => guest.write(2),
    barrier,
    () => guest.write(2),
    () => bench.quiet(),
    commitWhole,
    () => guest.write(3, 3),
    () => guest.flush(),
    barrier,
    () => guest.write(3),
    commitWhole,
    () => bench.quiet(),
    commitWhole,
    () => guest.clear('zeroes', 1, 4),
    barrier,
    () => guest.write(60, 1, true),
    () => bench.quiet(),
    commitWhole,
    () => guest.write(3),
  ];
}

/** Each sector is as host B had it before, or as a committed epoch wrote it: a part of that. */
async function nothingLater(guest: Guest, before: Buffer, last: number): Promise<void> {
  const { bench, atBarrier, written } = guest;
  const found = await bench.readThere();
  const images = [
    ...[before, atBarrier[0] ?? before],
    ...written.filter(({ epoch }) => epoch <= last).map(({ image }) => image),
  ];
  for (let at = 0; at < found.length; at += bench.sectorBytes) {
    const sector = (image: Buffer) => image.subarray(at, at + bench.sectorBytes);
    const isKnown = images.some((image) => sector(image).equals(sector(found)));
    assert.ok(isKnown, `sector ${at / bench.sectorBytes} is of no committed epoch`);
  }
}

/** Ends `what` after `step` steps; false: the story has no so many. */
async function dieAt(bench: Bench, what: Death, step: number): Promise<boolean> {
  const before = await bench.readThere();
  const guest = new Guest(bench, await bench.readHere());
  await guest.commit();
  const committed = [0];
  const story = storyOf(guest, bench, committed);
  const isBackupGone = what === 'the process on host B' || what === 'host B';
  for (const [at, act] of story.entries()) {
    if (at === step) await deaths[what](bench);
    // What is dead is asked nothing.
    const isOfBackup = act.name === 'commitWhole';
    if (at < step || !isBackupGone || !isOfBackup) await act();
  }
  await bench.quiet();
  same(bench, await bench.readHere(), guest.image, `${what} at ${step}: the guest lost nothing`);
  if (isBackupGone) {
    await nothingLater(guest, before, committed.length - 1);
  } else {
    await activate(bench);
    await thereIs(guest, committed.length - 1);
  }
  return step < story.length;
}

const dying = (Object.keys(deaths) as Death[]).map((what): Clause => {
  return {
    name: `costs the guest no error, and leaves nothing uncommitted: the end of ${what} (D8)`,
    async run(open, sectorBytes) {
      for (let step = 0, goesOn = true; goesOn; step += 1) {
        const bench = await open(sectorBytes);
        try {
          goesOn = await dieAt(bench, what, step);
        } finally {
          await bench.close();
        }
      }
    },
  };
});

/** Numbers below `limit` that a seed gives, the same for ever (xorshift32). */
function numbersOf(seed: number): (limit: number) => number {
  let state = Math.imul(seed + 1, 0x9e3779b1) | 1;
  return (limit) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % limit;
  };
}

/** One request of any kind and place. What is discarded is written, so that it is known. */
async function anyRequest(guest: Guest, below: (limit: number) => number): Promise<void> {
  const { sizeBytes, sectorBytes } = guest.bench;
  const count = 1 + below(9);
  const sector = below(sizeBytes / sectorBytes - count + 1);
  const kind = below(10);
  if (kind === 0) return guest.flush();
  if (kind === 1) return guest.clear('zeroes', sector, count);
  if (kind === 2) await guest.clear('discard', sector, count);
  return guest.write(sector, count, kind === 3);
}

const sessionsMax = 24;
const stepsMax = 48;

const random: Clause = {
  name: `agrees in ${sessionsMax} random sessions with what the guest wrote (D1 to D5)`,
  async run(open, sectorBytes) {
    for (let seed = 0; seed < sessionsMax; seed += 1) {
      const bench = await open(sectorBytes);
      const below = numbersOf(seed);
      const guest = new Guest(bench, await bench.readHere());
      await guest.commit();
      let committed = 0;
      for (let step = 0; step < stepsMax; step += 1) {
        const what = below(12);
        if (what === 0) guest.barrier();
        else if (what === 1) await bench.quiet();
        else if (what > 2) await anyRequest(guest, below);
        else if (bench.whole.includes(committed + 1)) bench.backup.commit(++committed);
      }
      if (below(2) === 0) bench.cutLink();
      await activate(bench);
      if (below(2) === 0) await bench.powerCut('there');
      await thereIs(guest, committed);
      same(bench, await bench.readHere(), guest.image, `seed ${seed}: the guest's own disk`);
      await bench.close();
    }
  },
};

export const clauses: readonly Clause[] = [...basics, ...ends, ...errors, ...dying, random];
