/**
 * The LAN of simulated guests: a UDP port on loopback where every guest of a pair of hosts speaks.
 * Order of arrival is order of speaking here, so what both hosts say can be compared.
 */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { type Beacon, parseBeacon } from './sim-host.ts';

export interface SpeakerChange {
  readonly before: Beacon;
  readonly after: Beacon;
}

export class Lan {
  readonly beacons: Beacon[] = [];
  readonly #socket: Socket;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('message', (data) => this.beacons.push(parseBeacon(data.toString())));
  }

  static async open(): Promise<Lan> {
    const socket = createSocket('udp4');
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    socket.setRecvBufferSize(1 << 20);
    return new Lan(socket);
  }

  /** What simPair() wants to know. */
  get port(): string {
    return String(this.#socket.address().port);
  }

  /**
   * Where the host that speaks as `guest` changed. None while it is only protected, one after an
   * activation; more mean that two hosts spoke.
   */
  speakerChanges(guest: string): SpeakerChange[] {
    const heard = this.beacons.filter((beacon) => beacon.guest === guest);
    const changes: SpeakerChange[] = [];
    for (const [index, after] of heard.entries()) {
      const before = heard[index - 1];
      if (before !== undefined && before.host !== after.host) changes.push({ before, after });
    }
    return changes;
  }

  /** Resolves with the next beacon of `guest` from `host`. */
  async next(guest: string, host: string): Promise<Beacon> {
    const from = this.beacons.length;
    for (;;) {
      const found = this.beacons.slice(from).find((b) => b.guest === guest && b.host === host);
      if (found !== undefined) return found;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  close(): void {
    this.#socket.close();
  }
}
