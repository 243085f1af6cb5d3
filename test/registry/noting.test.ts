/** A registry that notes what passes through it (src/registry/noting.ts). */
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../src/host/clock.ts';
import { type EventRecord, eventLine, parseEvent } from '../../src/registry/event-record.ts';
import type { FiguresRecord } from '../../src/registry/figures-record.ts';
import { noteDeath, noteStopped, notingRegistry } from '../../src/registry/noting.ts';
import type { Claim, Registry, SessionEntry } from '../../src/registry/port.ts';
import type { SessionStatus } from '../../src/registry/status.ts';
import { sampleStatus } from './sample-status.ts';

const subject = { uuid: 'u', domain: 'web1', role: 'primary' } as const;

/** What is noted, and a registry whose claims keep what is published. */
function bench() {
  const noted: EventRecord[] = [];
  const measured: FiguresRecord[] = [];
  const published: SessionStatus[] = [];
  const claim: Claim = {
    socketPath: '/s',
    unsettled: null,
    publish(status) {
      published.push(status);
      return null;
    },
    publishResync: () => null,
    release() {},
  };
  const inner: Partial<Registry> = {
    claimSession: async () => claim,
    amend: (_which, change) => void published.push(change(sampleStatus())),
  };
  const parts = {
    ...{ clock: systemClock, host: 'hosta' },
    note: (record: EventRecord) => void noted.push(record),
    measure: (record: FiguresRecord) => void measured.push(record),
  };
  return { noted, measured, published, parts, registry: notingRegistry(inner as Registry, parts) };
}

// Proves: what a session publishes is published as it is, what of it is news is noted, and what was
// measured goes beside it.
it('notes what is published', async () => {
  const { noted, measured, published, registry } = bench();
  const claim = await registry.claimSession(subject);
  const status = sampleStatus();
  claim.publish(status);
  claim.publish(status);
  expect(published).toEqual([status, status]);
  expect(noted).toMatchObject([
    { host: 'hosta', domain: 'web1', role: 'primary', event: 'protected', epoch: 42 },
  ]);
  expect(measured).toMatchObject([{ kind: 'session', host: 'hosta', status }]);
});

// Proves: two sessions are told apart.
it('begins anew with each claim', async () => {
  const { noted, registry } = bench();
  for (let times = 0; times < 2; times += 1) {
    (await registry.claimSession(subject)).publish(sampleStatus());
  }
  expect(noted).toHaveLength(2);
});

// Proves: how a dead session was ended is kept with all that it said, once its status is gone.
it('notes what is changed of a dead session', () => {
  const { noted, measured, published, registry } = bench();
  const over = { state: 'ended', outcome: 'guest-ended', reason: 'power-off' } as const;
  registry.amend({ uuid: 'u', session: 's' }, (status) => ({ ...status, ...over }));
  expect(published).toHaveLength(1);
  expect(noted).toMatchObject([
    { event: 'guest-ended', text: 'the guest ended by itself: power-off' },
  ]);
  expect(measured).toMatchObject([{ kind: 'session', host: 'hosta', status: over }]);
});

describe('what others note', () => {
  it('is a death, of a session that had not ended', () => {
    const { noted, parts } = bench();
    const entry = (status: SessionStatus) => ({ status, liveness: 'alive' }) as SessionEntry;
    noteDeath(entry(sampleStatus()), parts);
    noteDeath(entry(sampleStatus({ outcome: 'stopped', state: 'ended' })), parts);
    expect(noted).toMatchObject([{ event: 'died', text: expect.stringContaining(' died') }]);
  });

  it('is what a person ordered, where that changed something', () => {
    const { noted, parts } = bench();
    noteStopped({ outcome: { kind: 'held', reason: 'no answer' } }, sampleStatus(), parts);
    noteStopped({ outcome: { kind: 'destroyed' } }, sampleStatus(), parts);
    expect(noted).toMatchObject([{ event: 'destroyed' }]);
  });
});

// Proves: whatever a peer said, what is written is a line that is read again.
it('writes lines that can be read', async () => {
  const { noted, registry } = bench();
  const claim = await registry.claimSession(subject);
  const reason = `${'\u001b[2J\n'.repeat(2_000)}end`;
  claim.publish(sampleStatus({ state: 'held', reason }));
  const [record] = noted;
  if (record === undefined) throw new Error('nothing was noted');
  const line = eventLine(record);
  expect(line).not.toContain('\n');
  expect(parseEvent(line)).toEqual(record);
  expect(record.text.length).toBeLessThanOrEqual(2_048);
});
