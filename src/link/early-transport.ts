/**
 * The transport, started before it is known whether there is anything to protect: ssh and the other
 * host's node take seconds to start, and looking at the guest here takes as long. Nothing is sent
 * to it before the session's HELLO; what has not got that far ends the transport, and the backup's
 * process ends with its stdin.
 */
import type { Time } from '../host/clock.ts';
import { type Started, startTransport } from './connect.ts';
import type { TransportCommand } from './transport-command.ts';

export interface EarlyTransport {
  readonly started: Started;
  /** Ends it when aborted, and whatever is made of it later. */
  readonly ending: AbortController;
  /** Where its lines on stderr go from now on; those of before come first. */
  onStderrLine(take: (line: string) => void): void;
}

/** Lines that wait for somebody who takes them. */
const linesMax = 100;

/** Starts the command. A failure to start shows when the session connects. */
export function startEarly(command: TransportCommand, time: Time): EarlyTransport {
  const ending = new AbortController();
  const lines: string[] = [];
  let take = (line: string): void => {
    if (lines.length < linesMax) lines.push(line);
  };
  const started = startTransport(command, {
    ...time,
    signal: ending.signal,
    onStderrLine: (line) => take(line),
  });
  return {
    started,
    ending,
    onStderrLine(taker) {
      take = taker;
      for (const line of lines.splice(0)) taker(line);
    },
  };
}
