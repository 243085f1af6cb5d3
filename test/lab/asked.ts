/**
 * What a user of the lab asks for before anything else: the hosts' release of Debian and the kind
 * of guest that they are to carry. Both decide which images are built and booted.
 */
import { type GuestKind, parseKind } from './guest.ts';
import { askedSuite, parseSuite, type Suite } from './suites.ts';

/** Nothing is booted where it is not to be had. */
export interface Asked {
  readonly suite?: Suite | undefined;
  readonly kind?: GuestKind | null;
}

/**
 * Takes `--suite NAME` and `--kind KIND` off the begin of a command line; what follows may be a
 * host's command.
 */
export function takeAsked(words: readonly string[]): {
  readonly asked: Required<Asked>;
  readonly rest: readonly string[];
} {
  let suite: Suite | undefined;
  let kind: GuestKind | null = null;
  let rest = words;
  for (;;) {
    const [, option, own] = /^--(suite|kind)(?:=(.*))?$/s.exec(rest[0] ?? '') ?? [];
    if (option === undefined) break;
    const value = own ?? rest[1] ?? '';
    if (option === 'suite') suite = parseSuite(value);
    else kind = parseKind(value);
    rest = rest.slice(own === undefined ? 2 : 1);
  }
  return { asked: { suite: suite ?? askedSuite(), kind }, rest };
}

/** Whether hosts for that kind of guest need a device model. */
export function needsModel(kind: GuestKind | null): boolean {
  return kind === 'hvm';
}
