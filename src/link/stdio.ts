/**
 * Our own stdin and stdout as a link's streams, for `tsremus receive`.
 *
 * Not process.stdout: Node writes to a pipe there synchronously, so that a transport which takes
 * nothing would stop the whole process, its clocks included, just when the link is cut.
 */
import { Socket } from 'node:net';
import { isatty } from 'node:tty';
import { notTyped } from '../core/texts/advice.ts';
import { OperationError } from '../host/errors.ts';
import { Link, type LinkOptions } from './link.ts';

/** Throws an OperationError when stdin or stdout is a terminal or a file: no peer is there. */
export function openStdioLink(options: LinkOptions): Link {
  // Not process.stdin.isTTY: looking at process.stdin opens fd 0 for good.
  if (isatty(0) || isatty(1)) throw noPeer('a terminal');
  try {
    const input = new Socket({ fd: 0, readable: true, writable: false });
    const output = new Socket({ fd: 1, readable: false, writable: true });
    return new Link(input, output, options);
  } catch (cause) {
    throw noPeer('no pipe or socket', cause);
  }
}

function noPeer(found: string, cause?: unknown): OperationError {
  return new OperationError('peer-refused', `stdin or stdout is ${found}: no primary is there`, {
    op: 'open-stdio',
    hint: notTyped,
    cause,
  });
}
