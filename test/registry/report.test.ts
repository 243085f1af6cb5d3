import { describe, expect, it } from 'vitest';
import type { Liveness, SessionState } from '../../src/core/health/facts.ts';
import type { Level } from '../../src/core/health/health.ts';
import { judgeSession as judge, judgeAll, worst } from '../../src/registry/report.ts';
import type { SessionStatus } from '../../src/registry/status.ts';
import { sampleStatus } from './sample-status.ts';

const nowMs = Date.parse('2026-11-22T12:00:00.000Z');
const bootedMs = nowMs - 3_600_000;
const now = { wallMs: nowMs, sinceBootMs: nowMs - bootedMs };

function status(changes: Partial<SessionStatus> = {}): SessionStatus {
  const updated = new Date(nowMs - 500).toISOString();
  const started = '2026-11-22T11:00:00.000Z';
  return sampleStatus({ updated, started, ack_time: updated, ...changes });
}

describe('a session that reports (R1, R2, R3)', () => {
  const levelOf: [SessionState, Level][] = [
    ['connecting', 'warning'],
    ['seeding', 'warning'],
    ['protected', 'ok'],
    ['late', 'warning'],
    ['ending', 'warning'],
    ['held', 'critical'],
    ['unprotected', 'critical'],
    ['standby', 'ok'],
    ['activating', 'warning'],
    ['active', 'critical'],
    ['ended', 'critical'],
  ];
  it.each(levelOf)('%s is %s', (state, level) => {
    expect(judge(status({ state }), 'alive', now)).toMatchObject({ state, level });
  });

  it('says something, and what to type, whenever it is CRITICAL', () => {
    for (const [state, level] of levelOf) {
      const report = judge(status({ state }), 'alive', now);
      if (level !== 'critical') continue;
      expect(report.reason, state).not.toBeNull();
      expect(report.next, state).not.toEqual([]);
    }
  });

  it('leaves the word to the session', () => {
    const said = { state: 'held', reason: 'the link is cut', next: ['reboot hostb'] } as const;
    expect(judge(status(said), 'alive', now)).toMatchObject({
      reason: 'nothing leaves the guest: the link is cut',
      next: ['reboot hostb'],
    });
  });
});

describe('a session that ended (R4)', () => {
  const levelOf: [string, Level][] = [
    ['stopped', 'ok'],
    ['promised', 'warning'],
    ['unprotected', 'critical'],
    ['never-protected', 'critical'],
    ['taken-over', 'critical'],
    ['guest-ended', 'critical'],
    ['never-whole', 'critical'],
    ['copy-lost', 'critical'],
    ['held', 'critical'],
  ];
  it.each(levelOf)('with outcome %s is %s, its process gone', (outcome, level) => {
    const report = judge(status({ state: 'ended', outcome }), 'dead', now);
    expect(report).toMatchObject({ state: 'ended', level });
  });

  it('says in a sentence how it ended, and adds what it said itself', () => {
    const ended = (outcome: string, reason: string | null) =>
      judge(status({ state: 'ended', outcome, reason }), 'dead', now).reason;
    expect(ended('taken-over', null)).toBe('hostb took over: the guest runs there');
    expect(ended('guest-ended', 'power-off')).toBe('the guest ended by itself: power-off');
    expect(ended('unheard-of', null)).toBe('the session ended, nobody knows how');
  });

  it('does not call a command a host', () => {
    const peer = 'nc hostb 8002';
    const report = judge(status({ state: 'ended', outcome: 'taken-over', peer }), 'dead', now);
    expect(report.reason).toBe('the other host took over: the guest runs there');
  });

  it('keeps what a session said when it ended', () => {
    const last = { state: 'unprotected', outcome: 'unprotected', reason: 'hostb died' } as const;
    const report = judge(status({ ...last, updated: '2026-11-21T00:00:00Z' }), 'dead', now);
    expect(report).toMatchObject({
      state: 'unprotected',
      reason: expect.stringMatching(/without a copy: hostb died$/),
      level: 'critical',
    });
  });
});

describe('a session whose process died (R5)', () => {
  const cases: [string, Partial<SessionStatus>, Liveness, SessionState, RegExp][] = [
    ['a buffered guest is mute', {}, 'dead', 'held', /held since.*may have taken over/],
    ['with -n it runs on', { buffered: false }, 'dead', 'unprotected', /runs on here without/],
    [
      'a paused one stands',
      { buffered: false, guest_paused: true },
      'dead',
      'held',
      /stands still/,
    ],
    ['in the seed', { state: 'seeding', epoch: null }, 'dead', 'unprotected', /before there was/],
    ['after a reboot', {}, 'other-boot', 'ended', /rebooted since.*may have taken over/],
    ['a copy', { role: 'backup', state: 'standby' }, 'dead', 'ended', /no copy is held/],
    ['a takeover', { role: 'backup', state: 'activating' }, 'dead', 'held', /may be whole or not/],
    ['a copy, rebooted', { role: 'backup', state: 'standby' }, 'other-boot', 'ended', /is gone/],
  ];
  it.each(cases)('%s', (_name, changes, liveness, state, reason) => {
    const report = judge(status(changes), liveness, now);
    expect(report).toMatchObject({ state, level: 'critical' });
    expect(report.reason).toMatch(reason);
    expect(report.next).not.toEqual([]);
  });

  it('does not matter once the copy took over: the guest runs without it', () => {
    const report = judge(status({ role: 'backup', state: 'active' }), 'dead', now);
    expect(report).toMatchObject({ state: 'active', level: 'critical' });
  });

  it('quotes the name of the domain where it is typed', () => {
    const report = judge(status({ domain: "it's" }), 'dead', now);
    expect(report.next[0]).toMatch(/^tsremus stop 'it'\\''s' {2}# /);
  });
});

describe('a session that is silent (R6)', () => {
  const updatedAgo = (ms: number) => status({ updated: new Date(nowMs - ms).toISOString() });

  it('is OK for three seconds, then late, then CRITICAL', () => {
    expect(judge(updatedAgo(3_000), 'alive', now).level).toBe('ok');
    expect(judge(updatedAgo(4_000), 'alive', now)).toMatchObject({
      state: 'late',
      level: 'warning',
      ackAgeMs: 4_120,
    });
    expect(judge(updatedAgo(11_000), 'alive', now).level).toBe('critical');
  });

  // Proves: a guest that is held is not shown as merely late because its process is slow to say so.
  it('stays what it was where that was worse than late', () => {
    const updated = new Date(nowMs - 6_000).toISOString();
    for (const state of ['held', 'unprotected', 'active'] as const) {
      const facts = status({ state, reason: 'why', next: ['what to type'], updated });
      const report = judge(facts, 'alive', now);
      expect(report).toMatchObject({ state, level: 'critical' });
      expect(report.reason).toMatch(/^.+; its process \d+ has not reported for/);
      expect(report.next.slice(0, -1)).toEqual(['what to type']);
      expect(report.next.at(-1)).toMatch(/^ps /);
    }
    const seeding = judge(status({ state: 'seeding', updated }), 'alive', now);
    expect(seeding).toMatchObject({ state: 'late', level: 'warning' });
  });

  it('shows the age as it was measured while the session reports', () => {
    expect(judge(updatedAgo(900), 'alive', now).ackAgeMs).toBe(120);
  });

  it('takes a wall clock that stepped back for now', () => {
    expect(judge(updatedAgo(-60_000), 'alive', now)).toMatchObject({
      level: 'ok',
      ackAgeMs: 120,
    });
  });

  // Proves: a process that is stuck is seen whatever became of the time of day meanwhile; without
  // the time since the boot a step back by two hours hid it for two hours (seed 56204).
  it('is counted since the boot while the process lives', () => {
    const { sinceBootMs } = now;
    const stuck = { ...updatedAgo(-7_200_000), updated_uptime_ms: sinceBootMs - 60_000 };
    expect(judge(stuck, 'alive', now)).toMatchObject({ state: 'late', level: 'critical' });
    const well = { ...updatedAgo(7_200_000), updated_uptime_ms: sinceBootMs - 900 };
    expect(judge(well, 'alive', now)).toMatchObject({ level: 'ok', ackAgeMs: 120 });
    // Of another boot nothing can be said by this one's.
    const dead = { ...updatedAgo(1_000), updated_uptime_ms: sinceBootMs + 60_000 };
    expect(judge(dead, 'dead', now).ackAgeMs).toBe(1_120);
  });

  it('does not count once the session is over', () => {
    const over = { ...updatedAgo(60_000), state: 'active', outcome: 'activated' } as const;
    expect(judge(over, 'alive', now).state).toBe('active');
  });
});

describe('a session that is degraded (R7)', () => {
  const degraded = 'behind: 12.0 MiB wait for libxl, and the primary waits';

  it('is WARNING although it protects, and says why', () => {
    for (const state of ['protected', 'standby'] as const) {
      const report = judge(status({ state, degraded }), 'alive', now);
      expect(report).toMatchObject({ state, level: 'warning', reason: degraded });
    }
  });

  it('is not better for it, nor once it is over', () => {
    expect(judge(status({ state: 'held', degraded }), 'alive', now).level).toBe('critical');
    const over = status({ state: 'ended', outcome: 'stopped', degraded });
    expect(judge(over, 'alive', now).level).toBe('ok');
  });
});

describe('several sessions', () => {
  const session = (changes: Partial<SessionStatus>, liveness: Liveness = 'alive') => ({
    status: status(changes),
    liveness,
  });

  it('come worst last', () => {
    const found = judgeAll(
      [
        session({ domain: 'd', uuid: 'd', state: 'held' }),
        session({ domain: 'c', uuid: 'c', state: 'seeding' }),
        session({ domain: 'b', uuid: 'b' }),
        session({ domain: 'a', uuid: 'a', state: 'seeding' }),
      ],
      now,
    );
    expect(found.map((report) => report.status.domain)).toEqual(['b', 'a', 'c', 'd']);
  });

  it('hide the past of a guest that is protected again', () => {
    const past = session({ role: 'backup', state: 'active', outcome: 'activated' });
    const living = session({ started: '2026-11-22T11:30:00.000Z' });
    expect(judgeAll([past, living], now)).toMatchObject([{ status: { role: 'primary' } }]);
  });

  it('show both when the new one died too', () => {
    const past = session({ role: 'backup', state: 'active', outcome: 'activated' });
    const dead = session({ started: '2026-11-22T11:30:00.000Z' }, 'dead');
    expect(judgeAll([past, dead], now)).toHaveLength(2);
  });
});

it('knows the worst of some levels', () => {
  expect(worst([])).toBe('ok');
  expect(worst(['warning', 'ok'])).toBe('warning');
  expect(worst(['critical', 'unknown', 'warning'])).toBe('critical');
});
