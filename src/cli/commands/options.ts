/** Options that several commands share, so that they are spelt once. */
import { type Command, Option } from 'commander';
import type { Io } from '../io.ts';
import { type ColorChoice, colorChoices, painter } from '../output/color.ts';

export interface OutputOptions {
  readonly json?: boolean;
  readonly color: ColorChoice;
}

/** How a command with these options prints its failures. */
export function failureStyle(io: Io, flags: OutputOptions) {
  return { json: flags.json ?? false, paint: painter(flags.color, io.env, io.err) };
}

export function jsonOption(what: string): Option {
  return new Option('--json', what);
}

export function colorOption(): Option {
  return new Option('--color <when>', 'when to colour').choices([...colorChoices]).default('auto');
}

export function forceUnsafeOption(what: string, letter = ''): Option {
  return new Option(`${letter === '' ? '' : `${letter}, `}--force-unsafe`, what);
}

/** Adds what stands below the options in `COMMAND --help`. */
export function addHelp(command: Command, ...lines: string[]): Command {
  return command.addHelpText('after', `\n${lines.join('\n')}`);
}
