/** What `tsremus drill` does: refuses, says the plan, asks, carries it out, and judges. */
import { UsageError } from '../config/usage-error.ts';
import { type DrillFacts, drillPlan, drillRefusal, drillVerdict, mutedMs } from '../core/drill.ts';
import { adviceLine } from '../core/texts/advice.ts';
import { formatMs } from '../core/units.ts';
import type { SessionEntry } from '../registry/port.ts';
import { judgeSession, momentNow } from '../registry/report.ts';
import type { OutputOptions } from './commands/options.ts';
import { type ExitCode, exit } from './exit-codes.ts';
import type { Io } from './io.ts';
import { CommandFailure } from './output/errors.ts';
import { writeJson } from './output/json.ts';
import { printable } from './output/table.ts';
import { sessionsOf } from './sessions.ts';

export interface DrillFlags extends OutputOptions {
  readonly yes?: boolean;
  readonly dryRun?: boolean;
  readonly back: boolean;
  readonly backPeer?: string;
  readonly limit: string;
  readonly backLimit: string;
}

function refused(domain: string, why: string, hints: readonly string[]): CommandFailure {
  const message = `a drill of ${domain} is refused: ${why}`;
  return new CommandFailure({ code: 'drill-refused', message, hints, exit: exit.refused });
}

/** The session of the guest that runs here. */
async function primaryOf(io: Io, domain: string): Promise<SessionEntry> {
  const entries = await sessionsOf(io, domain);
  const alive = entries.find(({ status, liveness }) => {
    return status.role === 'primary' && liveness === 'alive' && status.outcome === null;
  });
  if (alive !== undefined) return alive;
  const backup = entries.find(({ status }) => status.role === 'backup');
  const name = entries[0]?.status.domain ?? domain;
  const show = [adviceLine({ kind: 'show', domain: name })];
  if (backup === undefined) throw refused(name, 'no session protects it here', show);
  const { peer } = backup.status;
  throw refused(name, 'it is drilled where it runs', [
    adviceLine({ kind: 'show-there', domain: name, peer }),
  ]);
}

function factsOf(io: Io, { status, liveness }: SessionEntry): DrillFacts {
  const { state, level, reason } = judgeSession(status, liveness, momentNow(io));
  const { domain, peer, buffered } = status;
  return {
    ...{ domain, peer, buffered, state, level, reason },
    agreement: status.without_witness ?? 'backup',
    disksLeft: status.disks_left ?? [],
    timeoutMs: status.heartbeat_timeout_ms,
  };
}

function secondsOf(name: string, text: string): number {
  const value = Number(text);
  if (Number.isFinite(value) && value > 0 && value <= 1_000_000) return 1_000 * value;
  throw new UsageError(`--${name} must be a number of seconds, not ${text}`);
}

async function refuseUnsafe(io: Io, entry: SessionEntry, facts: DrillFacts): Promise<void> {
  const { domain } = facts;
  const why = drillRefusal(facts);
  if (why !== null) throw refused(domain, why, [adviceLine({ kind: 'show', domain })]);
  const { checkBothWays } = await import('../app/drill.ts');
  const lines = await checkBothWays(entry, io.argv, io.env);
  const [first] = lines;
  if (first === undefined) return;
  const hints = lines.flatMap(({ next }) => (next === null ? [] : [next]));
  throw refused(domain, lines.map(({ text }) => text).join('; '), hints);
}

async function confirmed(io: Io, flags: DrillFlags): Promise<boolean> {
  if (flags.yes) return true;
  const answer = await io.ask('Go on? [y/N] ');
  return /^y(es)?$/i.test((answer ?? '').trim());
}

export async function drill(io: Io, domain: string, flags: DrillFlags): Promise<ExitCode> {
  const limitMs = secondsOf('limit', flags.limit);
  const backLimitMs = secondsOf('back-limit', flags.backLimit);
  const canAsk = io.stdinIsTty && io.err.isTty && !flags.json;
  if (!flags.yes && !flags.dryRun && !canAsk) {
    const hint = adviceLine({ kind: 'drill-yes', domain });
    throw new UsageError('drill asks before it acts, and there is no terminal to ask on', hint);
  }
  const entry = await primaryOf(io, domain);
  const facts = factsOf(io, entry);
  await refuseUnsafe(io, entry, facts);
  const plan = drillPlan(facts, flags.back);
  const say = (text: string) => io.err.write(`${printable(text)}\n`);
  if (!flags.json) plan.forEach(say);
  if (flags.dryRun) {
    const { domain: name } = facts;
    if (flags.json) writeJson(io.out, { domain: name, dry_run: true, plan, exit: exit.ok });
    return exit.ok;
  }
  if (!(await confirmed(io, flags))) {
    const message = 'nothing was done';
    throw new CommandFailure({ code: 'declined', message, hints: [], exit: exit.failed });
  }
  return carryOut(io, entry, facts, { flags, limitMs, backLimitMs });
}

/** What happened, as it is told and as it is reported. */
class Timeline {
  readonly steps: { readonly after_ms: number; readonly text: string }[] = [];
  readonly #io: Io;
  readonly #beganMs: number;

  constructor(io: Io) {
    this.#io = io;
    this.#beganMs = io.clock.nowMs();
  }

  readonly tell = (text: string): void => {
    const afterMs = Math.round(this.#io.clock.nowMs() - this.#beganMs);
    this.steps.push({ after_ms: afterMs, text });
    this.#io.err.write(`${formatMs(afterMs).padStart(8)}  ${printable(text)}\n`);
  };
}

interface Orders {
  readonly flags: DrillFlags;
  readonly limitMs: number;
  readonly backLimitMs: number;
}

async function carryOut(
  io: Io,
  entry: SessionEntry,
  facts: DrillFacts,
  { flags, limitMs, backLimitMs }: Orders,
): Promise<ExitCode> {
  const { awaitBack, protectBack, runDrill } = await import('../app/drill.ts');
  const { domain, peer } = facts;
  const { tell, steps } = new Timeline(io);
  const end = await runDrill(entry, mutedMs(facts), tell, io.env);
  const verdict = drillVerdict(facts, end, limitMs);
  tell(verdict.text);
  const hints: string[] = [];
  let isBack = false;
  if (end.kind === 'took-over' && flags.back) {
    const isBegun = await protectBack(entry, flags.backPeer ?? null, io.env);
    isBack = isBegun && (await awaitBack(entry.status.uuid, backLimitMs, tell, io.env));
    if (isBack) tell(`${domain} is protected by this host`);
    else hints.push(adviceLine({ kind: 'protect-there', domain, peer }));
  } else if (end.kind === 'took-over') {
    hints.push(adviceLine({ kind: 'protect-there', domain, peer }));
  } else hints.push(adviceLine({ kind: 'show', domain }));
  const passed = verdict.passed && (isBack || !flags.back);
  const code = passed ? exit.ok : exit.failed;
  const how = passed ? 'passed' : 'failed';
  const back = verdict.passed && !passed ? `; ${domain} is not protected back yet` : '';
  const text = `drill ${how}: ${verdict.text}${back}`;
  if (flags.json) {
    writeJson(io.out, { domain, dry_run: false, passed, text, timeline: steps, exit: code });
  } else if (passed) io.out.write(`${printable(text)}\n`);
  if (passed) return code;
  throw new CommandFailure({ code: 'drill-failed', message: text, hints, exit: code });
}
