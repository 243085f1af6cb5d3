/** What the output buffer holds, as status shows it. Pure. */
import type { HeldInterface } from '../network/output-buffer.ts';
import type { OutputStatus } from './session-status.ts';

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

/** An interface that came later is mute until the guest is protected anew; null: there is none. */
export function blockedText(domain: string, interfaces: readonly HeldInterface[]): string | null {
  const names = interfaces.filter(({ state }) => state === 'blocked').map(({ name }) => name);
  if (names.length === 0) return null;
  const which = names.join(', ');
  return `blocked: ${which} came while ${domain} was protected: nothing that it sends leaves it`;
}
