/** What the output buffer holds, as status shows it. Pure. */
import type { HeldInterface } from '../../output/port.ts';
import type { OutputStatus } from '../../registry/status.ts';

export function outputStatus(interfaces: readonly HeldInterface[]): OutputStatus {
  const shown = interfaces.map(({ name, state, packets, bytes, dropped, nearLimit }) => {
    return { name, state, packets, bytes, dropped, near_limit: nearLimit };
  });
  const sum = (of: (one: (typeof shown)[number]) => number) =>
    shown.reduce((total, one) => total + of(one), 0);
  return {
    packets: sum((one) => one.packets),
    bytes: sum((one) => one.bytes),
    dropped: sum((one) => one.dropped),
    interfaces: shown,
  };
}

/**
 * An interface that came later is mute until the guest is protected anew, or, worse, could not be
 * made so; null: there is none.
 */
export function blockedText(domain: string, interfaces: readonly HeldInterface[]): string | null {
  const named = (state: HeldInterface['state']) =>
    interfaces.filter((one) => one.state === state).map(({ name }) => name);
  const text = (word: string, names: readonly string[], what: string) =>
    `${word}: ${names.join(', ')} came while ${domain} was protected: ${what}`;
  const [open, blocked] = [named('open'), named('blocked')];
  if (open.length > 0) return text('open', open, 'what it sends is not held back');
  return blocked.length === 0 ? null : text('blocked', blocked, 'nothing that it sends leaves it');
}
