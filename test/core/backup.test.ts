/** The backup's stories (testdata/backup-*.txt are reviewed like code), and its edges. */
import { describe, expect, it } from 'vitest';
import { backupWakeAtMs } from '../../src/core/backup/backup.ts';
import { InvariantError } from '../../src/core/invariant.ts';
import { asksWaitingMax } from '../../src/core/limits.ts';
import { BackupStory } from './story.ts';

const says = (permission: 'activating' | 'active' | 'promised' | 'standby') =>
  ({ kind: 'record', permission }) as const;

/** Every story: its file, and how it goes. */
const stories: Readonly<Record<string, () => BackupStory>> = {
  normal: () =>
    new BackupStory()
      .say('acknowledge first, then feed; epoch 0 streams through as it comes')
      .holding()
      .at(150, { kind: 'epoch-whole', part: 'memory', epoch: 2 })
      .alive(3_000),

  silence: () =>
    new BackupStory()
      .say('a whole timeout without a byte: activate from the last acknowledged epoch')
      .holding()
      .until(1_200)
      .at(1_220, says('activating'))
      .say('what comes now is neither acknowledged nor echoed')
      .at(
        1_230,
        { kind: 'heartbeat', seq: 9, heldMs: 0 },
        { kind: 'epoch-whole', part: 'memory', epoch: 2 },
      )
      .at(1_300, { kind: 'built' })
      .at(1_320, says('active'))
      .at(1_330, { kind: 'running' }),

  'own-stall': () =>
    new BackupStory()
      .say('this process slept: that is no silence of the primary')
      .holding()
      .sleeps(2_500, { kind: 'tick', stalledMs: 2_300 })
      .alive(4_000)
      .say('but what was silent before, and stays so, still counts')
      .until(4_600)
      .sleeps(6_000, { kind: 'tick', stalledMs: 1_390 })
      .until(6_500),

  unheard: () =>
    new BackupStory()
      .say('a cut from here to there alone: it is heard, held, and hears nothing')
      .holding()
      .alive(4_500, 700)
      .say('whoever is held lets nothing out: after timeout and hold that is silence')
      .alive(6_000, 700),

  'unheard-for-a-while': () =>
    new BackupStory()
      .holding()
      .alive(4_000, 700)
      .say('the way back is whole again before that')
      .alive(9_000),

  'unheard-asked': () =>
    new BackupStory()
      .holding()
      .alive(2_000, 700)
      .say('the answer would not arrive: no promise that nobody hears')
      .at(2_050, { kind: 'ask', way: 'link', token: 1 })
      .alive(4_500, 700)
      .say('a fresh connection goes both ways')
      .at(4_550, { kind: 'ask', way: 'fresh', token: 2 })
      .at(4_600, says('promised')),

  'unheard-asked-in-vain': () =>
    new BackupStory()
      .holding()
      .alive(2_000, 700)
      .at(2_050, { kind: 'ask', way: 'link', token: 1 })
      .alive(4_900, 700)
      .say('once it is decided who waited is told that, too')
      .at(4_950, says('activating')),

  'unheard-because-of-us': () =>
    new BackupStory()
      .holding()
      .say('this process slept for 8 s: what piled up says that the primary is held')
      .sleeps(8_100, { kind: 'heartbeat', seq: 80, heldMs: 7_400 })
      .at(8_101, { kind: 'tick', stalledMs: 7_900 }, { kind: 'heartbeat', seq: 81, heldMs: 7_500 })
      .say('the next ones come with the lease that the echo renewed')
      .alive(20_000),

  'unheard-without-buffer': () =>
    new BackupStory({ buffered: false })
      .say('with -n its guest is paused by its lease, and being heard counts')
      .holding()
      .alive(8_000, 700),

  'end-of-link': () =>
    new BackupStory()
      .say('the hold gives the primary time to ask')
      .holding()
      .at(200, { kind: 'link-closed', reason: 'end of stream' })
      .until(3_300),

  'end-of-link-asked': () =>
    new BackupStory()
      .holding()
      .at(200, { kind: 'link-closed', reason: 'end of stream' })
      .at(900, { kind: 'ask', way: 'fresh', token: 1 })
      .at(910, says('promised'))
      .at(915, { kind: 'ask', way: 'fresh', token: 2 })
      .at(950, { kind: 'discarded' }),

  'end-of-link-without-buffer': () =>
    new BackupStory({ buffered: false })
      .say('-n: the end of the link activates nothing, the guest may be running there')
      .holding()
      .at(200, { kind: 'link-closed', reason: 'end of stream' })
      .say('nor does the administrator, while the lease of the last echo may last')
      .at(700, { kind: 'failover', token: 1 })
      .until(60_000)
      .at(60_000, { kind: 'failover', token: 2 })
      .at(60_010, says('activating')),

  'told-to-end': () =>
    new BackupStory()
      .say('the primary is told, asks over the link, and has its promise')
      .holding()
      .at(200, { kind: 'leave', reason: 'the backup was told to end' })
      .at(
        210,
        { kind: 'heartbeat', seq: 9, heldMs: 0 },
        { kind: 'epoch-whole', part: 'memory', epoch: 2 },
      )
      .at(220, { kind: 'ask', way: 'link', token: 1 })
      .at(230, says('promised'))
      .at(250, { kind: 'discarded' }),

  'told-to-end-in-silence': () =>
    new BackupStory()
      .say('a primary that says nothing may be dead: no promise, the silence decides')
      .holding()
      .at(200, { kind: 'leave', reason: 'the backup was told to end' })
      .until(1_200)
      .at(1_220, says('activating'))
      .at(1_300, { kind: 'built' })
      .at(1_320, says('active'))
      .at(1_330, { kind: 'running' }),

  'told-to-end-in-the-seed': () =>
    new BackupStory()
      .at(0, { kind: 'link-open' })
      .at(100, { kind: 'leave', reason: 'the backup was told to end' })
      .at(110, says('promised'))
      .at(120, { kind: 'discarded' }),

  'stop-over-the-link': () =>
    new BackupStory()
      .holding()
      .at(200, { kind: 'ask', way: 'link', token: 1 })
      .at(210, says('promised'))
      .at(220, { kind: 'link-closed', reason: 'goodbye' })
      .at(240, { kind: 'discarded' }),

  'asked-while-activating': () =>
    new BackupStory()
      .holding()
      .until(1_150)
      .at(1_160, { kind: 'ask', way: 'fresh', token: 1 })
      .at(1_170, says('activating'))
      .at(1_180, { kind: 'built' })
      .at(1_190, says('active'))
      .at(1_195, { kind: 'ask', way: 'fresh', token: 2 })
      .at(1_200, { kind: 'running' }),

  'promised-by-another-process': () =>
    new BackupStory()
      .say('the record has the last word')
      .holding()
      .until(1_150)
      .at(1_160, says('promised'))
      .at(1_170, { kind: 'discarded' }),

  'failed-build': () =>
    new BackupStory()
      .say('discarded first, then promised, then said')
      .holding()
      .until(1_150)
      .at(1_160, says('activating'))
      .at(1_200, { kind: 'build-failed', reason: 'out of memory' })
      .at(1_210, { kind: 'ask', way: 'fresh', token: 1 })
      .at(1_220, { kind: 'discard-failed', reason: 'domain is busy' })
      .until(2_300)
      .at(2_310, { kind: 'discarded' })
      .at(2_320, says('promised')),

  'unpause-fails': () =>
    new BackupStory()
      .say('active is final: the copy is unpaused until it runs, once a second')
      .holding()
      .until(1_150)
      .at(1_160, says('activating'))
      .at(1_200, { kind: 'built' })
      .at(1_210, says('active'))
      .at(1_220, { kind: 'unpause-failed', reason: 'no such domain' })
      .at(1_300, { kind: 'ask', way: 'fresh', token: 1 })
      .until(2_300)
      .at(2_310, { kind: 'running' }),

  'record-fails': () =>
    new BackupStory()
      .say('no activation without the record; what came meanwhile is acknowledged late')
      .holding()
      .until(1_150)
      .at(
        1_160,
        { kind: 'heartbeat', seq: 5, heldMs: 0 },
        { kind: 'epoch-whole', part: 'memory', epoch: 2 },
      )
      .at(1_200, { kind: 'record-failed', reason: 'no space left on device' })
      .until(2_500)
      .at(2_510, { kind: 'record-failed', reason: 'no space left on device' })
      .until(3_100),

  'promise-fails': () =>
    new BackupStory()
      .say('a promise that cannot be written is tried again; the asker waits')
      .holding()
      .at(200, { kind: 'ask', way: 'fresh', token: 1 })
      .at(210, { kind: 'record-failed', reason: 'no space left on device' })
      .at(300, { kind: 'epoch-whole', part: 'memory', epoch: 2 })
      .until(800)
      .at(810, says('promised'))
      .at(820, { kind: 'discarded' }),

  'copy-failed': () =>
    new BackupStory()
      .holding()
      .at(200, { kind: 'copy-failed', reason: 'epoch 1 cannot be applied' })
      .at(210, { kind: 'epoch-whole', part: 'memory', epoch: 2 })
      .at(220, says('promised'))
      .at(230, { kind: 'discarded' }),

  'copy-failed-while-building': () =>
    new BackupStory()
      .say('what would be built is older than what was acknowledged')
      .holding()
      .until(1_150)
      .at(1_160, says('activating'))
      .at(1_170, { kind: 'copy-failed', reason: 'epoch 1 cannot be applied' })
      .at(1_200, { kind: 'built' })
      .at(1_210, { kind: 'discarded' })
      .at(1_220, says('promised')),

  corrupt: () =>
    new BackupStory()
      .say('a torn epoch is dropped; then it is as if the link had ended')
      .holding()
      .at(200, { kind: 'corrupt', reason: 'frame 17: checksum' })
      .until(3_300),

  'end-of-link-in-the-seed': () =>
    new BackupStory()
      .at(0, { kind: 'link-open' })
      .at(50, { kind: 'link-closed', reason: 'end of stream' })
      .at(60, says('promised'))
      .at(70, { kind: 'discarded' }),

  'end-of-link-in-the-seed-disk-full': () =>
    new BackupStory()
      .say('nothing whole is here, so the copy does not wait for a record that fails')
      .at(0, { kind: 'link-open' })
      .at(50, { kind: 'link-closed', reason: 'end of stream' })
      .at(60, { kind: 'record-failed', reason: 'no space left on device' })
      .at(70, { kind: 'discarded' }),

  'silence-in-the-seed': () =>
    new BackupStory()
      .at(0, { kind: 'link-open' })
      .until(4_100)
      .at(4_100, says('promised'))
      .at(4_110, { kind: 'discarded' }),

  'asked-in-the-seed-disk-full': () =>
    new BackupStory()
      .say('the asker does not wait: from now on nothing may become whole')
      .at(0, { kind: 'link-open' })
      .at(50, { kind: 'ask', way: 'link', token: 1 })
      .at(60, { kind: 'record-failed', reason: 'no space left on device' })
      .at(70, { kind: 'epoch-whole', part: 'memory', epoch: 0 })
      .at(80, { kind: 'link-closed', reason: 'goodbye' })
      .at(90, { kind: 'discarded' }),

  failover: () =>
    new BackupStory()
      .say('refused while the primary answers, and while nothing is whole')
      .at(0, { kind: 'link-open' })
      .at(10, { kind: 'failover', token: 1 })
      .at(50, { kind: 'epoch-whole', part: 'memory', epoch: 0 })
      .at(60, { kind: 'failover', token: 2 })
      .at(100, { kind: 'link-closed', reason: 'connection reset' })
      .say('and begins when the link is gone; the answer waits for the record')
      .at(200, { kind: 'failover', token: 3 })
      .at(210, { kind: 'failover', token: 4 })
      .at(220, says('activating'))
      .at(230, { kind: 'failover', token: 5 }),
};

describe('backup', () => {
  it.each(Object.keys(stories))('tells the story "%s"', async (name) => {
    const story = stories[name];
    if (story === undefined) throw new Error(`no story ${name}`);
    await expect(story().text).toMatchFileSnapshot(`testdata/backup-${name}.txt`);
  });

  it('judges silence on ticks only, when the input is drained', () => {
    // Continued after a stop: something else is served before the bytes that wait.
    const story = new BackupStory().holding().sleeps(9_000, { kind: 'failover', token: 1 });
    expect(story.state.goal).toMatchObject({
      kind: 'activate',
      why: 'the administrator ordered it',
    });
    const other = new BackupStory().holding().sleeps(9_000, { kind: 'bytes' });
    expect(other.state.goal).toBeNull();
    const asked = new BackupStory().holding();
    asked.sleeps(9_000, { kind: 'ask', way: 'fresh', token: 1 });
    expect(asked.state.goal).toEqual({ kind: 'promise' });
    const closed = new BackupStory().holding().sleeps(9_000, { kind: 'link-closed', reason: 'x' });
    expect(closed.state.goal).toBeNull();
  });

  it('judges the silence of a seed on ticks only, too', () => {
    const story = new BackupStory().at(0, { kind: 'link-open' });
    expect(story.sleeps(9_000, { kind: 'failover', token: 1 }).state.goal).toBeNull();
    expect(story.until(9_101).state.goal?.kind).toBe('never-whole');
  });

  it('does not judge a silence that ends with the event at hand', () => {
    const story = new BackupStory().holding();
    story.sleeps(9_000, { kind: 'copy-failed', reason: 'x' });
    expect(story.state.goal?.kind).toBe('lose');
  });

  it('takes nothing from a link that has ended', () => {
    const story = new BackupStory().holding().at(150, { kind: 'link-closed', reason: 'x' });
    story.at(
      160,
      { kind: 'epoch-whole', part: 'memory', epoch: 2 },
      { kind: 'heartbeat', seq: 9, heldMs: 0 },
    );
    expect(story.state.acked).toBe(1);
    expect(story.state.heardAtMs).toBe(100);
    expect(story.effects.at(-1)).toEqual({ kind: 'commit', epoch: 1 });
  });

  it('never gives up an active copy, whatever libxl says of it', () => {
    const story = new BackupStory().holding().until(1_150).at(1_160, says('activating'));
    story.at(1_200, { kind: 'built' }).at(1_210, says('active'));
    story.at(1_220, { kind: 'unpause-failed', reason: 'busy' });
    story.at(1_230, { kind: 'copy-failed', reason: 'x' }).until(2_300);
    const kinds = story.effects.map(({ kind }) => kind);
    expect(kinds.filter((kind) => kind === 'unpause-copy').length).toBe(2);
    expect(kinds).not.toContain('discard-copy');
  });

  it('takes a record that did not move for a failure, and waits before the next attempt', () => {
    const story = new BackupStory().holding().until(1_150).at(1_160, says('activating'));
    story.at(1_200, { kind: 'built' }).at(1_210, says('activating'));
    expect(story.state.writing).toBeNull();
    expect(story.until(1_700).state.writing).toBeNull();
    expect(story.until(1_800).state.writing).toBe('active');
  });

  it('acknowledges no seed after it was asked, even when the ask is long forgotten', () => {
    const story = new BackupStory().at(0, { kind: 'link-open' });
    story.at(50, { kind: 'ask', way: 'link', token: 1 });
    for (let atMs = 60; atMs < 15_000; atMs += 600) {
      story.at(atMs, { kind: 'tick', stalledMs: 0 }, { kind: 'bytes' });
      if (story.state.writing === null) continue;
      story.at(atMs + 1, { kind: 'record-failed', reason: 'full' });
    }
    expect(story.state.asks).toEqual([]);
    story.at(15_100, { kind: 'epoch-whole', part: 'memory', epoch: 0 });
    expect(story.state.acked).toBe(-1);
  });

  it('refuses a failover while an ask waits for the record', () => {
    const story = new BackupStory().holding().at(200, { kind: 'link-closed', reason: 'x' });
    story.at(210, { kind: 'ask', way: 'fresh', token: 1 });
    story.at(220, { kind: 'record-failed', reason: 'full' });
    story.at(230, { kind: 'failover', token: 2 });
    const refused = 'the primary is asking for the promise: it is alive';
    expect(story.effects.at(-1)).toEqual({ kind: 'failover-answer', token: 2, refused });
  });

  it('counts, without a buffer, from the last echo that it sent, however late that was', () => {
    const story = new BackupStory({ buffered: false }).holding().until(1_150);
    story.at(1_160, { kind: 'heartbeat', seq: 5, heldMs: 0 });
    story.at(1_900, { kind: 'record-failed', reason: 'full' });
    expect(story.effects.at(-1)).toEqual({ kind: 'send-echo', seq: 5 });
    expect(story.until(2_890).state.goal).toBeNull();
    expect(story.until(3_100).state.goal?.kind).toBe('activate');
  });

  it('drops an ask that could not be served for too long: its asker may be dead', () => {
    const story = new BackupStory().holding();
    story
      .at(200, { kind: 'link-closed', reason: 'x' })
      .at(210, { kind: 'ask', way: 'fresh', token: 1 });
    for (let atMs = 220; atMs < 11_000; atMs += 600) {
      story.at(atMs, { kind: 'tick', stalledMs: 0 });
      if (story.state.writing !== null)
        story.at(atMs + 1, { kind: 'record-failed', reason: 'full' });
    }
    expect(story.state.asks).toEqual([]);
    story.until(12_000);
    expect(story.state.writing).toBe('activating');
  });

  it('bounds the asks that wait', () => {
    const story = new BackupStory().holding();
    for (let token = 0; token < 3 * asksWaitingMax; token += 1) {
      story.at(200, { kind: 'ask', way: 'fresh', token });
    }
    expect(story.state.asks.length).toBe(asksWaitingMax);
    expect(story.state.asks.at(-1)?.token).toBe(3 * asksWaitingMax - 1);
  });

  it('takes an epoch out of order for a broken stream', () => {
    const story = new BackupStory()
      .holding()
      .at(150, { kind: 'epoch-whole', part: 'memory', epoch: 3 });
    expect(story.state.link).toBe('closed');
    expect(story.state.acked).toBe(1);
  });

  it('does nothing after the end (B7)', () => {
    const story = new BackupStory().holding().at(200, { kind: 'ask', way: 'link', token: 1 });
    story.at(210, says('promised')).at(220, { kind: 'discarded' });
    const before = story.effects.length;
    story.at(300, { kind: 'ask', way: 'fresh', token: 2 }, { kind: 'failover', token: 3 });
    expect(story.effects.length).toBe(before);
    expect(backupWakeAtMs(story.state)).toBeNull();
  });

  it.each([
    ['a result without a write', says('activating')],
    ['a domain that nobody built', { kind: 'built' }],
    ['a discard that nobody ordered', { kind: 'discarded' }],
    ['a copy that runs by itself', { kind: 'running' }],
  ] as const)("calls the engine's mistake a bug: %s", (_, event) => {
    expect(() => new BackupStory().holding().at(150, event)).toThrow(InvariantError);
  });
});
