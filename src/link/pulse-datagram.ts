/**
 * One datagram of the pulse. Pure.
 *
 *     0      4   5    6      8         24     32       40        56
 *     | tsrp | 2 |kind| zero | session | seq  | heldMs | mac     |
 *
 * Little-endian. `heldMs` is 0 in an echo. `mac` is HMAC-SHA256 of the 40 bytes before it, cut to
 * 16, under a key that was made for this session and went over the (ssh) stream. `kind` is under it
 * too, so that a heartbeat sent back is no echo.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';

export type PulseKind = 'heartbeat' | 'echo';

export interface PulseDatagram {
  readonly kind: PulseKind;
  readonly seq: number;
  /** For how long the primary has been held, ms. */
  readonly heldMs: number;
}

export const pulseBytes = 56;
const signedBytes = 40;
const magic = Buffer.from('tsrp', 'latin1');
const version = 2;
const kindNumbers: Readonly<Record<PulseKind, number>> = { heartbeat: 1, echo: 2 };

/** What both sides of a session share. */
export interface PulseSecret {
  /** 16 bytes. */
  readonly session: Buffer;
  /** 32 bytes. */
  readonly key: Buffer;
}

export function encodePulse({ kind, seq, heldMs }: PulseDatagram, secret: PulseSecret): Buffer {
  const bytes = Buffer.alloc(pulseBytes);
  magic.copy(bytes, 0);
  bytes.writeUInt8(version, 4);
  bytes.writeUInt8(kindNumbers[kind], 5);
  secret.session.copy(bytes, 8);
  bytes.writeBigUInt64LE(BigInt(seq), 24);
  bytes.writeBigUInt64LE(BigInt(heldMs), 32);
  mac(bytes, secret).copy(bytes, signedBytes);
  return bytes;
}

/** The datagram, or null when it is not one of this session's, whatever it is instead. */
export function decodePulse(bytes: Buffer, secret: PulseSecret): PulseDatagram | null {
  if (bytes.length !== pulseBytes) return null;
  if (!timingSafeEqual(bytes.subarray(signedBytes), mac(bytes, secret))) return null;
  // Signed by the peer, so that what follows only tells versions and sessions apart.
  if (bytes.compare(magic, 0, 4, 0, 4) !== 0 || bytes.readUInt8(4) !== version) return null;
  if (!bytes.subarray(8, 24).equals(secret.session)) return null;
  const seq = Number(bytes.readBigUInt64LE(24));
  const heldMs = Number(bytes.readBigUInt64LE(32));
  if (!Number.isSafeInteger(seq) || !Number.isSafeInteger(heldMs)) return null;
  const number = bytes.readUInt8(5);
  for (const kind of ['heartbeat', 'echo'] as const) {
    if (kindNumbers[kind] === number) return { kind, seq, heldMs };
  }
  return null;
}

function mac(bytes: Buffer, { key }: PulseSecret): Buffer {
  const full = createHmac('sha256', key).update(bytes.subarray(0, signedBytes)).digest();
  return full.subarray(0, pulseBytes - signedBytes);
}
