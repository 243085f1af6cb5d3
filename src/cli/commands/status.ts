/**
 * `tsremus status`: reads the run directory and the names of network devices and nothing else, so
 * that it is quick and works when Xen does not. Its exit code is the worst session's: 0, 1, 2, 3 as
 * monitoring plug-ins have it.
 */
import { type Command, Option } from 'commander';
import type { HostProblem } from '../../app/listing.ts';
import { UsageError } from '../../config/usage-error.ts';
import { version } from '../../config/version.ts';
import type { Level } from '../../core/health/health.ts';
import { resyncWord } from '../../core/texts/resync.ts';
import type { MissingGuest } from '../../registry/missing.ts';
import type { BrokenEntry } from '../../registry/port.ts';
import { judgeAll, momentNow, type SessionReport, worst } from '../../registry/report.ts';
import type { ResyncStatus } from '../../registry/resync-status.ts';
import { action, type Context } from '../context.ts';
import { type ExitCode, exit, exitOfLevel } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { checkLine } from '../output/check.ts';
import { painter } from '../output/color.ts';
import { describeFailure } from '../output/errors.ts';
import { writeJson } from '../output/json.ts';
import type { Measured } from '../output/metrics.ts';
import { statusDocument, statusText } from '../output/status.ts';
import { meantBy, readable } from '../sessions.ts';
import { addHelp, colorOption, jsonOption, type OutputOptions } from './options.ts';

interface Flags extends OutputOptions {
  readonly check?: boolean;
  readonly metrics?: string;
  readonly showConfig?: boolean;
  /** True: no seconds were named. */
  readonly watch?: string | true;
}

/** Everything that `status` found. */
export interface Findings {
  readonly level: Level;
  readonly reports: readonly SessionReport[];
  readonly broken: readonly BrokenEntry[];
  /** Guests that are declared here, by their names. */
  readonly declared: readonly string[];
  /** Of them those that no session here protects or holds a copy of. */
  readonly missing: readonly MissingGuest[];
  /** Copies and comparisons of disks that run without a session. */
  readonly resyncs: readonly ResyncStatus[];
  /** What is wrong with this host and not with one session, sentences. */
  readonly problems: readonly HostProblem[];
  /** One domain was named: its figures are shown as well. */
  readonly detailed: boolean;
  /** What to say when there is no session. */
  readonly empty: string;
}

/** Of one guest, or of all; declared ones that have no session, too. */
async function find(io: Io, domain: string | undefined): Promise<Findings> {
  const {
    copiesHere,
    fullDisks,
    leftMirrors,
    listEverything,
    listResyncs,
    listSinceBoot,
    missingGuests,
    refusedDisks,
  } = await import('../../app/listing.ts');
  const { declaredGuests } = await import('../../app/settings-files.ts');
  const declared = declaredGuests(io.env).filter((name) => domain === undefined || name === domain);
  // Where a guest is declared it is no unknown that none has a session: it is bad. And where disks
  // are marked there is something to be said.
  const isMarked =
    (await refusedDisks(io.env, [])).length > 0 ||
    (domain !== undefined && (await copiesHere(domain, io.env, [])) !== null);
  const list = declared.length === 0 && !isMarked ? listEverything : listSinceBoot;
  const { sessions, broken } = await list(io.env);
  const all = judgeAll(sessions, momentNow(io));
  const reports = domain === undefined ? all : meantBy(io, domain, all);
  const copied = listResyncs(io.env);
  const resyncs = copied.filter(
    (one) => domain === undefined || one.domain === domain || one.uuid === domain,
  );
  const missing = await missingGuests(declared, sessions, io.env);
  const known = [...reports, ...missing, ...resyncs];
  const isUnknown = domain !== undefined && known.length === 0;
  const unknown: Level[] = isUnknown || broken.length > 0 ? ['unknown'] : [];
  const full = reports.length === 0 ? [] : fullDisks(io.env);
  const left = await leftMirrors(io.env, sessions, copied);
  const problems = [...full, ...left, ...(await refusedDisks(io.env, sessions))];
  const none = `there is no session of ${domain} on this host`;
  const copies = isUnknown ? await copiesHere(domain, io.env, sessions) : null;
  const warning: Level[] = problems.length + resyncs.length > 0 ? ['warning'] : [];
  const judged = [...reports, ...missing].map(({ level }) => level);
  return {
    level: worst([...judged, ...unknown, ...warning]),
    reports,
    declared,
    missing,
    broken,
    resyncs,
    problems,
    detailed: domain !== undefined,
    empty: domain === undefined ? 'no sessions' : copies === null ? none : `${none}; ${copies}`,
  };
}

/** With --check even a failure is a line on stdout: that is all that a monitor shows. */
function checkFailure(io: Io, error: unknown): ExitCode {
  const { message, hints } = describeFailure(error, {
    command: 'tsremus status',
    argv: io.argv,
    options: [],
  });
  const empty = [message, ...hints].join('; ');
  io.out.write(checkLine({ level: 'unknown', reports: [], missing: [], empty }));
  return exit.statusUnknown;
}

/** Written even where nothing could be found out: a monitor shall see that. */
async function writeMetrics(
  io: Io,
  target: string,
  {
    broken,
    level,
    ...found
  }: Omit<Measured, 'exitCode' | 'unreadable' | 'version'> & Pick<Findings, 'broken' | 'level'>,
): Promise<void> {
  const { metricsText } = await import('../output/metrics.ts');
  const exitCode = exitOfLevel(level);
  const text = metricsText({ ...found, exitCode, unreadable: broken.length, version });
  if (target === '-') return io.out.write(text);
  const { replaceFile } = await import('../../app/metrics-file.ts');
  replaceFile(target, text);
}

/** What holds for the next session here, and who says so. */
async function showConfig(
  io: Io,
  domain: string | undefined,
  { json = false }: Flags,
): Promise<ExitCode> {
  const { fileValues, guestSettings } = await import('../../app/settings-files.ts');
  const { shownSettings } = await import('../../config/settings-file.ts');
  const isOfGuest = domain !== undefined;
  const values = await (isOfGuest ? guestSettings(domain, io.env) : fileValues(io.env));
  const settings = shownSettings(values, io.env, isOfGuest);
  if (json) writeJson(io.out, { settings });
  else {
    const { configText } = await import('../output/config.ts');
    io.out.write(configText(settings));
  }
  return exit.ok;
}

/** Looks again and again, until whoever reads it has enough. */
async function showAgain(
  io: Io,
  domain: string | undefined,
  { watch: given = true, color }: Flags,
): Promise<ExitCode> {
  const { isScreen, watch, watchSeconds } = await import('../watch.ts');
  const { openScreen, plainScreen } = await import('../../app/screen.ts');
  const { thisHost } = await import('../../app/host.ts');
  const { hostName } = thisHost(io.env).settings;
  const { out } = io;
  const options = { seconds: watchSeconds(given), color, hostName, find: () => find(io, domain) };
  const plain = () =>
    plainScreen(
      (text) => out.write(text),
      () => out.flush(),
      () => !out.isGone,
      out.columns,
    );
  const screen = isScreen(io) ? openScreen() : plain();
  const level = await watch(io, screen, options).finally(() => screen.close());
  return exitOfLevel(level);
}

const formats = ['json', 'check', 'metrics', 'watch'] as const;

function checkFormats(flags: Flags): void {
  const given = formats.filter((name) => flags[name] !== undefined).map((name) => `--${name}`);
  if (given.length > 1) throw new UsageError(`${given.join(' and ')} are two formats`);
  if (flags.metrics === '') throw new UsageError('--metrics: the name of the file is empty');
}

async function status(io: Io, domain: string | undefined, flags: Flags): Promise<ExitCode> {
  checkFormats(flags);
  if (flags.showConfig) {
    if (flags.check || flags.metrics !== undefined || flags.watch !== undefined) {
      throw new UsageError('--show-config is of no session: it goes with --json alone');
    }
    return showConfig(io, domain, flags);
  }
  if (flags.watch !== undefined) return showAgain(io, domain, flags);
  let findings: Findings;
  try {
    findings = await find(io, domain);
  } catch (thrown) {
    const error = readable(thrown, io);
    if (flags.check) return checkFailure(io, error);
    const nothing = {
      reports: [],
      declared: [],
      missing: [],
      broken: [],
      level: 'unknown',
    } as const;
    if (flags.metrics !== undefined) await writeMetrics(io, flags.metrics, nothing);
    throw error;
  }
  if (flags.metrics !== undefined) {
    await writeMetrics(io, flags.metrics, findings);
    // How the sessions are is in the metrics; a timer that writes them has not failed.
    return exit.ok;
  }
  const code = exitOfLevel(findings.level);
  if (flags.json) writeJson(io.out, statusDocument(findings, code));
  else if (flags.check) {
    const unreadable = findings.broken.map(({ statusPath, reason }) => `${statusPath}: ${reason}`);
    const resyncs = findings.resyncs.map((one) => `${one.domain} ${resyncWord(one)}`);
    const others = [...resyncs, ...unreadable, ...findings.problems.map(({ text }) => text)];
    io.out.write(checkLine(findings, others));
  } else {
    const paint = painter(flags.color, io.env, io.out);
    io.out.write(statusText(findings, paint));
  }
  return code;
}

export function addStatus(program: Command, context: Context): void {
  const command = program
    .command('status')
    .summary('show sessions; the exit code is the worst one')
    .description(
      'Shows the sessions of this host, the worst last, with what happened and what to type next.',
    )
    .argument('[domain]', 'name, UUID or number of the domain')
    .addOption(jsonOption('print one JSON document'))
    .addOption(new Option('--check', 'print one line for a monitoring plug-in'))
    .addOption(
      new Option('--metrics <file>', "write metrics for Prometheus to FILE as a whole; '-': print"),
    )
    .addOption(new Option('--watch [sec]', 'draw it again every SEC seconds (default: 1)'))
    .addOption(
      new Option(
        '--show-config',
        'show the settings of the next session, of DOMAIN if it is named, and whence they are',
      ),
    )
    .addOption(colorOption())
    .action(
      action(context, (domain: string | undefined, flags: Flags) =>
        status(context.io, domain, flags),
      ),
    );
  addHelp(
    command,
    'Exit codes: 0 protected, standby, or no sessions and none declared, 1 seeding or late,',
    '2 unprotected, held, taken over or missing, 3 unknown or no such domain.',
    'See tsremus-status(8); tsremus-runbook(7): what to do in each state.',
  );
}
