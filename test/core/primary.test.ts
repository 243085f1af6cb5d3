/** The primary's stories (testdata/primary-*.txt are reviewed like code), and its edges. */
import { describe, expect, it } from 'vitest';
import { InvariantError } from '../../src/core/invariant.ts';
import { freshAskMs, heartbeatsRememberedMax } from '../../src/core/limits.ts';
import { initialPrimary, primaryWakeAtMs, stepPrimary } from '../../src/core/primary/primary.ts';
import type { PrimaryEffect } from '../../src/core/primary/types.ts';
import { PrimaryStory, primaryConfig } from './story.ts';

const promised = { kind: 'promised' } as const;
const activating = { kind: 'activating' } as const;
const unknown = { kind: 'unknown' } as const;
const running = { kind: 'running' } as const;
const absent = { kind: 'absent' } as const;

/** Every story: its file, and how it goes. */
const stories: Readonly<Record<string, () => PrimaryStory>> = {
  normal: () =>
    new PrimaryStory()
      .say('the interval counts from the commit; output leaves with the acknowledgement')
      .seeded()
      .epoch(255, 1)
      .at(300, { kind: 'ack', epoch: 1 })
      .say('the second one is acknowledged while the third is on its way')
      .epoch(510, 2)
      .epoch(720, 3)
      .at(750, { kind: 'ack', epoch: 2 })
      .at(800, { kind: 'ack', epoch: 3 })
      .say('a duplicate says nothing new')
      .at(810, { kind: 'ack', epoch: 3 }),

  'back-pressure': () =>
    new PrimaryStory()
      .say('pendingMax 2: the third epoch waits for an acknowledgement')
      .seeded()
      .epoch(255, 1)
      .epoch(470, 2)
      .until(1_500)
      .at(1_500, { kind: 'ack', epoch: 1 }),

  'short-silence': () =>
    new PrimaryStory()
      .say('a cut for twice the timeout: nothing is released, nothing is asked, then on')
      .seeded()
      .epoch(255, 1)
      .silence()
      .until(1_500)
      .say('an acknowledgement that comes under a stale lease waits for a fresh one')
      .at(2_100, { kind: 'ack', epoch: 1 })
      .answers()
      .until(2_700),

  'long-silence': () =>
    new PrimaryStory()
      .say('after timeout and hold the record is asked over a fresh connection, again and again')
      .seeded()
      .silence()
      .at(5_200, { kind: 'ask-failed', id: 1, reason: 'no route to host' })
      .at(5_800, { kind: 'answer', id: 2, answer: activating })
      .at(6_400, { kind: 'answer', id: 3, answer: running })
      .say(
        'the suspend that kept it from being paused is over: it must not work on until it is gone',
      )
      .at(6_420, { kind: 'save-ended' })
      .at(6_500, { kind: 'destroyed' }),

  'old-news': () =>
    new PrimaryStory()
      .say('what is older than 5 s destroys nothing: the guest is paused, and it is asked again')
      .seeded()
      .epoch(255, 1)
      .at(300, { kind: 'activated' })
      .at(320, { kind: 'save-ended' })
      .at(350, { kind: 'link-closed', reason: 'end of stream' })
      .at(5_400, { kind: 'answer', id: 1, answer: running })
      .at(5_450, { kind: 'answer', id: 2, answer: running, askedAtMs: 400 })
      .say('an answer to the question before is none')
      .at(5_500, { kind: 'answer', id: 2, answer: running })
      .at(5_510, { kind: 'answer', id: 3, answer: running, askedAtMs: 5_505 })
      .say('and it may be too old when it is to be done')
      .at(11_000, { kind: 'destroy-failed', reason: 'what the backup said is too old by now' })
      .at(11_600, { kind: 'answer', id: 4, answer: running })
      .at(11_610, { kind: 'destroyed' }),

  absent: () =>
    new PrimaryStory()
      .say(
        'the copy took over, and its host was rebooted: held, until a person says that it is lost',
      )
      .seeded()
      .epoch(255, 1)
      .at(300, { kind: 'link-closed', reason: 'connection reset' })
      .at(400, { kind: 'answer', id: 1, answer: absent })
      .at(420, { kind: 'save-ended' })
      .at(1_000, { kind: 'stop', force: true, by: 'command' })
      .at(1_100, { kind: 'answer', id: 2, answer: absent })
      .at(1_700, { kind: 'answer', id: 3, answer: promised }),

  'paused-after-a-suspend': () =>
    new PrimaryStory()
      .say('a guest that has lost is paused, but not before a suspend that is in flight has ended')
      .seeded()
      .until(251)
      .at(255, { kind: 'checkpoint', epoch: 1 })
      .at(256, { kind: 'activated' })
      .at(260, { kind: 'drained', epoch: 1, pauseMs: 5, pages: 100 })
      .at(280, { kind: 'save-ended' }),

  'link-back-before-the-answer': () =>
    new PrimaryStory()
      .say('the link comes back while the question is on its way: on as if nothing had been')
      .seeded()
      .silence()
      .until(4_300)
      .answers()
      .until(4_500)
      .say('a stale answer that decides nothing is ignored')
      .at(4_520, { kind: 'answer', id: 1, answer: activating })
      .say('a promise is final, however late it comes')
      .at(4_900, { kind: 'answer', id: 1, answer: promised })
      .at(4_910, { kind: 'save-ended' }),

  'end-of-link-promised': () =>
    new PrimaryStory()
      .seeded()
      .epoch(255, 1)
      .at(300, { kind: 'link-closed', reason: 'end of stream' })
      .at(350, { kind: 'answer', id: 1, answer: promised })
      .at(360, { kind: 'save-ended' }),

  'end-of-link-unknown': () =>
    new PrimaryStory()
      .say('no record is no promise: mute for ever, until somebody vouches')
      .seeded()
      .epoch(255, 1)
      .at(300, { kind: 'link-closed', reason: 'connection reset' })
      .at(350, { kind: 'answer', id: 1, answer: unknown })
      .at(900, { kind: 'answer', id: 2, answer: unknown })
      .at(1_000, { kind: 'stop', force: false, by: 'command' })
      .at(1_100, { kind: 'ask-failed', id: 3, reason: 'timed out' })
      .say('who vouches is believed when it was asked once more')
      .at(1_200, { kind: 'stop', force: true, by: 'command' })
      .at(1_300, { kind: 'ask-failed', id: 4, reason: 'timed out' })
      .at(1_310, { kind: 'save-ended' }),

  'end-of-link-in-the-seed': () =>
    new PrimaryStory()
      .say('the end of epoch 0 is not sent: the backup can have nothing whole')
      .at(0, { kind: 'link-open' })
      .at(40, { kind: 'link-closed', reason: 'end of stream' })
      .at(50, { kind: 'save-ended' }),

  'silence-in-the-seed': () =>
    new PrimaryStory()
      .at(0, { kind: 'link-open' })
      .silence()
      .until(4_500)
      .at(4_500, { kind: 'save-ended' }),

  'end-of-link-after-the-seed-left': () =>
    new PrimaryStory()
      .say('the seed may be whole over there: once its end is sent permission is needed')
      .at(0, { kind: 'link-open' })
      .at(40, { kind: 'checkpoint', epoch: 0 })
      .at(41, { kind: 'drained', epoch: 0, pauseMs: 5, pages: 100 })
      .at(42, { kind: 'sent', epoch: 0 })
      .at(43, { kind: 'link-closed', reason: 'end of stream' })
      .at(60, { kind: 'answer', id: 1, answer: promised })
      .at(70, { kind: 'save-ended' }),

  'lease-without-buffer': () =>
    new PrimaryStory({ buffered: false })
      .say('-n: the guest pauses when the lease runs out, once the end of epoch 0 is sent')
      .at(0, { kind: 'link-open' })
      .silence()
      .at(700, { kind: 'checkpoint', epoch: 0 })
      .at(705, { kind: 'drained', epoch: 0, pauseMs: 5, pages: 100 })
      .at(710, { kind: 'sent', epoch: 0 })
      .answers()
      .at(850, { kind: 'ack', epoch: 0 })
      .silence()
      .until(1_800)
      .answers()
      .until(2_300),

  'taken-over-without-buffer': () =>
    new PrimaryStory({ buffered: false })
      .say('-n: the copy runs, so the guest stays paused until it is destroyed')
      .seeded()
      .silence()
      .at(1_500, { kind: 'activated' })
      .at(1_520, { kind: 'link-closed', reason: 'end of stream' })
      .at(1_600, { kind: 'save-ended' })
      .at(1_700, { kind: 'answer', id: 2, answer: running })
      .at(1_710, { kind: 'destroyed' }),

  'promised-without-buffer': () =>
    new PrimaryStory({ buffered: false })
      .seeded()
      .at(100, { kind: 'link-closed', reason: 'end of stream' })
      .at(110, { kind: 'ask-failed', id: 1, reason: 'connection refused' })
      .at(900, { kind: 'answer', id: 2, answer: promised })
      .at(910, { kind: 'save-ended' }),

  stop: () =>
    new PrimaryStory()
      .say('no more checkpoints; what is on its way is still acknowledged and released')
      .seeded()
      .epoch(255, 1)
      .at(270, { kind: 'stop', force: false, by: 'sigint' })
      .at(280, { kind: 'ack', epoch: 1 })
      .at(290, { kind: 'answer', id: 1, answer: promised })
      .at(300, { kind: 'save-ended' }),

  'stop-on-a-silent-link': () =>
    new PrimaryStory()
      .say('the question goes over the link and over fresh connections in turn')
      .seeded()
      .silence()
      .at(900, { kind: 'stop', force: false, by: 'command' })
      .until(3_000)
      .at(3_000, { kind: 'answer', id: 2, answer: promised })
      .at(3_010, { kind: 'save-ended' }),

  'stop-in-the-seed': () =>
    new PrimaryStory()
      .at(0, { kind: 'link-open' })
      .at(20, { kind: 'stop', force: false, by: 'sigterm' })
      .at(30, { kind: 'save-ended' }),

  'stop-forced': () =>
    new PrimaryStory()
      .say('who answers is not dead: force is an ordinary stop while the lease is fresh')
      .seeded()
      .at(100, { kind: 'stop', force: true, by: 'command' })
      .silence()
      .say('once it is stale, somebody who answers all the same is no dead host either')
      .at(900, { kind: 'stop', force: true, by: 'command' })
      .at(950, { kind: 'answer', id: 2, answer: activating })
      .say('what was asked before says nothing about now; a question in vain does')
      .at(1_600, { kind: 'stop', force: true, by: 'command' })
      .at(1_650, { kind: 'ask-failed', id: 3, reason: 'no route to host' })
      .at(1_700, { kind: 'ask-failed', id: 4, reason: 'no route to host' })
      .at(1_710, { kind: 'save-ended' })
      .at(1_750, { kind: 'answer', id: 1, answer: promised }),

  'guest-ended': () =>
    new PrimaryStory()
      .say('its last packets wait for the permission like all others')
      .seeded()
      .at(100, { kind: 'guest-ended', reason: 'poweroff' })
      .at(120, { kind: 'answer', id: 1, answer: promised })
      .at(130, { kind: 'save-ended' }),

  'save-failed': () =>
    new PrimaryStory()
      .seeded()
      .at(100, { kind: 'save-failed', reason: 'suspend timed out' })
      .at(120, { kind: 'answer', id: 1, answer: promised }),

  'copy-lost': () =>
    new PrimaryStory()
      .seeded()
      .at(100, { kind: 'copy-lost', reason: 'epoch 0 could not be applied' })
      .at(110, { kind: 'link-closed', reason: 'end of stream' })
      .at(120, { kind: 'save-ended' }),

  'disk-lost': () =>
    new PrimaryStory()
      .say('nothing counts any more: the backup is asked over the link that is there')
      .seeded()
      .epoch(255, 1)
      .at(260, { kind: 'disk-lost', reason: 'disk xvda: the mirror was taken away' })
      .at(270, { kind: 'ack', epoch: 1 })
      .at(280, { kind: 'answer', id: 1, answer: promised })
      .at(300, { kind: 'save-ended' }),

  'disk-lost-in-the-seed': () =>
    new PrimaryStory()
      .say('nothing was protected yet: the guest goes on, and the backup hears it')
      .at(0, { kind: 'link-open' })
      .at(50, { kind: 'disk-lost', reason: 'disk xvda: input/output error' })
      .at(60, { kind: 'save-ended' }),

  'backup-leaves': () =>
    new PrimaryStory()
      .say('its host is shut down in order: it is asked over the link that still lives')
      .seeded()
      .at(100, { kind: 'backup-leaving', reason: 'the backup was told to end' })
      .at(120, { kind: 'answer', id: 1, answer: promised })
      .at(130, { kind: 'save-ended' }),

  'taken-over': () =>
    new PrimaryStory()
      .say('libxl does not end its operation: after ten seconds the guest goes all the same')
      .seeded()
      .at(100, { kind: 'link-closed', reason: 'end of stream' })
      .at(200, { kind: 'answer', id: 1, answer: running })
      .until(10_300)
      .at(10_400, { kind: 'answer', id: 2, answer: running, askedAtMs: 10_350 })
      .at(10_450, { kind: 'destroyed' }),

  'broken-peer': () =>
    new PrimaryStory()
      .say('an acknowledgement of what was not sent: its word counts no more, the record does')
      .seeded()
      .at(100, { kind: 'ack', epoch: 7 })
      .at(150, { kind: 'answer', id: 1, answer: promised })
      .at(160, { kind: 'save-ended' }),
};

const seeded = () => new PrimaryStory().seeded();
const kindsOf = (story: PrimaryStory) => story.effects.map((effect) => effect.kind);

describe('primary', () => {
  it.each(Object.keys(stories))('tells the story "%s"', async (name) => {
    const story = stories[name];
    if (story === undefined) throw new Error(`no story ${name}`);
    await expect(story().text).toMatchFileSnapshot(`testdata/primary-${name}.txt`);
  });

  it('gives the seed up for a promise only when it may be whole (P5)', () => {
    const story = new PrimaryStory().at(0, { kind: 'link-open' });
    story.at(20, { kind: 'stop', force: false, by: 'command' });
    expect(story.state.opened).toBe('never-whole');
  });

  it('does nothing after the end (P3)', () => {
    const story = new PrimaryStory().seeded().at(100, { kind: 'copy-lost', reason: 'x' });
    story.at(110, { kind: 'save-ended' });
    const before = story.effects.length;
    story.at(120, { kind: 'tick' }, { kind: 'ack', epoch: 1 }, { kind: 'echo', seq: 1 });
    story.at(130, { kind: 'stop', force: true, by: 'command' });
    expect(story.effects.length).toBe(before);
    expect(primaryWakeAtMs(story.state)).toBeNull();
  });

  it('pauses and unpauses in pairs (P4)', () => {
    const story = new PrimaryStory({ buffered: false }).seeded();
    for (let round = 1; round <= 4; round += 1) {
      story.silence().until(round * 2_000);
      story.answers().until(round * 2_000 + 1_000);
    }
    const kinds = story.effects
      .map((effect: PrimaryEffect) => effect.kind)
      .filter((kind) => kind === 'pause-guest' || kind === 'unpause-guest');
    expect(kinds.length).toBeGreaterThanOrEqual(6);
    for (const [index, kind] of kinds.entries()) {
      expect(kind).toBe(index % 2 === 0 ? 'pause-guest' : 'unpause-guest');
    }
  });

  it('asks afresh at once when the link ends under a question', () => {
    const story = seeded().at(100, { kind: 'stop', force: false, by: 'command' });
    expect(story.state.ask?.way).toBe('link');
    story.at(150, { kind: 'link-closed', reason: 'reset' });
    expect(story.state.ask).toEqual({ id: 2, way: 'fresh', atMs: 150 });
  });

  it('asks at once when the link ends, however lately an ask failed', () => {
    const story = seeded().at(100, { kind: 'stop', force: false, by: 'command' });
    story.at(150, { kind: 'ask-failed', id: 1, reason: 'x' });
    expect(story.state.ask).toBeNull();
    story.at(160, { kind: 'link-closed', reason: 'reset' });
    expect(story.state.ask).toEqual({ id: 2, way: 'fresh', atMs: 160 });
  });

  it('is not silent while it is echoed, though nothing is acknowledged for long', () => {
    const story = new PrimaryStory({ schedule: { kind: 'fixed', intervalMs: 60_000 } })
      .seeded()
      .until(20_000);
    expect(story.state.ask).toBeNull();
    expect(kindsOf(story)).not.toContain('ask-promise');
  });

  it('forgets the heartbeats that an echo covers, and remembers a bounded number', () => {
    const story = seeded().until(1_000);
    expect(story.state.beats.length).toBeLessThanOrEqual(1);
    story.silence().until(30_000);
    expect(story.state.beats.length).toBe(heartbeatsRememberedMax);
  });

  it('takes an echo of an old heartbeat for no lease', () => {
    const story = seeded().silence().until(1_000);
    const oldest = story.state.beats[0];
    story.at(1_001, { kind: 'echo', seq: oldest?.seq ?? 0 });
    expect(story.state.heardAtMs).toBe(1_001);
    expect(story.state.leaseFromMs).toBe(oldest?.sentAtMs);
  });

  it.each([
    ['skips an epoch', 2],
    ['was not drained', 3],
  ])('calls the backup broken when it acknowledges what %s', (_, epoch) => {
    const story = seeded().epoch(255, 1).epoch(465, 2).at(500, { kind: 'ack', epoch });
    expect(story.state.link).toBe('closed');
    expect(story.state.released).toBe(0);
  });

  it('stays mute when something older contradicts a takeover', () => {
    const story = seeded().at(100, { kind: 'link-closed', reason: 'x' });
    story.at(110, { kind: 'answer', id: 1, answer: absent });
    story.at(120, { kind: 'answer', id: 1, answer: promised }, { kind: 'copy-lost', reason: 'x' });
    expect(story.state.outcome).toBeNull();
    expect(story.state.opened).toBeNull();
  });

  it.each(['running', 'ended'] as const)(
    'is destroyed on `%s`, and on nothing else (P9)',
    (kind) => {
      const closed = () => seeded().at(100, { kind: 'link-closed', reason: 'x' });
      const lost = closed().at(110, { kind: 'save-failed', reason: 'x' });
      lost.at(120, { kind: 'answer', id: 1, answer: { kind } });
      expect(kindsOf(lost)).toContain('destroy-guest');
      expect(lost.state.outcome).toBeNull();
      expect(lost.at(130, { kind: 'destroyed' }).state.outcome).toEqual({ kind: 'taken-over' });
      for (const other of [activating, unknown, absent]) {
        const held = closed().at(110, { kind: 'save-failed', reason: 'x' });
        held.at(120, { kind: 'answer', id: 1, answer: other });
        expect(kindsOf(held.until(5_000))).not.toContain('destroy-guest');
      }
    },
  );

  it('does not open while it is being destroyed (P9)', () => {
    const story = seeded().at(100, { kind: 'link-closed', reason: 'x' });
    story.at(110, { kind: 'save-failed', reason: 'x' });
    story.at(120, { kind: 'answer', id: 1, answer: running });
    story.at(130, { kind: 'answer', id: 1, answer: promised });
    story.at(140, { kind: 'stop', force: true, by: 'command' });
    story.at(150, { kind: 'guest-ended', reason: 'the domain is gone' }, { kind: 'destroyed' });
    expect(kindsOf(story)).not.toContain('open-buffer');
    expect(story.state.outcome).toEqual({ kind: 'taken-over' });
  });

  it('releases nothing any more once the record says active (P6)', () => {
    const story = seeded().epoch(255, 1).at(280, { kind: 'activated' });
    story.at(290, { kind: 'ack', epoch: 1 });
    expect(story.state.acked).toBe(1);
    expect(story.state.released).toBe(0);
  });

  it('keeps its question when a stale one is answered without a decision', () => {
    const story = seeded().at(100, { kind: 'link-closed', reason: 'x' });
    for (const answer of [activating, unknown]) story.at(110, { kind: 'answer', id: 0, answer });
    story.at(110, { kind: 'ask-failed', id: 0, reason: 'x' });
    expect(story.state.ask?.id).toBe(1);
  });

  it('ends when libxl fails while it is being ended', () => {
    const story = seeded().at(100, { kind: 'copy-lost', reason: 'x' });
    story.at(110, { kind: 'save-failed', reason: 'aborted' });
    expect(story.state.phase).toBe('ended');
  });

  it('ends nothing that has ended: a lost save is not aborted', () => {
    const story = seeded().at(100, { kind: 'save-failed', reason: 'x' });
    story.at(110, { kind: 'answer', id: 1, answer: running }, { kind: 'destroyed' });
    expect(story.state.phase).toBe('ended');
    expect(kindsOf(story)).not.toContain('abort-save');
    expect(kindsOf(story).slice(-3)).toEqual(['destroy-guest', 'close-link', 'end']);
  });

  it('does not unpause a guest that has ended', () => {
    const story = new PrimaryStory({ buffered: false }).seeded().silence().until(1_000);
    expect(story.state.paused).toBe(true);
    story.at(1_010, { kind: 'guest-ended', reason: 'destroyed' });
    story.at(1_020, { kind: 'answer', id: 0, answer: promised });
    expect(kindsOf(story)).not.toContain('unpause-guest');
  });

  it.each([true, false])('pauses once it has lost, with a buffer or without: %s', (buffered) => {
    const story = new PrimaryStory({ buffered }).seeded();
    story.at(100, { kind: 'activated' });
    expect(story.state.paused).toBe(true);
    expect(story.until(2_000).state.paused).toBe(true);
    const kinds = kindsOf(story);
    expect(kinds).toContain('pause-guest');
    expect(kinds).not.toContain('unpause-guest');
  });

  it('drops its question when the link comes back', () => {
    const story = seeded().silence().until(4_300);
    expect(story.state.ask).not.toBeNull();
    expect(story.answers().until(4_500).state.ask).toBeNull();
  });

  it('gives a fresh question up after a while', () => {
    const story = seeded().at(100, { kind: 'link-closed', reason: 'x' });
    story.until(100 + freshAskMs);
    expect(story.state.ask?.id).toBe(1);
    story.until(101 + freshAskMs + 100);
    expect(story.state.ask?.id).toBe(2);
  });

  it.each([
    ['a checkpoint that nobody asked for', { kind: 'checkpoint', epoch: 1 }],
    ['an epoch drained without its barrier', { kind: 'drained', epoch: 1, pauseMs: 5, pages: 100 }],
    ['an epoch sent before it is drained', { kind: 'sent', epoch: 1 }],
  ] as const)("calls the engine's mistake a bug: %s", (_, event) => {
    const story = new PrimaryStory().seeded();
    expect(() => story.at(60, event)).toThrow(InvariantError);
  });

  it('refuses settings that cannot work', () => {
    expect(() => initialPrimary({ ...primaryConfig, pendingMax: 0 })).toThrow(InvariantError);
    expect(() => initialPrimary({ ...primaryConfig, heartbeatTimeoutMs: 5 })).toThrow(
      InvariantError,
    );
  });

  it('takes a time that runs backwards for no time at all', () => {
    const state = stepPrimary(initialPrimary(primaryConfig, 100), { kind: 'link-open', nowMs: 90 });
    expect(state.state.nowMs).toBe(100);
  });
});
