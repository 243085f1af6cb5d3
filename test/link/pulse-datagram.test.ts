import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodePulse,
  encodePulse,
  type PulseSecret,
  pulseBytes,
} from '../../src/link/pulse-datagram.ts';

const secret: PulseSecret = { session: Buffer.alloc(16, 5), key: Buffer.alloc(32, 7) };

const anyDatagram = fc.record({
  kind: fc.constantFrom('heartbeat' as const, 'echo' as const),
  seq: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
  heldMs: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
});

describe('a datagram', () => {
  it('comes out as it went in', () => {
    fc.assert(
      fc.property(anyDatagram, (datagram) => {
        const bytes = encodePulse(datagram, secret);
        expect(bytes.length).toBe(pulseBytes);
        expect(decodePulse(bytes, secret)).toEqual(datagram);
      }),
    );
  });

  it('does not pass with a bit flipped, cut, or longer', () => {
    fc.assert(
      fc.property(anyDatagram, fc.nat(pulseBytes - 1), fc.nat(7), (datagram, at, bit) => {
        const bytes = encodePulse(datagram, secret);
        expect(decodePulse(bytes.subarray(0, at), secret)).toBeNull();
        expect(decodePulse(Buffer.concat([bytes, Buffer.from([0])]), secret)).toBeNull();
        bytes[at] = (bytes[at] ?? 0) ^ (1 << bit);
        expect(decodePulse(bytes, secret)).toBeNull();
      }),
    );
  });

  it('does not pass with the key or the session of another', () => {
    const bytes = encodePulse({ kind: 'echo', seq: 1, heldMs: 0 }, secret);
    expect(decodePulse(bytes, { ...secret, key: Buffer.alloc(32, 8) })).toBeNull();
    expect(decodePulse(bytes, { ...secret, session: Buffer.alloc(16, 6) })).toBeNull();
  });

  it('of random bytes never passes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 0, maxLength: 100 }), (bytes) => {
        expect(decodePulse(Buffer.from(bytes), secret)).toBeNull();
      }),
    );
  });
});
