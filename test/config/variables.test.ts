/** Variables of the environment that there are not: what was meant does not hold in silence. */
import { expect, it } from 'vitest';
import { UsageError } from '../../src/config/usage-error.ts';
import { checkVariableNames, variables } from '../../src/config/variables.ts';

function refusal(env: Record<string, string>): UsageError | null {
  try {
    checkVariableNames(env);
  } catch (error) {
    if (error instanceof UsageError) return error;
    throw error;
  }
  return null;
}

// Proves: a mistyped name is named with the one that was meant; what was meant is only put in its
// place where that says nothing else.
it.each([
  [{ TSREMUS_INTERVALL: '50' }, 'is TSREMUS_INTERVAL meant?', 'TSREMUS_INTERVAL=50'],
  [{ TSREMUS_RUNDIR: '/run/x' }, 'is TSREMUS_RUN_DIR meant?', 'TSREMUS_RUN_DIR=/run/x'],
  [{ TSREMUS_HODL: '1', TSREMUS_HOLD: '2' }, 'is TSREMUS_HOLD meant?', undefined],
  [{ TSREMUS_hold: '1' }, 'is TSREMUS_HOLD meant?', 'TSREMUS_HOLD=1'],
  [{ TSREMUS_PASSWORD: 'x' }, 'tsremus(8) has them all', undefined],
  [{ [`TSREMUS_${'X'.repeat(9_000)}`]: '1' }, 'tsremus(8) has them all', undefined],
] as const)('%j is refused', (env, told, instead) => {
  const error = refusal(env as Record<string, string>);
  expect(error?.origin).toBe('environment');
  expect(error?.message).toContain(`${Object.keys(env)[0]?.slice(0, 60)} is no variable`);
  expect(error?.message).toContain(told);
  const hint = error?.hint;
  expect(typeof hint === 'object' ? hint.instead : hint).toBe(instead);
});

it('takes every known one, an empty one, and those of other programs', () => {
  expect(refusal(Object.fromEntries(variables.map((name) => [name, 'x'])))).toBeNull();
  expect(refusal({ TSREMUS_TYPO: '', TSREMUS: 'x', PATH: '/bin', XTSREMUS_TYPO: 'x' })).toBeNull();
  expect(refusal({ TSREMUS_LAB_RUN: '/run/lab', TSREMUS_TEST_REPORT: '/tmp/x' })).toBeNull();
});
