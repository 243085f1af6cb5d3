/** `tsremus receive`: the backup's end, started by the primary through ssh. Nobody types it. */
import { type Command, Option } from 'commander';
import { maxMemory } from '../../config/settings.ts';
import { action, type Context } from '../context.ts';
import { exit, exitOfReceive } from '../exit-codes.ts';
import { addHelp } from './options.ts';

export function addReceive(program: Command, context: Context): void {
  const command = program
    .command('receive')
    .summary('hold the copy of a domain (started by protect, over ssh)')
    .description(
      'Reads a session from standard input and answers on standard output. It is started on the ' +
        'backup host by `tsremus protect`.',
    )
    .option('-e, --no-wait', 'do not watch the guest after its activation')
    .addOption(new Option('--blackhole', 'keep nothing: the other end of protect -b').hideHelp())
    .action(
      action(context, async (flags: { readonly wait: boolean; readonly blackhole?: boolean }) => {
        if (flags.blackhole) {
          const { runBlackhole } = await import('../../app/blackhole.ts');
          await runBlackhole(context.io.env);
          return exit.ok;
        }
        const { runReceive } = await import('../../app/receive.ts');
        const result = await runReceive(
          { wait: flags.wait, maxMemoryBytes: maxMemory(undefined, context.io.env) },
          context.io.env,
          (text) => context.io.err.write(`tsremus: ${text}\n`),
        );
        return exitOfReceive(result.outcome);
      }),
    );
  addHelp(command, 'See tsremus-receive(8).');
}
