/** `tsremus guard`: hidden; protect starts it beside itself (src/guest/guard.ts). */
import type { Command } from 'commander';
import type { Context } from '../context.ts';
import type { ExitCode } from '../exit-codes.ts';
import { guardName } from '../root.ts';

export function addGuard(program: Command, context: Context): void {
  program
    .command(guardName, { hidden: true })
    .description('Resumes a guest that a killed protect left suspended.')
    .argument('[arguments...]')
    .allowUnknownOption()
    .action(async (argv: string[]) => {
      const { runGuard } = await import('../../app/guard.ts');
      context.code = (await runGuard(argv, context.io.env)) as ExitCode;
    });
}
