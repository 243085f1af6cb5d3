/** `tsremus resync DOMAIN [HOST]`: brings the disks of a host up to date, or compares them. */
import type { Command } from 'commander';
import { Option } from 'commander';
import { resyncRate } from '../../config/resync-rate.ts';
import { sshCommand } from '../../config/settings.ts';
import { UsageError } from '../../config/usage-error.ts';
import { adviceLine } from '../../core/texts/advice.ts';
import type { ResyncOptions, ResyncResult } from '../../session/resync/options.ts';
import { action, type Context } from '../context.ts';
import type { ExitCode } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { reporterFor } from '../protect-report.ts';
import { peerOf } from '../sessions.ts';
import { addHelp, colorOption, jsonOption, type OutputOptions } from './options.ts';

interface Flags extends OutputOptions {
  readonly sshCommand?: string;
  readonly compression: boolean;
  readonly resyncRate?: string;
  readonly verify?: boolean;
  readonly quiet?: boolean;
}

function hostFor(io: Io, domain: string, host: string | undefined): string {
  const named = host ?? peerOf(io, domain);
  if (named === null) {
    const text = `HOST is missing: no session of ${domain} on this host says which it was`;
    throw new UsageError(text, adviceLine({ kind: 'see-help', command: 'tsremus resync' }));
  }
  return named;
}

function optionsOf(
  io: Io,
  domain: string,
  host: string | undefined,
  flags: Flags,
  env: Io['env'],
): ResyncOptions {
  if (domain === '') throw new UsageError('DOMAIN is empty', adviceLine({ kind: 'list-guests' }));
  const command = sshCommand(flags.sshCommand, env);
  const peer = hostFor(io, domain, host);
  if (peer.trim() === '') throw new UsageError('HOST is empty');
  // ssh would take it for an option of its own.
  if (command !== '' && peer.startsWith('-')) {
    throw new UsageError(`HOST ${JSON.stringify(peer)} starts with a dash`);
  }
  return {
    ...{ domain, host: peer, sshCommand: command, compression: flags.compression },
    bytesPerSecond: resyncRate(flags.resyncRate),
    isVerified: flags.verify ?? false,
    argv: io.argv,
  };
}

async function resync(
  io: Io,
  domain: string,
  host: string | undefined,
  flags: Flags,
): Promise<ExitCode> {
  const { sessionEnvironment } = await import('../../app/settings-files.ts');
  const options = optionsOf(io, domain, host, flags, await sessionEnvironment(io.env));
  const { runResync } = await import('../../app/resync.ts');
  const reporter = reporterFor(io, domain, flags, () => io.clock.wall());
  let result: ResyncResult;
  try {
    result = await runResync(options, reporter, io.env);
  } finally {
    reporter.close();
  }
  const { printResync } = await import('../output/resync.ts');
  return printResync(io, result, options.host, flags);
}

export function addResync(program: Command, context: Context): void {
  const command = program
    .command('resync')
    .summary("bring a returned host's disks up to date")
    .description(
      'Makes the disks of DOMAIN on HOST as they are here, while it runs: sends what differs. ' +
        'No protection: what DOMAIN writes later is not copied.',
    )
    .argument('<domain>', 'name, UUID or number of the domain')
    .argument('[host]', 'whose disks; else the one it was protected with')
    .option('-s, --ssh-command <cmd>', "carry the disks with CMD; '' runs HOST as a command")
    .option('-u, --no-compression', 'send what differs as it is')
    .option('--resync-rate <rate>', 'read no more of the disks in a second, such as 50M')
    .option('--verify', 'write nothing: say what differs')
    .addOption(new Option('-q, --quiet', 'say nothing unless something is wrong'))
    .addOption(jsonOption('report as JSON lines on stdout'))
    .addOption(colorOption())
    .action(
      action(context, (domain: string, host: string | undefined, flags: Flags) =>
        resync(context.io, domain, host, flags),
      ),
    );
  addHelp(
    command,
    'Example:',
    '  tsremus resync web1 hosta',
    '',
    'Exit codes: 0 equal, 20 --verify found what differs.',
    'See tsremus-resync(8).',
  );
}
