/**
 * HELLO: the first frame of each side, a JSON object of at most 64 KiB. Every field is checked by
 * hand before anything acts on it; a session whose HELLO is wrong does not begin.
 */
import {
  guestBytesMax,
  heartbeatTimeoutMsMax,
  heartbeatTimeoutMsMin,
  holdMsMax,
  holdMsMin,
} from '../core/limits.ts';
import { agreements } from '../core/permission/tie.ts';
import type { SessionTiming } from '../core/vocabulary.ts';
import { cleanText } from '../host/text.ts';
import { Fields, parseJson } from './checks.ts';
import {
  domainNamePattern,
  domainNameRule,
  sessionPattern,
  sessionRule,
  uuidPattern,
  uuidRule,
} from './identity.ts';

/**
 * What a connection is for: replication, an answer about permission, a look at the host; the copy
 * of a guest's disks alone, or a comparison of them.
 */
export const purposes = ['session', 'promise', 'check', 'resync', 'verify'] as const;
export type Purpose = (typeof purposes)[number];

/** What a side can do. `codecs`: the best first; always holds `none`, where it is allowed to. */
export interface Capabilities {
  readonly codecs: readonly string[];
  readonly disks: readonly string[];
}

/** Who speaks. */
export interface Speaker {
  readonly protocol: number;
  /** Version of tsremus. */
  readonly tsremus: string;
  /** Version of Xen, or null where there is none (or nobody looked). */
  readonly xen: string | null;
  /** The host's name, for texts only. */
  readonly host: string;
  readonly capabilities: Capabilities;
}

/** The primary's HELLO. */
export interface Hello extends Speaker {
  readonly kind: 'hello';
  readonly purpose: Purpose;
  readonly domain: string;
  readonly uuid: string;
  /** 128 random bits in hexadecimal. */
  readonly session: string;
  readonly timing: SessionTiming;
  /** Memory that the guest can come to occupy, bytes; the backup checks it and derives limits. */
  readonly memoryBytes: number;
  /** Bytes that the page cache of the codec may take; each side has one of the agreed size. */
  readonly cacheBytes: number;
  /** True (xl remus -e): after activation nobody watches the guest for its end. */
  readonly noWait: boolean;
  /** True: it begins its session by CHECKED, if the backup says that it will send that. */
  readonly checks?: boolean;
}

/** Where the backup listens for datagrams, and the key that signs them. Never logged. */
export interface PulseOffer {
  readonly address: string;
  readonly port: number;
  /** 256 random bits in hexadecimal. */
  readonly key: string;
}

/** How the stream is encoded: what the backup chose of what the primary can do. */
export interface StreamChoice {
  readonly codec: string;
  /** At most what the primary named; 0: no page cache. */
  readonly cacheBytes: number;
}

/** The backup's HELLO: it accepts, ... */
export interface HelloAccepted extends Speaker {
  readonly kind: 'hello-accepted';
  readonly pulse: PulseOffer | null;
  /** Null where nothing is replicated. */
  readonly stream: StreamChoice | null;
  /** Of its host's processors, as in HostFacts; empty: it does not say. */
  readonly features: readonly number[];
  /** True: CHECKED answers CONFIG, and the session begins with what the primary says after it. */
  readonly checks?: boolean;
}

/** ... or it refuses, with an operation code, a sentence and what to do. */
export interface HelloRefused extends Speaker {
  readonly kind: 'hello-refused';
  readonly code: string;
  readonly message: string;
  readonly hint: string | null;
}

export type HelloReply = HelloAccepted | HelloRefused;

const refusalBytesMax = 1024;
/** Words of 32 bits. */
export const featuresMax = 64;

/** Parses a HELLO body of either side; throws an OperationError `protocol`. */
export function parseHello(body: Uint8Array): Hello | HelloReply {
  const fields = new Fields('HELLO', parseJson('HELLO', body));
  const speaker = parseSpeaker(fields);
  const side = fields.oneOf('side', ['primary', 'backup']);
  if (side === 'primary') return parsePrimary(fields, speaker);
  if (fields.boolean('accepted')) {
    const pulse = fields.has('pulse') ? parsePulse(fields.object('pulse')) : null;
    const stream = fields.has('stream') ? parseStream(fields.object('stream')) : null;
    const features = fields.has('features')
      ? fields.integers('features', featuresMax, 0xffff_ffff)
      : [];
    return { kind: 'hello-accepted', ...speaker, pulse, stream, features, ...parseChecks(fields) };
  }
  return {
    kind: 'hello-refused',
    ...speaker,
    code: fields.matching('code', /^[a-z][a-z-]{0,63}$/, 'must be a code in kebab-case'),
    message: fields.text('message', refusalBytesMax),
    hint: fields.textOrNull('hint', refusalBytesMax),
  };
}

function parseSpeaker(fields: Fields): Speaker {
  const protocol = fields.integer('protocol', 1, 65_535);
  const capabilities = fields.object('capabilities');
  return {
    protocol,
    tsremus: fields.text('tsremus', 64),
    xen: fields.textOrNull('xen', 64),
    host: fields.text('host', 255),
    capabilities: {
      codecs: capabilities.words('codecs', 16),
      disks: capabilities.words('disks', 16),
    },
  };
}

function parsePrimary(fields: Fields, speaker: Speaker): Hello {
  const timing = fields.object('timing');
  return {
    kind: 'hello',
    ...speaker,
    purpose: fields.oneOf('purpose', purposes),
    domain: fields.matching('domain', domainNamePattern, domainNameRule),
    uuid: fields.matching('uuid', uuidPattern, uuidRule),
    session: fields.matching('session', sessionPattern, sessionRule),
    timing: {
      heartbeatTimeoutMs: timing.integer(
        'heartbeatTimeoutMs',
        heartbeatTimeoutMsMin,
        heartbeatTimeoutMsMax,
      ),
      holdMs: timing.integer('holdMs', holdMsMin, holdMsMax),
      buffered: timing.boolean('buffered'),
      withoutWitness: timing.oneOf('withoutWitness', agreements),
    },
    memoryBytes: fields.integer('memoryBytes', 0, guestBytesMax),
    cacheBytes: fields.integer('cacheBytes', 0, guestBytesMax),
    noWait: fields.boolean('noWait'),
    ...parseChecks(fields),
  };
}

/** Of either side; one of before it does not say. */
function parseChecks(fields: Fields): { readonly checks?: boolean } {
  return fields.has('checks') ? { checks: fields.boolean('checks') } : {};
}

function parseStream(fields: Fields): StreamChoice {
  return {
    codec: fields.matching('codec', /^[a-z0-9-]{1,32}$/, 'must be the name of a codec'),
    cacheBytes: fields.integer('cacheBytes', 0, guestBytesMax),
  };
}

function parsePulse(fields: Fields): PulseOffer {
  return {
    address: fields.matching('address', /^[0-9a-fA-F.:]{2,45}$/, 'must be an IP address'),
    port: fields.integer('port', 1, 65_535),
    key: fields.matching('key', /^[0-9a-f]{64}$/, 'must be 64 hexadecimal digits'),
  };
}

/** The body of either side's HELLO. */
export function encodeHello(message: Hello | HelloReply): Buffer {
  const { kind, ...rest } = message;
  if (kind === 'hello') return Buffer.from(JSON.stringify({ side: 'primary', ...rest }));
  if (kind === 'hello-accepted') {
    return Buffer.from(JSON.stringify({ side: 'backup', accepted: true, ...rest }));
  }
  const sentence = cleanText(message.message, refusalBytesMax);
  const hint = message.hint === null ? null : cleanText(message.hint, refusalBytesMax);
  return Buffer.from(
    JSON.stringify({ side: 'backup', accepted: false, ...rest, message: sentence, hint }),
  );
}
