/** What a lab test is: a name, a sentence on what it proves, and a trial that can be repeated. */
import type { GuestKind } from '../lab.ts';
import type { Trial } from './trial.ts';

/** What must always hold, and the leading kinds of what befalls a guest under protection. */
export const rules = {
  'output-commit': 'no packet leaves before its epoch is acknowledged',
  'whole-epochs': 'a copy goes on from a whole epoch that was acknowledged, or not at all',
  'one-commit': 'memory and disk that a copy goes on with are of one moment',
  'one-active': 'never do both hosts speak for one guest',
  'nothing-silent': 'status, log and exit code say what was lost, and what to type',
  'outlives-tsremus': 'the guest outlives each of our processes',
  'never-the-last': 'nothing is destroyed without a promise, other evidence or a word',
} as const;

export const kinds = {
  'host-dies': 'the host of the guest dies',
  'backup-lost': 'the backup is lost: its process, or its host',
  'process-dies': 'protect is killed',
  'long-cut': 'the link is cut for longer than the timeout',
  'short-cut': 'the link is cut for less than it',
  'own-end': 'the guest ends by itself',
  'ordered-end': 'protection is ended in order',
  'any-frame': 'the guest sends what and as fast as it can',
  'two-guests': 'two guests, several interfaces',
} as const;

export type Shown = keyof typeof rules | keyof typeof kinds;

/**
 * When CI runs it: `core` on every commit; `turn` when the commit's hash says so (ci-choice.ts);
 * `soak` never: it is for the soak, and for whoever names it.
 */
export type Tier = 'core' | 'turn' | 'soak';

export interface Scenario {
  readonly name: string;
  /** One sentence; printed before the trials. */
  readonly proves: string;
  readonly tier: Tier;
  /** Only where all guests are to be of that kind (--kind). */
  readonly kind?: GuestKind;
  /** What it has a trial of; the core has one of everything. */
  readonly shows: readonly Shown[];
  /**
   * Trials in `npm run test:lab` and in the soak. `core`: how many of the former CI takes on one
   * commit, if not all; which of them, the commit's hash says.
   */
  readonly trials: { readonly ci: number; readonly soak: number; readonly core?: number };
  /** What a trial takes on a quiet machine, seconds: by it CI knows what still fits (budget.ts). */
  readonly seconds: number;
  /** One trial. Trial `index` chooses among variants by its index, among moments by its random. */
  run(trial: Trial, index: number): Promise<void>;
}
