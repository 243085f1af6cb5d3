/** Which ways heartbeats and echoes go. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { EchoRouter, needsStream } from '../../src/link/pulse-ways.ts';

// Proves: as long as any datagram before this one lacks its answer, nothing is spared, so that a
// path on which datagrams are lost is no worse than the stream alone.
it('sends every heartbeat by the stream while datagrams are not answered', () => {
  for (let seq = 1; seq <= 50; seq += 1) expect(needsStream(seq, -1)).toBe(true);
  expect(needsStream(31, 29)).toBe(true);
  expect(needsStream(31, 30)).toBe(false);
});

// Proves: the stream is never without a heartbeat for longer than a timeout (ten heartbeats).
it('sends one of ten by the stream while datagrams are answered', () => {
  const byStream = Array.from({ length: 40 }, (_, index) => index + 1).filter((seq) =>
    needsStream(seq, seq - 1),
  );
  expect(byStream).toEqual([10, 20, 30, 40]);
});

it('echoes by the way on which the heartbeat came, once each', () => {
  const router = new EchoRouter();
  expect(router.take(1)).toEqual({ stream: false, datagram: true });
  router.heardByStream(1);
  expect(router.take(1)).toEqual({ stream: true, datagram: false });
  router.heardByStream(2);
  expect(router.take(2)).toEqual({ stream: true, datagram: true });
  expect(router.take(3)).toEqual({ stream: false, datagram: true });
});

// Proves: whatever order the two ways deliver in, a heartbeat that came by the stream and is the
// newest echoed so far goes back by the stream.
it('leaves no newest heartbeat of the stream without its echo there', () => {
  const arrivals = fc.array(fc.record({ seq: fc.integer({ min: 1, max: 30 }), tcp: fc.boolean() }));
  fc.assert(
    fc.property(arrivals, (heard) => {
      const router = new EchoRouter();
      let echoed = -1;
      for (const { seq, tcp } of heard) {
        if (tcp) router.heardByStream(seq);
        const ways = router.take(seq);
        if (tcp && seq > echoed) expect(ways.stream).toBe(true);
        if (ways.stream) echoed = Math.max(echoed, seq);
      }
    }),
  );
});
