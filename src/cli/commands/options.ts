/** Options that several commands share, so that they are spelt once. */
import { type Command, Option } from 'commander';
import { type ColorChoice, colorChoices } from '../output/color.ts';

export interface OutputOptions {
  readonly json?: boolean;
  readonly color: ColorChoice;
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
