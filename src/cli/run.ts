/** Runs one command line from its arguments to its exit code. Prints every failure, throws none. */
import { type Command, CommanderError } from 'commander';
import { failureStyle } from './commands/options.ts';
import { type Context, newContext } from './context.ts';
import { type ExitCode, exit } from './exit-codes.ts';
import type { Io } from './io.ts';
import { colorChoices } from './output/color.ts';
import { describeFailure, type Failure, printFailure } from './output/errors.ts';

type Build = (context: Context) => Command;

/** The subcommand that was typed: the first argument that is no option. */
function subcommand(argv: readonly string[]): string | undefined {
  return argv.find((word) => !word.startsWith('-'));
}

function beforeDashes(argv: readonly string[]): readonly string[] {
  const dashes = argv.indexOf('--');
  return dashes < 0 ? argv : argv.slice(0, dashes);
}

/** --json and --color as typed; a failure may come before commander has read them. */
function outputOptions(words: readonly string[], io: Io) {
  const at = words.lastIndexOf('--color');
  const given = words.find((word) => word.startsWith('--color='))?.slice(8) ?? words[at + 1];
  const color = colorChoices.find((choice) => choice === given) ?? 'auto';
  return failureStyle(io, { json: words.includes('--json'), color });
}

/** `status` keeps 1 and 2 for what it found: whatever goes wrong with itself is UNKNOWN. */
function failureExit(failure: Failure, command: string | undefined): ExitCode {
  return command === 'status' ? exit.statusUnknown : failure.exit;
}

function onFailure(error: unknown, argv: readonly string[], io: Io, build: Build): ExitCode {
  const command = subcommand(argv);
  const known = build(newContext(io)).commands.find((one) => one.name() === command);
  const typed = {
    command: known === undefined ? 'tsremus' : `tsremus ${command}`,
    argv,
    options: known?.options ?? [],
  };
  const described = describeFailure(error, typed);
  const failure = { ...described, exit: failureExit(described, command) };
  printFailure(io.err, failure, outputOptions(beforeDashes(argv), io));
  if (io.env['TSREMUS_DEBUG'] && error instanceof Error) io.err.write(`${error.stack}\n`);
  return failure.exit;
}

/** Runs `argv` (without node and script); returns when what it printed is out. */
export async function runCli(argv: readonly string[], io: Io, build: Build): Promise<ExitCode> {
  return run(argv, io, build).finally(() => io.err.flush());
}

async function run(argv: readonly string[], io: Io, build: Build): Promise<ExitCode> {
  const context = newContext(io);
  try {
    await build(context).parseAsync([...argv], { from: 'user' });
  } catch (error) {
    // Help and version come as errors with exit code 0, so that nothing runs after them.
    if (error instanceof CommanderError && error.exitCode === 0) return exit.ok;
    // `tsremus` alone: its help is on stderr by now, and says more than an error would.
    if (error instanceof CommanderError && error.code === 'commander.help') return exit.usage;
    return onFailure(error, argv, io, build);
  }
  await io.out.flush();
  return unwritten(io, argv) ?? context.code;
}

/** A result that could not be written (`> /dev/full`) was not given. */
function unwritten(io: Io, argv: readonly string[]): ExitCode | null {
  if (io.out.failure === null) return null;
  io.err.write(`tsremus: cannot write to standard output: ${io.out.failure}\n`);
  // A session's end says more than its unread report.
  if (subcommand(argv) === 'protect') return null;
  return subcommand(argv) === 'status' ? exit.statusUnknown : exit.failed;
}
