/** Seed -> everything that is decided beforehand: settings, speeds, and what goes wrong when. */
import type { PrimaryConfig } from '../../src/core/primary/types.ts';
import type { Schedule } from '../../src/core/scheduler.ts';
import type { Direction } from './link.ts';
import type { BufferPlan, PortKind } from './output-buffer.ts';
import { Random } from './random.ts';

/** When a fault strikes: at a time, or just before the n-th call of a kind on one host. */
export type Trigger =
  | { readonly kind: 'time'; readonly atMs: number }
  | {
      readonly kind: 'call';
      readonly host: 'a' | 'b';
      /** How the call's name begins: `sync`, `release`, `send ack`; empty: any call. */
      readonly what: string;
      readonly count: number;
    };

export type FaultKind =
  | { readonly kind: 'cut'; readonly directions: readonly Direction[]; readonly forMs: number }
  | { readonly kind: 'reset'; readonly sides: readonly ('a' | 'b')[] }
  /** `isAfter`: once the call before which it strikes is done. */
  | { readonly kind: 'kill-protect'; readonly isAfter?: true }
  | { readonly kind: 'kill-receive'; readonly isAfter?: true }
  | { readonly kind: 'stop-protect'; readonly forMs: number }
  | { readonly kind: 'stop-receive'; readonly forMs: number }
  /** SIGSTOP that no healing undoes: continued after `lateMs`, or never (null). */
  | {
      readonly kind: 'stop-for-good';
      readonly who: 'protect' | 'receive' | 'guard';
      readonly lateMs: number | null;
    }
  /** The host is suspended: all of it stands still, its monotonic clock, too. */
  | { readonly kind: 'sleep'; readonly host: 'a' | 'b'; readonly forMs: number }
  /** The whole host stands still: the process and its guests. */
  | { readonly kind: 'stall'; readonly host: 'a' | 'b'; readonly forMs: number }
  | { readonly kind: 'crash'; readonly host: 'a' | 'b'; readonly rebootMs: number | null }
  | { readonly kind: 'save-failed' }
  /** The guest obeys the next request to suspend so much later, and runs on until then. */
  | { readonly kind: 'late-suspend'; readonly byMs: number }
  /** By itself; off, unless it reboots. */
  | { readonly kind: 'guest-ended'; readonly isReboot?: true }
  /** CONFIG describes another guest than HELLO did. */
  | { readonly kind: 'config-lies' }
  | { readonly kind: 'damage' }
  | { readonly kind: 'apply-fails' }
  | { readonly kind: 'build-fails' }
  | { readonly kind: 'unpause-fails'; readonly times: number }
  | { readonly kind: 'discard-fails'; readonly times: number }
  /** null: nobody makes room. */
  | { readonly kind: 'disk-full'; readonly forMs: number | null }
  | { readonly kind: 'disk-slow'; readonly forMs: number; readonly byMs: number }
  | { readonly kind: 'disk-lies'; readonly times: number }
  | { readonly kind: 'disk-read-only'; readonly forMs: number }
  | { readonly kind: 'short-writes'; readonly times: number }
  /** A disk's epoch cannot be applied on host B. */
  | { readonly kind: 'disk-part-fails' }
  /** Somebody takes away without a word what captures the guest's writes on host A. */
  | { readonly kind: 'mirror-gone' }
  /** Somebody sets the time of day. */
  | { readonly kind: 'wall-step'; readonly host: 'a' | 'b'; readonly byMs: number }
  /** The guard dies. */
  | { readonly kind: 'kill-guard' }
  | { readonly kind: 'stop' }
  /** SIGTERM, to protect. */
  | { readonly kind: 'terminate' }
  /** SIGTERM, to receive: its host is shut down in order. */
  | { readonly kind: 'terminate-receive' }
  /**
   * The backup takes no bytes of epochs any more, or the link's stream is stuck altogether, while
   * heartbeats flow; null: for good.
   */
  | { readonly kind: 'hang'; readonly isStream: boolean; readonly forMs: number | null }
  /** An interface is plugged in, or unplugged. */
  | { readonly kind: 'plug-in'; readonly port: PortKind }
  | { readonly kind: 'unplug' }
  /**
   * Somebody takes apart what holds an interface: so many packets get out before it is blocked, and
   * what it held is gone; it is made anew after `forMs`.
   */
  | { readonly kind: 'lose-output'; readonly leaks: number; readonly forMs: number }
  | { readonly kind: 'failover' };

export interface Fault {
  readonly trigger: Trigger;
  readonly fault: FaultKind;
}

export interface Plan {
  readonly seed: number;
  readonly config: PrimaryConfig;
  readonly delayMsMin: number;
  readonly delayMsMax: number;
  readonly packetMs: number;
  readonly seedChunks: number;
  readonly epochChunks: number;
  readonly epochPages: number;
  readonly buffer: BufferPlan;
  readonly chunkMs: number;
  readonly suspendMs: number;
  readonly drainMs: number;
  /** A step of the disk that the record is on. */
  readonly diskMs: number;
  /** How much later than the barrier an epoch's writes are sent, at most. */
  readonly diskLagMs: number;
  /** What host B's disk is before the session; unless `unasked` it is compared. */
  readonly diskThere: 'unasked' | 'blank' | 'older';
  /** The share of datagrams that are lost. */
  readonly datagramLoss: number;
  readonly applyMs: number;
  /** The same of the disk on host B. */
  readonly diskApplyMs: number;
  readonly buildMs: number;
  readonly abortMs: number;
  readonly askTimeoutMs: number;
  /** The share of fresh asks that reach a host which knows nothing. */
  readonly misdirected: number;
  /** The primary's clock, relative to the world's. */
  readonly clockRateA: number;
  readonly clockRateB: number;
  readonly clockStartA: number;
  readonly clockStartB: number;
  readonly faults: readonly Fault[];
  /** From here on nothing new goes wrong, and what can heal has healed. */
  readonly calmAtMs: number;
  /** In these directions the replication network never heals. */
  readonly cutForGood: readonly Direction[];
  /** The administrator cleans up what a killed protect left. */
  readonly cleansUp: boolean;
  /** The administrator forces the guest on when the copy is truly dead. */
  readonly forces: boolean;
  /** Once nobody protects the guest any more somebody does so again, a few times at most. */
  readonly again: { readonly afterMs: number; readonly times: number } | null;
  /** A second guest is protected from host B to host A meanwhile. */
  readonly otherWay: Plan | null;
}

/** Everything that is decided beforehand, from one number. */
export function planOf(seed: number): Plan {
  const plan = planOfOne(seed);
  // From a number of their own: what else a seed stands for does not change with them.
  const random = new Random(seed ^ 0x2545f491);
  const timeoutMs = plan.config.heartbeatTimeoutMs;
  const strange = random.chance(0.15) ? [strangeFault(random, plan)] : [];
  const kind = random.pick(['none', 'none', 'none', 'none', 'again', 'other way'] as const);
  const afterMs = timeoutMs * random.pick([0.1, 1, 4]);
  const again = kind === 'again' ? { afterMs, times: 3 } : null;
  const otherWay = kind === 'other way' ? otherWayOf(plan, random.int(1, 1_000_000_000)) : null;
  const faults = [...plan.faults, ...strange, ...lossesOf(seed, plan), ...lateOf(seed, timeoutMs)];
  return { ...plan, faults, again, otherWay, diskThere: diskThereOf(seed) };
}

/** By a chance of its own, too. */
function diskThereOf(seed: number): Plan['diskThere'] {
  const random = new Random(seed ^ 0x1b873593);
  return random.chance(0.12) ? random.pick(['blank', 'older', 'older'] as const) : 'unasked';
}

/** From a number of its own, too. */
function lossesOf(seed: number, { config, calmAtMs }: Plan): readonly Fault[] {
  const random = new Random(seed ^ 0x51ed270b);
  if (!config.buffered || !random.chance(0.08)) return [];
  const forMs = config.heartbeatTimeoutMs * random.pick([0.01, 0.3, 1.5]);
  const fault: FaultKind = { kind: 'lose-output', leaks: random.pick([0, 1, 5]), forMs };
  return [{ trigger: { kind: 'time', atMs: random.between(0, calmAtMs) }, fault }];
}

/** What happens less often than the rest; beside it, or alone. */
function strangeFault(random: Random, { config, calmAtMs }: Plan): Fault {
  const { heartbeatTimeoutMs } = config;
  const lateMs = random.pick([null, null, 3, 20]);
  const forMs = heartbeatTimeoutMs * random.pick([0.3, 1.2, 5]);
  const fault: FaultKind = random.chance(0.6)
    ? {
        kind: 'stop-for-good',
        who: random.pick(['protect', 'receive', 'receive', 'guard']),
        lateMs: lateMs === null ? null : lateMs * heartbeatTimeoutMs,
      }
    : { kind: 'sleep', host: random.pick(['a', 'b']), forMs };
  const isCall = random.chance(0.4);
  const atMs = random.between(0, calmAtMs);
  return { trigger: isCall ? callOf(random) : { kind: 'time', atMs }, fault };
}

/** What may strike the session in the other direction; the hosts' faults strike it, too. */
const ofSessions =
  /^(reset|kill-|stop-protect|stop-receive|stop$|terminate|failover|guest-ended|hang)/;

/** The hosts are those of `plan`, all else is that of another seed; their timeouts are one. */
export function otherWayOf(plan: Plan, seed: number): Plan {
  const { heartbeatTimeoutMs } = plan.config;
  let other = planOfOne(seed);
  while (other.config.heartbeatTimeoutMs !== heartbeatTimeoutMs) other = planOfOne(other.seed + 1);
  const { calmAtMs, cutForGood, clockRateA, clockRateB, clockStartA, clockStartB } = plan;
  const { delayMsMin, delayMsMax, diskMs } = plan;
  return {
    ...other,
    ...{ calmAtMs, cutForGood, clockRateA, clockRateB, clockStartA, clockStartB },
    ...{ delayMsMin, delayMsMax, diskMs },
    faults: other.faults.filter(({ fault }) => ofSessions.test(fault.kind)),
  };
}

function planOfOne(seed: number): Plan {
  const random = new Random(seed);
  const timeoutMs = random.pick([200, 500, 1000]);
  const config: PrimaryConfig = {
    heartbeatTimeoutMs: timeoutMs,
    holdMs: Math.round(timeoutMs * random.pick([0.5, 1, 3])),
    buffered: random.chance(0.7),
    schedule: scheduleOf(random, timeoutMs),
    pendingMax: random.int(1, 3),
    askEveryMs: Math.round(timeoutMs * random.pick([0.25, 0.5, 1])),
    withoutWitness: agreedOf(seed),
  };
  const delayMsMax = timeoutMs * random.pick([0.01, 0.03, 0.1]);
  const seedChunks = random.int(2, 12);
  const chunkMs = timeoutMs * random.pick([0.02, 0.05, 0.1]);
  const calmAtMs = timeoutMs * random.between(4, 10);
  const diskMs = timeoutMs * random.pick([0.005, 0.05, 0.2]);
  const seedMs = seedChunks * chunkMs;
  return {
    seed,
    config,
    delayMsMin: delayMsMax / 5,
    delayMsMax,
    packetMs: timeoutMs * random.pick([0.05, 0.1, 0.2]),
    seedChunks,
    epochChunks: random.int(1, 4),
    epochPages: random.pick([1, 200, 5_000, 100_000]),
    buffer: {
      ports: random.pick([['one'], ['two'], ['two'], ['one', 'two'], ['two', 'two']]),
      limitBytes: random.pick([5_000, 15_000, 1_000_000]),
    },
    chunkMs,
    suspendMs: timeoutMs * random.pick([0.01, 0.05]),
    drainMs: timeoutMs * random.pick([0.005, 0.05]),
    diskMs,
    diskLagMs: timeoutMs * random.pick([0, 0.05, 0.3]),
    diskThere: 'unasked',
    datagramLoss: random.pick([0, 0.1, 1]),
    applyMs: timeoutMs * random.pick([0.01, 0.1]),
    diskApplyMs: timeoutMs * random.pick([0.01, 0.1, 0.5]),
    buildMs: timeoutMs * random.pick([0.1, 0.5]),
    abortMs: timeoutMs * random.pick([0.01, 0.3]),
    // An answer reads the record, and may write it: that takes some thirty steps of a disk.
    // What is asked is looked up there, and a process looked for: that takes its time.
    askTimeoutMs: 1_000 + timeoutMs * random.pick([1, 2, 4]) + 10 * diskMs,
    misdirected: random.chance(0.15) ? 0.4 : 0,
    clockRateA: 1 + random.between(-0.004, 0.004),
    clockRateB: 1 + random.between(-0.004, 0.004),
    clockStartA: random.int(0, 1_000_000),
    clockStartB: random.int(0, 1_000_000),
    faults: faultsOf(random, timeoutMs, seedMs, calmAtMs),
    calmAtMs,
    cutForGood: random.chance(0.06) ? (seed % 2 === 0 ? ['ba'] : ['ab', 'ba']) : [],
    forces: random.chance(0.5),
    cleansUp: random.chance(0.5),
    again: null,
    otherWay: null,
  };
}

/** By a chance of its own, too: the guest answers one request to suspend late. */
function lateOf(seed: number, timeoutMs: number): Fault[] {
  const random = new Random(seed ^ 0x3c6ef372);
  if (!random.chance(0.06)) return [];
  const byMs = random.pick([0.5 * timeoutMs, 3 * timeoutMs, 8 * timeoutMs, 90_000]);
  const count = random.pick([1, 1, 2, 5]);
  const trigger: Trigger = { kind: 'call', host: 'a', what: 'suspend', count };
  return [{ trigger, fault: { kind: 'late-suspend', byMs } }];
}

/** By a chance of its own: all else of a seed is as it is with the backup that goes on. */
function agreedOf(seed: number): PrimaryConfig['withoutWitness'] {
  const random = new Random(seed ^ 0x1b873593);
  return random.pick(['backup', 'backup', 'backup', 'primary', 'manual']);
}

function scheduleOf(random: Random, timeoutMs: number): Schedule {
  const intervalMs = Math.max(10, Math.round(timeoutMs * random.pick([0, 0.05, 0.2, 0.5])));
  if (random.chance(0.5)) return { kind: 'fixed', intervalMs };
  const maxMs = intervalMs + Math.round(timeoutMs * random.pick([0, 0.1, 0.5]));
  return { kind: 'auto', minMs: intervalMs, maxMs, maxOverhead: random.pick([0.05, 0.2, 0.9]) };
}

/** None, one, or a few that strike close to each other: that is where the bugs are. */
function faultsOf(random: Random, timeoutMs: number, seedMs: number, calmAtMs: number): Fault[] {
  const faults: Fault[] = [];
  const count = random.pick([0, 1, 1, 1, 2, 2, 2, 3, 4]);
  let atMs = random.chance(0.2) ? random.between(0, seedMs) : random.between(seedMs, calmAtMs);
  for (let index = 0; index < count; index += 1) {
    const fault = faultOf(random, timeoutMs);
    const isCall = random.chance(0.3);
    const trigger: Trigger = isCall
      ? callOf(random)
      : { kind: 'time', atMs: Math.min(atMs, calmAtMs) };
    faults.push({ trigger, fault });
    atMs += timeoutMs * random.pick([0, 0.02, 0.3, 1, 1.5, 3]) * random.next();
  }
  return faults;
}

/** Calls that make something durable, or can be seen from outside. */
const calls = {
  a: ['', 'checkpoint', 'release', 'open-buffer', 'drop-buffer', 'destroy', 'pause', 'ask', 'send'],
  b: ['', 'create', 'sync', 'link', 'sync-dir', 'finish', 'unpause', 'rename', 'send ack', 'apply'],
} as const;

function callOf(random: Random): Trigger {
  const host = random.pick(['a', 'b'] as const);
  const what = random.pick<string>(calls[host]);
  const count = what === '' ? random.int(1, 400) : random.int(1, what.startsWith('send') ? 60 : 4);
  return { kind: 'call', host, what, count };
}

function faultOf(random: Random, timeoutMs: number): FaultKind {
  const forMs = timeoutMs * random.pick([0.3, 0.8, 1.2, 2, 5]);
  const times = random.int(1, 2);
  const side = random.pick(['a', 'b'] as const);
  const makers: readonly (readonly [weight: number, () => FaultKind])[] = [
    [6, () => ({ kind: 'cut', directions: ['ab', 'ba'], forMs })],
    [5, () => ({ kind: 'cut', directions: [random.pick(['ab', 'ba'])], forMs })],
    [4, () => ({ kind: 'reset', sides: random.pick([['a', 'b'], ['a'], ['b']]) })],
    [3, () => ({ kind: 'kill-protect' })],
    [3, () => ({ kind: 'kill-receive' })],
    [2, () => ({ kind: 'stop-protect', forMs })],
    [2, () => ({ kind: 'stop-receive', forMs })],
    [4, () => ({ kind: 'stall', host: side, forMs })],
    [5, () => ({ kind: 'crash', host: 'a', rebootMs: random.chance(0.4) ? forMs : null })],
    [3, () => ({ kind: 'crash', host: 'b', rebootMs: random.chance(0.5) ? forMs : null })],
    [1, () => ({ kind: 'save-failed' })],
    [2, () => ({ kind: 'guest-ended' })],
    [1, () => ({ kind: 'damage' })],
    [2, () => ({ kind: 'apply-fails' })],
    [2, () => ({ kind: 'build-fails' })],
    [1, () => ({ kind: 'unpause-fails', times })],
    [1, () => ({ kind: 'discard-fails', times })],
    [2, () => ({ kind: 'disk-full', forMs })],
    [2, () => ({ kind: 'disk-slow', forMs, byMs: timeoutMs * random.pick([0.5, 2]) })],
    [2, () => ({ kind: 'disk-lies', times })],
    [1, () => ({ kind: 'disk-read-only', forMs })],
    [1, () => ({ kind: 'short-writes', times })],
    [1, () => ({ kind: 'disk-part-fails' })],
    [1, () => ({ kind: 'mirror-gone' })],
    [1, () => ({ kind: 'wall-step', host: side, byMs: random.pick([-7_200_000, 7_200_000]) })],
    [1, () => ({ kind: 'kill-guard' })],
    [3, () => ({ kind: 'stop' })],
    [1, () => ({ kind: 'terminate' })],
    [
      1,
      () => ({
        kind: 'hang',
        isStream: random.chance(0.5),
        forMs: random.chance(0.3) ? null : forMs,
      }),
    ],
    [2, () => ({ kind: 'plug-in', port: random.pick(['one', 'two']) })],
    [2, () => ({ kind: 'unplug' })],
    [2, () => ({ kind: 'failover' })],
  ];
  let ticket = random.next() * makers.reduce((sum, [weight]) => sum + weight, 0);
  for (const [weight, make] of makers) {
    ticket -= weight;
    if (ticket < 0) return make();
  }
  return { kind: 'stop' };
}
