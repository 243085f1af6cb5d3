/**
 * Goal: for each single fault, what becomes of the guest; reviewed as a table.
 * Method: one fault at a random moment after the seed, twenty times, with all other things random;
 * the ways in which the runs end are counted and compared with testdata/scenarios.txt. With `-n`
 * the lines marked EXPECTED are what nobody can prevent without a buffer.
 */
import { describe, expect, it } from 'vitest';
import type { Direction } from './link.ts';
import { realMachines } from './machines.ts';
import { type Fault, type FaultKind, type Plan, planOf } from './plan.ts';
import { type RunResult, runPlan } from './world.ts';

const runs = 20;

type Scenario = (timeoutMs: number) => FaultKind[];

/** The plan of a seed with these faults instead of its own, in terms of the timeout. */
function planWith(seed: number, buffered: boolean, make: Scenario): Plan {
  const plan = planOf(seed);
  const { heartbeatTimeoutMs } = plan.config;
  const seedMs = plan.seedChunks * plan.chunkMs + heartbeatTimeoutMs;
  const atMs = seedMs + ((seed * 7919) % 1000) * 0.001 * 2 * heartbeatTimeoutMs;
  const faults: Fault[] = make(heartbeatTimeoutMs).map((fault) => ({
    trigger: { kind: 'time', atMs },
    fault,
  }));
  return {
    ...plan,
    config: { ...plan.config, buffered, withoutWitness: 'backup' },
    faults,
    isCutForGood: false,
    misdirected: 0,
    forces: false,
    cleansUp: false,
    calmAtMs: atMs + 12 * heartbeatTimeoutMs,
  };
}

async function runMany(buffered: boolean, make: Scenario, cleansUp: boolean): Promise<RunResult[]> {
  const results: RunResult[] = [];
  for (let seed = 5_000; seed < 5_000 + runs; seed += 1) {
    const plan = { ...planWith(seed, buffered, make), cleansUp };
    results.push(await runPlan(plan, realMachines));
  }
  return results;
}

function endingsOf(results: readonly RunResult[]): string {
  const counts = new Map<string, number>();
  for (const { ending, violation, expected } of results) {
    const broken = expected === null ? `BROKEN ${violation?.rule}` : `EXPECTED ${expected}`;
    const key = violation === null ? ending : broken;
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

const scenarios: Readonly<Record<string, Scenario>> = {
  nothing: () => [],
  'cut both ways, 0.3 of the timeout': cut(both, 0.3),
  'cut both ways, 2 timeouts': cut(both, 2),
  'cut a to b, 2 timeouts': cut(['ab'], 2),
  'cut b to a, 2 timeouts': cut(['ba'], 2),
  'cut both ways, 10 timeouts': cut(both, 10),
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
  'host b stands still for 2 timeouts': (ms) => [{ kind: 'stall', host: 'b', forMs: 2 * ms }],
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
  'the connection of the disks is reset': () => [{ kind: 'disk-link-reset' }],
  'protect and its guard killed, cleaned up': () => [
    { kind: 'kill-guard' },
    { kind: 'kill-protect' },
  ],
  'time of day set back two hours on a': () => [{ kind: 'wall-step', host: 'a', byMs: -7_200_000 }],
  'libxl gives up on a': () => [{ kind: 'save-failed' }],
  'guest powers off': () => [{ kind: 'guest-ended' }],
  'ordered stop': () => [{ kind: 'stop' }],
  'ordered stop, link cut for 2 timeouts': (ms) => [...cut(both, 2)(ms), { kind: 'stop' }],
};

interface ScenarioResults {
  readonly name: string;
  readonly buffered: readonly RunResult[];
  readonly unbuffered: readonly RunResult[];
}

const results: ScenarioResults[] = [];
for (const [name, make] of Object.entries(scenarios)) {
  const cleansUp = name.includes('cleaned up');
  const buffered = await runMany(true, make, cleansUp);
  results.push({ name, buffered, unbuffered: await runMany(false, make, cleansUp) });
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
