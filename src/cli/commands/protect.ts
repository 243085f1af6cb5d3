/** `tsremus protect DOMAIN HOST`: starts a session and shows it until it ends. */
import { type Command, Option } from 'commander';
import type { ProtectOptions, ProtectResult } from '../../session/options.ts';
import { action, type Context } from '../context.ts';
import { addDiskOptions } from '../disk-arguments.ts';
import type { ExitCode } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { protectArguments } from '../protect-arguments.ts';
import { printResult, type ReportFlags, reporterFor } from '../protect-report.ts';
import { protectInWindow } from '../protect-window.ts';
import { addHelp, colorOption, forceUnsafeOption, jsonOption } from './options.ts';

interface Flags extends ReportFlags {
  readonly foreground?: boolean;
}

/** The session in this very process. */
async function protectHere(io: Io, options: ProtectOptions, flags: ReportFlags): Promise<ExitCode> {
  const { runProtect } = await import('../../app/protect.ts');
  const { domain } = options;
  const reporter = reporterFor(io, domain, flags, () => io.clock.wall());
  let result: ProtectResult;
  try {
    result = await runProtect(options, reporter, io.env, 'here');
  } finally {
    reporter.close();
  }
  return printResult(io, result, domain, options.host, flags);
}

async function protect(
  io: Io,
  domain: string,
  host: string | undefined,
  flags: Flags,
): Promise<ExitCode> {
  // What is wrong with the arguments is said before anything is started.
  const options = await protectArguments(domain, host, flags, io.env);
  if (flags.foreground) return protectHere(io, options, flags);
  return protectInWindow(io, options, flags);
}

function addXlOptions(command: Command): Command {
  return command
    .option('-i, --interval <ms>', 'from a commit to the next checkpoint, ms, or auto (default)')
    .option('-u, --no-compression', 'send what changed as it is')
    .option('-s, --ssh-command <cmd>', "carry the stream with CMD; '' runs HOST as a command")
    .option('-e, --no-wait', 'let no process see to the end of the guest, here or on HOST')
    .option('-N, --netbuf-script <file>', 'let a script of xl remus make the output buffer')
    .addOption(forceUnsafeOption('allow the options that give up a guarantee', '-F'))
    .option('-b, --blackhole', 'copy to nowhere, to measure; needs no HOST (with -F)')
    .option('-n, --no-network', 'do not buffer what the guest sends (with -F)')
    .option('-d, --no-disk', 'do not copy disks (with -F)')
    .option('-c, --colo', 'coarse-grained lock-stepping (not built yet)')
    .option('-p, --userspace-proxy', 'COLO with the proxy in user space (not built yet)');
}

/** What a session is told, by whatever name. */
export function addProtectArguments(command: Command): Command {
  addXlOptions(
    command
      .argument('<domain>', 'name, UUID or number of the domain')
      .argument(
        '[host]',
        'the backup host, as ssh knows it; not with -b, nor for a declared guest',
      ),
  );
  return addDiskOptions(command)
    .option('--max-overhead <percent>', 'with auto: share of time for pauses (default: 20)')
    .option('--max-pending <count>', 'epochs that may wait for acknowledgement (default: 2)')
    .option('--max-memory <size>', 'memory to use here, such as 512M (default: a quarter)')
    .option('--buffer-limit <size>', 'output held per interface, of memory here (default: 64M)')
    .option('--heartbeat-timeout <ms>', 'silence after which HOST takes over, ms (default: 1000)')
    .option('--hold <ms>', 'time from the end of the link to the takeover, ms (default: 3000)')
    .option('--await-guest <s>', 'time for which a guest that does not run is waited for, s')
    .option('--without-witness <who>', 'backup, primary or manual: who goes on (default: backup)')
    .option('--save-helper <which>', 'own or stock: what makes the checkpoints (default: own)')
    .addOption(
      new Option(
        '--allow <key>',
        'protect a guest although KEY may not be copied (with -F)',
      ).argParser((key: string, keys: string[] = []) => [...keys, key]),
    )
    .option('--no-check', 'do not look first at what check looks at of both hosts')
    .addOption(new Option('--save', 'declare the guest: write what is typed into guests.d'))
    .addOption(new Option('-q, --quiet', 'say nothing unless something is wrong'))
    .addOption(jsonOption('report as JSON lines on stdout'))
    .addOption(colorOption());
}

export function addProtect(program: Command, context: Context): void {
  const command = program
    .command('protect')
    .summary('protect a running domain by a copy on HOST')
    .description(
      'Copies the running DOMAIN to HOST again and again, and stays until protection ends. ' +
        'Ctrl-C ends it in order: the guest runs on here.',
    );
  addProtectArguments(command)
    .option('--foreground', 'run the session in this process, for systemd')
    .action(
      action(context, (domain: string, host: string | undefined, flags: Flags) =>
        protect(context.io, domain, host, flags),
      ),
    );
  addHelp(
    command,
    'Example:',
    '  tsremus protect web1 hostb',
    '',
    'See tsremus-protect(8); tsremus-xl-remus(7): the options of xl remus.',
  );
}
