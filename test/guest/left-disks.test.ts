/**
 * Disks that marks alone tell of. Proves: they are given back on a promise or a vouched word, ceded
 * where the other host has the guest, and stay refused on everything else.
 */
import { describe, expect, it } from 'vitest';
import type { Answer } from '../../src/core/vocabulary.ts';
import { type LeftDisks, settleLeftDisks } from '../../src/guest/left-disks.ts';
import type { Hypervisor } from '../../src/hypervisor/port.ts';

const uuid = '6ba7b810-9dad-11d1-80b4-00c04fd430c8';
const left: LeftDisks = {
  ...{ domain: 'web1', uuid, session: 's1', peer: { host: 'hostb' } },
  paths: ['/dev/vg0/web1', '/dev/vg0/data'],
};

function asked(answer: Answer['kind'] | Error, here = 'gone') {
  const did: string[] = [];
  const guest = here === 'gone' ? null : { uuid, id: 3 };
  const hypervisor = {
    find: async () => guest,
    info: async () => ({ state: 'running', paused: false }),
  } as unknown as Hypervisor;
  const settle = (force = false) =>
    settleLeftDisks(
      {
        hypervisor: async () => hypervisor,
        async askBackup({ session }) {
          did.push(`ask ${session}`);
          if (answer instanceof Error) throw answer;
          return { answer: { kind: answer } as Answer, askedAtMs: 0 };
        },
        goOnAlone: async () => void did.push('alone'),
        cede: async () => void did.push('cede'),
      },
      left,
      force,
    );
  return { did, settle };
}

describe('stop of them', () => {
  it('gives them back on a promise', async () => {
    const { did, settle } = asked('promised');
    const result = await settle();
    expect(did).toEqual(['ask s1', 'alone']);
    expect(result.outcome.kind).toBe('stopped');
    expect(result.text).toBe(
      'web1 may run here, its copy on hostb will not run: ' +
        '/dev/vg0/web1, /dev/vg0/data can be used again',
    );
  });

  it.each(['running', 'ended'] as const)('cedes them where the copy is %s', async (kind) => {
    const { did, settle } = asked(kind);
    const result = await settle();
    expect(did).toEqual(['ask s1', 'cede']);
    expect(result).toMatchObject({ outcome: { kind: 'taken-over' } });
  });

  it('touches nothing where the guest was started on the older ones', async () => {
    const { did, settle } = asked('running', 'here');
    const result = await settle();
    expect(did).toEqual(['ask s1']);
    expect(result.outcome).toMatchObject({ kind: 'held', found: 'running' });
    expect(result.text).toContain('web1 was started here, too');
  });

  it.each<[Answer['kind'] | Error, boolean]>([
    ['absent', false],
    ['activating', false],
    ['unknown', true],
    [new Error('no route to host'), true],
  ])('leaves them refused on %s; a vouched word counts: %s', async (answer, counts) => {
    const { did, settle } = asked(answer);
    expect(await settle()).toMatchObject({ outcome: { kind: 'held' } });
    expect((await settle(true)).outcome.kind).toBe(counts ? 'stopped' : 'held');
    expect(did).toEqual(['ask s1', 'ask s1', ...(counts ? ['alone'] : [])]);
  });
});
