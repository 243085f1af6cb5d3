/** `tsremus resync`: will bring the disks of a returned host up to date. */
import type { Command } from 'commander';
import { adviceLine } from '../../core/texts/advice.ts';
import { OperationError } from '../../host/errors.ts';
import { action, type Context } from '../context.ts';
import { addHelp } from './options.ts';

export function addResync(program: Command, context: Context): void {
  const command = program
    .command('resync')
    .summary("bring a returned host's disks up to date (not built yet)")
    .description(
      "Brings a returned host's disks up to date. Not built yet: protect copies all of them.",
    )
    .argument('[domain]', 'name, UUID or number of the domain')
    .argument('[host]', 'the host that returned')
    .action(
      action(context, async (domain = 'DOMAIN', host = 'HOST') => {
        throw new OperationError(
          'not-built',
          'resync is not built yet: protect copies all of the disks',
          {
            op: 'resync',
            hint: adviceLine({ kind: 'protect', domain, peer: host }),
          },
        );
      }),
    );
  addHelp(command, 'See tsremus-resync(8).');
}
