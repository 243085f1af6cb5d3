/**
 * Every variable of the environment that the program reads: the page tsremus(8) has the same list
 * (test/cli/man.test.ts). One that is set under another name of ours is a mistake that would be
 * passed over, and what it should have said would not hold. Pure.
 */
import type { Environment } from './settings.ts';
import { UsageError } from './usage-error.ts';

const prefix = 'TSREMUS_';

export const variables: readonly string[] = [
  'TSREMUS_ALLOW',
  'TSREMUS_AWAIT_GUEST',
  'TSREMUS_BUFFER_LIMIT',
  'TSREMUS_CONFIG_DIR',
  'TSREMUS_DEBUG',
  'TSREMUS_HEARTBEAT_TIMEOUT',
  'TSREMUS_HOLD',
  'TSREMUS_INTERVAL',
  'TSREMUS_LIBXL',
  'TSREMUS_LIBXL_LOG',
  'TSREMUS_LOG_DIR',
  'TSREMUS_LOG_LEVEL',
  'TSREMUS_MAX_MEMORY',
  'TSREMUS_MAX_OVERHEAD',
  'TSREMUS_MAX_PENDING',
  'TSREMUS_NATIVE',
  'TSREMUS_RUN_DIR',
  'TSREMUS_SSH_COMMAND',
  'TSREMUS_STATE_DIR',
  'TSREMUS_SAVE_HELPER',
  'TSREMUS_WITHOUT_WITNESS',
];

/** What the tests of the sources read; no business of the program's. */
const others = /^TSREMUS_(LAB|TEST)_/;

/** Mistakes in one word, at most, that still tell which one was meant. */
const mistakesMax = 3;
/** A name is looked at to here, and a value is shown if it is no longer. */
const nameLengthMax = 60;
const valueLengthMax = 100;

/** How many letters of one word have to be put in, left out or changed to get the other. */
function mistakes(one: string, other: string): number {
  let row = Array.from({ length: other.length + 1 }, (_, at) => at);
  for (let i = 0; i < one.length; i += 1) {
    const next = [i + 1];
    for (let j = 0; j < other.length; j += 1) {
      const changed = (row[j] ?? 0) + (one[i] === other[j] ? 0 : 1);
      next.push(Math.min(changed, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    row = next;
  }
  return row[other.length] ?? 0;
}

/** The one of `names` that was meant; null: none is near. */
export function nearest(name: string, names: readonly string[]): string | null {
  const counted = names.map((known) => ({ known, count: mistakes(name, known) }));
  const [best] = counted.sort((a, b) => a.count - b.count);
  return best !== undefined && best.count <= mistakesMax ? best.known : null;
}

/**
 * Throws UsageError for a variable of ours that there is not, with the nearest that there is. An
 * empty one is an unset one.
 */
export function checkVariableNames(env: Environment): void {
  const unknown = Object.keys(env)
    .filter((name) => name.startsWith(prefix) && env[name] && !others.test(name))
    .filter((name) => !variables.includes(name))
    .sort();
  const [name] = unknown;
  if (name === undefined) return;
  const shown = name.slice(0, nameLengthMax);
  const meant = nearest(shown.toUpperCase(), variables);
  const value = env[name] ?? '';
  const isShort = value.length <= valueLengthMax;
  const told = meant === null ? 'the page tsremus(8) has them all' : `is ${meant} meant?`;
  throw new UsageError(
    `${shown} is no variable of tsremus (${told})`,
    {
      ...{ name: shown, joint: '=', value: null },
      ...(meant === null || !isShort || env[meant] ? {} : { instead: `${meant}=${value}` }),
    },
    'environment',
  );
}
