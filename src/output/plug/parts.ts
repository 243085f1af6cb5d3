/** The commands that make the parts of a buffer, at the set-up and where one was lost. */
import { adviceLine } from '../../core/texts/advice.ts';
import { OperationError } from '../../host/errors.ts';
import type { BufferedInterface } from './state-file.ts';

/** `ip`: a device that holds, with what is written on it (null: nothing). */
export function queueLines(queue: string, alias: string | null): readonly string[][] {
  return [
    // A queue of its own for each frame to wait in on its way back; the default is 32.
    ['link', 'add', 'dev', queue, 'txqueuelen', '1000', 'type', 'ifb'],
    // No address: this host is not to send anything of its own on it.
    ['link', 'set', 'dev', queue, 'addrgenmode', 'none'],
    ...(alias === null ? [] : [['link', 'set', 'dev', queue, 'alias', alias]]),
    ['link', 'set', 'dev', queue, 'up'],
  ];
}

/**
 * `tc filter`: the action of an interface, that sends to its queue number `current`. One that is
 * there already is taken as it is, wherever it points to (tcf_mirred_init, act_mirred.c); after its
 * filter was removed it may be there, or go just now.
 */
export function redirectWords(
  { queues, action }: BufferedInterface,
  current: number,
): readonly string[] {
  const redirect = ['mirred', 'egress', 'redirect', 'dev', queues[current] ?? ''];
  return ['action', ...redirect, 'index', String(action)];
}

/** What an administrator's script made, nobody else makes anew. */
export function scriptsError({ name, script }: BufferedInterface, doing: string): OperationError {
  return new OperationError('no-buffer', `${doing}: ${script} made what holds it`, {
    op: 'mend-buffer',
    subject: name,
    hint: adviceLine({ kind: 'run-script', path: script ?? '' }),
  });
}
