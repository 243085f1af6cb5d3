/**
 * Hears at once when a network device comes, goes or changes: a resident `ip monitor link`. Its
 * words are not read, they only wake whoever looks what there is. To be started before a session
 * holds epochs: a fork copies page tables. Should this process be killed, the child ends by itself
 * at the next change, with nobody to write to; removing the buffer is one.
 */
import { spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import { searchPath } from './tools.ts';

export interface LinkListener {
  /** Idempotent; nothing is heard afterwards. */
  close(): void;
}

/** `onEnd`: it heard its last, and why; never after `close`. */
export type ListenLinks = (onChange: () => void, onEnd: (why: string) => void) => LinkListener;

export const listenLinks: ListenLinks = (onChange, onEnd) => {
  const child = spawn('ip', ['monitor', 'link'], {
    stdio: ['ignore', 'pipe', 'ignore'],
    // A process group of its own: Ctrl-C in the terminal is not for it.
    detached: true,
    env: { ...process.env, PATH: searchPath },
  });
  let isOver = false;
  const end = (why: string) => {
    if (!isOver) onEnd(why);
    isOver = true;
  };
  child.on('error', (error) => end(error.message));
  child.on('exit', (code, signal) => end(signal ?? `exit code ${code}`));
  child.stdout.on('error', () => {});
  child.stdout.on('data', () => {
    if (!isOver) onChange();
  });
  // It keeps nobody from ending.
  child.unref();
  (child.stdout as Socket).unref();
  const close = () => {
    isOver = true;
    process.off('exit', close);
    child.kill('SIGKILL');
    child.stdout.destroy();
  };
  process.once('exit', close);
  return { close };
};
