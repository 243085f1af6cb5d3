/** What `tsremus resync` prints, and its exit code. */
import { describe, expect, it } from 'vitest';
import { CommandFailure } from '../../../src/cli/output/errors.ts';
import { printResync } from '../../../src/cli/output/resync.ts';
import type { ResyncResult } from '../../../src/session/resync/options.ts';
import { fakeIo } from '../fake-io.ts';

const copied: ResyncResult = {
  ...{ kind: 'copied', domain: 'web1', asOf: new Date(0) },
  copied: { bytes: 2e9, equalBytes: 1.98e9, sentBytes: 7e6, ms: 41_200 },
};
const ranges = [{ disk: 'xvda', at: 65_536, bytes: 131_072 }];
const compared = (differentBytes: number): ResyncResult => ({
  ...{ kind: 'compared', domain: 'web1' },
  difference: {
    ...{ bytes: 2e9, differentBytes, ms: 9_000.4 },
    ...(differentBytes === 0 ? { ranges: [], more: 0 } : { ranges, more: 2 }),
  },
});

function failureOf(run: () => unknown) {
  try {
    run();
  } catch (error) {
    if (error instanceof CommandFailure) return error.failure;
    throw error;
  }
  throw new Error('it did not fail');
}

describe('a resync', () => {
  it('says as of when, how much, and that it is no protection', () => {
    const io = fakeIo();
    expect(printResync(io, copied, 'hosta', {})).toBe(0);
    expect(io.out.text.split('\n')).toEqual([
      'the disks of web1 on hosta are as they were here at 1970-01-01T00:00:00.000Z: ' +
        '2.0 GB in 41.2 s: 2.0 GB were there already, 7.0 MB sent',
      'what web1 writes from now on is not copied, until it is protected',
      '',
    ]);
  });

  it('is a line of JSON', () => {
    const io = fakeIo();
    expect(printResync(io, copied, 'hosta', { json: true })).toBe(0);
    expect(JSON.parse(io.out.text)).toMatchObject({
      ...{ message_type: 'result', outcome: 'copied', domain: 'web1', exit: 0, bytes: 2e9 },
      ...{ as_of: '1970-01-01T00:00:00.000Z', equal_bytes: 1.98e9, sent_bytes: 7e6, ms: 41_200 },
    });
  });

  it('says nothing with -q', () => {
    const io = fakeIo();
    expect(printResync(io, copied, 'hosta', { quiet: true })).toBe(0);
    expect(io.out.text).toBe('');
  });

  it.each([
    ['sigint', 130],
    ['sigterm', 143],
  ] as const)('that was ended by %s says what is there', (by, code) => {
    const io = fakeIo();
    expect(printResync(io, { kind: 'stopped', domain: 'web1', by }, 'hosta', {})).toBe(code);
    expect(io.out.text).toContain('on hosta are not whole, and the next one goes on from');
  });
});

describe('a comparison', () => {
  it('of equal disks is 0', () => {
    const io = fakeIo();
    expect(printResync(io, compared(0), 'hosta', {})).toBe(0);
    const text = 'the disks of web1 on hosta are as they are here: 2.0 GB in 9000 ms\n';
    expect(io.out.text).toBe(text);
  });

  it('of others says where they differ, and what sends it', () => {
    const io = fakeIo();
    const failure = failureOf(() => printResync(io, compared(131_072), 'hosta', { quiet: true }));
    expect(failure).toMatchObject({
      ...{ code: 'different', exit: 20 },
      hints: ['tsremus resync web1 hosta  # sends what differs'],
    });
    expect(io.out.text.split('\n').slice(1)).toEqual([
      ...['xvda: 131072 bytes at 65536', 'and 2 more', ''],
    ]);
  });

  it('of others is a line of JSON', () => {
    const io = fakeIo();
    failureOf(() => printResync(io, compared(131_072), 'hosta', { json: true }));
    expect(JSON.parse(io.out.text)).toMatchObject({
      ...{ outcome: 'compared', different_bytes: 131_072, ranges, more: 2, ms: 9000, exit: 20 },
    });
  });
});
