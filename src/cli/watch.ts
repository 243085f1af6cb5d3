/** `tsremus status --watch`: looks again and again, and draws what it finds. */
import type { Screen } from '../app/screen.ts';
import { type NumberSetting, parseNumber } from '../config/settings.ts';
import { UsageError } from '../config/usage-error.ts';
import type { Level } from '../core/health/health.ts';
import { watchTitle } from '../core/texts/watch.ts';
import { OperationError } from '../host/errors.ts';
import type { Findings } from './commands/status.ts';
import type { Io } from './io.ts';
import { type ColorChoice, painter } from './output/color.ts';
import { describeFailure } from './output/errors.ts';
import { glyphsFor } from './output/sparkline.ts';
import {
  remembered,
  type WatchHistory,
  type WatchView,
  watchFailure,
  watchFrame,
} from './output/watch.ts';
import { readable } from './sessions.ts';

const secondsDefault = 1;
const setting = {
  ...{ flag: '--watch', variable: '', unit: 'seconds', fallback: secondsDefault },
  ...{ example: 5, min: 1, max: 3_600 },
} as const satisfies NumberSetting;

/** What --watch was given: nothing, or seconds. Throws UsageError. */
export function watchSeconds(given: string | true): number {
  if (given === true) return secondsDefault;
  if (/^[0-9]/.test(given)) {
    const said = { text: given, name: '--watch', origin: 'arguments', joint: ' ' } as const;
    return parseNumber(said, setting);
  }
  // A guest that was typed behind it, most likely.
  const shown = JSON.stringify(given.slice(0, 40));
  throw new UsageError(`--watch: ${shown} is not a number of seconds: DOMAIN comes before --watch`);
}

export interface WatchOptions {
  readonly seconds: number;
  readonly color: ColorChoice;
  readonly hostName: string;
  readonly find: () => Promise<Findings>;
}

/** Where frames can be drawn over each other. */
export function isScreen({ out, env }: Io): boolean {
  return out.isTty && env['TERM'] !== 'dumb';
}

type Drawn = (view: WatchView) => readonly string[];

/** Looks once; how bad it is, and what draws it. */
async function look(
  io: Io,
  { find }: WatchOptions,
  history: WatchHistory,
): Promise<{ readonly level: Level; readonly history: WatchHistory; readonly drawn: Drawn }> {
  try {
    const findings = await find();
    const known = remembered(history, findings.reports);
    const drawn = (view: WatchView) => watchFrame(findings, known, view);
    return { level: findings.level, history: known, drawn };
  } catch (thrown) {
    if (!(thrown instanceof OperationError)) throw thrown;
    const typed = { command: 'tsremus status', argv: io.argv, options: [] };
    const { message, hints } = describeFailure(readable(thrown, io), typed);
    return { level: 'unknown', history, drawn: (view) => watchFailure(message, hints, view) };
  }
}

/** Until it is ended; how bad things were when that happened. */
export async function watch(io: Io, screen: Screen, options: WatchOptions): Promise<Level> {
  const { seconds, color, hostName } = options;
  const paint = painter(color, io.env, io.out);
  let history: WatchHistory = new Map();
  for (;;) {
    const found = await look(io, options, history);
    history = found.history;
    const title = watchTitle(hostName, io.clock.wall().toISOString(), seconds, isScreen(io));
    const untilMs = io.clock.nowMs() + 1_000 * seconds;
    for (;;) {
      // A character in the last column would be erased with the rest of its line.
      const columns = Math.max(1, screen.columns - (isScreen(io) ? 1 : 0));
      const rows = Number.isFinite(screen.rows) ? screen.rows : null;
      await screen.draw(found.drawn({ columns, rows, title, paint, glyphs: glyphsFor(io.env) }));
      const event = await screen.wait(Math.max(0, untilMs - io.clock.nowMs()));
      if (event === 'quit') return found.level;
      if (event === 'time') break;
    }
  }
}
