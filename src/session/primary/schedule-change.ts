/** What was said of the interval -> the core's schedule; at the start, and by `tsremus set`. */

import {
  autoMaxMsDefault,
  autoMinMsDefault,
  defaultSchedule,
  scheduleProblem,
} from '../../core/limits.ts';
import type { Schedule } from '../../core/scheduler.ts';
import { adviceLine } from '../../core/texts/advice.ts';
import { OperationError } from '../../host/errors.ts';
import type { ControlRequest } from '../../registry/control.ts';

export type SetRequest = Extract<ControlRequest, { verb: 'set' }>;

/** The schedule of a session that begins: fixed, or automatic between the core's own bounds. */
export function scheduleOf(interval: number | 'auto', maxOverheadPercent: number): Schedule {
  if (interval !== 'auto') return { kind: 'fixed', intervalMs: interval };
  return {
    kind: 'auto',
    minMs: autoMinMsDefault,
    maxMs: autoMaxMsDefault,
    maxOverhead: maxOverheadPercent / 100,
  };
}

function usage(text: string, domain: string): OperationError {
  return new OperationError('command-failed', text, {
    op: 'set-schedule',
    hint: adviceLine({ kind: 'set', domain, settings: ['interval=auto', 'max-overhead=20'] }),
  });
}

/** Throws OperationError('command-failed') for a schedule of `domain` that cannot be. */
export function changedSchedule(now: Schedule, request: SetRequest, domain: string): Schedule {
  const { interval, maxOverhead: percent } = request;
  const isAuto = interval === undefined ? now.kind === 'auto' : interval === 'auto';
  if (!isAuto && percent !== undefined) {
    throw usage('max-overhead is for interval=auto, and this session has a fixed interval', domain);
  }
  const schedule: Schedule =
    typeof interval === 'number'
      ? { kind: 'fixed', intervalMs: interval }
      : isAuto
        ? automatic(now, percent)
        : now;
  const problem = scheduleProblem(schedule);
  if (problem !== null) throw usage(problem, domain);
  return schedule;
}

function automatic(now: Schedule, percent: number | undefined): Schedule {
  const before = now.kind === 'auto' ? now : defaultSchedule;
  return percent === undefined ? before : { ...before, maxOverhead: percent / 100 };
}
