/**
 * The pulse: heartbeats by datagram, beside the stream.
 *
 * Problem: after a cut of 0.8 s a TCP connection stays silent for up to twice as long, because it
 * retransmits at growing intervals; a short cut would look like a dead host. Datagrams are heard as
 * soon as the path is whole again.
 * Chosen: the backup listens on the address at which ssh reached it (SSH_CONNECTION) and offers it
 * in its HELLO; the primary sends every heartbeat there, the backup echoes to where it came from.
 * Strictly optional: while datagrams are not answered the stream carries every heartbeat
 * (pulse-ways.ts). Either way of hearing number n is the same news.
 *
 * What the network brings is checked for length, signature, session and a number that rises; all
 * else is counted and dropped.
 */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { isIP } from 'node:net';
import type { Chance } from '../host/clock.ts';
import { errnoCode, errorText } from '../host/errors.ts';
import type { Log } from '../host/log.ts';
import type { PulseOffer } from './hello-message.ts';
import { decodePulse, encodePulse, type PulseKind, type PulseSecret } from './pulse-datagram.ts';

export interface PulseCounters {
  readonly sent: number;
  readonly received: number;
  /** Not of this session: wrong length, signature, kind or number's range. */
  readonly foreign: number;
  /** Of this session but not newer than what was heard already. */
  readonly stale: number;
  readonly sendErrors: number;
}

export interface Pulse {
  /**
   * Sends heartbeat or echo `seq`; failures are counted, not thrown. `heldMs`: what a heartbeat
   * says beside it.
   */
  send(seq: number, heldMs?: number): void;
  /** The newest number heard, -1 before the first. */
  readonly newest: number;
  readonly counters: PulseCounters;
  close(): void;
}

/** The backup's end, with what its HELLO offers. */
export interface OfferedPulse {
  readonly pulse: Pulse;
  readonly offer: PulseOffer;
}

export interface PulseOptions {
  /** The session's id, 32 hexadecimal digits. */
  readonly session: string;
  readonly log: Log;
  /** A newer heartbeat (on the backup) or echo (on the primary) came in. */
  readonly onHeard: (seq: number, heldMs: number) => void;
}

export interface OfferOptions extends PulseOptions {
  /** Of which the key of the session's datagrams is made. */
  readonly chance: Chance;
}

/** Datagrams sent without any answer after which the primary says so in the log. */
const unansweredMax = 20;

/**
 * Our own address as the primary reaches it, from sshd's environment; null when it says nothing.
 */
export function addressFromEnvironment(env: NodeJS.ProcessEnv): string | null {
  // sshd(8): client address, client port, server address, server port.
  const server = env['SSH_CONNECTION']?.split(' ')[2];
  if (server === undefined) return null;
  const address = server.replace(/^::ffff:(?=\d+\.)/i, '');
  // A link-local address needs an interface name, and that is another one on the other host.
  return isIP(address) === 0 || address.includes('%') ? null : address;
}

/**
 * Listens for heartbeats on `address`, at a port that the kernel chooses. Null, with a line in the
 * log, when that fails.
 */
export async function offerPulse(
  address: string | null,
  options: OfferOptions,
): Promise<OfferedPulse | null> {
  const { log } = options;
  if (address === null) {
    log.info('no datagram heartbeats: the address of this host is not known (no SSH_CONNECTION)');
    return null;
  }
  const key = options.chance.bytes(32);
  const socket = createSocket({ type: isIP(address) === 6 ? 'udp6' : 'udp4' });
  try {
    await bind(socket, address);
  } catch (error) {
    log.warning(`no datagram heartbeats: cannot listen on ${address}: ${errorText(error)}`);
    socket.close();
    return null;
  }
  const port = socket.address().port;
  const pulse = new PulseEnd(socket, secretOf(options.session, key), 'echo', options);
  log.debug(`datagram heartbeats are awaited on ${address} port ${port}`);
  return { pulse, offer: { address, port, key: key.toString('hex') } };
}

/** The primary's end of what the backup offered. Null, with a line in the log, when that fails. */
export function followPulse(offer: PulseOffer, options: PulseOptions): Pulse | null {
  const family = isIP(offer.address);
  if (family === 0) {
    options.log.warning(`no datagram heartbeats: ${offer.address} is no address`);
    return null;
  }
  const socket = createSocket({ type: family === 6 ? 'udp6' : 'udp4', lookup: noLookup });
  const secret = secretOf(options.session, Buffer.from(offer.key, 'hex'));
  return new PulseEnd(socket, secret, 'heartbeat', options, offer);
}

interface Target {
  readonly address: string;
  readonly port: number;
}

class PulseEnd implements Pulse {
  readonly #socket: Socket;
  readonly #secret: PulseSecret;
  readonly #sends: PulseKind;
  readonly #options: PulseOptions;
  /** The backup's is where the last good heartbeat came from. */
  #target: Target | null;
  #newest = -1;
  #closed = false;
  #saidUnanswered = false;
  #saidError = false;
  readonly #counters = { sent: 0, received: 0, foreign: 0, stale: 0, sendErrors: 0 };

  constructor(
    socket: Socket,
    secret: PulseSecret,
    sends: PulseKind,
    options: PulseOptions,
    target: Target | null = null,
  ) {
    this.#socket = socket;
    this.#secret = secret;
    this.#sends = sends;
    this.#options = options;
    this.#target = target;
    socket.on('message', (bytes, from) => this.#onDatagram(bytes, from));
    socket.on('error', (error) => this.#onError(error));
    // The session keeps the process alive, not its heartbeats.
    socket.unref();
  }

  get newest(): number {
    return this.#newest;
  }

  get counters(): PulseCounters {
    return { ...this.#counters };
  }

  send(seq: number, heldMs = 0): void {
    const target = this.#target;
    if (this.#closed || target === null) return;
    const bytes = encodePulse({ kind: this.#sends, seq, heldMs }, this.#secret);
    this.#counters.sent += 1;
    this.#socket.send(bytes, target.port, target.address, (error) => {
      if (error) this.#onError(error);
    });
    if (this.#counters.sent === unansweredMax) this.#sayUnanswered();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.close();
  }

  #sayUnanswered(): void {
    if (this.#sends !== 'heartbeat' || this.#newest >= 0 || this.#saidUnanswered) return;
    this.#saidUnanswered = true;
    const { address, port } = this.#target ?? { address: '?', port: 0 };
    this.#options.log.info(
      `datagrams to ${address} port ${port} are not answered (a firewall?): ` +
        'heartbeats go by the stream alone, and a short cut can look like a dead host',
    );
  }

  #onDatagram(bytes: Buffer, from: RemoteInfo): void {
    if (this.#closed) return;
    const datagram = decodePulse(bytes, this.#secret);
    if (datagram === null || datagram.kind === this.#sends) {
      this.#counters.foreign += 1;
      return;
    }
    if (datagram.seq <= this.#newest) {
      this.#counters.stale += 1;
      return;
    }
    this.#counters.received += 1;
    this.#newest = datagram.seq;
    if (this.#sends === 'echo') this.#target = { address: from.address, port: from.port };
    this.#options.onHeard(datagram.seq, datagram.heldMs);
  }

  /** No route, no neighbour, refused: passes like a lost datagram. */
  #onError(error: Error): void {
    this.#counters.sendErrors += 1;
    if (this.#saidError || this.#closed) return;
    this.#saidError = true;
    this.#options.log.debug(`a datagram could not be sent: ${errnoCode(error) ?? error.message}`);
  }
}

function secretOf(session: string, key: Buffer): PulseSecret {
  return { session: Buffer.from(session, 'hex'), key };
}

function bind(socket: Socket, address: string): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.bind({ address, port: 0, exclusive: true }, () => {
      socket.off('error', reject);
      resolve();
    });
  });
}

type LookupDone = (error: Error | null, address: string, family: number) => void;

/** Addresses only: a heartbeat must never wait for a name server. */
function noLookup(address: string, _options: unknown, done: LookupDone): void {
  done(null, address, isIP(address));
}
