/**
 * What `tsremus protect` prints while its session runs, and at the end: lines for a person, or JSON
 * lines. It waits for no reader: what would queue up is left out, and counted.
 */
import { protectText } from '../core/texts/outcomes.ts';
import { unreadText } from '../core/texts/window.ts';
import { journalMark, type LogLevel } from '../host/priority.ts';
import type { ProtectReporter, ProtectResult } from '../session/options.ts';
import { failureStyle, type OutputOptions } from './commands/options.ts';
import { type ExitCode, exit, exitOfProtect } from './exit-codes.ts';
import type { Io, Stream } from './io.ts';
import { printFailure } from './output/errors.ts';
import { figuresText } from './output/figures.ts';
import { writeJsonLine } from './output/json.ts';
import { ProgressLine } from './output/progress.ts';
import { printable } from './output/table.ts';
import type { ProtectFlags } from './protect-arguments.ts';

export interface ReportFlags extends ProtectFlags, OutputOptions {
  readonly quiet?: boolean;
}

export interface ClosingReporter extends ProtectReporter {
  /** `events` were never told. */
  unread(events: number): void;
  /** Leaves the terminal in order. */
  close(): void;
}

/** JSON lines on stdout, every report one object. */
function jsonReporter(io: Io, domain: string, wall: () => Date): ClosingReporter {
  return {
    seedProgress(progress) {
      writeJsonLine(io.out, 'seed-progress', wall(), {
        domain,
        percent: progress.percent,
        bytes: progress.bytes,
        bytes_per_second: progress.bytesPerSecond,
        seconds_left: progress.secondsLeft,
        ...(progress.disksBytes === undefined ? {} : { disks_bytes: progress.disksBytes }),
      });
    },
    event(kind, text, data) {
      writeJsonLine(io.out, kind, wall(), { domain, text, ...data });
    },
    unread(events) {
      const text = unreadText(events);
      writeJsonLine(io.out, 'unread', wall(), { domain, text, events });
    },
    close() {},
  };
}

/** Events that somebody has to see to. */
const warnings: ReadonlySet<string> = new Set([
  ...['check', 'held', 'disks-left', 'force-refused', 'not-saved', 'processors', 'service'],
  'unwatched',
]);

/** Lines on stderr: stdout has the result alone. */
function textReporter(io: Io, domain: string): ClosingReporter {
  const progress = new ProgressLine(io.err, printable(domain), () => io.clock.nowMs());
  const say = (level: LogLevel, text: string, next: unknown = null) => {
    progress.clear();
    const mark = io.err.isJournal ? journalMark(level) : '';
    io.err.write(`${mark}${printable(domain)}: ${printable(text)}\n`);
    if (typeof next === 'string') io.err.write(`${mark}  Try: ${printable(next)}\n`);
  };
  return {
    seedProgress: (seed) => progress.update(seed),
    event: (kind, text, data) => say(warnings.has(kind) ? 'warning' : 'info', text, data?.['next']),
    unread: (events) => say('info', unreadText(events)),
    close: () => progress.clear(),
  };
}

const silentReporter: ClosingReporter = {
  seedProgress() {},
  event() {},
  unread() {},
  close() {},
};

/** Leaves out what `stream` has no room for, and says how much as soon as it has. */
function unhurried(reporter: ClosingReporter, stream: Stream): ClosingReporter {
  let left = 0;
  const settle = () => {
    if (left > 0) reporter.unread(left);
    left = 0;
  };
  return {
    seedProgress(progress) {
      if (!stream.isBehind) reporter.seedProgress(progress);
    },
    event(kind, text, data) {
      if (stream.isBehind) {
        left += 1;
        return;
      }
      settle();
      reporter.event(kind, text, data);
    },
    unread(events) {
      left += events;
    },
    close() {
      settle();
      reporter.close();
    },
  };
}

/** `wall`: when what is reported was so. */
export function reporterFor(
  io: Io,
  domain: string,
  flags: Pick<ReportFlags, 'json' | 'quiet'>,
  wall: () => Date,
): ClosingReporter {
  if (flags.json) return unhurried(jsonReporter(io, domain, wall), io.out);
  return flags.quiet ? silentReporter : unhurried(textReporter(io, domain), io.err);
}

/** True when the end is what somebody asked for, and therefore no failure. */
function wanted(code: ExitCode): boolean {
  return code === exit.ok || code === exit.interrupted || code === exit.terminated;
}

/** Prints how the session ended; gives its exit code. */
export function printResult(
  io: Io,
  result: ProtectResult,
  domain: string,
  host: string,
  flags: ReportFlags,
): ExitCode {
  const { message, next } = protectText(result, { domain, peer: host, argv: io.argv });
  const code = exitOfProtect(result.outcome);
  if (flags.json) {
    const { kind, ...detail } = result.outcome;
    const figures = result.figures === undefined ? {} : { figures: result.figures };
    const end = { domain, outcome: kind, ...detail, text: message, next, exit: code, ...figures };
    writeJsonLine(io.out, 'result', io.clock.wall(), end);
  } else if (wanted(code) && !flags.quiet) {
    io.out.write(`${printable(message)}\n`);
  }
  // What a measurement is for, even with --quiet.
  if (result.figures !== undefined && !flags.json) io.out.write(figuresText(result.figures));
  if (!wanted(code)) {
    const failure = { code: result.outcome.kind, message, hints: next, exit: code };
    printFailure(io.err, failure, failureStyle(io, flags));
  }
  return code;
}
