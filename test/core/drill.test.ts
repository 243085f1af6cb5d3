import { describe, expect, it } from 'vitest';
import {
  type DrillFacts,
  drillPlan,
  drillRefusal,
  drillVerdict,
  mutedMs,
} from '../../src/core/drill.ts';

const facts: DrillFacts = {
  ...{ domain: 'web1', peer: 'hostb', state: 'protected', level: 'ok', reason: null },
  ...{ buffered: true, agreement: 'backup', disksLeft: [], timeoutMs: 1_000 },
};

describe('a drill', () => {
  it('is safe where the backup takes over by itself, and nothing else would run or be old', () => {
    expect(drillRefusal(facts)).toBeNull();
  });

  it.each<[Partial<DrillFacts>, RegExp]>([
    [{ state: 'seeding' }, /^it is seeding, not protected$/],
    [{ level: 'warning', reason: 'behind: the disk is slow' }, /^it is not well: behind: the disk/],
    [{ buffered: false }, /^its output is not buffered \(-n\): it would run twice$/],
    [{ disksLeft: ['xvda'] }, /^xvda would be left behind \(-d\), as old as on hostb$/],
    [{ agreement: 'primary' }, /^hostb waits for a person \(--without-witness=primary\)$/],
    [{ agreement: 'manual' }, /^hostb waits for a person/],
    [{ timeoutMs: 20_000 }, /^hostb takes over after 20\.0 s only/],
  ])('is refused of %j', (changes, why) => {
    expect(drillRefusal({ ...facts, ...changes })).toMatch(why);
  });

  it('stops the session for longer than the backup needs, and less than a watchdog', () => {
    // silence, and three beats of a tenth of it until the backup next looks
    for (const timeoutMs of [100, 1_000, 16_000]) {
      expect(mutedMs({ timeoutMs })).toBeGreaterThan(1.32 * timeoutMs + 100);
      expect(mutedMs({ timeoutMs })).toBeLessThan(30_000);
    }
  });

  it('says beforehand what it costs', () => {
    expect(drillPlan(facts, true).join('\n')).toMatchInlineSnapshot(`
      "drill of web1: as if this host died now
        its session here is stopped for 2000 ms: nothing leaves web1
        hostb takes over after 1000 ms: web1 goes on there, connections too
        what it did since its last acknowledged checkpoint is lost; nobody has seen any of it
        web1 is destroyed here once this host hears that it runs there
        then it is protected back, from hostb to this host"
    `);
    expect(drillPlan(facts, false).at(-1)).toBe('  then it runs on hostb, unprotected');
  });

  it('passes by what was seen alone', () => {
    const told = (afterMs: number) => drillVerdict(facts, { kind: 'took-over', afterMs }, 10_000);
    expect(told(8_000)).toEqual({
      passed: true,
      text: 'web1 ran on hostb after 8000 ms at most, within the limit of 10.0 s',
    });
    expect(told(10_001).passed).toBe(false);
    expect(drillVerdict(facts, { kind: 'goes-on' }, 10_000)).toEqual({
      passed: false,
      text: 'hostb did not take over: web1 is protected as before',
    });
    expect(drillVerdict(facts, { kind: 'other', how: 'it promised' }, 10_000).passed).toBe(false);
  });
});
