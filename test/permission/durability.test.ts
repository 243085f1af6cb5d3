// Goal: what the record reported holds over a power cut, at whatever step of the disk it comes and
// whatever is lost by it; and a disk that fails leaves a record that can be read and told from a
// lie. Method: the real store and record on a simulated disk, cut at every step in every way.
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Permission } from '../../src/core/vocabulary.ts';
import type { Chance } from '../../src/host/clock.ts';
import { errnoCode } from '../../src/host/errors.ts';
import type { Files } from '../../src/host/files.ts';
import { Store } from '../../src/host/store.ts';
import { operationError } from '../link/support.ts';
import { type DiskCaller, SimDisk } from '../sim/files.ts';
import { Random } from '../sim/random.ts';
import {
  type Actor,
  cutEverywhere,
  dir,
  EveryOutcome,
  Host,
  type MakeStore,
  realStore,
  Scheduler,
  type Story,
} from './power-cuts.ts';

const activate = async (one: Actor) => {
  const permission = await one.move('standby', 'activating');
  if (permission === 'activating') await one.move('activating', 'active');
};
const promise = async (one: Actor) => {
  await one.move('standby', 'promised');
};
const readThrice = async (one: Actor) => {
  for (let time = 0; time < 3; time++) await one.read();
};

const stories: readonly Story[] = [
  { name: 'it is created', from: null, acts: [(one) => one.create()] },
  { name: 'it is activated', from: 'standby', acts: [activate] },
  { name: 'it is promised', from: 'standby', acts: [promise] },
  {
    name: 'an activation fails',
    from: 'activating',
    acts: [
      async (one) => {
        await one.move('activating', 'promised');
      },
    ],
  },
  { name: 'the guest is lost', from: 'active', acts: [(one) => one.lose()] },
  { name: 'the copy is seen to run', from: 'active', acts: [(one) => one.noteRunning()] },
  {
    name: 'it goes all its way',
    from: null,
    acts: [
      async (one) => {
        await one.create();
        await activate(one);
        await one.noteRunning();
      },
    ],
  },
];

/** In several orders. */
const races: readonly Story[] = [
  { name: 'one activates, one promises', from: 'standby', acts: [activate, promise] },
  { name: 'one activates, one reads', from: 'standby', acts: [activate, readThrice] },
  { name: 'the guest is lost, one reads', from: 'active', acts: [(one) => one.lose(), readThrice] },
  { name: 'one promises, one reads', from: 'standby', acts: [promise, readThrice] },
  {
    name: 'an activation without its owner ends in two ways',
    from: 'activating',
    acts: [
      async (one) => {
        await one.move('activating', 'active');
      },
      async (one) => {
        await one.move('activating', 'promised');
      },
    ],
  },
];
const orders = [1, 2, 3, 4];

/** The first violation of a kind in any story, or null. */
async function firstViolation(
  among: readonly Story[],
  makeStore: MakeStore,
  kind = /^/,
): Promise<string | null> {
  for (const story of among) {
    // One process alone takes its steps in one order.
    for (const order of story.acts.length > 1 ? orders : orders.slice(0, 1)) {
      for await (const violation of cutEverywhere(story, makeStore, order)) {
        if (kind.test(violation)) return violation;
      }
    }
  }
  return null;
}

describe('a power cut at every step, with every outcome', () => {
  it.each([...stories, ...races])('while $name', async (story) => {
    expect(await firstViolation([story], realStore)).toBeNull();
  });
});

/** A store whose files are wrong in one way. */
function withFiles(change: (files: Files) => Partial<Files>): MakeStore {
  return (files, chance) => new Store({ ...files, ...change(files) }, chance);
}

/** A store that creates exclusively in a way of its own. */
function creating(
  create: (files: Files, path: string, content: string) => Promise<boolean>,
): MakeStore {
  return (files, chance) =>
    new (class extends Store {
      override createExclusively(path: string, content: string): Promise<boolean> {
        return create(files, path, content);
      }
    })(files, chance);
}

async function unlessTaken(work: () => Promise<unknown>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    if (errnoCode(error) === 'EEXIST') return false;
    throw error;
  }
}

function storeOn(disk: SimDisk, caller: DiskCaller): Store {
  return new Store(disk.filesFor(caller), {
    bytes: (count) => Buffer.alloc(count),
    share: () => 0,
  });
}

/** Syncs the folder after what it creates, and nowhere else. */
class DeafReader extends Store {
  readonly #real: Store;

  constructor(files: Files, chance: Chance) {
    super(files, chance);
    this.#real = new Store(files, chance);
  }

  override createExclusively(path: string, content: string): Promise<boolean> {
    return this.#real.createExclusively(path, content);
  }

  override async syncDir(): Promise<void> {}
}

/** With the stories that show it, and how. */
const mutants: readonly [string, readonly Story[], MakeStore, RegExp][] = [
  [
    'leaves out the sync of the file',
    stories,
    withFiles((files) => ({
      open: async (path, how) => ({ ...(await files.open(path, how)), sync: async () => {} }),
    })),
    /cannot be read: .* is damaged/,
  ],
  [
    'leaves out the sync of the folder',
    stories,
    withFiles(() => ({ syncDir: async () => {} })),
    /was reported, the record says/,
  ],
  [
    'writes in place, without a temporary file',
    stories,
    creating(async (files, path, content) => {
      const isFirst = await unlessTaken(async () => {
        const file = await files.open(path, 'new');
        await file.write(content);
        await file.sync();
        await file.close();
      });
      await files.syncDir(dirname(path));
      return isFirst;
    }),
    /cannot be read: .* is damaged/,
  ],
  [
    'syncs the file only after it has its name',
    stories,
    creating(async (files, path, content) => {
      const temporary = `${path}.${content.length}.tmp`;
      const file = await files.open(temporary, 'new');
      await file.write(content);
      const isFirst = await unlessTaken(() => files.link(temporary, path));
      await file.sync();
      await file.close();
      await files.unlink(temporary);
      await files.syncDir(dirname(path));
      return isFirst;
    }),
    /cannot be read: .* is damaged/,
  ],
  [
    'leaves out the sync of the folders above',
    stories,
    (files, chance) =>
      new (class extends Store {
        override async ensureDir(path: string): Promise<void> {
          await unlessTaken(() => files.makeDir(dirname(path)));
          await unlessTaken(() => files.makeDir(path));
        }
      })(files, chance),
    /was reported, the record says null/,
  ],
  [
    'syncs only the folder right above',
    stories,
    (files, chance) =>
      new (class extends Store {
        override async ensureDir(path: string): Promise<void> {
          await unlessTaken(() => files.makeDir(dirname(path)));
          await unlessTaken(() => files.makeDir(path));
          await files.syncDir(dirname(path));
        }
      })(files, chance),
    /was reported, the record says null/,
  ],
  [
    'syncs the folder before the name is in it',
    stories,
    withFiles((files) => ({
      link: async (from, to) => {
        await files.syncDir(dirname(to));
        await files.link(from, to);
      },
      syncDir: async () => {},
    })),
    /was reported, the record says/,
  ],
  [
    'replaces instead of creating',
    races,
    withFiles((files) => ({
      link: async (from, to) => {
        await files.rename(from, to);
      },
    })),
    /both outcomes were reported|one step was taken twice|was reported, the record says/,
  ],
  [
    'syncs nothing when it reads',
    races,
    (files, chance) => new DeafReader(files, chance),
    /was reported, the record says/,
  ],
];

describe('a store is caught that', () => {
  it.each(mutants)('%s', async (_what, among, makeStore, kind) => {
    expect(await firstViolation(among, makeStore, kind)).toMatch(kind);
  });
});

type Fault = 'full' | 'short' | 'read-only' | 'EIO before' | 'EIO after';
const faults: readonly Fault[] = ['full', 'short', 'read-only', 'EIO before', 'EIO after'];

function strike({ disk }: Host, fault: Fault): void {
  disk.isFull = fault === 'full';
  disk.isReadOnly = fault === 'read-only';
  disk.shortWritesLeft = fault === 'short' ? 1 : 0;
  disk.failsLeft = fault.startsWith('EIO') ? 1 : 0;
  disk.failMode = fault === 'EIO after' ? 'after' : 'before';
  disk.failsAt = () => true;
}

function heal({ disk }: Host): void {
  disk.isFull = false;
  disk.isReadOnly = false;
  disk.shortWritesLeft = 0;
  disk.failsLeft = 0;
}

/** A move with a fault from step `at` on; the error's code, or null. Undefined: no such step. */
async function moveWithFault(
  host: Host,
  fault: Fault,
  at: number,
  [from, to]: readonly [Permission, Permission],
): Promise<string | null | undefined> {
  await host.setUp(from);
  const scheduler = new Scheduler(new Random(1));
  let isStruck = false;
  scheduler.onStep = (number) => {
    if (number !== at) return;
    isStruck = true;
    strike(host, fault);
  };
  const moved = host.process(scheduler.caller(), 1).move(from, to);
  await scheduler.run([moved]);
  if (!isStruck) return undefined;
  const error = await moved.then(
    () => null,
    (reason: unknown) => reason,
  );
  if (error === null) return null;
  const { code } = await operationError(() => Promise.reject(error));
  return code;
}

describe('a disk that fails at any step of a move', () => {
  const steps = [
    ['standby', 'activating'],
    ['standby', 'promised'],
    ['activating', 'active'],
    ['activating', 'promised'],
  ] as const;

  it.each(
    steps.flatMap((step) => faults.map((fault) => ({ step, fault, from: step[0], to: step[1] }))),
  )('$from to $to, $fault: what holds can be read', async ({ step, fault, from, to }) => {
    const seen = new Set<string>();
    for (let at = 0; ; at++) {
      const outcomes = new EveryOutcome();
      let code: string | null | undefined;
      do {
        const host = new Host(realStore);
        code = await moveWithFault(host, fault, at, step);
        if (code === undefined) break;
        // While the disk is full everything can still be read.
        if (fault !== 'full') heal(host);
        const held = await host.alone((one) => one.read());
        heal(host);
        expect([from, to]).toContain(held);
        if (code === null) expect(held).toBe(to);
        seen.add(`${code} ${held}`);
        host.powerOff(outcomes);
        // Standby was no answer; all else was.
        const after = await host.alone((one) => one.read());
        expect(after).toBe(held);
        expect(host.violations).toEqual([]);
      } while (outcomes.advance());
      if (code === undefined) break;
    }
    expect([...seen].sort()).toEqual(expected(fault, from, to).sort());
  });

  /** Every way in which it may go: the error's code, and what holds then. */
  function expected(fault: Fault, from: Permission, to: Permission): string[] {
    switch (fault) {
      case 'full':
      case 'short':
        return [`disk-full ${from}`, `null ${to}`];
      case 'read-only':
        return [`null ${to}`, `storage ${from}`, `storage ${to}`];
      case 'EIO before':
      case 'EIO after':
        return [`null ${to}`, `storage ${from}`, `storage ${to}`];
    }
  }
});

describe('a disk that became read-only', () => {
  it('after the step was taken: nobody vouches for it', async () => {
    const host = new Host(realStore);
    await host.setUp('standby');
    const scheduler = new Scheduler(new Random(1));
    scheduler.onStep = (_number, what) => {
      if (what.startsWith('sync-dir')) host.disk.isReadOnly = true;
    };
    const moved = host.process(scheduler.caller()).move('standby', 'promised');
    await scheduler.run([moved]);
    expect((await operationError(() => moved)).code).toBe('storage');
    expect(host.file('decision')).toContain('promised');
    const error = await operationError(() => host.alone((one) => one.read()));
    expect(error.message).toContain('the file system is read-only');
    expect(host.disk.isDurable).toBe(false);
    expect(host.reported.map(({ said }) => said)).toEqual(['standby']);
  });

  it('says what it said before', async () => {
    const host = new Host(realStore);
    await host.setUp('active');
    host.disk.isReadOnly = true;
    expect(await host.alone((one) => one.read())).toBe('active');
  });
});

describe('a disk with little space', () => {
  it('is left without temporary files by a write that was cut short', async () => {
    const host = new Host(realStore);
    await host.setUp('standby');
    const before = host.disk.names(dir);
    host.disk.shortWritesLeft = 1;
    const error = await operationError(() => host.alone((one) => one.move('standby', 'promised')));
    expect(error.code).toBe('disk-full');
    expect(error.hint).toContain(join(dir, '.'));
    expect(host.disk.names(dir)).toEqual(before);
    expect(await host.alone((one) => one.move('standby', 'promised'))).toBe('promised');
  });
});

describe('the folders of the record', () => {
  // Proves: of two processes the first of which dies at any step, the second leaves folders that
  // outlive a power cut.
  it('are there after a power cut, whoever began to make them', async () => {
    for (let at = 0; ; at++) {
      const outcomes = new EveryOutcome();
      let isWhole = false;
      do {
        const disk = new SimDisk();
        const scheduler = new Scheduler(new Random(1));
        const first = storeOn(disk, scheduler.caller()).ensureDir(dir);
        isWhole = (await scheduler.run([first], { at, when: 'after' })) === null;
        await storeOn(disk, { perform: async (_what, work) => work() }).ensureDir(dir);
        disk.powerOff(outcomes);
        expect(disk.hasDir(dir)).toBe(true);
      } while (outcomes.advance());
      if (isWhole) break;
    }
  });
});

describe('what was made ready when the session began', () => {
  it.each([
    ['standby', ['activating', 'active']],
    ['standby', ['promised']],
    ['standby', ['activating', 'promised']],
  ] as const)('takes the steps of a full disk, for good: %s to %s', async (first, steps) => {
    const outcomes = new EveryOutcome();
    do {
      const host = new Host(realStore);
      await host.alone(async ({ record }) => {
        await record.prepare();
        await record.create({});
      }, 1);
      host.disk.isFull = true;
      const said = await host.alone(async ({ record }) => {
        let from: Permission = first;
        for (const to of steps) {
          expect(await record.move(from, to, {})).toMatchObject({ permission: to });
          from = to;
        }
        return from;
      }, 1);
      host.powerOff(outcomes);
      expect(await host.alone(async ({ record }) => (await record.read())?.permission)).toBe(said);
      expect(host.violations).toEqual([]);
    } while (outcomes.advance());
  });

  it('is what a full disk refuses, before there is a record', async () => {
    const host = new Host(realStore);
    host.disk.isFull = true;
    const { code } = await operationError(() => host.alone(({ record }) => record.prepare()));
    expect(code).toBe('disk-full');
    host.disk.isFull = false;
    expect(await host.alone((one) => one.read())).toBeNull();
  });

  it('says what it says only once: a second step finds the first', async () => {
    const host = new Host(realStore);
    await host.alone(async ({ record }) => {
      await record.prepare();
      await record.create({});
    }, 1);
    host.disk.isFull = true;
    const move = (to: Permission) => host.alone(({ record }) => record.move('standby', to, {}));
    expect((await move('promised')).permission).toBe('promised');
    expect((await move('activating')).permission).toBe('promised');
  });
});
