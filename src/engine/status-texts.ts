/** What to say, and what to type, where a session itself has not said it. Pure. */
import type { SessionStatus } from './session-status.ts';

/** The domain's name as a shell word. */
export function domainWord(status: SessionStatus): string {
  const name = status.domain;
  return /^[A-Za-z0-9_.+:@%,-]+$/.test(name) ? name : `'${name.replaceAll("'", "'\\''")}'`;
}

/** `tsremus stop web1  # why`; the comment can be pasted along. */
export function stopLine(status: SessionStatus, why: string, options = ''): string {
  return `tsremus stop ${options}${domainWord(status)}  # ${why}`;
}

/** One sentence on a session that is not well, without final stop; null for one that is. */
export function reasonFor(status: SessionStatus): string | null {
  const { peer } = status;
  switch (status.state) {
    case 'late':
      return `${peer} has not acknowledged for longer than ${status.late_after_ms} ms`;
    case 'held':
      return `nothing leaves the guest: ${peer} does not say whether it took over`;
    case 'unprotected':
      return 'the guest runs on here without a copy';
    case 'active':
      return `the copy took over from ${peer} and runs here, without a copy of its own`;
    case 'ended':
      return `the session ended: ${status.outcome ?? 'nobody knows how'}`;
    default:
      return null;
  }
}

/** Command lines for a session that is not well. */
export function nextFor(status: SessionStatus): string[] {
  const { peer } = status;
  const word = domainWord(status);
  switch (status.state) {
    case 'held':
      return [
        stopLine(status, `asks ${peer} once more`),
        stopLine(status, `only if the copy on ${peer} is surely dead`, '--force-unsafe '),
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
