/** What to say, and what to type, where a session itself has not said it. Pure. */
import type { SessionFacts } from './health/facts.ts';

/** The domain's name as a shell word. */
export function domainWord(status: Pick<SessionFacts, 'domain'>): string {
  const name = status.domain;
  return /^[A-Za-z0-9_.+:@%,-]+$/.test(name) ? name : `'${name.replaceAll("'", "'\\''")}'`;
}

/**
 * The other host in a sentence. With `-s ''` it was named by a whole command, which is no name;
 * of a buffer that was found without its session it may not be known.
 */
export function hostWord(peer: string): string {
  return peer === '' || /[\s=/;|&]/.test(peer) ? 'the other host' : peer;
}

/** `tsremus stop web1  # why`; the comment can be pasted along. */
export function stopLine(status: Pick<SessionFacts, 'domain'>, why: string, options = ''): string {
  return `tsremus stop ${options}${domainWord(status)}  # ${why}`;
}

/** What a state means for the guest; null where there is nothing to explain. */
function meaning(status: SessionFacts): string | null {
  const peer = hostWord(status.peer);
  switch (status.state) {
    case 'held':
      if (status.role === 'backup')
        return `nobody has decided whether ${peer} or this host goes on`;
      if (status.may_open) return 'its output buffer could not be removed';
      if (status.guest_paused) return 'the guest is paused';
      return status.buffered ? 'nothing leaves the guest' : 'nobody has decided who goes on';
    case 'unprotected':
      return 'the guest runs on here without a copy';
    case 'ended':
      return endings(peer)[status.outcome ?? ''] ?? 'the session ended, nobody knows how';
    default:
      return null;
  }
}

/** The core's outcomes, as a session that is over shows them. */
function endings(peer: string): Readonly<Record<string, string>> {
  return {
    stopped: 'protection was ended in order',
    'never-protected': 'the guest was never protected and runs on as before',
    'taken-over': `${peer} took over: the guest runs there`,
    'guest-ended': 'the guest ended by itself',
    activated: 'the guest that took over here has ended',
    promised: `the copy was given up because ${peer} goes on`,
    'never-whole': 'the first copy was never whole: there is nothing to run',
    'copy-lost': 'the copy was lost',
  };
}

/** What happened, where the session did not say. */
function cause(status: SessionFacts): string | null {
  const peer = hostWord(status.peer);
  switch (status.state) {
    case 'late':
      return `${peer} has not acknowledged for longer than ${status.late_after_ms} ms`;
    case 'active':
      return `the copy took over from ${peer} and runs here, without a copy of its own`;
    default:
      return null;
  }
}

/** One sentence on a session that is not well, without final stop; null for one that is. */
export function reasonFor(status: SessionFacts): string | null {
  const parts = [meaning(status), status.reason ?? cause(status)].filter((part) => part !== null);
  return parts.length === 0 ? null : parts.join(': ');
}

/** Command lines for a session that is not well. */
export function nextFor(status: SessionFacts): string[] {
  const peer = hostWord(status.peer);
  const word = domainWord(status);
  switch (status.state) {
    case 'held':
      if (status.role === 'backup') return [`tsremus failover ${word}  # if ${peer} is dead`];
      if (status.may_open) return [stopLine(status, 'tries again; it may go on here')];
      return [
        stopLine(status, `asks ${peer} once more`),
        stopLine(status, `only if the copy on ${peer} never ran and never will`, '--force-unsafe '),
      ];
    case 'unprotected':
      return [`tsremus protect ${word} HOST`, stopLine(status, 'seen, leave it so')];
    case 'active':
      return [`tsremus protect ${word} HOST`, stopLine(status, 'seen, leave it so')];
    case 'ended':
      return [`tsremus status ${word}  # on ${peer}`, stopLine(status, 'seen')];
    default:
      return [];
  }
}
