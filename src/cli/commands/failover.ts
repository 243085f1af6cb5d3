/** `tsremus failover DOMAIN`, on the backup: run the copy now. Refused while its primary lives. */
import { type Command, Option } from 'commander';
import { UsageError } from '../../config/usage-error.ts';
import { type Advice, adviceLine, adviceLines } from '../../core/texts/advice.ts';
import { hostWord } from '../../core/texts/quote.ts';
import { formatMs } from '../../core/units.ts';
import type { FailoverPlan, FailoverResult } from '../../registry/control.ts';
import { isSettled, type SessionEntry } from '../../registry/port.ts';
import { action, type Context } from '../context.ts';
import { type ExitCode, exit } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { CommandFailure } from '../output/errors.ts';
import { writeJson } from '../output/json.ts';
import { printable } from '../output/table.ts';
import { registryOf, sessionsOf } from '../sessions.ts';
import {
  addHelp,
  colorOption,
  forceUnsafeOption,
  jsonOption,
  type OutputOptions,
} from './options.ts';

interface Flags extends OutputOptions {
  readonly yes?: boolean;
  readonly dryRun?: boolean;
  readonly forceUnsafe?: boolean;
}

function failed(code: string, message: string, ...advice: Advice[]): CommandFailure {
  return new CommandFailure({ code, message, hints: adviceLines(advice), exit: exit.failed });
}

/** The session whose copy can be run here; refuses with what to type instead. */
async function copyOf(io: Io, domain: string): Promise<SessionEntry> {
  const entries = await sessionsOf(io, domain);
  const show = { kind: 'show', domain } as const;
  const backups = entries.filter(({ status }) => status.role === 'backup');
  const open = backups.find(({ status }) => !isSettled(status));
  if (open?.liveness === 'alive') return open;
  if (open !== undefined) {
    throw failed(
      'copy-lost',
      `no copy of ${domain} is held here any more: process ${open.status.pid} that held it is dead`,
      show,
    );
  }
  const active = backups.find(({ status }) => status.state === 'active');
  if (active !== undefined) {
    throw failed('active', `the copy of ${domain} runs here already`, show);
  }
  const primary = entries.find(({ status }) => status.role === 'primary');
  if (primary !== undefined && !isSettled(primary.status)) {
    const { peer } = primary.status;
    throw failed(
      'wrong-host',
      `${domain} runs on this host; its copy is on ${hostWord(peer)}`,
      { kind: 'failover-there', domain, peer },
      { kind: 'stop-here', domain },
    );
  }
  throw failed('no-copy', `no copy of ${domain} is held here`, show);
}

function planLines({ status }: SessionEntry, plan: FailoverPlan): string[] {
  const { domain, epoch, ack_age_ms: age } = status;
  const peer = hostWord(status.peer);
  const old = age === null ? '' : ` (${formatMs(age)} old)`;
  const from =
    epoch === null
      ? 'there is no whole copy yet: there is nothing to run'
      : `the copy of epoch ${epoch} will run here, now${old}`;
  return [
    `failover of ${domain} from ${peer} to this host:`,
    `  ${from}`,
    ...plan.primary.map((known) => `  ${known}`),
    `  if ${domain} still runs on ${peer}, what it did since that epoch is lost`,
    ...(status.buffered ? [] : twiceLines(domain, peer)),
    ...(plan.needs === 'word' ? vouchLines(domain, peer) : []),
  ];
}

/**
 * With -n nothing holds back the primary's guest once tsremus has died there (DESIGN.md, "Who may
 * go on"): an administrator who goes on here vouches for it.
 */
function twiceLines(domain: string, peer: string): string[] {
  return [
    `  WARNING: protected with -n: nothing keeps ${domain} on ${peer} from running on`,
    `  if it does, TWO GUESTS RUN: both answer as ${domain}, both write what they share`,
    `  make sure first that ${peer} is off, or that xl list there does not show ${domain}`,
  ];
}

/** Where it was agreed that the primary goes on by itself, it may have done so. */
function vouchLines(domain: string, peer: string): string[] {
  return [
    `  WARNING: it was agreed that ${domain} goes on on ${peer} by itself when the hosts part`,
    `  if it runs there, TWO GUESTS RUN, and what its clients were told since is not in this copy`,
    `  make sure first that ${peer} is off, or that xl list there does not show ${domain}`,
  ];
}

function refusal(entry: SessionEntry, reason: string): CommandFailure {
  const { domain, peer } = entry.status;
  return new CommandFailure({
    code: 'split-brain-risk',
    message: `failover of ${domain} is refused: ${reason}`,
    hints: [adviceLine({ kind: 'stop-there', domain, peer })],
    exit: exit.refused,
  });
}

async function confirmed(
  io: Io,
  { status }: SessionEntry,
  needsWord: boolean,
  flags: Flags,
): Promise<boolean> {
  if (flags.forceUnsafe || (flags.yes && !needsWord)) return true;
  if (flags.yes) {
    const hint = adviceLine({ kind: 'failover-vouch', domain: status.domain, peer: status.peer });
    throw new UsageError('--yes is no word that the guest does not run on the primary', hint);
  }
  if (needsWord || !status.buffered) {
    const { domain } = status;
    const name = await io.ask(`Two guests may run. Type the domain's name to go on: `);
    return (name ?? '').trim() === domain;
  }
  const answer = await io.ask('Go on? [y/N] ');
  return /^y(es)?$/i.test((answer ?? '').trim());
}

async function failover(io: Io, domain: string, flags: Flags): Promise<ExitCode> {
  const canAsk = io.stdinIsTty && io.err.isTty && !flags.json;
  if (!flags.yes && !flags.forceUnsafe && !flags.dryRun && !canAsk) {
    const hint = adviceLine({ kind: 'failover-yes', domain });
    throw new UsageError('failover asks before it acts, and there is no terminal to ask on', hint);
  }
  const entry = await copyOf(io, domain);
  const registry = registryOf(io);
  const { socketPath } = entry;
  const plan = await registry.request<FailoverPlan>(socketPath, { verb: 'failover-plan' });
  if (plan.refused !== null) throw refusal(entry, plan.refused);
  const lines = planLines(entry, plan);
  if (!flags.json) {
    const to = flags.dryRun ? io.out : io.err;
    to.write(lines.map((line) => `${printable(line)}\n`).join(''));
  }
  if (flags.dryRun) {
    if (flags.json) writeJson(io.out, { domain, dry_run: true, plan: lines, exit: exit.ok });
    return exit.ok;
  }
  const needsWord = plan.needs === 'word';
  if (!(await confirmed(io, entry, needsWord, flags))) throw failed('declined', 'nothing was done');
  const onProgress = (text: string) => io.err.write(`${printable(`${domain}: ${text}`)}\n`);
  const request = { verb: 'failover', vouched: needsWord } as const;
  const result = await registry.request<FailoverResult>(socketPath, request, { onProgress });
  if (flags.json) {
    writeJson(io.out, { domain, dry_run: false, text: result.text, exit: exit.ok });
  } else {
    io.out.write(`${printable(result.text)}\n`);
  }
  return exit.ok;
}

export function addFailover(program: Command, context: Context): void {
  const command = program
    .command('failover')
    .summary('on the backup host: run the copy, now')
    .description(
      'Runs the copy of DOMAIN that this host holds. Refused while the primary answers, because ' +
        'the guest would run twice. Says what it is about to do, and asks.',
    )
    .argument('<domain>', 'name, UUID or number of the domain')
    .addOption(new Option('-y, --yes', 'do not ask'))
    .addOption(forceUnsafeOption('do not ask: you vouch that the guest does not run elsewhere'))
    .addOption(new Option('--dry-run', 'say what would be done, and do nothing'))
    .addOption(jsonOption('report as one JSON document on stdout (needs --yes or --dry-run)'))
    .addOption(colorOption())
    .action(action(context, (domain: string, flags: Flags) => failover(context.io, domain, flags)));
  addHelp(command, 'See tsremus-failover(8).');
}
