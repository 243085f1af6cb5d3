/** What a session's state means and what to type, where it has not said so itself. Pure. */
import type { SessionFacts } from '../health/facts.ts';
import { type Agreement, agreementDefault, mayOpenUnanswered } from '../permission/tie.ts';
import { type Advice, adviceLines } from './advice.ts';
import { adviceWhenHeld, ending } from './outcomes.ts';
import { hostWord } from './quote.ts';

/** What a state means for the guest; null where there is nothing to explain. */
function meaning(status: SessionFacts): string | null {
  switch (status.state) {
    case 'held':
      if (status.role === 'backup')
        return `nobody has decided whether ${hostWord(status.peer)} or this host goes on`;
      if (status.may_open) return 'its output buffer could not be removed';
      if (status.guest_paused) return 'the guest is paused';
      return status.buffered ? 'nothing leaves the guest' : 'nobody has decided who goes on';
    case 'unprotected':
      return 'the guest runs on here without a copy';
    case 'measuring':
      return 'its checkpoints go to nowhere (-b): nothing protects it';
    case 'ended':
      return ending(status.outcome, status.peer);
    default:
      return null;
  }
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

/**
 * Where a copy is held and nobody has decided whether it runs. A primary that has gone on by itself
 * has no session any more that could be stopped.
 */
export function adviceOnHeldCopy(
  domain: string,
  peer: string,
  agreed: Agreement = agreementDefault,
): Advice[] {
  const kind = mayOpenUnanswered(agreed, 'nothing') ? 'protect-there' : 'stop-if-there';
  return [
    { kind, domain, peer },
    { kind: 'failover-if-dead', domain, peer },
  ];
}

function adviceFor(status: SessionFacts): Advice[] {
  const { domain, peer } = status;
  switch (status.state) {
    case 'held':
      if (status.role === 'backup') {
        return adviceOnHeldCopy(domain, peer, status.without_witness);
      }
      return adviceWhenHeld(status.may_open === true, { domain, peer });
    case 'unprotected':
    case 'active':
      return [
        { kind: 'protect', domain, peer },
        { kind: 'stop-leave-so', domain },
      ];
    case 'ended':
      return [
        { kind: 'show-there', domain, peer },
        { kind: 'stop-seen', domain },
      ];
    default:
      return [];
  }
}

/** Command lines for a session that is not well. */
export function nextFor(status: SessionFacts): string[] {
  return adviceLines(adviceFor(status));
}
