/**
 * Which ways a heartbeat and its echo go. A small write to the stream wakes ssh and sshd besides
 * the session itself; a datagram does not. So, while datagrams are answered, the stream carries a
 * heartbeat once in a while only; as soon as one datagram lacks its answer, it carries them all. An
 * echo goes back the way its heartbeat came.
 */

/** With datagrams answered: every so many heartbeats one goes by the stream, one per timeout. */
const streamEvery = 10;

/**
 * True when heartbeat `seq` has to go by the stream as well as by datagram. `answered`: the newest
 * number that a datagram brought back, -1 before the first; undefined: there are no datagrams. For
 * the stream to be spared all before `seq` must have come back.
 */
export function needsStream(seq: number, answered = -1): boolean {
  return seq - answered > 1 || seq % streamEvery === 0;
}

export interface EchoWays {
  readonly stream: boolean;
  readonly datagram: boolean;
}

/** The backup's memory of which way what was heard, and what went back. */
export class EchoRouter {
  #heardByStream = -1;
  #streamEchoed = -1;
  #datagramEchoed = -1;

  /** Heartbeat `seq` came by the stream. */
  heardByStream(seq: number): void {
    this.#heardByStream = Math.max(this.#heardByStream, seq);
  }

  /** The ways for the echo of `seq`, each once. */
  take(seq: number): EchoWays {
    const stream = seq <= this.#heardByStream && seq > this.#streamEchoed;
    const datagram = seq > this.#datagramEchoed;
    if (stream) this.#streamEchoed = seq;
    if (datagram) this.#datagramEchoed = seq;
    return { stream, datagram };
  }
}
