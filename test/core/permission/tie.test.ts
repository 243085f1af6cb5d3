/** Who goes on when the other host cannot be asked: the table, and what the machines make of it. */
import { describe, expect, it } from 'vitest';
import { failoverRefusal } from '../../../src/core/backup/backup.ts';
import { waitsForPerson } from '../../../src/core/backup/state.ts';
import {
  type Agreement,
  agreementDefault,
  agreements,
  mayActivate,
  mayOpenUnanswered,
  neededToActivate,
  type Said,
} from '../../../src/core/permission/tie.ts';
import { initialPrimary, stepPrimary } from '../../../src/core/primary/primary.ts';
import { BackupStory, PrimaryStory, primaryConfig } from '../story.ts';

const said: readonly Said[] = ['nothing', 'order', 'word'];

describe('the table', () => {
  it.each<[Agreement, readonly Said[], readonly Said[]]>([
    ['backup', ['nothing', 'order', 'word'], ['word']],
    ['primary', ['word'], ['nothing', 'order', 'word']],
    ['manual', ['order', 'word'], ['word']],
  ])('%s: the copy runs on %j, the primary opens on %j', (agreed, activates, opens) => {
    expect(said.filter((one) => mayActivate(agreed, one))).toEqual(activates);
    expect(said.filter((one) => mayOpenUnanswered(agreed, one))).toEqual(opens);
    expect(neededToActivate(agreed)).toBe(activates[0]);
  });

  it('lets at most one side go on by itself (T1)', () => {
    for (const agreed of agreements) {
      const alone = [mayActivate(agreed, 'nothing'), mayOpenUnanswered(agreed, 'nothing')];
      expect(alone.filter((may) => may).length, agreed).toBeLessThanOrEqual(1);
    }
    expect(agreementDefault).toBe('backup');
  });

  it('wants a word where the other side goes on by itself (T2)', () => {
    for (const agreed of agreements) {
      if (mayOpenUnanswered(agreed, 'nothing')) expect(mayActivate(agreed, 'order')).toBe(false);
      if (mayActivate(agreed, 'nothing')) expect(mayOpenUnanswered(agreed, 'order')).toBe(false);
    }
  });
});

const kindsOf = (effects: readonly { readonly kind: string }[]) => effects.map(({ kind }) => kind);
const gone = { kind: 'link-closed', reason: 'reset' } as const;

describe.each(['primary', 'manual'] as const)('a backup, agreed %s,', (withoutWitness) => {
  const holding = () => new BackupStory({ withoutWitness }).holding();

  it('never activates by itself, neither for silence nor at the end of the link', () => {
    const silent = holding().until(60_000);
    const ended = holding().at(200, gone).until(60_000);
    for (const story of [silent, ended]) {
      expect(kindsOf(story.effects)).not.toContain('write-record');
      expect(story.state.phase).toBe('standby');
      expect(waitsForPerson(story.state)).toBe(true);
    }
    expect(waitsForPerson(holding().alive(5_000).state)).toBe(false);
  });

  it('never does for a primary that is held and heard, and says so after timeout and hold', () => {
    const deaf = holding().alive(4_000, 100);
    expect(waitsForPerson(deaf.state)).toBe(false);
    deaf.alive(30_000, 100);
    expect(kindsOf(deaf.effects)).not.toContain('write-record');
    expect(waitsForPerson(deaf.state)).toBe(true);
    // Where it goes on by itself it is there, and its guest is.
    const refused = withoutWitness === 'primary' ? expect.stringMatching(/was heard/) : null;
    expect(failoverRefusal(deaf.state, 'word')).toEqual(refused);
  });

  it('never does because it is told to end, nor promises', () => {
    const leave = { kind: 'leave', reason: 'told to end' } as const;
    const story = holding().at(200, leave).until(60_000);
    expect(kindsOf(story.effects)).toContain('send-leaving');
    expect(kindsOf(story.effects)).not.toContain('write-record');
    expect(waitsForPerson(story.state)).toBe(true);
    const asked = holding().at(200, leave).at(300, { kind: 'ask', way: 'link', token: 1 });
    expect(asked.effects.at(-1)).toMatchObject({ kind: 'write-record', to: 'promised' });
  });

  it('still promises to whoever asks', () => {
    const story = holding().at(200, gone).at(9_000, { kind: 'ask', way: 'fresh', token: 1 });
    expect(story.effects.at(-1)).toMatchObject({ kind: 'write-record', to: 'promised' });
  });

  it('runs its copy on the word of a person', () => {
    const story = holding().at(200, gone).at(300, { kind: 'failover', token: 1, vouched: true });
    const write = { kind: 'write-record', to: 'activating', said: 'word' };
    expect(story.effects.at(-1)).toMatchObject(write);
  });
});

describe('an order without a word', () => {
  const ordered = (withoutWitness: Agreement) =>
    new BackupStory({ withoutWitness })
      .holding()
      .at(200, gone)
      .at(300, { kind: 'failover', token: 1 });

  it('is enough where the primary stays mute', () => {
    const write = { kind: 'write-record', to: 'activating', said: 'order' };
    expect(ordered('manual').effects.at(-1)).toMatchObject(write);
  });

  it('is refused where the primary goes on by itself', () => {
    const { effects, state } = ordered('primary');
    const refused = failoverRefusal(state, 'order');
    expect(refused).toMatch(/the primary goes on by itself, as was agreed/);
    expect(effects.at(-1)).toEqual({ kind: 'failover-answer', token: 1, refused });
    expect(state.goal).toBeNull();
  });
});

describe('a primary, agreed primary,', () => {
  const seeded = () => new PrimaryStory({ withoutWitness: 'primary' }).seeded();
  const unprotected = expect.stringMatching(/; it goes on without it, as was agreed$/);

  it('goes on unprotected after timeout and hold of silence, and tells the backup', () => {
    const story = seeded().silence().until(4_048);
    expect(story.state.opened).toBeNull();
    story.until(4_100);
    expect(story.state).toMatchObject({ opened: 'in-advance', outcome: { kind: 'unprotected' } });
    expect(story.state.outcome).toMatchObject({ reason: unprotected });
    const kinds = kindsOf(story.effects);
    expect(kinds.slice(kinds.indexOf('open-buffer') - 1)).toEqual([
      ...['ask-promise', 'open-buffer', 'abort-save'],
    ]);
  });

  it('goes on after the end of the link, although nobody answers', () => {
    const story = seeded().until(500).at(500, gone);
    story.at(2_000, { kind: 'ask-failed', id: 1, reason: 'no route to host' }).until(4_400);
    expect(story.state.opened).toBeNull();
    expect(story.until(4_600).state.opened).toBe('in-advance');
  });

  it('without a buffer lets its guest run again', () => {
    const story = new PrimaryStory({ withoutWitness: 'primary', buffered: false }).seeded();
    story.silence().until(1_500);
    expect(story.state.paused).toBe(true);
    expect(story.until(4_100).state).toMatchObject({ opened: 'in-advance', paused: false });
  });

  it('takes no stall of its own for silence', () => {
    const story = seeded().until(500).silence().sleeps(60_000);
    expect(story.state.opened).toBeNull();
    expect(story.until(63_000).state.opened).toBeNull();
    expect(story.until(64_100).state.opened).toBe('in-advance');
  });

  it('gives up a backup that hangs although its heartbeats come', () => {
    const story = seeded().epoch(255, 1).until(30_200);
    expect(story.state.lost).toBeNull();
    story.until(30_400);
    expect(story.state).toMatchObject({ lost: expect.stringMatching(/hangs/), opened: null });
    expect(story.until(34_600).state.opened).toBe('in-advance');
  });

  const others = ['activating', 'running', 'ended', 'absent'] as const;
  it.each(others)('never does once it has heard %s', (kind) => {
    // As the answer to what it asked, and as one that comes late.
    for (const id of [1, 7]) {
      const answer = { kind: 'answer', id, answer: { kind } } as const;
      const story = seeded().at(500, gone).at(600, answer).until(90_000);
      expect(story.state.opened).toBeNull();
      expect(kindsOf(story.effects)).not.toContain('open-buffer');
    }
  });

  it('asks a backup that leaves, and goes on when that does not answer', () => {
    const story = seeded().at(500, { kind: 'backup-leaving', reason: 'told to end' }).until(4_400);
    expect(kindsOf(story.effects)).toContain('ask-promise');
    expect(story.state.opened).toBeNull();
    expect(story.until(4_600).state.opened).toBe('in-advance');
  });

  it('is told that its guest ended by itself', () => {
    const story = seeded().silence().at(2_000, { kind: 'guest-ended', reason: 'power-off' });
    expect(story.until(4_100).state.outcome).toEqual({ kind: 'guest-ended', reason: 'power-off' });
  });

  it('does not go on while the link is only being made, or in the seed', () => {
    const before = stepPrimary(initialPrimary({ ...primaryConfig, withoutWitness: 'primary' }), {
      kind: 'tick',
      nowMs: 90_000,
    });
    expect(before.state.opened).toBeNull();
    const seeding = new PrimaryStory({ withoutWitness: 'primary' }).at(0, { kind: 'link-open' });
    expect(seeding.silence().until(4_100).state.opened).toBe('never-whole');
  });
});

describe.each(['backup', 'manual'] as const)('a primary, agreed %s,', (withoutWitness) => {
  it('is held, however long nobody answers', () => {
    const story = new PrimaryStory({ withoutWitness }).seeded().silence().until(90_000);
    expect(story.state).toMatchObject({ opened: null, outcome: null });
  });
});
