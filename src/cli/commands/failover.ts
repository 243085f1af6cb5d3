/** `tsremus failover DOMAIN`, on the backup: run the copy now. Refused while its primary lives. */
import { type Command, Option } from 'commander';
import { UsageError } from '../../config/usage-error.ts';
import { type Advice, adviceLine, adviceLines } from '../../core/texts/advice.ts';
import { hostWord } from '../../core/texts/quote.ts';
import { formatMs } from '../../core/units.ts';
import type { FoundCopy } from '../../guest/left-copy.ts';
import { OperationError } from '../../host/errors.ts';
import type { FailoverPlan, FailoverResult } from '../../registry/control.ts';
import { isSettled, type SessionEntry } from '../../registry/port.ts';
import type { SessionStatus } from '../../registry/status.ts';
import { action, type Context } from '../context.ts';
import { type ExitCode, exit } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { CommandFailure } from '../output/errors.ts';
import { writeJson } from '../output/json.ts';
import { printable } from '../output/table.ts';
import { order, sessionsOf } from '../sessions.ts';
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

/** The copy that is meant: its session, or what a dead process left of it. */
type Copy =
  | { readonly kind: 'held'; readonly status: SessionStatus; readonly socketPath: string }
  | { readonly kind: 'left'; readonly status: PlanFacts; readonly copy: FoundCopy };

/** What the plan speaks of. */
type PlanFacts = Pick<SessionStatus, 'domain' | 'peer' | 'epoch' | 'ack_age_ms' | 'buffered'>;

/** No session at all: what a dead one left may be there all the same. */
async function sessionsHere(io: Io, domain: string): Promise<SessionEntry[] | OperationError> {
  try {
    return await sessionsOf(io, domain);
  } catch (error) {
    if (error instanceof OperationError && error.code === 'no-such-session') return error;
    throw error;
  }
}

/** The copy that can be run here; refuses with what to type instead. */
async function copyOf(io: Io, domain: string): Promise<Copy> {
  const found = await sessionsHere(io, domain);
  const entries = found instanceof OperationError ? [] : found;
  const show = { kind: 'show', domain } as const;
  const backups = entries.filter(({ status }) => status.role === 'backup');
  const open = backups.find(({ status }) => !isSettled(status));
  if (open?.liveness === 'alive') return { kind: 'held', ...open };
  const active = backups.find(({ status }) => status.state === 'active');
  if (open === undefined && active !== undefined) {
    throw failed('active', `the copy of ${domain} runs here already`, show);
  }
  const primary = entries.find(({ status }) => status.role === 'primary');
  if (open === undefined && primary !== undefined && !isSettled(primary.status)) {
    const { peer } = primary.status;
    throw failed(
      'wrong-host',
      `${domain} runs on this host; its copy is on ${hostWord(peer)}`,
      { kind: 'failover-there', domain, peer },
      { kind: 'stop-here', domain },
    );
  }
  const left = await leftCopyOf(io, domain, open?.status ?? null);
  if (left !== null) return left;
  if (open !== undefined) throw copyLost(domain, open.status.pid, show);
  if (found instanceof OperationError) throw found;
  throw failed('no-copy', `no copy of ${domain} is held here`, show);
}

function copyLost(domain: string, pid: number, show: Advice): CommandFailure {
  const dead = `process ${pid} that held it is dead, and it was not built: it can never run`;
  return failed('copy-lost', `no copy of ${domain} is held here any more: ${dead}`, show);
}

/** What a dead process left that may be run, or is not known to run; null: nothing of the kind. */
async function leftCopyOf(
  io: Io,
  domain: string,
  known: SessionStatus | null,
): Promise<Copy | null> {
  const { leftCopy } = await import('../../app/failover.ts');
  const copy = await leftCopy(known?.uuid || domain, io.env);
  if (copy === null) return null;
  const { peer, epoch } = copy;
  // Without its status nobody knows whether the primary's guest is held: then as with -n.
  const facts = known ?? { domain: copy.domain, peer, epoch, buffered: false };
  const status = { ...facts, epoch: epoch ?? known?.epoch ?? null, ack_age_ms: null };
  switch (copy.left.kind) {
    case 'whole':
    case 'runs':
      return { kind: 'left', status, copy };
    case 'given-up':
      if (known === null) return null;
      throw refusal(status, 'the primary has the promise that this copy will not run');
    case 'went-on': {
      if (known === null) return null;
      const isHere = copy.left.answer.kind === 'running';
      const what = isHere ? 'runs here already' : 'went on here, and is here no more';
      const code = isHere ? 'active' : 'copy-lost';
      throw failed(code, `the copy of ${domain} ${what}`, { kind: 'show', domain });
    }
    default:
      return null;
  }
}

/** What a session's own plan says, of a copy whose process is dead. */
function planOfLeft({ peer, needs }: FoundCopy): FailoverPlan {
  const primary = [
    'the process that held it is dead; the copy stands here, whole',
    `${hostWord(peer)} cannot be asked from here: where it lives it asks, and is promised`,
  ];
  return { refused: null, needs, primary };
}

/** It was let run just before its process died: nobody need decide anything. */
function isToBeNoted(copy: Copy): boolean {
  return copy.kind === 'left' && copy.copy.left.kind === 'runs';
}

function planLines(status: PlanFacts, plan: FailoverPlan): string[] {
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

function refusal({ domain, peer }: PlanFacts, reason: string): CommandFailure {
  return new CommandFailure({
    code: 'split-brain-risk',
    message: `failover of ${domain} is refused: ${reason}`,
    hints: [adviceLine({ kind: 'stop-there', domain, peer })],
    exit: exit.refused,
  });
}

async function confirmed(
  io: Io,
  status: PlanFacts,
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
  const copy = await copyOf(io, domain);
  const { status } = copy;
  const plan = await planOf(io, copy);
  if (plan.refused !== null) throw refusal(status, plan.refused);
  const isNoted = isToBeNoted(copy);
  const noted = `${domain} runs here already, its process is dead: it is noted, and watched`;
  const lines = isNoted ? [noted] : planLines(status, plan);
  if (!flags.json) {
    const to = flags.dryRun ? io.out : io.err;
    to.write(lines.map((line) => `${printable(line)}\n`).join(''));
  }
  if (flags.dryRun) {
    if (flags.json) writeJson(io.out, { domain, dry_run: true, plan: lines, exit: exit.ok });
    return exit.ok;
  }
  const needsWord = plan.needs === 'word';
  if (!isNoted && !(await confirmed(io, status, needsWord, flags)))
    throw failed('declined', 'nothing was done');
  const text = await carryOut(io, copy, needsWord);
  if (flags.json) writeJson(io.out, { domain, dry_run: false, text, exit: exit.ok });
  else io.out.write(`${printable(text)}\n`);
  return exit.ok;
}

async function planOf(io: Io, copy: Copy): Promise<FailoverPlan> {
  if (copy.kind === 'left') return planOfLeft(copy.copy);
  return order<FailoverPlan>(io, copy, { verb: 'failover-plan' });
}

/** Runs the copy; what to say then. */
async function carryOut(io: Io, copy: Copy, vouched: boolean): Promise<string> {
  if (copy.kind === 'left') {
    const { runCopy } = await import('../../app/failover.ts');
    return runCopy(copy.copy, vouched ? 'word' : 'order', io.env);
  }
  const { domain } = copy.status;
  const onProgress = (text: string) => io.err.write(`${printable(`${domain}: ${text}`)}\n`);
  const request = { verb: 'failover', vouched } as const;
  return (await order<FailoverResult>(io, copy, request, { onProgress })).text;
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
