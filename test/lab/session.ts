/**
 * tsremus in the lab: starts `tsremus protect` in a host as an administrator would, follows what
 * `tsremus status --json` says on either side, and reads the logs' own times.
 */
import { quote } from './host.ts';
import {
  type HostId,
  hangMs,
  heartbeatTimeoutMs,
  hosts,
  type Lab,
  LabError,
  otherHost,
  waitFor,
} from './lab.ts';

export interface ProtectOptions {
  /** Further arguments, such as `-i 50`. */
  readonly args?: readonly string[];
  /** TSREMUS_LOG_LEVEL on the primary. */
  readonly logLevel?: 'info' | 'debug';
  /** More of the environment of the primary. */
  readonly env?: Readonly<Record<string, string>>;
  /** Output waits for its acknowledgement; without it, -n. */
  readonly buffered?: boolean;
  /** The guest's disks are parts of every epoch; without it, -d. */
  readonly disks?: boolean;
  /** As two processes; else what is done to `protect` is done to the session. */
  readonly inWindow?: boolean;
}

/** A session as `tsremus status --json` gives it; only what the lab looks at. */
export interface StatusEntry {
  readonly domain: string;
  readonly role: 'primary' | 'backup';
  readonly state: string;
  readonly epoch: number | null;
  readonly ack_age_ms: number | null;
  readonly reason: string | null;
  readonly next: readonly string[];
  readonly seed_percent: number | null;
  readonly pid: number;
  readonly session: string;
  readonly guest_paused: boolean;
  readonly outcome: string | null;
  readonly copy_built?: boolean;
  readonly epochs: readonly { epoch: number; pause_ms: number; bytes: number; pages: number }[];
}

export interface StatusAnswer {
  readonly code: number;
  readonly sessions: readonly StatusEntry[];
  readonly text: string;
}

/** The program's own. */
const defaultTimeoutMs = 1000;

const outFile = (guest: string) => `/run/protect-${guest}.out`;
const codeFile = (guest: string) => `/run/protect-${guest}.code`;

/** The backup by its name on the replication network. */
export function backupName(of: HostId): string {
  return `${hosts[otherHost(of)].name}-r`;
}

/** Starts protection of `guest` from host `id` to the other one, in the background. */
export async function protect(
  lab: Lab,
  id: HostId,
  guest: string,
  options: ProtectOptions = {},
): Promise<void> {
  const given = [...(options.buffered ? [] : ['-n']), ...(options.disks ? [] : ['-d'])];
  const unsafe = given.length === 0 ? [] : ['-F', ...given];
  const patience =
    heartbeatTimeoutMs() === defaultTimeoutMs
      ? []
      : [`--heartbeat-timeout=${heartbeatTimeoutMs()}`];
  // Of an option that is said twice the second counts.
  const way = options.inWindow ? [] : ['--foreground'];
  const args = [...way, ...unsafe, ...patience, ...(options.args ?? []), guest, backupName(id)];
  const env = {
    ...(options.logLevel ? { TSREMUS_LOG_LEVEL: options.logLevel } : {}),
    ...options.env,
  };
  const words = Object.entries(env).map(([key, value]) => `${key}=${quote(value)}`);
  const line = [...words, 'tsremus protect', ...args.map(quote)].join(' ');
  const out = outFile(guest);
  const script =
    `rm -f ${codeFile(guest)}; ` +
    `(setsid bash -c ${quote(`${line} >${out} 2>&1; echo $? >${codeFile(guest)}`)} ` +
    '</dev/null >/dev/null 2>&1 &)';
  const former = await peek(lab, id, guest, 'primary');
  const result = await lab.ssh(id, script);
  if (result.code !== 0) throw new LabError(`cannot start protect: ${result.stderr}`);
  if (former === undefined) return;
  // How the one before it ended stands there until this one has begun.
  await waitFor(`a new session of ${guest}`, hangMs, async () => {
    const { stdout } = await lab.ssh(id, `cat ${codeFile(guest)} 2>/dev/null; true`);
    if (stdout.trim() !== '') return true;
    return (await peek(lab, id, guest, 'primary'))?.session !== former.session ? true : undefined;
  });
}

/** What `protect` printed so far. */
export async function protectOutput(lab: Lab, id: HostId, guest: string): Promise<string> {
  return (await lab.ssh(id, `cat ${outFile(guest)} 2>/dev/null; true`)).stdout;
}

/** The exit code of `protect`, once it has ended. */
export async function protectExit(
  lab: Lab,
  id: HostId,
  guest: string,
  timeoutMs = hangMs,
): Promise<number> {
  return waitFor(`the end of protect of ${guest}`, timeoutMs, async () => {
    const { stdout } = await lab.ssh(id, `cat ${codeFile(guest)} 2>/dev/null; true`);
    return stdout.trim() === '' ? undefined : Number(stdout.trim());
  });
}

/** `tsremus status --json` on a host. */
export async function status(lab: Lab, id: HostId, guest = ''): Promise<StatusAnswer> {
  const result = await lab.ssh(id, `tsremus status --json ${guest}`);
  let sessions: StatusEntry[] = [];
  try {
    sessions = (JSON.parse(result.stdout) as { sessions: StatusEntry[] }).sessions;
  } catch {
    // no JSON: the text says why
  }
  return { code: result.code, sessions, text: `${result.stdout}${result.stderr}` };
}

/**
 * The session's own file, read without starting tsremus: cheap enough to be asked often in an
 * emulated host. Undefined while there is none.
 */
export async function peek(
  lab: Lab,
  id: HostId,
  guest: string,
  role: 'primary' | 'backup',
): Promise<StatusEntry | undefined> {
  const { stdout } = await lab.ssh(id, `cat /run/tsremus/*.${role}.json 2>/dev/null; true`);
  for (const line of stdout.split('\n')) {
    if (line.trim() === '') continue;
    const entry = JSON.parse(line) as StatusEntry;
    if (entry.domain === guest) return entry;
  }
  return undefined;
}

/** A protect that gave up before its session began leaves no status. */
async function refuseEnded(lab: Lab, id: HostId, guest: string): Promise<void> {
  const { stdout } = await lab.ssh(id, `cat ${codeFile(guest)} 2>/dev/null; true`);
  if (stdout.trim() !== '') throw new LabError(`protect ended, exit ${stdout.trim()}`);
}

/** Waits until epoch `epoch` of `guest` was acknowledged; fails early when protect has ended. */
export async function waitForEpoch(
  lab: Lab,
  id: HostId,
  guest: string,
  epoch: number,
  timeoutMs = hangMs,
): Promise<StatusEntry> {
  try {
    return await waitFor(`epoch ${epoch} of ${guest}`, timeoutMs, async () => {
      const entry = await peek(lab, id, guest, 'primary');
      if (entry?.outcome) throw new LabError(`protection ended: ${entry.outcome} ${entry.reason}`);
      if (entry === undefined) await refuseEnded(lab, id, guest);
      return entry !== undefined && (entry.epoch ?? -1) >= epoch ? entry : undefined;
    });
  } catch (error) {
    const said = await protectOutput(lab, id, guest);
    throw new LabError(`${String(error)}; protect said:\n${said}`);
  }
}

/** Waits until the session of `guest` in that role is in one of the states. */
export async function waitForState(
  lab: Lab,
  id: HostId,
  guest: string,
  role: 'primary' | 'backup',
  states: readonly string[],
  timeoutMs = hangMs,
): Promise<StatusEntry> {
  let last = 'nothing';
  return waitFor(
    `${role} of ${guest} ${states.join(' or ')} (last: ${last})`,
    timeoutMs,
    async () => {
      const entry = await peek(lab, id, guest, role);
      last = entry?.state ?? 'nothing';
      return entry !== undefined && states.includes(entry.state) ? entry : undefined;
    },
  );
}

/** A line of a session's log with its time on the lab's clock, ms of Date.now(). */
export interface LogLine {
  readonly timeMs: number;
  readonly text: string;
}

/**
 * What sessions on that host decided because they had heard nothing of the other one for too long,
 * and when: by their logs, their times moved to the lab's clock.
 */
export async function silences(lab: Lab, id: HostId): Promise<LogLine[]> {
  const { stdout } = await lab.ssh(id, 'cd /var/log/tsremus 2>/dev/null && ls; true');
  const found: LogLine[] = [];
  for (const name of stdout.split('\n')) {
    const [, guest, role] = /^(.*)\.(primary|backup)\.log$/.exec(name) ?? [];
    if (guest === undefined) continue;
    const log = await sessionLog(lab, id, guest, role as 'primary' | 'backup');
    const lines = log.filter(({ text }) =>
      / -> .*(silence of|was silent for) [\d.]+ ms/.test(` ${text}`),
    );
    found.push(...lines.map(({ timeMs, text }) => ({ timeMs, text: `${guest}: ${text.trim()}` })));
  }
  return found;
}

/** The log of a session, its times moved from the host's clock to the lab's. */
export async function sessionLog(
  lab: Lab,
  id: HostId,
  guest: string,
  role: 'primary' | 'backup',
): Promise<LogLine[]> {
  const beforeMs = Date.now();
  const clock = await lab.ssh(id, 'date +%s%3N');
  const offsetMs = (beforeMs + Date.now()) / 2 - Number(clock.stdout.trim());
  const { stdout } = await lab.ssh(id, `cat /var/log/tsremus/${guest}.${role}.log`);
  const lines: LogLine[] = [];
  for (const line of stdout.split('\n')) {
    const match = /^[A-Z]+ (\S+Z) (.*)$/.exec(line);
    if (match?.[1] === undefined) continue;
    lines.push({ timeMs: Date.parse(match[1]) + offsetMs, text: match[2] ?? '' });
  }
  return lines;
}
