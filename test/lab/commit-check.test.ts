/**
 * A check that cannot fail proves nothing: every check of output commit is shown what it must find,
 * and what it must not mind. Needs no lab.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  checkFlow,
  checkFrames,
  checkNumbers,
  countUnsaid,
  type EpochTimes,
  parseEpochTimes,
} from './commit-check.ts';
import { decodeFrames, type FrameRecord, recordBytes } from './frame-records.ts';
import type { NumberAnswer } from './traffic.ts';

const guest = 0x65;

function frame(over: Partial<FrameRecord>): FrameRecord {
  return {
    timeMs: 0,
    fromGuest: true,
    leaves: true,
    kind: 'flow',
    vlan: 0,
    bytes: 200,
    guest: 0x3e770000 + guest,
    key: 0,
    flow: 0,
    suspends: 0,
    sequence: 0,
    flowSequence: 0,
    ...over,
  };
}

/** Epoch n is acknowledged at 1000 n; its checkpoint was made 400 before. */
function timesOf(epochs: number, openedMs: number | null = null): EpochTimes {
  const numbers = Array.from({ length: epochs }, (_, epoch) => epoch);
  return {
    acknowledgedMs: new Map(numbers.map((epoch) => [epoch, 1000 * epoch])),
    checkpointMs: numbers.map((epoch) => 1000 * epoch - 400),
    openedMs,
  };
}

const judge = (records: readonly FrameRecord[], times = timesOf(10), before = 7) =>
  checkFrames(records, times, guest, before);

describe('frames', () => {
  it('of an epoch may leave from its acknowledgement on, and not before', () => {
    const at = (timeMs: number) => judge([frame({ timeMs, suspends: 10 })]);
    expect(at(3000).early).toBe(0);
    expect(at(2999.999)).toMatchObject({ early: 1, epochs: 1, checked: { flow: 1 } });
    expect(at(2999).firstEarly[0]).toMatchObject({ epoch: 3, earlyMs: 1 });
  });

  it('of the seed and of before it are free', () => {
    const early = { timeMs: -500 };
    const verdict = judge([frame({ ...early, suspends: 7 }), frame({ ...early, suspends: 2 })]);
    expect(verdict).toMatchObject({ early: 0, epochs: 0, checked: {} });
  });

  it('of an epoch without acknowledgement may leave only once the buffer was opened', () => {
    const late = frame({ timeMs: 50_000, suspends: 7 + 10 });
    expect(judge([late]).firstEarly[0]?.earlyMs).toBe(null);
    expect(judge([late], timesOf(10, 49_000)).early).toBe(0);
    expect(judge([late], timesOf(10, 51_000)).early).toBe(1);
  });

  it('of another guest are not looked at', () => {
    expect(judge([frame({ suspends: 10, guest: 0x3e770066 })])).toMatchObject({ checked: {} });
    expect(judge([frame({ suspends: 10, guest: 0x3e770100 + guest })]).early).toBe(1);
  });

  it('that come in from elsewhere are not looked at', () => {
    expect(judge([frame({ suspends: 10, leaves: false })])).toMatchObject({ checked: {} });
    expect(checkFlow([frame({ leaves: false })], guest, 0).frames).toBe(0);
  });

  it('with a tag are counted apart', () => {
    const verdict = judge([frame({ vlan: 77, suspends: 10, timeMs: 9000 })]);
    expect(verdict.checked).toEqual({ vlan: 1 });
  });

  it.each([
    ['ping4', 'ping4-ask'],
    ['ping6', 'ping6-ask'],
    ['arp', 'arp-ask'],
  ] as const)('that answer (%s) are at least of the epoch of their request', (kind, ask) => {
    // At 2500 checkpoints 0 to 2 were made: the answer is of epoch 3 or a later one.
    const request = frame({ kind: ask, key: 5, fromGuest: false, timeMs: 2500 });
    const answer = (timeMs: number) => frame({ kind, key: 5, timeMs });
    expect(judge([request, answer(2501)])).toMatchObject({ early: 1, checked: { [kind]: 1 } });
    expect(judge([request, answer(3001)]).early).toBe(0);
    // An answer that nobody asked for says nothing; nor does one from before the first barrier.
    expect(judge([answer(1)]).checked).toEqual({});
    const atFirst = frame({ kind: ask, key: 5, fromGuest: false, timeMs: -500 });
    expect(judge([atFirst, answer(-499)]).checked).toEqual({});
  });

  it('are never found early where everything waits, and always where nothing does', () => {
    const arbitrary = fc.array(
      fc.record({
        epoch: fc.integer({ min: 1, max: 9 }),
        waitMs: fc.double({ min: 0, max: 50, noNaN: true }),
      }),
      { minLength: 1 },
    );
    fc.assert(
      fc.property(arbitrary, (sent) => {
        const held = sent.map(({ epoch, waitMs }) =>
          frame({ suspends: 7 + epoch, timeMs: 1000 * epoch + waitMs }),
        );
        const atOnce = sent.map(({ epoch, waitMs }) =>
          frame({ suspends: 7 + epoch, timeMs: 1000 * epoch - 401 - waitMs }),
        );
        expect(judge(held).early).toBe(0);
        expect(judge(atOnce).early).toBe(sent.length);
      }),
    );
  });
});

describe('the log', () => {
  it('gives the times of epochs', () => {
    const log = [
      'INFO 2026-11-22T10:00:00.000Z link-open',
      'DEBUG 2026-11-22T10:00:01.000Z checkpoint 0',
      'DEBUG 2026-11-22T10:00:02.000Z ack 0',
      'DEBUG 2026-11-22T10:00:02.000Z   -> release ..0',
      'DEBUG 2026-11-22T10:00:03.250Z ack 1',
      'INFO 2026-11-22T10:00:04.000Z   -> open-buffer',
      'WARNING 2026-11-22T10:00:05.000Z ask 17 (fresh)',
      '',
    ].join('\n');
    const second = Date.parse('2026-11-22T10:00:00.000Z');
    expect(parseEpochTimes(log)).toEqual({
      acknowledgedMs: new Map([
        [0, second + 2000],
        [1, second + 3250],
      ]),
      checkpointMs: [second + 1001],
      openedMs: second + 4000,
    });
  });
});

describe('a flow', () => {
  const sent = (...numbers: number[]) =>
    numbers.map((flowSequence) => frame({ flow: 2, flowSequence }));

  const flow = (frames: number, missing: number, again: number, late: number) => ({
    ...{ frames, missing, again, late },
  });

  it('is whole, lacks frames, has some twice or late', () => {
    expect(checkFlow(sent(4, 5, 6), guest, 2)).toEqual(flow(3, 0, 0, 0));
    expect(checkFlow(sent(4, 7), guest, 2)).toEqual(flow(2, 2, 0, 0));
    expect(checkFlow(sent(4, 5, 4, 5, 6), guest, 2)).toEqual(flow(5, 0, 2, 0));
    expect(checkFlow(sent(4, 6, 7, 5), guest, 2)).toEqual(flow(4, 0, 0, 1));
    expect(checkFlow(sent(4, 5), guest, 1).frames).toBe(0);
  });
});

describe('a client', () => {
  const said = (...numbers: number[]): NumberAnswer[] =>
    numbers.map((number, i) => ({
      timeMs: 100 * i,
      askedMs: 100 * i - 10 * number,
      number,
      suspends: 1,
      boot: 'b',
    }));

  it('sees numbers that go on by one', () => {
    expect(checkNumbers(said(5, 6, 7))).toMatchObject({ answers: 3, breaks: 0, firstBreak: null });
    expect(checkNumbers([])).toMatchObject({ answers: 0, breaks: 0 });
  });

  it.each([
    ['left out', said(5, 7)],
    ['repeated', said(5, 5)],
    ['taken back', said(5, 6, 5)],
    ['of another boot', [...said(5), ...said(6).map((answer) => ({ ...answer, boot: 'c' }))]],
  ])('sees a number %s', (_what, answers) => {
    expect(checkNumbers(answers)).toMatchObject({ breaks: 1 });
  });

  it('measures what it waited', () => {
    const answers = said(1, 2, 3).map((answer) =>
      answer.number === 3 ? { ...answer, timeMs: 900 } : answer,
    );
    expect(checkNumbers(answers)).toMatchObject({ silenceMs: 800, slowestMs: 730 });
  });

  it('was told what the survivor does not know', () => {
    const history = [
      { suspends: 3, numbers: [4, 0] as const, frames: 0 },
      { suspends: 4, numbers: [6, 2] as const, frames: 0 },
    ];
    expect(countUnsaid(said(5, 6), 1000, history, 4)).toBe(0);
    expect(countUnsaid(said(5, 6, 7, 8), 1000, history, 4)).toBe(2);
    expect(countUnsaid(said(5, 6), 1000, history, 6)).toBe(4);
    // What was said after the activation is the survivor's own.
    expect(countUnsaid(said(5, 6, 7, 8), 200, history, 4)).toBe(0);
    expect(countUnsaid([], 1000, history, 4)).toBe(0);
    // A survivor that remembers nothing knows nothing.
    expect(countUnsaid(said(1, 2), 1000, [], 4)).toBe(2);
  });
});

describe('records', () => {
  /** A record as `struct frame_record` of guest/traffic.h lies in memory. */
  function encode(): Buffer {
    const data = Buffer.alloc(recordBytes);
    data.writeBigUInt64LE(1_795_378_645_895_768_123n, 0);
    data.writeUInt8(3, 8);
    data.writeUInt8(1, 9);
    data.writeUInt16LE(77, 10);
    data.writeUInt16LE(1446, 12);
    data.writeUInt16LE(2, 14);
    data.writeUInt32LE(0x3e770065, 16);
    data.writeUInt32LE(9, 20);
    data.writeBigUInt64LE(0n, 24);
    data.writeBigUInt64LE(4711n, 32);
    data.writeBigUInt64LE(815n, 40);
    return data;
  }

  it('are read as guest/frames.c writes them', () => {
    expect(decodeFrames(Buffer.concat([encode(), encode()]))).toHaveLength(2);
    expect(decodeFrames(encode())[0]).toEqual(
      frame({
        timeMs: 1_795_378_645_895.768,
        vlan: 77,
        bytes: 1446,
        flow: 2,
        suspends: 9,
        sequence: 4711,
        flowSequence: 815,
      }),
    );
  });

  it('are whole and of a known kind', () => {
    expect(() => decodeFrames(encode().subarray(1))).toThrow('47 bytes');
    const odd = encode();
    odd.writeUInt8(99, 9);
    expect(() => decodeFrames(odd)).toThrow('kind 99');
  });
});
