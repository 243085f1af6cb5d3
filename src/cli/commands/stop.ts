/** `tsremus stop DOMAIN`: ends protection, clears leftovers, or notes an end that was seen. */
import type { Command } from 'commander';
import { hostWord } from '../../core/health-texts.ts';
import { requestControl } from '../../engine/control.ts';
import type { StopResult } from '../../engine/protect-options.ts';
import {
  forgetSession,
  isSettled,
  refreshed,
  type SessionEntry,
} from '../../engine/run-directory.ts';
import { OperationError } from '../../host/errors.ts';
import { action, type Context } from '../context.ts';
import { type ExitCode, exit, exitOfStop } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { CommandFailure, printFailure } from '../output/errors.ts';
import { writeJson } from '../output/json.ts';
import { quoteWord } from '../output/shell.ts';
import { printable } from '../output/table.ts';
import { sessionsOf } from '../sessions.ts';
import { stopText } from '../stop-outcome.ts';
import {
  addHelp,
  colorOption,
  failureStyle,
  forceUnsafeOption,
  jsonOption,
  type OutputOptions,
} from './options.ts';

interface Flags extends OutputOptions {
  readonly forceUnsafe?: boolean;
}

async function stopDead(entry: SessionEntry, force: boolean): Promise<StopResult> {
  const { stopLeftover } = await import('../../engine/stop-leftover.ts');
  return stopLeftover(entry.status, { force });
}

/**
 * A session that is held goes on asking its backup and answers when it knows more; nobody should
 * sit at a silent command for that. Longer than one attempt to ask takes.
 */
const stopSilenceMsMax = 25_000;

/** What became of a session that did not answer; null when its silence explains nothing. */
function stillHeld(entry: SessionEntry | null): StopResult | null {
  if (entry?.liveness !== 'alive') return null;
  const { state, reason } = entry.status;
  if (state !== 'held' && state !== 'ending') return null;
  const why = reason ?? `${hostWord(entry.status.peer)} does not answer`;
  return { outcome: { kind: 'held', reason: `${why} (it is asked again and again)` } };
}

/** Ends what is not over yet, whether its process lives or not. */
export async function stopSession(
  io: Io,
  entry: SessionEntry,
  force: boolean,
  silenceMsMax = stopSilenceMsMax,
): Promise<StopResult> {
  if (entry.liveness !== 'alive') return stopDead(entry, force);
  const onProgress = (text: string) => {
    io.err.write(`${printable(entry.status.domain)}: ${printable(text)}\n`);
  };
  try {
    const request = { verb: 'stop', force } as const;
    const options = { onProgress, silenceMsMax };
    return await requestControl<StopResult>(entry.socketPath, request, options);
  } catch (error) {
    // It may have died just now: then its leftovers are ours to clear.
    const again = refreshed(entry);
    const late = error instanceof OperationError && error.code === 'command-timeout';
    const held = late ? stillHeld(again) : null;
    if (held !== null) return held;
    if (again === null || again.liveness === 'alive') throw error;
    return stopDead(again, force);
  }
}

/** Takes a session that is over out of sight. */
async function acknowledge(entry: SessionEntry): Promise<void> {
  if (entry.liveness === 'alive') {
    try {
      await requestControl(entry.socketPath, { verb: 'forget' });
    } catch (error) {
      // Its process may be about to end and answer nobody; the file is what counts.
      if (!(error instanceof OperationError)) throw error;
    }
  }
  forgetSession(entry);
}

function refuseOnBackup(entry: SessionEntry): CommandFailure {
  const { domain } = entry.status;
  const peer = hostWord(entry.status.peer);
  const word = quoteWord(domain);
  return new CommandFailure({
    code: 'wrong-host',
    message: `this host holds the copy of ${domain}; protection is ended where it runs, on ${peer}`,
    hints: [`tsremus stop ${word}  # on ${peer}`, `tsremus failover ${word}  # here: run the copy`],
    exit: exit.failed,
  });
}

function printStopped(io: Io, entry: SessionEntry, result: StopResult, flags: Flags): ExitCode {
  const code = exitOfStop(result.outcome);
  const { message, next } = stopText(result, entry.status);
  if (flags.json) {
    const { domain } = entry.status;
    const outcome = result.outcome.kind;
    writeJson(io.out, { domain, outcome, text: message, next, exit: code });
  } else if (code === exit.ok) {
    io.out.write(`${printable(message)}\n`);
  }
  if (code !== exit.ok) {
    const failure = { code: result.outcome.kind, message, hints: next, exit: code };
    printFailure(io.err, failure, failureStyle(io, flags));
  }
  return code;
}

async function stop(io: Io, domain: string, flags: Flags): Promise<ExitCode> {
  const entries = sessionsOf(io, domain);
  const open = entries.filter(({ status }) => !isSettled(status));
  // Both roles at once: the guest that runs here is what DOMAIN means.
  const entry = open.find(({ status }) => status.role === 'primary') ?? open[0];
  if (entry === undefined) {
    for (const settled of entries) await acknowledge(settled);
    const text = `${domain}: seen; how its session ended is shown no longer`;
    if (flags.json) writeJson(io.out, { domain, outcome: 'seen', text, next: [], exit: exit.ok });
    else io.out.write(`${printable(text)}\n`);
    return exit.ok;
  }
  if (entry.status.role === 'backup' && entry.liveness === 'alive') throw refuseOnBackup(entry);
  const result = await stopSession(io, entry, flags.forceUnsafe ?? false);
  return printStopped(io, entry, result, flags);
}

export function addStop(program: Command, context: Context): void {
  const command = program
    .command('stop')
    .summary('end protection; the guest runs on here')
    .description(
      'Ends the protection of DOMAIN in order: the guest runs on here, the copy is removed. ' +
        'After a crash it clears what was left. A session that has ended is shown no longer.',
    )
    .argument('<domain>', 'name, UUID or number of the domain')
    .addOption(
      forceUnsafeOption('go on here unasked: you vouch that the copy never ran and never will'),
    )
    .addOption(jsonOption('report as one JSON document on stdout'))
    .addOption(colorOption())
    .action(action(context, (domain: string, flags: Flags) => stop(context.io, domain, flags)));
  addHelp(command, 'See tsremus-stop(8).');
}
