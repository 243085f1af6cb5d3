/**
 * The command line of tsremus without its commands, so that a program of one command can be built
 * without the others: what is loaded at the start of `status` is a good part of what it takes.
 */
import { Command } from 'commander';
import { checkVariableNames } from '../config/variables.ts';
import { version } from '../config/version.ts';
import type { Context } from './context.ts';

/** What the process of a guard is started as; nobody types it. */
export const guardName = 'guard';

const examples = `
Examples:
  tsremus check web1 hostb              whether it can be protected there
  tsremus protect web1 hostb            keep a copy of web1 on hostb; Ctrl-C ends it
  tsremus status                        what is protected here, and how well
  tsremus stop web1                     end protection; web1 runs on here
  tsremus failover web1                 on hostb: run the copy there, now

Exit codes:
  0 done   10-19 what went wrong, by kind   64 usage   69 not built yet or no Xen
  77 not root   78 environment   130, 143 ended in order by a signal
  status: 0 protected   1 seeding or late   2 unprotected or held   3 unknown
  tsremus(8), EXIT STATUS, has them all.

What is needed: tsremus-requirements(7). To install, rehearse and upgrade, and what
to do in each state: tsremus-runbook(7).`;

/** `tsremus` itself: its help, its version, its errors. */
export function rootProgram(context: Context): Command {
  const { io } = context;
  const program = new Command('tsremus')
    .description('Keeps a running Xen virtual machine alive when its host dies.')
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [command]', 'print help')
    .showSuggestionAfterError()
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.out.write(text),
      writeErr: (text) => io.err.write(text),
      // Failures are printed once, in one form, where they are caught.
      outputError: () => {},
      getOutHelpWidth: () => Math.min(100, io.out.columns),
      getErrHelpWidth: () => Math.min(100, io.err.columns),
      // Help is read in pipes and pagers; it has no colours to take away.
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    })
    .addHelpText('after', examples)
    // Before anything is done; a guard only goes on with what its session was allowed to begin.
    .hook('preAction', (_program, command) => {
      if (command.name() !== guardName) checkVariableNames(io.env);
    });
  return program;
}
