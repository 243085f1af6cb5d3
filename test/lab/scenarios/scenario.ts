/** What a lab test is: a name, a sentence on what it proves, and a trial that can be repeated. */
import type { Trial } from './trial.ts';

export interface Scenario {
  readonly name: string;
  /** One sentence; printed before the trials. */
  readonly proves: string;
  /** Trials in `npm run test:lab` and in the soak. */
  readonly trials: { readonly ci: number; readonly soak: number };
  /** One trial. Trial `index` chooses among variants by its index, among moments by its random. */
  run(trial: Trial, index: number): Promise<void>;
}
