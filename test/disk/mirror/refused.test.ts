/**
 * Whose the disks are that are refused here. Proves: that is found by their marks, and not where a
 * session is still to be seen.
 */
import { describe, expect, it } from 'vitest';
import type { DiskMark } from '../../../src/disk/mirror/mark.ts';
import { refusedIn } from '../../../src/disk/mirror/refused.ts';
import { peer, uuid } from './stand-in.ts';

const left = {
  ...{ domain: 'web1', uuid, session: 's1', peer },
  paths: ['/dev/vg0/web1', '/dev/vg0/data'],
};

const mark = (changes: Partial<DiskMark>): DiskMark => ({
  ...{ uuid, disk: 'xvda', path: '/dev/vg0/web1', role: 'source', state: 'whole' },
  ...{ generation: 1, parent: 0, session: 's1', lvm: 'vg0/web1', domain: 'web1', peer },
  ...changes,
});

const nobody = () => false;
type Known = (session: string) => boolean;
const sources = (marks: DiskMark[], known: Known) => refusedIn(marks, 'source', known);
const copies = (marks: DiskMark[], known: Known) => refusedIn(marks, 'copy', known);

describe('what marks tell of', () => {
  it('is a guest with its disks and whom to ask, once', () => {
    const marks = [mark({}), mark({ disk: 'xvdb', path: '/dev/vg0/data' })];
    expect(sources(marks, nobody)).toEqual([left]);
    expect(copies(marks, nobody)).toEqual([]);
  });

  it('are copies by themselves, until the guest runs on them', () => {
    const copy = mark({ role: 'copy', state: 'copying', parent: 1 });
    const took = mark({ role: 'copy', state: 'whole', generation: 2, parent: 1, session: null });
    expect(copies([copy], nobody)).toMatchObject([{ domain: 'web1', peer }]);
    expect(copies([took], nobody)).toEqual([]);
    expect(sources([copy, took], nobody)).toEqual([]);
  });

  it.each<[string, Partial<DiskMark>]>([
    ['goes on without a copy', { session: null }],
    ['is of an older version', { domain: null, peer: null }],
  ])('is nobody where the guest %s', (_what, changes) => {
    expect(sources([mark(changes)], nobody)).toEqual([]);
  });

  it('is nobody where its session can be seen', () => {
    expect(sources([mark({})], (session) => session === 's1')).toEqual([]);
  });
});
