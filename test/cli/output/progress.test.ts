/** The line that says how far a copy is. */
import { describe, expect, it } from 'vitest';
import { ProgressLine, progressText } from '../../../src/cli/output/progress.ts';
import { FakeStream } from '../fake-io.ts';

const paced = { percent: 31.9, bytes: 620e6, bytesPerSecond: 18e6, secondsLeft: 75 };

describe('progress', () => {
  it.each([
    [{}, 'web1: seed 31 %, 620 MB, 18.0 MB/s, 75 s left'],
    [{ disksBytes: 2e9 }, 'web1: copying disks: 31 % of 2.0 GB, 18.0 MB/s, 75 s left'],
    [
      { disksBytes: 2e9, isCompared: true, secondsLeft: null },
      'web1: comparing disks: 31 % of 2.0 GB, 18.0 MB/s',
    ],
  ])('says what is done, how fast and for how long yet: %j', (more, text) => {
    expect(progressText('web1', { ...paced, ...more })).toBe(text);
  });

  it('is a line for every tenth where nobody watches, of disks and of the memory', () => {
    const stream = new FakeStream();
    const line = new ProgressLine(stream, 'web1', () => 0);
    for (const percent of [1, 2, 11]) line.update({ ...paced, percent, disksBytes: 2e9 });
    for (const percent of [3, 4]) line.update({ ...paced, percent });
    expect(stream.text.split('\n').map((one) => one.slice(6, 19))).toEqual([
      ...['copying disks', 'copying disks', 'seed  3 %, 62', ''],
    ]);
  });
});
