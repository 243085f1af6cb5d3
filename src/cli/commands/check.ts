/** `tsremus check`: the requirements of protection, looked at on both hosts; changes nothing. */
import { type Command, Option } from 'commander';
import { sshCommand } from '../../config/settings.ts';
import { UsageError } from '../../config/usage-error.ts';
import { action, type Context } from '../context.ts';
import { addDiskPlaces, diskOptions } from '../disk-arguments.ts';
import { type ExitCode, exitOfCheck } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { painter } from '../output/color.ts';
import { writeJson } from '../output/json.ts';
import { addHelp, colorOption, jsonOption, type OutputOptions } from './options.ts';

interface Flags extends OutputOptions {
  readonly sshCommand?: string;
  readonly allow?: readonly string[];
  readonly network: boolean;
  /** As for protect. */
  readonly disk: boolean | readonly string[];
  readonly initDisk?: readonly string[];
  readonly fix?: boolean;
}

/** What `protect` would be told of the guest: by its file, too, if it is declared. */
async function asProtected(
  { env }: Io,
  domain: string | undefined,
  host: string | undefined,
  flags: Flags,
) {
  const { sessionEnvironment, underFiles } = await import('../../app/settings-files.ts');
  if (domain === undefined) return { host, flags, env: await sessionEnvironment(env) };
  // Options of protect that say nothing of what is looked at.
  return underFiles(domain, host, { ...flags, compression: true, wait: true }, env);
}

async function check(
  io: Io,
  domain: string | undefined,
  host: string | undefined,
  flags: Flags,
): Promise<ExitCode> {
  if (domain === '') throw new UsageError('the domain is empty');
  if (domain === undefined && (typeof flags.disk === 'object' || flags.initDisk !== undefined)) {
    throw new UsageError('--disk and --init-disk speak of a guest, and no DOMAIN is named');
  }
  const { runCheck } = await import('../../app/check.ts');
  const { env, flags: meant, ...under } = await asProtected(io, domain, host, flags);
  const { network, allow = [] } = meant;
  const result = await runCheck(
    {
      ...{ domain, host: under.host, fix: flags.fix ?? false, argv: io.argv },
      sshCommand: sshCommand(meant.sshCommand, env),
      unsafe: { network, disk: meant.disk !== false, allow },
      disks: diskOptions({ disk: meant.disk, initDisk: flags.initDisk ?? [] }),
    },
    env,
  );
  const { checkDocument, checkText, worstOf } = await import('../output/check-lines.ts');
  const code = exitOfCheck(worstOf(result.lines));
  if (flags.json) writeJson(io.out, checkDocument(result, code));
  else io.out.write(checkText(result, painter(flags.color, io.env, io.out)));
  return code;
}

export function addCheck(program: Command, context: Context): void {
  const command = addDiskPlaces(program.command('check'))
    .summary('look whether a domain can be protected on HOST')
    .description(
      'Looks at everything that protection needs: of this host, of DOMAIN, and of HOST for it. ' +
        'Changes nothing, and says what to type where something is missing.',
    )
    .argument('[domain]', 'name, UUID or number of the domain')
    .argument('[host]', 'the backup host, as ssh knows it')
    .option('-s, --ssh-command <cmd>', "carry the question with CMD; '' runs HOST as a command")
    .option('-n, --no-network', 'as protect -n would do')
    .option('-d, --no-disk', 'as protect -d would do')
    .addOption(
      new Option('--allow <key>', 'as protect --allow would do').argParser(
        (key: string, keys: string[] = []) => [...keys, key],
      ),
    )
    .option('--fix', 'load the modules that are needed here, now and at every boot')
    .addOption(jsonOption('print one JSON document'))
    .addOption(colorOption())
    .action(
      action(context, (domain: string | undefined, host: string | undefined, flags: Flags) =>
        check(context.io, domain, host, flags),
      ),
    );
  addHelp(
    command,
    'Example:',
    '  tsremus check web1 hostb',
    '',
    'Exit codes: 0 nothing stands in the way, 10 something does, 12 no such domain.',
    'See tsremus-check(8); tsremus-requirements(7): what each line is about.',
  );
}
