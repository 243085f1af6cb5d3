/**
 * The memory of a session's process: its code is locked, the rest is not swapped out. What the
 * host refuses is told in status, by way of the host's refusals.
 */
import { errorText } from '../host/errors.ts';
import type { Log } from '../host/log.ts';
import { maySwap } from '../host/swap.ts';
import type { ThisHost } from './host.ts';

/** After the process is in the unit that it stays in. Never rejects. */
export async function keepInMemory(host: ThisHost, log: Log): Promise<void> {
  const refused = (text: string): void => {
    log.warning(text);
    host.refusals.push(text);
  };
  if (maySwap()) refused('may be swapped out: no unit of its own keeps it from that');
  try {
    const { lockCode } = await import('../native/resident.ts');
    const bytes = await lockCode(host.nativePath);
    log.info(`${Math.round(bytes / 2 ** 20)} MiB of code are locked in memory`);
  } catch (error) {
    refused(
      `may wait for a disk when memory is short: its code is not locked: ${errorText(error)}`,
    );
  }
}
