/** JSON on stdout: one document per command, or one object per line while a command runs. */
import type { Stream } from '../io.ts';

export const schema = 1;

/** One document, indented: people read it too. */
export function writeJson(stream: Stream, value: object): void {
  stream.write(`${JSON.stringify({ schema, ...value }, null, 2)}\n`);
}

/** One line of a running command; `message_type` tells the lines apart. */
export function writeJsonLine(
  stream: Stream,
  messageType: string,
  time: Date,
  value: Readonly<Record<string, unknown>>,
): void {
  const head = { schema, message_type: messageType, time: time.toISOString() };
  // The head comes last as well: data of a session must not replace it.
  stream.write(`${JSON.stringify({ ...head, ...value, ...head })}\n`);
}
