/** `tsremus protect DOMAIN HOST`: starts a session and stays until it ends. */
import { type Command, Option } from 'commander';
import { protectText } from '../../core/texts/outcomes.ts';
import type { ProtectReporter, ProtectResult } from '../../session/options.ts';
import { action, type Context } from '../context.ts';
import { type ExitCode, exit, exitOfProtect } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { printFailure } from '../output/errors.ts';
import { figuresText } from '../output/figures.ts';
import { writeJsonLine } from '../output/json.ts';
import { ProgressLine } from '../output/progress.ts';
import { printable } from '../output/table.ts';
import { type ProtectFlags, protectOptions } from '../protect-arguments.ts';
import {
  addHelp,
  colorOption,
  failureStyle,
  forceUnsafeOption,
  jsonOption,
  type OutputOptions,
} from './options.ts';

interface Flags extends ProtectFlags, OutputOptions {
  readonly quiet?: boolean;
}

interface ClosingReporter extends ProtectReporter {
  /** Leaves the terminal in order. */
  close(): void;
}

/** JSON lines on stdout, every report one object. */
function jsonReporter(io: Io, domain: string): ClosingReporter {
  return {
    seedProgress(progress) {
      writeJsonLine(io.out, 'seed-progress', io.clock.wall(), {
        domain,
        percent: progress.percent,
        bytes: progress.bytes,
        bytes_per_second: progress.bytesPerSecond,
        seconds_left: progress.secondsLeft,
      });
    },
    event(kind, text, data) {
      writeJsonLine(io.out, kind, io.clock.wall(), { domain, text, ...data });
    },
    close() {},
  };
}

/** Lines on stderr: stdout has the result alone. */
function textReporter(io: Io, domain: string): ClosingReporter {
  const progress = new ProgressLine(io.err, printable(domain), () => io.clock.nowMs());
  return {
    seedProgress: (seed) => progress.update(seed),
    event(_kind, text) {
      progress.clear();
      io.err.write(`${printable(domain)}: ${printable(text)}\n`);
    },
    close: () => progress.clear(),
  };
}

const silentReporter: ClosingReporter = { seedProgress() {}, event() {}, close() {} };

function reporterFor(io: Io, domain: string, flags: Flags): ClosingReporter {
  if (flags.json) return jsonReporter(io, domain);
  return flags.quiet ? silentReporter : textReporter(io, domain);
}

/** True when the end is what somebody asked for, and therefore no failure. */
function wanted(code: ExitCode): boolean {
  return code === exit.ok || code === exit.interrupted || code === exit.terminated;
}

function printResult(io: Io, result: ProtectResult, domain: string, host: string, flags: Flags) {
  const { message, next } = protectText(result, { domain, peer: host, argv: io.argv });
  const code = exitOfProtect(result.outcome);
  if (flags.json) {
    const { kind, ...detail } = result.outcome;
    const figures = result.figures === undefined ? {} : { figures: result.figures };
    const end = { domain, outcome: kind, ...detail, text: message, next, exit: code, ...figures };
    writeJsonLine(io.out, 'result', io.clock.wall(), end);
  } else if (wanted(code) && !flags.quiet) {
    io.out.write(`${printable(message)}\n`);
  }
  // What a measurement is for, even with --quiet.
  if (result.figures !== undefined && !flags.json) io.out.write(figuresText(result.figures));
  if (!wanted(code)) {
    const failure = { code: result.outcome.kind, message, hints: next, exit: code };
    printFailure(io.err, failure, failureStyle(io, flags));
  }
  return code;
}

async function protect(
  io: Io,
  domain: string,
  host: string | undefined,
  flags: Flags,
): Promise<ExitCode> {
  const options = protectOptions(domain, host, flags, io.env);
  const { runProtect } = await import('../../app/protect.ts');
  const reporter = reporterFor(io, domain, flags);
  let result: ProtectResult;
  try {
    result = await runProtect(options, reporter, io.env);
  } finally {
    reporter.close();
  }
  return printResult(io, result, domain, options.host, flags);
}

function addXlOptions(command: Command): Command {
  return command
    .option('-i, --interval <ms>', 'from a commit to the next checkpoint, ms, or auto (default)')
    .option('-u, --no-compression', 'send what changed as it is')
    .option('-s, --ssh-command <cmd>', "carry the stream with CMD; '' runs HOST as a command")
    .option('-e, --no-wait', 'let no process on HOST watch the guest after a failover')
    .option('-N, --netbuf-script <file>', 'let a script of xl remus make the output buffer')
    .addOption(forceUnsafeOption('allow the options that give up a guarantee', '-F'))
    .option('-b, --blackhole', 'copy to nowhere, to measure; needs no HOST (with -F)')
    .option('-n, --no-network', 'do not buffer what the guest sends (with -F)')
    .option('-d, --no-disk', 'do not copy disks (with -F)')
    .option('-c, --colo', 'coarse-grained lock-stepping (not built yet)')
    .option('-p, --userspace-proxy', 'COLO with the proxy in user space (not built yet)');
}

export function addProtect(program: Command, context: Context): void {
  const command = program
    .command('protect')
    .summary('protect a running domain by a copy on HOST')
    .description(
      'Copies the running DOMAIN to HOST again and again, and stays until protection ends. ' +
        'Ctrl-C ends it in order: the guest runs on here.',
    )
    .argument('<domain>', 'name, UUID or number of the domain')
    .argument('[host]', 'the backup host, as ssh knows it; not with -b');
  addXlOptions(command)
    .option('--max-overhead <percent>', 'with auto: share of time for pauses (default: 20)')
    .option('--max-pending <count>', 'epochs that may wait for acknowledgement (default: 2)')
    .option('--max-memory <size>', 'memory to use here, such as 512M (default: a quarter)')
    .option('--buffer-limit <size>', 'output held per interface, of memory here (default: 64M)')
    .option('--heartbeat-timeout <ms>', 'silence after which HOST takes over, ms (default: 1000)')
    .option('--hold <ms>', 'time from the end of the link to the takeover, ms (default: 3000)')
    .option('--without-witness <who>', 'backup, primary or manual: who goes on (default: backup)')
    .addOption(
      new Option(
        '--allow <key>',
        'protect a guest although KEY may not be copied (with -F)',
      ).argParser((key: string, keys: string[] = []) => [...keys, key]),
    )
    .addOption(new Option('-q, --quiet', 'say nothing unless something is wrong'))
    .addOption(jsonOption('report as JSON lines on stdout'))
    .addOption(colorOption())
    .action(
      action(context, (domain: string, host: string | undefined, flags: Flags) =>
        protect(context.io, domain, host, flags),
      ),
    );
  addHelp(command, 'Example:', '  tsremus protect web1 hostb', '', 'See tsremus-protect(8).');
}
