/** `tsremus stop DOMAIN`: ends protection, clears leftovers, or notes an end that was seen. */
import { type Command, Option } from 'commander';
import { UsageError } from '../../config/usage-error.ts';
import type { StopResult } from '../../core/outcomes.ts';
import type { RecoveryOrder } from '../../core/permission/recovery.ts';
import { adviceLines, neverRan } from '../../core/texts/advice.ts';
import { stopText } from '../../core/texts/outcomes.ts';
import { hostWord } from '../../core/texts/quote.ts';
import { OperationError } from '../../host/errors.ts';
import { requestControl } from '../../registry/control.ts';
import { isDomain, isSettled, type SessionEntry } from '../../registry/port.ts';
import { action, type Context } from '../context.ts';
import { type ExitCode, exit, exitOfStop } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { CommandFailure, printFailure } from '../output/errors.ts';
import { writeJson } from '../output/json.ts';
import { printable } from '../output/table.ts';
import { registryOf, sessionsOf } from '../sessions.ts';
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
  const named = left.filter(({ status }) => isDomain(status, domain));
  try {
    return [...sessionsOf(io, domain), ...named];
  } catch (error) {
    if (!(error instanceof OperationError) || error.code !== 'no-such-session') throw error;
    if (named.length > 0) return named;
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
 * sit at a silent command for that. Longer than one attempt to ask takes.
 */
const stopSilenceMsMax = 25_000;

/** What became of a session that did not answer; null when its silence explains nothing. */
function stillHeld(entry: SessionEntry | null): StopResult | null {
  if (entry?.liveness !== 'alive') return null;
  const { state, reason } = entry.status;
  if (state !== 'held' && state !== 'ending') return null;
  const why = reason ?? `${hostWord(entry.status.peer)} does not answer`;
  return { outcome: { kind: 'held', reason: `${why} (it is asked again and again)` } };
}

/** Ends what is not over yet, whether its process lives or not. */
export async function stopSession(
  io: Io,
  entry: SessionEntry,
  order: RecoveryOrder,
  silenceMsMax = stopSilenceMsMax,
): Promise<StopResult> {
  if (entry.liveness !== 'alive') return stopDead(io, entry, order);
  const onProgress = (text: string) => {
    io.err.write(`${printable(entry.status.domain)}: ${printable(text)}\n`);
  };
  try {
    const request = { verb: 'stop', force: order.force } as const;
    const options = { onProgress, silenceMsMax };
    return await requestControl<StopResult>(entry.socketPath, request, options);
  } catch (error) {
    // It may have died just now: then its leftovers are ours to clear.
    const again = registryOf(io).refreshed(entry);
    const late = error instanceof OperationError && error.code === 'command-timeout';
    const held = late ? stillHeld(again) : null;
    if (held !== null) return held;
    if (again === null || again.liveness === 'alive') throw error;
    return stopDead(io, again, order);
  }
}

/** Takes a session that is over out of sight. */
async function acknowledge(io: Io, entry: SessionEntry): Promise<void> {
  if (entry.liveness === 'alive') {
    try {
      await requestControl(entry.socketPath, { verb: 'forget' });
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

function printStopped(io: Io, entry: SessionEntry, result: StopResult, flags: Flags): ExitCode {
  const code = exitOfStop(result.outcome);
  const { message, next } = stopText(result, entry.status);
  if (flags.json) {
    const { domain } = entry.status;
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

async function stop(io: Io, domain: string, flags: Flags): Promise<ExitCode> {
  const { forceUnsafe: force = false, destroy = false } = flags;
  if (force && destroy) throw new UsageError('--force-unsafe and --destroy are two ways to go on');
  const entries = await found(io, domain);
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
  if (entry.status.role === 'backup' && (isAlive || destroy)) throw refuseOnBackup(entry);
  if (destroy && isAlive) throw refuseDestroy(entry);
  const result = await stopSession(io, entry, { force, destroy });
  return printStopped(io, entry, result, flags);
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
    .addOption(forceUnsafeOption(`go on here unasked: you vouch that ${neverRan()}`))
    .addOption(
      new Option('--destroy', 'after a crash: give the guest up here; what it held is dropped'),
    )
    .addOption(jsonOption('report as one JSON document on stdout'))
    .addOption(colorOption())
    .action(action(context, (domain: string, flags: Flags) => stop(context.io, domain, flags)));
  addHelp(command, 'See tsremus-stop(8).');
}
