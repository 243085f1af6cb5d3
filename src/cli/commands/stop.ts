/** `tsremus stop DOMAIN`: ends protection, clears leftovers, or notes an end that was seen. */
import { type Command, Option } from 'commander';
import type { RefusedDisks } from '../../app/listing.ts';
import { UsageError } from '../../config/usage-error.ts';
import type { StopResult } from '../../core/outcomes.ts';
import { mayVouch } from '../../core/permission/evidence.ts';
import type { RecoveryOrder } from '../../core/permission/recovery.ts';
import { adviceCommand, adviceLine, adviceLines, neverRan } from '../../core/texts/advice.ts';
import { copiesRefusedText } from '../../core/texts/disks-left.ts';
import { adviceOnAnswer, stopText } from '../../core/texts/outcomes.ts';
import { hostWord } from '../../core/texts/quote.ts';
import { guestsOf } from '../../core/who.ts';
import { OperationError } from '../../host/errors.ts';
import { isSettled, type SessionEntry } from '../../registry/port.ts';
import type { SessionStatus } from '../../registry/status.ts';
import { action, type Context } from '../context.ts';
import { type ExitCode, exit, exitOfStop } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { CommandFailure, printFailure } from '../output/errors.ts';
import { writeJson } from '../output/json.ts';
import { printable } from '../output/table.ts';
import { ambiguous, order, registryOf, sessionsOf } from '../sessions.ts';
import {
  addHelp,
  colorOption,
  failureStyle,
  forceUnsafeOption,
  jsonOption,
  type OutputOptions,
} from './options.ts';

interface Flags extends OutputOptions {
  readonly forceUnsafe?: boolean;
  readonly destroy?: boolean;
  readonly lost?: boolean;
  readonly vouch?: string;
}

async function stopDead(io: Io, entry: SessionEntry, order: RecoveryOrder): Promise<StopResult> {
  const { stopLeftover } = await import('../../app/stop.ts');
  return stopLeftover(entry.status, order, io.env);
}

/** The domain's sessions, and output buffers of it that no session looks after. */
async function found(io: Io, domain: string): Promise<SessionEntry[]> {
  const { listEverything } = await import('../../app/listing.ts');
  const { sessions } = await listEverything(io.env).catch(() => ({ sessions: [] }));
  const left = sessions.filter(({ status }) => status.buffer_only);
  try {
    return await sessionsOf(io, domain, left);
  } catch (error) {
    if (!(error instanceof OperationError) || error.code !== 'no-such-session') throw error;
    if (left.length === 0) throw error;
    const { leftBufferNamed } = await import('../../app/stop.ts');
    const status = await leftBufferNamed(domain, io.env);
    const entry = left.find((one) => one.status.domid === status?.domid);
    if (status === null || entry === undefined) throw error;
    return [{ ...entry, status }];
  }
}

/**
 * A session that is held goes on asking its backup and answers when it knows more; nobody should
 * sit at the same line for that for ever. Longer than an attempt to ask takes, as the page says,
 * ms.
 */
const stopMsMax = 90_000;

/** What is known of a session that has not ended in time: it goes on, or is stopped itself. */
function stillHeld({ status }: SessionEntry, error: OperationError, isHeard: boolean): StopResult {
  const { peer, pid } = status;
  if (!isHeard) {
    const next = adviceLines([
      { kind: 'see-process', pid },
      { kind: 'end-process', pid },
    ]);
    const reason = `process ${pid} is stopped or stuck`;
    return { outcome: { kind: 'held', reason }, text: error.message, next };
  }
  const why = status.reason ?? `${hostWord(peer)} does not answer`;
  return { outcome: { kind: 'held', reason: `${why} (it is asked again and again)` } };
}

/** Ends what is not over yet, whether its process lives or not. */
async function stopSession(
  io: Io,
  entry: SessionEntry,
  recovery: RecoveryOrder,
): Promise<StopResult> {
  if (entry.liveness !== 'alive') return stopDead(io, entry, recovery);
  let isHeard = false;
  const onProgress = (text: string) => {
    isHeard = true;
    io.err.write(`${printable(entry.status.domain)}: ${printable(text)}\n`);
  };
  try {
    const { force } = recovery;
    const request = { verb: 'stop', force, once: true } as const;
    return await order<StopResult>(io, entry, request, { onProgress, totalMsMax: stopMsMax });
  } catch (error) {
    // It may have died just now: then its leftovers are ours to clear.
    const again = registryOf(io).refreshed(entry);
    const isLate = error instanceof OperationError && error.code === 'no-answer';
    if (isLate && again?.liveness === 'alive') return stillHeld(again, error, isHeard);
    if (again === null || again.liveness === 'alive') throw error;
    return stopDead(io, again, recovery);
  }
}

/** Takes a session that is over out of sight. */
async function acknowledge(io: Io, entry: SessionEntry): Promise<void> {
  if (entry.liveness === 'alive') {
    try {
      await registryOf(io).request(entry.socketPath, { verb: 'forget' });
    } catch (error) {
      // Its process may be about to end and answer nobody; the file is what counts.
      if (!(error instanceof OperationError)) throw error;
    }
  }
  registryOf(io).forget(entry);
}

function refuseOnBackup(entry: SessionEntry): CommandFailure {
  const { domain, peer } = entry.status;
  const where = `protection is ended where it runs, on ${hostWord(peer)}`;
  return new CommandFailure({
    code: 'wrong-host',
    message: `this host holds the copy of ${domain}; ${where}`,
    hints: adviceLines([
      { kind: 'stop-there', domain, peer },
      { kind: 'failover-here', domain },
    ]),
    exit: exit.failed,
  });
}

/** A guest and its other host. */
type Pair = Pick<SessionStatus, 'domain' | 'peer'>;

function printStopped(io: Io, pair: Pair, result: StopResult, flags: Flags): ExitCode {
  const code = exitOfStop(result.outcome);
  const { message, next } = stopText(result, pair);
  if (flags.json) {
    const { domain } = pair;
    const outcome = result.outcome.kind;
    writeJson(io.out, { domain, outcome, text: message, next, exit: code });
  } else if (code === exit.ok) {
    io.out.write(`${printable(message)}\n`);
  }
  if (code !== exit.ok) {
    const failure = { code: result.outcome.kind, message, hints: next, exit: code };
    printFailure(io.err, failure, failureStyle(io, flags));
  }
  return code;
}

function refuseDestroy({ status: { domain, pid } }: SessionEntry): CommandFailure {
  return new CommandFailure({
    code: 'locked',
    message: `process ${pid} looks after ${domain}: --destroy is for what a dead session left`,
    hints: adviceLines([
      { kind: 'stop', domain },
      { kind: 'end-process', pid },
    ]),
    exit: exit.locked,
  });
}

function canAsk(io: Io, { json }: Flags): boolean {
  return io.stdinIsTty && io.err.isTty && !json;
}

/**
 * A person has to type the guest's name: what is done then is true only because he says so. Where
 * there is no terminal, --vouch has it. Throws UsageError before anything is asked or done.
 */
function checkVouching(io: Io, domain: string, flags: Flags): void {
  const { forceUnsafe = false, destroy = false, lost = false, vouch } = flags;
  if ([forceUnsafe, destroy, lost].filter(Boolean).length > 1) {
    throw new UsageError('--force-unsafe, --destroy and --lost are different ways to go on');
  }
  if (!forceUnsafe && !lost) {
    if (vouch === undefined) return;
    throw new UsageError(
      '--vouch goes with --force-unsafe or --lost: there is nothing to vouch for',
    );
  }
  if (vouch !== undefined || canAsk(io, flags)) return;
  const kind = lost ? 'stop-lost-name' : 'stop-vouch-name';
  const hint = adviceLine({ kind, domain });
  throw new UsageError("the domain's name is to be typed, and there is no terminal", hint);
}

/** Says what is known, and asks for the name. Throws `declined` when it is not that. */
async function vouched(
  io: Io,
  name: string,
  known: readonly string[],
  flags: Flags,
): Promise<void> {
  const typed =
    flags.vouch ??
    (await (async () => {
      io.err.write(known.map((line) => `${printable(line)}\n`).join(''));
      return io.ask("If you are sure, type the domain's name: ");
    })());
  if ((typed ?? '').trim() === name) return;
  const message = `nothing was done: ${printable(typed?.trim() ?? '')} is not ${name}`;
  throw new CommandFailure({ code: 'declined', message, hints: [], exit: exit.failed });
}

/** Where a person sits at the command; a script knows what it orders. */
async function sureToDestroy(io: Io, { status }: SessionEntry, flags: Flags): Promise<void> {
  const { domain, peer } = status;
  const known = [
    `${domain} will be destroyed on this host, and what it held is thrown away`,
    `  whether its copy goes on is decided on ${hostWord(peer)}`,
  ];
  await vouched(io, domain, known, flags);
}

/** It was asked, and whoever answers need not be vouched for. */
function forceRefusal(pair: Pair, result: StopResult): CommandFailure | null {
  const { outcome } = result;
  if (outcome.kind !== 'held' || outcome.mayOpen || outcome.found === undefined) return null;
  const { found } = outcome;
  if (found === null || mayVouch({ kind: found })) return null;
  return new CommandFailure({
    code: 'split-brain-risk',
    message: `--force-unsafe is refused: ${outcome.reason}`,
    hints: adviceLines(adviceOnAnswer(found, pair)),
    exit: exit.refused,
  });
}

/** --force-unsafe: the backup is asked first, then the person, and then the backup once more. */
async function stopForced(io: Io, entry: SessionEntry, flags: Flags): Promise<StopResult> {
  const { domain, peer } = entry.status;
  const asked = await stopSession(io, entry, { force: false, destroy: false });
  const refusal = forceRefusal(entry.status, asked);
  if (refusal !== null) throw refusal;
  const { outcome } = asked;
  if (outcome.kind !== 'held' || outcome.mayOpen) return asked;
  const other = hostWord(peer);
  const known = [
    `${domain} is held here: ${outcome.reason}`,
    `  if its copy on ${other} ran, or ever runs, TWO GUESTS RUN, or what it did there is lost`,
    `  make sure first that ${other} is off, and that it was before it could take over`,
  ];
  await vouched(io, domain, known, flags);
  const now = registryOf(io).refreshed(entry) ?? entry;
  const result = await stopSession(io, now, { force: true, destroy: false });
  const late = forceRefusal(entry.status, result);
  if (late !== null) throw late;
  return result;
}

/** A copy whose process died: one that is whole is given up on a person's word alone. */
async function stopCopy(io: Io, entry: SessionEntry, flags: Flags): Promise<StopResult> {
  const { destroy = false } = flags;
  const result = await stopDead(io, entry, { force: false, destroy });
  const { outcome } = result;
  const canAsk = io.stdinIsTty && io.err.isTty && !flags.json;
  if (outcome.kind !== 'held' || !outcome.isWholeCopy || !canAsk) return result;
  const { domain, peer } = entry.status;
  const known = [
    `${domain} is held here: ${outcome.reason}`,
    `  to run it: ${adviceCommand({ kind: 'failover-here', domain })}`,
    `  if you go on, it is destroyed here, and only what is on ${hostWord(peer)} is left`,
  ];
  await vouched(io, domain, known, flags);
  return stopDead(io, entry, { force: false, destroy: true });
}

/** --lost: on the host where the copy took over and is no more. */
async function stopLost(io: Io, domain: string, flags: Flags): Promise<ExitCode> {
  const { declareLost, lostGuest } = await import('../../app/stop.ts');
  const guest = await lostGuest(domain, io.env);
  const { domain: name, peer, since, epoch } = guest;
  const other = hostWord(peer);
  const from = epoch === null ? '' : ` from epoch ${epoch}`;
  const known = [
    `${name} took over here${from} at ${since}, and is not here now`,
    `  its disk here is the newer one; ${other} holds the guest as it was before that`,
    `  if you go on, ${other} runs that one, and what ${name} did here is lost to it`,
  ];
  await vouched(io, name, known, flags);
  await declareLost(guest, io.env);
  const { message } = stopText({ outcome: { kind: 'lost' } }, { domain: name, peer });
  if (!flags.json) io.out.write(`${printable(message)}\n`);
  else writeJson(io.out, { domain: name, outcome: 'lost', text: message, next: [], exit: exit.ok });
  return exit.ok;
}

/** By its marks alone: this host was booted since, or the session's state is lost. */
async function stopMarked(io: Io, left: RefusedDisks, flags: Flags): Promise<ExitCode> {
  const { stopLeftDisks } = await import('../../app/left-disks.ts');
  const { domain, peer, paths } = left;
  const pair = { domain, peer: peer.host };
  const settle = (force: boolean) => stopLeftDisks(left, force, io.env);
  let result = await settle(false);
  if (flags.forceUnsafe && result.outcome.kind === 'held') {
    const refusal = forceRefusal(pair, result);
    if (refusal !== null) throw refusal;
    const other = hostWord(pair.peer);
    const known = [
      `${paths.join(', ')} of ${domain} is refused here: ${result.outcome.reason}`,
      `  if its copy on ${other} ran, or ever runs, TWO GUESTS RUN, or what it did there is lost`,
      `  make sure first that ${other} is off, and that it was before it could take over`,
    ];
    await vouched(io, domain, known, flags);
    result = await settle(true);
    const late = forceRefusal(pair, result);
    if (late !== null) throw late;
  }
  return printStopped(io, pair, result, flags);
}

/** A guest without a session, of which marks of disks may tell; null: none does. */
async function stopWithoutSession(io: Io, wanted: string, flags: Flags): Promise<ExitCode | null> {
  const { listSinceBoot, markedHere } = await import('../../app/listing.ts');
  const { sessions } = await listSinceBoot(io.env);
  const { sources, copies } = await markedHere(io.env, sessions);
  const isMeant = ({ domain, uuid }: RefusedDisks) =>
    domain === wanted || uuid === wanted.toLowerCase();
  const meant = sources.filter(isMeant);
  const [source] = meant;
  if (source !== undefined && !flags.destroy) {
    const named = meant.map(({ domain: name, uuid }) => ({ name, uuid, id: null }));
    if (guestsOf(named).length > 1) throw ambiguous(io, wanted, named);
    return stopMarked(io, source, flags);
  }
  const copy = copies.find(isMeant);
  if (copy === undefined) return null;
  // What its session did not come to.
  const { followLeft } = await import('../../app/left-disks.ts');
  await followLeft(copy.uuid, io.env);
  const { domain, peer, paths } = copy;
  throw new CommandFailure({
    code: 'wrong-host',
    message: `no session of ${domain} is here: ${copiesRefusedText(paths, peer.host)}`,
    hints: adviceLines([{ kind: 'stop-if-there', domain, peer: peer.host }]),
    exit: exit.failed,
  });
}

async function stop(io: Io, domain: string, flags: Flags): Promise<ExitCode> {
  const { forceUnsafe: force = false, destroy = false } = flags;
  checkVouching(io, domain, flags);
  if (flags.lost) return stopLost(io, domain, flags);
  let entries: SessionEntry[];
  try {
    entries = await found(io, domain);
  } catch (error) {
    if (!(error instanceof OperationError) || error.code !== 'no-such-session') throw error;
    const code = await stopWithoutSession(io, domain, flags);
    if (code === null) throw error;
    return code;
  }
  const open = entries.filter(({ status }) => !isSettled(status));
  // Both roles at once: the guest that runs here is what DOMAIN means.
  const entry = open.find(({ status }) => status.role === 'primary') ?? open[0];
  if (entry === undefined) {
    for (const settled of entries) await acknowledge(io, settled);
    const text = `${domain}: seen; how its session ended is shown no longer`;
    if (flags.json) writeJson(io.out, { domain, outcome: 'seen', text, next: [], exit: exit.ok });
    else io.out.write(`${printable(text)}\n`);
    return exit.ok;
  }
  const isAlive = entry.liveness === 'alive';
  const isBackup = entry.status.role === 'backup';
  if (isBackup && (isAlive || force)) throw refuseOnBackup(entry);
  if (isBackup) return printStopped(io, entry.status, await stopCopy(io, entry, flags), flags);
  if (destroy && isAlive) throw refuseDestroy(entry);
  if (destroy && canAsk(io, flags)) await sureToDestroy(io, entry, flags);
  const result = force
    ? await stopForced(io, entry, flags)
    : await stopSession(io, entry, { force, destroy });
  return printStopped(io, entry.status, result, flags);
}

export function addStop(program: Command, context: Context): void {
  const command = program
    .command('stop')
    .summary('end protection; the guest runs on here')
    .description(
      'Ends the protection of DOMAIN in order: the guest runs on here, the copy is removed. ' +
        'After a crash it clears what was left. A session that has ended is shown no longer.',
    )
    .argument('<domain>', 'name, UUID or number of the domain')
    .addOption(forceUnsafeOption(`go on here without an answer: you vouch that ${neverRan()}`))
    .addOption(
      new Option(
        '--destroy',
        'after a crash: give the guest, or its copy, up here; what it held is dropped',
      ),
    )
    .addOption(
      new Option(
        '--lost',
        'where the copy took over: it is gone for good, the other host may go on',
      ),
    )
    .addOption(new Option('--vouch <name>', 'the name that is to be typed, without a terminal'))
    .addOption(jsonOption('report as one JSON document on stdout'))
    .addOption(colorOption())
    .action(action(context, (domain: string, flags: Flags) => stop(context.io, domain, flags)));
  addHelp(command, 'See tsremus-stop(8).');
}
