/**
 * What CI runs of the lab tests on a commit. The core always; the rest in turn, because all of them
 * take longer than a commit may wait. Whose turn it is follows from the commit's hash alone: so
 * nobody chooses, a run can be repeated, and a commit that is tested again is tested alike.
 */
import { createHash } from 'node:crypto';
import { scenarios } from './index.ts';
import type { Scenario } from './scenario.ts';

/** So many commits share what is not of the core. */
export const turns = 3;

/**
 * Within so many commits it is everybody's turn, in 499 rows of commits out of 500; on machines
 * that have time for all of a turn.
 */
export const turnCommits = 18;

export interface CiChoice {
  /** 0 to `turns` - 1. */
  readonly turn: number;
  readonly core: readonly Scenario[];
  /** Begun at another one each time: where there is no time for all, not always the same wait. */
  readonly chosen: readonly Scenario[];
  /** For other commits. */
  readonly left: readonly Scenario[];
  /** Which trials of a scenario are run, by their index. */
  trialsOf(scenario: Scenario): readonly number[];
}

/** The list begun at another place. */
function turned<T>(list: readonly T[], begin: number): readonly T[] {
  const at = begin % Math.max(1, list.length);
  return [...list.slice(at), ...list.slice(0, at)];
}

/** `commit` as git names it; changes that are not committed make no difference. */
export function chooseForCi(commit: string, all: readonly Scenario[] = scenarios): CiChoice {
  const hash = createHash('sha256')
    .update(commit.replace(/-dirty$/, ''))
    .digest();
  const turn = hash.readUInt32LE(0) % turns;
  const first = hash.readUInt32LE(4);
  const begin = hash.readUInt32LE(8);
  const rest = all.filter(({ tier }) => tier === 'turn');
  return {
    turn,
    core: all.filter(({ tier }) => tier === 'core'),
    chosen: turned(
      rest.filter((_, index) => index % turns === turn),
      begin,
    ),
    left: rest.filter((_, index) => index % turns !== turn),
    trialsOf: ({ tier, trials: { ci, core = ci } }) => {
      const count = tier === 'core' ? core : ci;
      return Array.from({ length: count }, (_, index) =>
        count < ci ? (first + index) % ci : index,
      );
    },
  };
}
