/**
 * Something slow that most sessions need, begun while nothing else is to be done. A session's HELLO
 * comes when the primary has looked at its guest; a question's is there when this process is, and
 * must not wait for what it does not need.
 */
import type { Timers } from './clock.ts';

export interface Ahead<T> {
  /** What was opened, or is now. */
  get(): Promise<T>;
  /** Nothing more is begun ahead. */
  cancel(): void;
}

/** A HELLO that waits in the pipe is read before this, ms. */
const idleMs = 50;

/** Calls `open` once: soon, or when it is asked for. A failure is told to whoever asks. */
export function openAhead<T>(open: () => Promise<T>, timers: Timers): Ahead<T> {
  let opened: Promise<T> | null = null;
  const begin = (): Promise<T> => {
    if (opened === null) {
      opened = open();
      opened.catch(() => {});
    }
    return opened;
  };
  const cancel = timers.after(idleMs, () => void begin());
  return {
    get() {
      cancel();
      return begin();
    },
    cancel,
  };
}
