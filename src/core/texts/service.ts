/** What a session says as a service of its host (systemd). Pure. */

/** The guest does not run yet: `why` says so. */
export function awaitingText(domain: string, seconds: number, why: string): string {
  return `waiting up to ${seconds} s for ${domain} to run: ${why}`;
}

/** What a check of the hosts failed, clauses. `isFinal`: it is refused unchecked, too. */
export function notCheckedText(failed: readonly string[], isFinal: boolean): string {
  return `${failed.join('; ')}${isFinal ? '' : ' (--no-check goes on all the same)'}`;
}

/** Its processes could not be put into a unit of their own: `whose` end comes with the login's. */
export function noUnitText(whose: string, why: string): string {
  return `${whose} has no unit of its own and may be ended too early at a shutdown: ${why}`;
}
