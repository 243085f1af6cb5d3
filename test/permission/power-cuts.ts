/**
 * Power cuts at every step that the record's processes ask of a disk, and every outcome of each.
 *
 * A story is told again for each step: up to it, before it or after it was taken, with nobody
 * hearing of it any more. Then the power goes off, another boot reads the record, and what it says
 * is held against what was begun and what was reported. Nothing here knows how a store works.
 */
import { basename } from 'node:path';
import type { Permission } from '../../src/core/vocabulary.ts';
import type { Chance, Clock } from '../../src/host/clock.ts';
import { errorText } from '../../src/host/errors.ts';
import type { Files } from '../../src/host/files.ts';
import type { Processes, ProcessId } from '../../src/host/process-id.ts';
import { isTemporaryName, Store } from '../../src/host/store.ts';
import { parseNote } from '../../src/permission/note.ts';
import {
  openRecord,
  type PermissionRecord,
  recordPath,
  type Step,
} from '../../src/permission/record.ts';
import { recordUuid as uuid } from '../fixtures/record-uuid.ts';
import { type DiskCaller, SimDisk } from '../sim/files.ts';
import { Random } from '../sim/random.ts';

/** Two folders that no host has by itself. */
export const dir = '/var/lib/tsremus/record';
const session = '1'.padStart(32, '0');

export type MakeStore = (files: Files, chance: Chance) => Store;
export const realStore: MakeStore = (files, chance) => new Store(files, chance);

/** What one process of a story does, once. */
type Act = (process: Actor) => Promise<void>;

export interface Story {
  readonly name: string;
  /** How far the record has come before; its owner is dead. null: there is none. */
  readonly from: Permission | null;
  /** Each is a process of its own; all at once. */
  readonly acts: readonly Act[];
}

/** Goes through all ways in which chance can turn out; of a long range the ends and the middle. */
export class EveryOutcome extends Random {
  #choices: { taken: number; readonly of: number }[] = [];
  #at = 0;

  constructor() {
    super(0);
  }

  /** On to the next way; false when there is none. */
  advance(): boolean {
    this.#choices.length = this.#at;
    this.#at = 0;
    for (;;) {
      const last = this.#choices.at(-1);
      if (last === undefined) return false;
      last.taken += 1;
      if (last.taken < last.of) return true;
      this.#choices.pop();
    }
  }

  /** Both, however unlikely. */
  override chance(_probability: number): boolean {
    return this.#choose(2) === 1;
  }

  override int(min: number, max: number): number {
    const numbers = [...new Set([min, Math.floor((min + max) / 2), max])];
    return numbers[this.#choose(numbers.length)] ?? min;
  }

  #choose(of: number): number {
    const choice = this.#choices[this.#at] ?? { taken: 0, of };
    if (choice.of !== of) throw new Error('the same choices led elsewhere');
    this.#choices[this.#at] = choice;
    this.#at += 1;
    return choice.taken;
  }
}

interface Turn {
  readonly by: number;
  readonly what: string;
  /** Takes it; what it returns tells the process. */
  readonly take: () => () => void;
}

/** Where a story ends. */
export interface Stop {
  /** At the step with this number, from 0. */
  readonly at: number;
  readonly when: 'before' | 'after';
}

/**
 * Takes the steps one by one. Of several processes one is let go on for a while, as the others
 * wait: what one does at last may be long after it looked.
 */
export class Scheduler {
  readonly #order: Random;
  #waiting: Turn[] = [];
  #callers = 0;
  #last = 0;
  /** Called before each step. */
  onStep: (number: number, what: string) => void = () => {};

  constructor(order: Random) {
    this.#order = order;
  }

  /** For one process. */
  caller(): DiskCaller {
    this.#callers += 1;
    const by = this.#callers;
    return {
      perform: (what, work) =>
        new Promise((resolve, reject) => {
          const take = () => {
            try {
              const result = work();
              return () => resolve(result);
            } catch (error) {
              return () => reject(error);
            }
          };
          this.#waiting.push({ by, what, take });
        }),
    };
  }

  /** Until all of them are over, or the stop; where it stopped, or null. */
  async run(all: readonly Promise<unknown>[], stop?: Stop): Promise<string | null> {
    let isOver = false;
    const over = Promise.allSettled(all).then(() => {
      isOver = true;
    });
    for (let number = 0; ; number++) {
      // All that follows from the last step; nothing but the disk is waited for.
      await new Promise((resolve) => setImmediate(resolve));
      if (isOver) break;
      const turn = this.#next();
      const where = `${stop?.when} step ${number}, ${turn.what}`;
      if (stop?.at === number && stop.when === 'before') return where;
      this.onStep(number, turn.what);
      const tell = turn.take();
      if (stop?.at === number) return where;
      tell();
    }
    await over;
    return null;
  }

  #next(): Turn {
    const same = this.#waiting.find(({ by }) => by === this.#last);
    const isLetGoOn = same !== undefined && this.#order.chance(0.9);
    const turn = isLetGoOn ? same : this.#waiting.length > 0 && this.#order.pick(this.#waiting);
    if (!turn) throw new Error('not over, and nobody waits for the disk');
    this.#last = turn.by;
    this.#waiting = this.#waiting.filter((other) => other !== turn);
    return turn;
  }
}

interface Report {
  readonly said: Permission | 'running';
  /** The step that the process took itself, as it says. */
  readonly took: Step | null;
}

const clock: Clock = { nowMs: () => 0, wall: () => new Date(0) };

/** One host: its disk, what was begun and reported on it, over all its boots. */
export class Host {
  readonly disk = new SimDisk();
  /** `PID SAYING` of every step that was begun. */
  readonly begun = new Set<string>();
  readonly reported: Report[] = [];
  /** What must never be. */
  readonly violations: string[] = [];
  readonly #makeStore: MakeStore;
  #boot = 1;
  #nextPid = 2;
  #drawn = 0n;

  constructor(makeStore: MakeStore) {
    this.#makeStore = makeStore;
    // Whoever opens a file of the record, at whatever moment, must find it whole.
    this.disk.onName = (path, content) => {
      if (content === null || isTemporaryName(basename(path))) return;
      try {
        parseNote(content, path);
      } catch (error) {
        this.violations.push(errorText(error));
      }
    };
  }

  /** A new process; `pid` 1 is a dead one. */
  process(caller: DiskCaller, pid = this.#nextPid): Actor {
    this.#nextPid += 1;
    const chance: Chance = {
      bytes: (count) => {
        this.#drawn += 1n;
        return Buffer.from(this.#drawn.toString(16).padStart(2 * count, '0'), 'hex');
      },
      share: () => 0,
    };
    const bootId = `boot ${this.#boot}`;
    const processes: Processes = {
      self: { pid, startTicks: pid, bootId },
      state: (id: ProcessId) => {
        if (id.bootId !== bootId) return 'other-boot';
        return id.pid === 1 ? 'dead' : 'alive';
      },
      signal: () => {},
    };
    const store = this.#makeStore(this.disk.filesFor(caller), chance);
    return new Actor(this, pid, openRecord(dir, uuid, session, { store, clock, processes }));
  }

  powerOff(random: Random): void {
    this.#boot += 1;
    this.disk.powerOff(random);
  }

  /** A story up to a stop; where that was, or null. Processes that fail are violations. */
  async tell(story: Story, order: Random, stop?: Stop): Promise<string | null> {
    await this.setUp(story.from);
    const scheduler = new Scheduler(order);
    const all = story.acts.map((act) => act(this.process(scheduler.caller())));
    for (const one of all) {
      one.catch((error: unknown) => this.violations.push(`failed: ${errorText(error)}`));
    }
    return scheduler.run(all, stop);
  }

  /** Brings the record so far, durably. */
  async setUp(from: Permission | null): Promise<void> {
    if (from === null) return;
    await this.alone(async (dead) => {
      await dead.create();
      if (from === 'activating' || from === 'active') await dead.move('standby', 'activating');
      if (from === 'active' || from === 'promised') {
        await dead.move(from === 'active' ? 'activating' : 'standby', from);
      }
    }, 1);
  }

  /** A process that nothing happens to. Rejects as it does. */
  alone<T>(act: (process: Actor) => Promise<T>, pid?: number): Promise<T> {
    const atOnce: DiskCaller = { perform: async (_what, work) => work() };
    return act(this.process(atOnce, pid));
  }

  file(part: string): string | null {
    return this.disk.read(recordPath(dir, uuid, session, part));
  }
}

/** A process with the record, noting what it begins and what it reports. */
export class Actor {
  readonly #host: Host;
  readonly #pid: number;
  readonly record: PermissionRecord;

  constructor(host: Host, pid: number, record: PermissionRecord) {
    this.#host = host;
    this.#pid = pid;
    this.record = record;
  }

  async create(): Promise<void> {
    await this.record.create(this.#begin('standby'));
    this.#host.reported.push({ said: 'standby', took: null });
  }

  async move(from: Permission, to: Permission): Promise<Permission> {
    const { permission, mine } = await this.record.move(from, to, this.#begin(to));
    const step = from === 'standby' ? 'decision' : 'outcome';
    this.#host.reported.push({ said: permission, took: mine ? step : null });
    return permission;
  }

  async noteRunning(): Promise<void> {
    await this.record.noteRunning(this.#begin('running'));
    this.#host.reported.push({ said: 'running', took: null });
  }

  /** A person's word. */
  async lose(): Promise<void> {
    await this.record.lose(this.#begin('lost'));
    this.#host.reported.push({ said: 'lost', took: null });
  }

  async read(): Promise<Permission | null> {
    const state = await this.record.read();
    if (state === null) return null;
    // Standby is no answer to anybody: nothing hangs on it.
    const { permission } = state;
    if (permission !== 'standby') this.#host.reported.push({ said: permission, took: null });
    return permission;
  }

  #begin(says: string): { says: string; pid: number } {
    this.#host.begun.add(`${this.#pid} ${says}`);
    return { says, pid: this.#pid };
  }
}

/** What a record may say later than this. */
const later: Record<Permission, readonly (Permission | null)[]> = {
  standby: ['standby', 'activating', 'active', 'promised', 'lost'],
  activating: ['activating', 'active', 'promised', 'lost'],
  active: ['active', 'lost'],
  promised: ['promised'],
  lost: ['lost'],
};

/** After a power cut: reads the record on another boot and holds it against what is known. */
async function check(host: Host): Promise<void> {
  const { violations, reported, begun } = host;
  const said = new Set(reported.map((one) => one.said));
  if (said.has('active') && said.has('promised')) violations.push('both outcomes were reported');
  for (const step of ['decision', 'outcome']) {
    const taken = reported.filter(({ took }) => took === step);
    if (taken.length > 1) violations.push('one step was taken twice');
  }
  const state = await host.alone(({ record }) => record.read());
  const permission = state?.permission ?? null;
  for (const one of said) {
    const isTrue = one === 'running' ? state?.running === true : later[one].includes(permission);
    if (!isTrue) violations.push(`${one} was reported, the record says ${permission}`);
  }
  if (state === null) return;
  for (const note of [state.standby, state.decision, state.outcome]) {
    if (note === null) continue;
    const { says, pid } = note.facts;
    const isBegun = begun.has(`${pid} ${note.says}`) && says === note.says && pid === note.by.pid;
    if (!isBegun) violations.push(`the record says ${note.says}, which nobody wrote`);
  }
  if (state.outcome !== null && state.decision?.says !== 'activating') {
    violations.push(`an outcome after ${state.decision?.says}`);
  }
}

/**
 * As a fresh ask on the new boot does: the record is brought to an end, and what was answered then
 * holds over another power cut.
 */
async function finish(host: Host): Promise<void> {
  const end = await host.alone(async (process) => {
    const permission = await process.read();
    if (permission !== 'standby' && permission !== 'activating') return permission;
    return process.move(permission, 'promised');
  });
  host.powerOff(new Random(1));
  const again = await host.alone((process) => process.read());
  if (again !== end) host.violations.push(`${end} was answered, then ${again}`);
}

/**
 * A story, cut at every step, before and after it, with every outcome; each violation comes with
 * its place.
 */
export async function* cutEverywhere(
  story: Story,
  makeStore: MakeStore,
  orderSeed = 1,
): AsyncGenerator<string> {
  let isWhole = false;
  for (let at = 0; !isWhole; at++) {
    for (const when of ['before', 'after'] as const) {
      const outcomes = new EveryOutcome();
      do {
        const host = new Host(makeStore);
        const where = await host.tell(story, new Random(orderSeed), { at, when });
        isWhole ||= where === null;
        host.powerOff(outcomes);
        try {
          await check(host);
          await finish(host);
        } catch (error) {
          host.violations.push(`cannot be read: ${errorText(error)}`);
        }
        for (const one of host.violations) yield `${where ?? 'at the end'}: ${one}`;
      } while (outcomes.advance());
    }
  }
}
