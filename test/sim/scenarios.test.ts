/**
 * Goal: for each single fault, what becomes of the guest; reviewed as a table.
 * Method: one fault at a random moment after the seed, twenty times, with all other things random;
 * the ways in which the runs end are counted and compared with testdata/scenarios.txt. With `-n`
 * the lines marked EXPECTED are what nobody can prevent without a buffer.
 */
import { describe, expect, it } from 'vitest';
import type { Direction } from './link.ts';
import { realMachines } from './machines.ts';
import { type Fault, type FaultKind, otherWayOf, type Plan, planOf } from './plan.ts';
import { type RunResult, runPlan } from './world.ts';

const runs = 20;

/** A fault, and before which call on host B it strikes, where it is not the moment that counts. */
type Stroke =
  | FaultKind
  | Fault
  | { readonly before: string; readonly count?: number; readonly fault: FaultKind }
  /** So long after the moment. */
  | { readonly afterMs: number; readonly fault: FaultKind };

type Faults = (timeoutMs: number) => Stroke[];

/** What goes wrong, and what else is changed in the plan. */
type Scenario = Faults | { readonly faults: Faults; readonly change: (plan: Plan) => Plan };

const again = (plan: Plan): Plan => ({
  ...plan,
  again: { afterMs: plan.config.heartbeatTimeoutMs, times: 1 },
});

function bothWays(plan: Plan): Plan {
  const { buffered } = plan.config;
  const other = otherWayOf(plan, plan.seed);
  const config = { ...other.config, buffered, withoutWitness: 'backup' as const };
  return { ...plan, otherWay: { ...other, config, faults: [] } };
}

/** A cut that still stands when everything else has calmed down. */
const forGood = 1_000_000;

function beforeCall(what: string, count = 1): Fault['trigger'] {
  return { kind: 'call', host: 'b', what, count };
}

/** The plan of a seed with these faults instead of its own, in terms of the timeout. */
function planWith(seed: number, buffered: boolean, scenario: Scenario): Plan {
  const { faults: make, change } =
    typeof scenario === 'function' ? { faults: scenario, change: null } : scenario;
  const plan: Plan = { ...planOf(seed), diskThere: 'unasked' };
  const { heartbeatTimeoutMs } = plan.config;
  const seedMs = 2 * plan.diskLagMs + plan.seedChunks * plan.chunkMs + heartbeatTimeoutMs;
  const atMs = seedMs + ((seed * 7919) % 1000) * 0.001 * 2 * heartbeatTimeoutMs;
  const faults = make(heartbeatTimeoutMs).map((stroke): Fault => {
    if ('trigger' in stroke) return stroke;
    if ('before' in stroke) {
      return { trigger: beforeCall(stroke.before, stroke.count), fault: stroke.fault };
    }
    if ('afterMs' in stroke) {
      const trigger = { kind: 'time', atMs: atMs + stroke.afterMs } as const;
      return { trigger, fault: stroke.fault };
    }
    return { trigger: { kind: 'time', atMs }, fault: stroke };
  });
  const planned: Plan = {
    ...plan,
    config: { ...plan.config, buffered, withoutWitness: 'backup' },
    faults,
    cutForGood: [],
    misdirected: 0,
    forces: false,
    cleansUp: false,
    calmAtMs: atMs + 12 * heartbeatTimeoutMs,
    again: null,
    otherWay: null,
  };
  return change?.(planned) ?? planned;
}

/** What the administrators do. */
type Helps = Pick<Plan, 'cleansUp' | 'forces'>;

async function runMany(buffered: boolean, make: Scenario, helps: Helps): Promise<RunResult[]> {
  const results: RunResult[] = [];
  for (let seed = 5_000; seed < 5_000 + runs; seed += 1) {
    const planned = planWith(seed, buffered, make);
    const cuts = planned.faults.flatMap(({ fault }) => (fault.kind === 'cut' ? [fault] : []));
    const standing = cuts.filter(({ forMs }) => forMs >= forGood);
    const cutForGood = standing.flatMap(({ directions }) => directions);
    const plan = { ...planned, cutForGood, ...helps };
    results.push(await runPlan(plan, realMachines));
  }
  return results;
}

function endingsOf(results: readonly RunResult[]): string {
  const counts = new Map<string, number>();
  for (const { ending, beside, violation, expected } of results) {
    const broken = expected === null ? `BROKEN ${violation?.rule}` : `EXPECTED ${expected}`;
    const key = violation === null ? [ending, ...beside].join(' + ') : broken;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  const sorted = [...counts].sort(([a, m], [b, n]) => n - m || a.localeCompare(b));
  return sorted.map(([key, count]) => `${count} ${key}`).join(', ');
}

const both: readonly Direction[] = ['ab', 'ba'];

function cut(directions: readonly Direction[], share: number) {
  return (timeoutMs: number): FaultKind[] => [
    { kind: 'cut', directions, forMs: share * timeoutMs },
  ];
}

/** Host B takes over, and loses its power right after that; it comes back without the guest. */
const rebootedOnceActive: Scenario = (ms) => [
  ...cut(both, 10)(ms),
  {
    trigger: { kind: 'call', host: 'b', what: 'send activated', count: 1 },
    fault: { kind: 'crash', host: 'b', rebootMs: ms },
  },
];

/** Among the files of a record: four are ready, then standby, decision, built, outcome. */
const builtFile = 7;
const outcomeFile = 8;

/** Host A is off, receive is killed before a call, and a person types `failover` a while later. */
const killedAndOrdered =
  (before: string, count = 1): Faults =>
  (ms) => [
    { kind: 'crash', host: 'a', rebootMs: null },
    { before, count, fault: { kind: 'kill-receive' } },
    { afterMs: 6 * ms, fault: { kind: 'failover' } },
  ];

const scenarios: Readonly<Record<string, Scenario>> = {
  nothing: () => [],
  'cut both ways, 0.3 of the timeout': cut(both, 0.3),
  'cut both ways, 2 timeouts': cut(both, 2),
  'cut a to b, 2 timeouts': cut(['ab'], 2),
  'cut b to a, 2 timeouts': cut(['ba'], 2),
  'cut both ways, 10 timeouts': cut(both, 10),
  'cut a to b, for good': cut(['ab'], forGood),
  'cut b to a, for good': cut(['ba'], forGood),
  'ordered stop, cut b to a for good': (ms) => [...cut(['ba'], forGood)(ms), { kind: 'stop' }],
  'cut b to a, 10 timeouts': cut(['ba'], 10),
  'link reset': () => [{ kind: 'reset', sides: ['a', 'b'] }],
  'link reset, only a hears': () => [{ kind: 'reset', sides: ['a'] }],
  'host a crashes': () => [{ kind: 'crash', host: 'a', rebootMs: null }],
  'host b crashes for good': () => [{ kind: 'crash', host: 'b', rebootMs: null }],
  'host b crashes and reboots': (ms) => [{ kind: 'crash', host: 'b', rebootMs: 2 * ms }],
  'protect killed': () => [{ kind: 'kill-protect' }],
  'protect killed, link cut': (ms) => [...cut(both, 5)(ms), { kind: 'kill-protect' }],
  'protect killed, cleaned up': () => [{ kind: 'kill-protect' }],
  'protect killed, link cut for 5 timeouts, cleaned up': (ms) => [
    ...cut(both, 5)(ms),
    { kind: 'kill-protect' },
  ],
  'both killed, cleaned up': () => [{ kind: 'kill-receive' }, { kind: 'kill-protect' }],
  'protect stopped for 5 timeouts': (ms) => [{ kind: 'stop-protect', forMs: 5 * ms }],
  'host a stands still for 5 timeouts': (ms) => [{ kind: 'stall', host: 'a', forMs: 5 * ms }],
  'receive killed': () => [{ kind: 'kill-receive' }],
  'receive stopped for 2 timeouts': (ms) => [{ kind: 'stop-receive', forMs: 2 * ms }],
  'receive stopped for good while it activates': (ms) => [
    { before: 'finish', fault: { kind: 'stop-for-good', who: 'receive', lateMs: null } },
    ...cut(both, 2)(ms),
  ],
  'receive stopped for good once the copy is active': (ms) => [
    { before: 'unpause', fault: { kind: 'stop-for-good', who: 'receive', lateMs: null } },
    ...cut(both, 2)(ms),
  ],
  'host a crashes, receive is killed with the copy built, a person orders failover':
    killedAndOrdered('link', outcomeFile),
  'the same, and the record said active': killedAndOrdered('unpause'),
  'host a crashes, receive is killed before the copy is built, a person orders failover':
    killedAndOrdered('rename'),
  'the same, and the copy had its name': killedAndOrdered('finish'),
  'the same, and that it was built was not noted': killedAndOrdered('link', builtFile),
  'receive killed with the copy built, link cut for 2 timeouts': (ms) => [
    ...cut(both, 2)(ms),
    { before: 'link', count: outcomeFile, fault: { kind: 'kill-receive' } },
  ],
  'receive told to end': () => [{ kind: 'terminate-receive' }],
  'receive told to end, link cut for 2 timeouts': (ms) => [
    ...cut(both, 2)(ms),
    { kind: 'terminate-receive' },
  ],
  'receive told to end, then host a crashes': () => [
    { kind: 'terminate-receive' },
    { kind: 'crash', host: 'a', rebootMs: null },
  ],
  'host b stands still for 2 timeouts': (ms) => [{ kind: 'stall', host: 'b', forMs: 2 * ms }],
  'cut for 10 timeouts, host b takes over, then crashes and reboots': rebootedOnceActive,
  'the same, and protect was killed, cleaned up': (ms) => [
    ...rebootedOnceActive(ms),
    { kind: 'kill-protect' },
  ],
  'the same, and a person says there that it is lost': rebootedOnceActive,
  'an epoch cannot be applied': () => [{ kind: 'apply-fails' }],
  'host a crashes, the copy cannot be built': () => [
    { kind: 'build-fails' },
    { kind: 'crash', host: 'a', rebootMs: null },
  ],
  'host a crashes, disk full for 5 timeouts': (ms) => [
    { kind: 'disk-full', forMs: 5 * ms },
    { kind: 'crash', host: 'a', rebootMs: null },
  ],
  'backup hangs for 2 timeouts': (ms) => [{ kind: 'hang', isStream: false, forMs: 2 * ms }],
  'backup hangs for good': () => [{ kind: 'hang', isStream: false, forMs: null }],
  'stream stuck beside live heartbeats': () => [{ kind: 'hang', isStream: true, forMs: null }],
  'ordered stop, stream stuck beside live heartbeats': () => [
    { kind: 'hang', isStream: true, forMs: null },
    { kind: 'stop' },
  ],
  'interface plugged in': () => [{ kind: 'plug-in', port: 'two' }],
  'interface lost to somebody': () => [{ kind: 'lose-output', leaks: 3, forMs: 100 }],
  'interface lost to somebody, then host a crashes': () => [
    { kind: 'lose-output', leaks: 0, forMs: 100 },
    { kind: 'crash', host: 'a', rebootMs: null },
  ],
  'interface lost to somebody, protect killed, cleaned up': () => [
    { kind: 'lose-output', leaks: 3, forMs: 100 },
    { kind: 'kill-protect' },
  ],
  'interface unplugged': () => [{ kind: 'unplug' }],
  'interface plugged in, then host a crashes': () => [
    { kind: 'plug-in', port: 'one' },
    { kind: 'crash', host: 'a', rebootMs: null },
  ],
  'the disk fails on b': () => [{ kind: 'disk-part-fails' }],
  'the disk fails on b, then host a crashes': () => [
    { kind: 'disk-part-fails' },
    { kind: 'crash', host: 'a', rebootMs: null },
  ],
  'the mirror is taken away': () => [{ kind: 'mirror-gone' }],
  'the mirror is taken away, then host a crashes': () => [
    { kind: 'mirror-gone' },
    { kind: 'crash', host: 'a', rebootMs: null },
  ],
  'protect and its guard killed, cleaned up': () => [
    { kind: 'kill-guard' },
    { kind: 'kill-protect' },
  ],
  'time of day set back two hours on a': () => [{ kind: 'wall-step', host: 'a', byMs: -7_200_000 }],
  'libxl gives up on a': () => [{ kind: 'save-failed' }],
  'guest powers off': () => [{ kind: 'guest-ended' }],
  'ordered stop': () => [{ kind: 'stop' }],
  'ordered stop, link cut for 2 timeouts': (ms) => [...cut(both, 2)(ms), { kind: 'stop' }],
  'protect stopped for good': () => [{ kind: 'stop-for-good', who: 'protect', lateMs: null }],
  // A status from the future is not a young one (56204).
  'an epoch cannot be applied, protect stopped for good, the time of day put back': () => [
    { kind: 'apply-fails' },
    { kind: 'stop-for-good', who: 'protect', lateMs: null },
    { kind: 'wall-step', host: 'a', byMs: -7_200_000 },
  ],
  'protect stopped, continued 10 timeouts later': (ms) => [
    { kind: 'stop-for-good', who: 'protect', lateMs: 10 * ms },
  ],
  'receive stopped for good': () => [{ kind: 'stop-for-good', who: 'receive', lateMs: null }],
  'receive stopped, continued 10 timeouts later': (ms) => [
    { kind: 'stop-for-good', who: 'receive', lateMs: 10 * ms },
  ],
  // Its question arrives, and nobody is there any more to hear the promise (59610).
  'receive stopped for 2 timeouts, ordered stop, host a crashes': (ms) => [
    { kind: 'stop-receive', forMs: 2 * ms },
    { afterMs: 0.5 * ms, fault: { kind: 'stop' } },
    { afterMs: 1.2 * ms, fault: { kind: 'crash', host: 'a', rebootMs: null } },
  ],
  'receive stopped for good, protect killed, cleaned up': () => [
    { kind: 'stop-for-good', who: 'receive', lateMs: null },
    { kind: 'kill-protect' },
  ],
  'guard stopped for good, protect killed, cleaned up': () => [
    { kind: 'stop-for-good', who: 'guard', lateMs: null },
    { kind: 'kill-protect' },
  ],
  'host a suspended for 5 timeouts': (ms) => [{ kind: 'sleep', host: 'a', forMs: 5 * ms }],
  'host b suspended for 5 timeouts': (ms) => [{ kind: 'sleep', host: 'b', forMs: 5 * ms }],
  'ordered stop, protected again': { faults: () => [{ kind: 'stop' }], change: again },
  'libxl gives up on a, protected again': {
    faults: () => [{ kind: 'save-failed' }],
    change: again,
  },
  // The session before is what is left to be seen, and must not say that the guest runs (50775).
  'libxl gives up on a, the guest ends when it is about to be protected again': {
    faults: (ms) => [
      { kind: 'save-failed' },
      { afterMs: 1.5 * ms, fault: { kind: 'guest-ended' } },
    ],
    change: again,
  },
  'receive killed, protected again': { faults: () => [{ kind: 'kill-receive' }], change: again },
  'protect killed, link cut for 5 timeouts, cleaned up, protected again': {
    faults: (ms) => [...cut(both, 5)(ms), { kind: 'kill-protect' }],
    change: again,
  },
  'both ways, host a crashes, the guest on b cannot be unpaused once': {
    faults: (ms) => [
      { kind: 'crash', host: 'a', rebootMs: 2 * ms },
      { kind: 'unpause-fails', times: 1 },
    ],
    change: bothWays,
  },
  'both ways, nothing': { faults: () => [], change: bothWays },
  'both ways, host a crashes': {
    faults: () => [{ kind: 'crash', host: 'a', rebootMs: null }],
    change: bothWays,
  },
  'both ways, cut both ways, 2 timeouts': { faults: cut(both, 2), change: bothWays },
  'both ways, host b suspended for 5 timeouts': {
    faults: (ms) => [{ kind: 'sleep', host: 'b', forMs: 5 * ms }],
    change: bothWays,
  },
};

interface ScenarioResults {
  readonly name: string;
  readonly buffered: readonly RunResult[];
  readonly unbuffered: readonly RunResult[];
}

const results: ScenarioResults[] = [];
for (const [name, make] of Object.entries(scenarios)) {
  const helps = { cleansUp: name.includes('cleaned up'), forces: name.includes('a person says') };
  const buffered = await runMany(true, make, helps);
  results.push({ name, buffered, unbuffered: await runMany(false, make, helps) });
}

describe('scenarios', () => {
  it('end as the table says', async () => {
    const lines = results.flatMap(({ name, buffered, unbuffered }) => [
      name,
      `    buffered  ${endingsOf(buffered)}`,
      `    -n        ${endingsOf(unbuffered)}`,
    ]);
    await expect(`${lines.join('\n')}\n`).toMatchFileSnapshot('testdata/scenarios.txt');
  });

  it.each(results)('break no rule with buffered output: $name', ({ buffered }) => {
    expect(buffered.filter(({ violation }) => violation !== null)).toEqual([]);
  });

  it.each(results)('break with -n only what is expected: $name', ({ unbuffered }) => {
    const broken = unbuffered.filter(({ violation }) => violation !== null);
    expect(broken.filter(({ expected }) => expected === null)).toEqual([]);
  });
});
