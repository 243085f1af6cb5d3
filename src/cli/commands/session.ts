/**
 * `tsremus session`: hidden; the session of `tsremus protect` with the same arguments, started by
 * it as a process without a terminal. What there is to say it tells that window.
 */
import type { Command, Option } from 'commander';
import { action, type Context } from '../context.ts';
import { type ExitCode, exitOfProtect } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { describeFailure } from '../output/errors.ts';
import { protectArguments } from '../protect-arguments.ts';
import type { ReportFlags } from '../protect-report.ts';
import { addProtectArguments } from './protect.ts';

async function session(
  io: Io,
  domain: string,
  host: string | undefined,
  flags: ReportFlags,
  options: readonly Option[],
): Promise<ExitCode> {
  const { openTeller } = await import('../../app/window.ts');
  const teller = openTeller();
  try {
    const { runProtect } = await import('../../app/protect.ts');
    const wanted = await protectArguments(domain, host, flags, io.env);
    const result = await runProtect(wanted, teller.reporter, io.env, 'own-process');
    await teller.end({ kind: 'ended', result });
    return exitOfProtect(result.outcome);
  } catch (error) {
    // As it was typed, in the window.
    const argv = io.argv.map((word, at) => (at === io.argv.indexOf('session') ? 'protect' : word));
    const failure = describeFailure(error, { command: 'tsremus protect', argv, options });
    const stack = (error instanceof Error && error.stack) || null;
    await teller.end({ kind: 'failed', failure: { ...failure, stack } });
    return failure.exit;
  }
}

export function addSession(program: Command, context: Context): void {
  const command = program
    .command('session', { hidden: true })
    .description('Runs the session that a `tsremus protect` shows.');
  addProtectArguments(command).action(
    action(context, (domain: string, host: string | undefined, flags: ReportFlags) =>
      session(context.io, domain, host, flags, command.options),
    ),
  );
}
