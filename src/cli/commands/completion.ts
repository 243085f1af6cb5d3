/**
 * `tsremus completion SHELL` prints what the shell has to be told once; the hidden
 * `tsremus __complete` is asked by that at every press of the key.
 */
import { Argument, type Command } from 'commander';
import { action, type Context } from '../context.ts';
import { type ExitCode, exit } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { addHelp } from './options.ts';

/** Of the module that is loaded when it is needed; a test holds them to each other. */
export const shellNames = ['bash', 'zsh', 'fish'] as const;

/** What fails is no candidate: a shell has no place for an error. */
async function answer(
  io: Io,
  program: Command,
  words: readonly string[],
  line: string | undefined,
): Promise<ExitCode> {
  const { complete, wordsOfLine } = await import('../completion/complete.ts');
  const { filesLine } = await import('../completion/scripts.ts');
  const { liveNames } = await import('../../app/live-names.ts');
  const typed = line === undefined ? words : wordsOfLine(line).slice(1);
  const found = await complete(program, typed, liveNames(io.env));
  if (found.kind === 'files') io.out.write(`${filesLine}\n`);
  else io.out.write(found.all.map(({ word, about }) => `${word}\t${about}\n`).join(''));
  return exit.ok;
}

export function addCompletion(program: Command, context: Context): void {
  const { io } = context;
  const command = program
    .command('completion')
    .summary('print the completion for a shell')
    .description(
      'Prints what SHELL has to read once so that it completes commands, options and names.',
    )
    .addArgument(new Argument('<shell>', 'the shell').choices([...shellNames]))
    .action(
      action(context, async (shell: (typeof shellNames)[number]) => {
        const { scriptFor } = await import('../completion/scripts.ts');
        io.out.write(scriptFor(shell));
        return exit.ok;
      }),
    );
  addHelp(
    command,
    'Example:',
    '  eval "$(tsremus completion bash)"',
    '',
    'See tsremus-completion(8).',
  );
  program
    .command('__complete', { hidden: true })
    .description('Prints what may stand for the last word.')
    .argument('[words...]')
    .option('--line <line>', 'the line up to the cursor, as it was typed')
    .action(
      action(context, (words: string[], { line }: { readonly line?: string }) =>
        answer(io, program, words, line),
      ),
    );
}
