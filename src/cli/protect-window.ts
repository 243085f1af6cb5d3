/**
 * `tsremus protect` as a window: the session is another process, without a terminal, and this one
 * prints what it tells. Whatever becomes of the window, the session goes on (src/app/window.ts).
 */
import type { ProcessEnd } from '../app/window.ts';
import { adviceLine } from '../core/texts/advice.ts';
import { hungUpText, mayCloseText, processEndedText } from '../core/texts/window.ts';
import { OperationError } from '../host/errors.ts';
import { judgeSession, momentNow, type SessionReport } from '../registry/report.ts';
import type { ProtectOptions, ProtectResult } from '../session/options.ts';
import type { ToldAt, ToldFailure } from '../session/told.ts';
import { type ExitCode, exit, exitMeaning } from './exit-codes.ts';
import type { Io } from './io.ts';
import { CommandFailure } from './output/errors.ts';
import { printable } from './output/table.ts';
import { printResult, type ReportFlags, reporterFor } from './protect-report.ts';
import { registryOf } from './sessions.ts';

/** The exit code that a process of ours gave, or was told to give. */
function exitCodeOf(code: number): ExitCode {
  return Object.values(exit).find((known) => known === code) ?? exit.failed;
}

/** The command line of the session: ours, by its hidden name. */
function sessionWords(argv: readonly string[]): string[] {
  const at = argv.indexOf('protect');
  return argv.map((word, index) => (index === at ? 'session' : word));
}

/** The failure of the session as if it were this command's own. */
function failureOf({ stack, exit: code, ...failure }: ToldFailure): CommandFailure {
  const error = new CommandFailure({ ...failure, exit: exitCodeOf(code) });
  if (stack !== null) error.stack = stack;
  return error;
}

/** What the session's process left behind, judged; null: nothing, so it had not begun. */
function leftBy(io: Io, pid: number): SessionReport | null {
  try {
    const left = registryOf(io)
      .sessions()
      .sessions.find(({ status }) => status.role === 'primary' && status.pid === pid);
    return left === undefined ? null : judgeSession(left.status, left.liveness, momentNow(io));
  } catch (error) {
    // No run directory: then there was no session either.
    if (error instanceof OperationError) return null;
    throw error;
  }
}

function exitAfterDeath(report: SessionReport | null): ExitCode {
  if (report?.state === 'held') return exit.held;
  return report?.state === 'unprotected' ? exit.unprotected : exit.failed;
}

/** The session's last word was not heard: its process was killed, or this one did not read. */
function untold(io: Io, domain: string, { pid, code, signal }: ProcessEnd): ExitCode {
  // Ended before it could hear signals: as this process would have been, had it run the session.
  if (signal === 'SIGINT') return exit.interrupted;
  if (signal === 'SIGTERM') return exit.terminated;
  const report = leftBy(io, pid);
  const known = signal === null ? exitCodeOf(code ?? exit.failed) : exitAfterDeath(report);
  if (known === exit.ok || known === exit.interrupted || known === exit.terminated) return known;
  const how = processEndedText(signal ?? `exit ${code}: ${exitMeaning[known]}`);
  throw new CommandFailure({
    code: 'session-died',
    message: `${domain}: ${report?.reason ?? how}`,
    hints: report === null ? [adviceLine({ kind: 'show-all' })] : report.next,
    exit: known,
  });
}

/** Starts the session and prints what it tells until it has ended. */
export async function protectInWindow(
  io: Io,
  { domain, host }: Pick<ProtectOptions, 'domain' | 'host'>,
  flags: ReportFlags,
): Promise<ExitCode> {
  const { showSession } = await import('../app/window.ts');
  let at = io.clock.wall();
  const reporter = reporterFor(io, domain, flags, () => at);
  const say = (text: string) => io.err.write(`${printable(domain)}: ${printable(text)}\n`);
  const isForPerson = !flags.json && !flags.quiet;
  let result: ProtectResult | null = null;
  let failure: ToldFailure | null = null;
  const hear = ({ at: toldAt, told }: ToldAt) => {
    at = toldAt;
    if (told.kind === 'seed') reporter.seedProgress(told.progress);
    else if (told.kind === 'unread') reporter.unread(told.events);
    else if (told.kind === 'ended') result = told.result;
    else if (told.kind === 'failed') failure = told.failure;
    else {
      reporter.event(told.event, told.text, told.data);
      if (told.event === 'protected' && isForPerson) reporter.event('window', mayCloseText(domain));
    }
  };
  const view = {
    hear,
    words: (text: string) => io.err.write(text),
    hungUp() {
      if (!io.out.isTty && !io.err.isTty) return true;
      say(hungUpText(domain));
      return false;
    },
  };
  const ended = await showSession(sessionWords(io.argv), io.env, view).finally(() =>
    reporter.close(),
  );
  if (failure !== null) throw failureOf(failure);
  if (result !== null) return printResult(io, result, domain, host, flags);
  return untold(io, domain, ended);
}
