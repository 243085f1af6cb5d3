/**
 * Goal: what becomes of the guest when a host dies or the hosts part, for each agreement on who
 * goes on unanswered; and that each deliberate bug in it is caught.
 * Method: as in scenarios.test.ts, ten runs of each.
 */
import { describe, expect, it } from 'vitest';
import { hunt } from './campaign.ts';
import { realMachines } from './machines.ts';
import { type FaultKind, type Plan, planOf } from './plan.ts';
import { tieMutants } from './tie-mutants.ts';
import { type RunResult, runPlan } from './world.ts';

const runs = 10;
const agreements = ['backup', 'primary', 'manual'] as const;

const cut = (forMs: number): FaultKind => ({ kind: 'cut', directions: ['ab', 'ba'], forMs });
const oneWay = (forMs: number): FaultKind => ({ kind: 'cut', directions: ['ba'], forMs });
const crash = (host: 'a' | 'b'): FaultKind => ({ kind: 'crash', host, rebootMs: null });

/** What strikes: each at so many timeouts after the first. */
type Strikes = (timeoutMs: number) => readonly (readonly [number, FaultKind])[];

const strikes: Readonly<Record<string, Strikes>> = {
  'host a dies': () => [[0, crash('a')]],
  'host a dies, then failover is typed': () => [
    [0, crash('a')],
    [6, { kind: 'failover' }],
  ],
  'host b dies': () => [[0, crash('b')]],
  'both ways cut, for 20 timeouts': (ms) => [[0, cut(20 * ms)]],
  'both ways cut, for 20 timeouts, then protected again': (ms) => [[0, cut(20 * ms)]],
  'one way cut, b to a, for 20 timeouts': (ms) => [[0, oneWay(20 * ms)]],
  'one way cut, b to a, and failover typed': (ms) => [
    [0, oneWay(20 * ms)],
    [10, { kind: 'failover' }],
  ],
  'receive told to end': () => [[0, { kind: 'terminate-receive' }]],
  'receive told to end, then host a dies': () => [
    [0, { kind: 'terminate-receive' }],
    [0, crash('a')],
  ],
  'both ways cut, and failover typed while the guest runs': (ms) => [
    [0, cut(20 * ms)],
    [1.5, { kind: 'failover' }],
  ],
  'link reset': () => [[0, { kind: 'reset', sides: ['a', 'b'] }]],
  'protect killed': () => [[0, { kind: 'kill-protect' }]],
  'host a stands still for 8 timeouts': (ms) => [[0, { kind: 'stall', host: 'a', forMs: 8 * ms }]],
};

function planWith(
  seed: number,
  buffered: boolean,
  withoutWitness: (typeof agreements)[number],
  of: Strikes,
): Plan {
  const plan: Plan = { ...planOf(seed), diskThere: 'unasked' };
  const { heartbeatTimeoutMs: timeoutMs } = plan.config;
  const fromMs = 2 * plan.diskLagMs + plan.seedChunks * plan.chunkMs + 2 * timeoutMs;
  const faults = of(timeoutMs).map(([afterTimeouts, fault]) => ({
    trigger: { kind: 'time', atMs: fromMs + afterTimeouts * timeoutMs } as const,
    fault,
  }));
  const config = { ...plan.config, buffered, withoutWitness };
  return {
    ...plan,
    config,
    faults,
    cutForGood: [],
    misdirected: 0,
    forces: false,
    cleansUp: false,
    calmAtMs: fromMs + 25 * timeoutMs,
    again: null,
    otherWay: null,
  };
}

function counted(results: readonly RunResult[]): string {
  const counts = new Map<string, number>();
  for (const { seed, ending, beside, violation, expected } of results) {
    const broken = expected ?? `BROKEN ${violation?.rule}: ${violation?.text} (${seed})`;
    const key = violation === null ? [ending, ...beside].join(' + ') : broken;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  const sorted = [...counts].sort(([a, m], [b, n]) => n - m || a.localeCompare(b));
  return sorted.map(([key, count]) => `${count} ${key}`).join(', ');
}

async function line(
  name: string,
  agreed: (typeof agreements)[number],
  buffered: boolean,
): Promise<string> {
  const results: RunResult[] = [];
  for (let seed = 7_000; seed < 7_000 + runs; seed += 1) {
    const planned = planWith(seed, buffered, agreed, strikes[name] ?? (() => []));
    // Once the hosts have each other again.
    const afterMs = 22 * planned.config.heartbeatTimeoutMs;
    const again = name.endsWith('protected again') ? { afterMs, times: 1 } : null;
    const plan = { ...planned, again };
    results.push(await runPlan(plan, realMachines));
  }
  const how = buffered ? '' : ' -n';
  return `    ${`${agreed}${how}`.padEnd(11)}${counted(results)}`;
}

describe('who goes on', () => {
  it('is as the table says', async () => {
    const lines: string[] = [];
    for (const name of Object.keys(strikes)) {
      lines.push(name);
      for (const buffered of [true, false]) {
        for (const agreed of agreements) lines.push(await line(name, agreed, buffered));
      }
    }
    const text = `${lines.join('\n')}\n`;
    expect(text).not.toContain('BROKEN');
    await expect(text).toMatchFileSnapshot('testdata/without-witness.txt');
  });

  it.each(tieMutants)('is checked: $name', async (mutant) => {
    expect((await hunt(mutant, 300)).seed).not.toBeNull();
  });
});
