/** The primary's stories of when it checkpoints, and of a backup that does not get on. */
import { describe, expect, it } from 'vitest';
import { InvariantError } from '../../src/core/invariant.ts';
import { defaultSchedule, pendingMaxMax } from '../../src/core/limits.ts';
import { PrimaryStory } from './story.ts';

const promised = { kind: 'promised' } as const;

const stories: Readonly<Record<string, () => PrimaryStory>> = {
  'automatic-schedule': () =>
    new PrimaryStory({ schedule: defaultSchedule })
      .say('nothing is known yet: soonest; then an idle guest, latest')
      .seeded()
      .epoch(60, 1)
      .at(80, { kind: 'ack', epoch: 1 })
      .until(600)
      .say('a packet waits and nothing is in flight: now')
      .at(600, { kind: 'output', packets: 1, bytes: 60, nearLimit: false })
      .epoch(610, 2)
      .say('its barrier could not be set while an epoch is in flight: the acknowledgement first')
      .until(900)
      .at(900, { kind: 'ack', epoch: 2 })
      .say('what was known to wait is out; the look that follows the release finds more')
      .at(903, { kind: 'output', packets: 1, bytes: 60, nearLimit: false })
      .epoch(910, 3)
      .at(925, { kind: 'output', packets: 0, bytes: 0, nearLimit: false })
      .at(930, { kind: 'ack', epoch: 3 })
      .say('near the limit: at once, and only one at a time')
      .at(940, { kind: 'output', packets: 90, bytes: 9_000, nearLimit: true })
      .at(941, { kind: 'output', packets: 91, bytes: 9_100, nearLimit: true })
      .epoch(945, 4)
      .at(957, { kind: 'output', packets: 91, bytes: 9_100, nearLimit: true })
      .at(960, { kind: 'output', packets: 0, bytes: 0, nearLimit: false })
      .at(970, { kind: 'ack', epoch: 4 })
      .say('the administrator wants a fixed interval')
      .at(1_000, { kind: 'set-schedule', schedule: { kind: 'fixed', intervalMs: 50 } }),

  'disk-filling': () =>
    new PrimaryStory()
      .seeded()
      .say('a disk keeps much for the next epoch: it is not waited for the interval')
      .at(100, { kind: 'disk-filling' })
      .epoch(105, 1)
      .say('nor once more for the same asking')
      .at(130, { kind: 'ack', epoch: 1 })
      .until(200)
      .say('while an epoch is in flight the link is what is waited for')
      .epoch(340, 2)
      .at(350, { kind: 'disk-filling' })
      .until(380)
      .at(380, { kind: 'ack', epoch: 2 })
      .until(400),

  'output-lost': () =>
    new PrimaryStory()
      .seeded()
      .epoch(255, 1)
      .at(280, { kind: 'ack', epoch: 1 })
      .say('frames of epoch 2 may have got out: it is not waited for the interval')
      .at(300, { kind: 'output-lost', reason: 'vif1.0: a plug was removed or replaced' })
      .epoch(310, 2)
      .at(340, { kind: 'ack', epoch: 2 })
      .until(400),

  'output-lost-in-a-checkpoint': () =>
    new PrimaryStory()
      .seeded()
      .until(252)
      .say('its barrier may be set and not said yet: the epoch after it counts')
      .at(252, { kind: 'output-lost', reason: 'vif1.0: a plug was given an order' })
      .epoch(255, 1)
      .at(280, { kind: 'ack', epoch: 1 })
      .epoch(285, 2)
      .at(300, { kind: 'ack', epoch: 2 })
      .until(400),

  'backup-hangs': () =>
    new PrimaryStory()
      .say('heartbeats come, the acknowledgement does not: nobody else would notice')
      .seeded()
      .epoch(255, 1)
      .epoch(470, 2)
      .say('the link stays silent, then a fresh connection is asked')
      .until(31_400)
      .at(31_400, { kind: 'answer', id: 2, answer: promised })
      .at(31_410, { kind: 'save-ended' }),

  'slow-link': () => {
    const story = new PrimaryStory()
      .say('an epoch that takes minutes, but moves, is waited for')
      .seeded()
      .epoch(255, 1);
    for (let nowMs = 20_000; nowMs <= 120_000; nowMs += 20_000)
      story.at(nowMs, { kind: 'progress' });
    return story.at(121_000, { kind: 'ack', epoch: 1 });
  },

  'standstill-of-this-host': () =>
    new PrimaryStory()
      .say('both hosts stood still for a minute: what is under way gets its time again')
      .seeded()
      .epoch(255, 1)
      .sleeps(60_255)
      .until(60_900)
      .at(60_900, { kind: 'ack', epoch: 1 }),
};

describe('primary', () => {
  it.each(Object.keys(stories))('tells the story "%s"', async (name) => {
    const story = stories[name];
    if (story === undefined) throw new Error(`no story ${name}`);
    await expect(story().text).toMatchFileSnapshot(`testdata/primary-${name}.txt`);
  });

  // Proves P12: it is said until an epoch that covers it is acknowledged, and not longer.
  it('knows until when no copy knows of what got out', () => {
    const lost = { kind: 'output-lost', reason: 'vif1.0: a plug was removed' } as const;
    const story = new PrimaryStory().seeded().epoch(255, 1).at(260, lost);
    expect(story.state.unheld).toEqual({ reason: lost.reason, epoch: 2 });
    expect(story.at(280, { kind: 'ack', epoch: 1 }).state.unheld?.epoch).toBe(2);
    story.epoch(290, 2);
    expect(story.at(300, { kind: 'ack', epoch: 2 }).state.unheld).toBeNull();
    const unbuffered = new PrimaryStory({ buffered: false }).seeded().at(100, lost);
    expect(unbuffered.state.unheld).toBeNull();
  });

  it('gives a hanging backup ten timeouts, too, and up the seed without asking', () => {
    const hangs = (heartbeatTimeoutMs: number) =>
      new PrimaryStory({ heartbeatTimeoutMs }).seeded().epoch(255, 1);
    expect(hangs(5_000).until(50_000).state.lost).toBeNull();
    expect(hangs(5_000).until(51_000).state.lost).toContain('the backup hangs: epoch 1');
    const seed = new PrimaryStory().at(0, { kind: 'link-open' }).at(30, {
      kind: 'checkpoint',
      epoch: 0,
    });
    seed.at(40, { kind: 'drained', epoch: 0, pauseMs: 5, pages: 100 }).until(30_500);
    expect(seed.state.outcome).toMatchObject({ kind: 'never-protected' });
    expect(seed.effects.map(({ kind }) => kind)).not.toContain('ask-promise');
  });

  it('gives up a hanging backup of whose heartbeats many are lost', () => {
    const story = new PrimaryStory().seeded().epoch(255, 1).until(8_000);
    // Heard for 8 s, then not for 2 s, again and again: 30 s in which it could have moved.
    for (let nowMs = 10_000; nowMs <= 30_000; nowMs += 10_000) {
      expect(story.state.lost).toBeNull();
      story.sleeps(nowMs).until(nowMs + 8_000);
    }
    expect(story.state.lost).toContain('the backup hangs: epoch 1');
  });

  it('does not call a backup hanging that has nothing to do', () => {
    const schedule = { kind: 'fixed', intervalMs: 60_000 } as const;
    expect(new PrimaryStory({ schedule }).seeded().until(300_000).state.lost).toBeNull();
  });

  it('never runs two checkpoints at once, and never more epochs ahead than allowed', () => {
    const schedule = { kind: 'fixed', intervalMs: 10 } as const;
    for (const pendingMax of [1, 2, 3, pendingMaxMax]) {
      const story = new PrimaryStory({ schedule, pendingMax }).seeded();
      for (let epoch = 1; epoch <= pendingMax; epoch += 1) story.epoch(50 + 20 * epoch, epoch);
      const taken = story.until(5_000).effects.filter(({ kind }) => kind === 'take-checkpoint');
      expect(taken.length).toBe(pendingMax);
    }
  });

  it('refuses a schedule that was not checked', () => {
    const schedule = { kind: 'fixed', intervalMs: -1 } as const;
    const story = new PrimaryStory().seeded();
    expect(() => story.at(100, { kind: 'set-schedule', schedule })).toThrow(InvariantError);
  });
});
