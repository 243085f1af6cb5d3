/** `tsremus drill DOMAIN`, on the primary: rehearse the death of this host. */
import { type Command, Option } from 'commander';
import { action, type Context } from '../context.ts';
import type { DrillFlags } from '../drill.ts';
import { addHelp, colorOption, jsonOption } from './options.ts';

export function addDrill(program: Command, context: Context): void {
  const command = program
    .command('drill')
    .summary('rehearse the death of this host')
    .description(
      'Stops the session of DOMAIN as if this host had died, so that the backup takes over, and ' +
        'has it protected back. Refused where that is not safe. Says what it is about to do, ' +
        'and asks.',
    )
    .argument('<domain>', 'name, UUID or number of the domain')
    .addOption(new Option('-y, --yes', 'do not ask'))
    .addOption(new Option('--dry-run', 'look whether it is safe, say the plan, do nothing'))
    .addOption(new Option('--limit <seconds>', 'how long the guest may stand still').default('10'))
    .addOption(new Option('--no-back', 'leave it on the other host, unprotected'))
    .addOption(new Option('--back-peer <host>', 'this host as the other one reaches it'))
    .addOption(
      new Option('--back-limit <seconds>', 'how long protecting it back may take').default('3600'),
    )
    .addOption(jsonOption('report as one JSON document on stdout (needs --yes or --dry-run)'))
    .addOption(colorOption())
    .action(
      action(context, async (domain: string, flags: DrillFlags) => {
        const { drill } = await import('../drill.ts');
        return drill(context.io, domain, flags);
      }),
    );
  addHelp(command, 'See tsremus-drill(8).');
}
