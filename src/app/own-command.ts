/** The program once more: how it starts a process of its own beside itself. */
import { fileURLToPath } from 'node:url';

/** Arguments of node for this program with `words`, as this process was started. */
export function ownCommand(words: readonly string[]): string[] {
  const main = process.argv[1] ?? fileURLToPath(import.meta.url);
  return [...process.execArgv, main, ...words];
}
