/** The command line of run-tests.ts. */
import { parseArgs } from 'node:util';
import { LabError } from './command.ts';
import { type GuestKind, parseKind } from './guest.ts';
import { askedSuite, type Suite } from './suites.ts';

export interface TestOptions {
  readonly names: readonly string[];
  /** Debian's release in the hosts; undefined: the default. */
  readonly suite: Suite | undefined;
  /** All guests are of this kind; null: of those that each trial says, as far as there are. */
  readonly kind: GuestKind | null;
  /** Virtual processors of each guest; null: one. */
  readonly vcpus: number | null;
  readonly soak: boolean;
  /** The core, and of the rest what the commit's hash chooses. */
  readonly ci: boolean;
  /** With `ci`: all the time there is; null: as long as it takes. */
  readonly minutes: number | null;
  /** Trials per scenario; null: what the scenario says. */
  readonly runs: number | null;
  /** Forgets the results of an earlier soak of the same commit. */
  readonly fresh: boolean;
  readonly json: string | null;
  readonly seed: number;
  readonly keep: boolean;
  readonly list: boolean;
}

export const usage = `usage: npm run test:lab -- [OPTION...] [NAME...]
       npm run lab:soak -- [OPTION...] [NAME...]

NAME chooses lab tests; "cut" means all whose name begins with cut-. Without names: all.

  --suite S    hosts of bookworm (Xen 4.17) or trixie (Xen 4.20); also TSREMUS_LAB_SUITE
  --kind K     guests of that kind alone: pvh, hvm, pv
  --vcpus N    guests with that many processors
  --ci         the core, and of the rest those whose turn it is by the commit's hash
  --minutes N  with --ci: begin nothing of the rest that would not be done by then
  --runs N     trials of each test (default: few in test:lab, the full counts in the soak)
  --fresh      begin anew; without it a soak goes on where it was ended (same commit)
  --json FILE  all results and figures as JSON
  --seed N     the random moments of an earlier run; it is printed
  --keep       leave the hosts up
  --list       say which tests there are
`;

function wholeNumber(name: string, text: string | undefined): number | null {
  if (text === undefined) return null;
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new LabError(`--${name} needs a whole number, not ${text}`, { hint: usage });
}

export function parseTestOptions(argv: readonly string[]): TestOptions {
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      suite: { type: 'string' },
      kind: { type: 'string' },
      vcpus: { type: 'string' },
      soak: { type: 'boolean', default: false },
      ci: { type: 'boolean', default: false },
      minutes: { type: 'string' },
      runs: { type: 'string' },
      fresh: { type: 'boolean', default: false },
      json: { type: 'string' },
      seed: { type: 'string' },
      keep: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
    },
  });
  if (values.ci && (values.soak || positionals.length > 0)) {
    throw new LabError('--ci chooses by itself', { hint: usage });
  }
  if (values.minutes !== undefined && !values.ci) {
    throw new LabError('--minutes is for --ci', { hint: usage });
  }
  return {
    names: positionals,
    suite: askedSuite(values.suite),
    kind: values.kind === undefined ? null : parseKind(values.kind),
    vcpus: wholeNumber('vcpus', values.vcpus),
    soak: values.soak,
    ci: values.ci,
    minutes: wholeNumber('minutes', values.minutes),
    runs: wholeNumber('runs', values.runs),
    fresh: values.fresh,
    json: values.json ?? null,
    seed: wholeNumber('seed', values.seed) ?? Math.floor(Math.random() * 1e9),
    keep: values.keep,
    list: values.list,
  };
}
