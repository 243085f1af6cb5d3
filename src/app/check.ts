/** `tsremus check`: what protection needs of this host, of a guest and of another host. */
import type { Environment } from '../config/settings.ts';
import { bandwidthLine } from '../core/check/compare.ts';
import {
  type CheckLine,
  forTheWayBack,
  okLine,
  type PlacedLine,
  placed,
  skipLine,
  warnLine,
} from '../core/check/line.ts';
import { adviceLine } from '../core/texts/advice.ts';
import { formatMs } from '../core/units.ts';
import type { AnnouncedDisk } from '../disk/port.ts';
import { OperationError } from '../host/errors.ts';
import { cleanText } from '../host/text.ts';
import type { GuestSpec, Hypervisor } from '../hypervisor/port.ts';
import { guestConfig } from '../link/config-message.ts';
import { type Connection, connectBackup, type HelloContent } from '../link/connect.ts';
import { type TransportCommand, transportCommand } from '../link/transport-command.ts';
import { greetingAdvice } from '../link/transport-errors.ts';
import { fixModules } from '../output/plug/looks.ts';
import { confinementLine, needsLines } from '../session/check/copy.ts';
import { type CheckUnsafe, guestLines } from '../session/check/guest.ts';
import {
  failedLine,
  hostFacts,
  hostLines,
  memoryLine,
  type Opened,
  openLine,
} from '../session/check/host.ts';
import type { CheckPorts } from '../session/check/ports.ts';
import {
  askChecked,
  checkedLines,
  explainOld,
  measuredPiece,
  measurePath,
} from '../session/check/question.ts';
import {
  type DiskOptions,
  factsFor,
  refuseUnknownDisks,
  specThere,
} from '../session/disk-options.ts';
import { findRunning, type Guest } from '../session/primary/preflight.ts';
import { diskDrivers } from './backup-disks.ts';
import { checkHello, checkPorts } from './check-host.ts';
import { type ThisHost, thisHost } from './host.ts';
import { placesOf } from './places.ts';

export interface CheckOptions {
  /** As typed; absent: this host alone. */
  readonly domain?: string | undefined;
  /** Absent: no other host is asked. A whole command where `sshCommand` is empty. */
  readonly host?: string | undefined;
  /** -s, as for `tsremus protect`. */
  readonly sshCommand: string | null;
  readonly unsafe: CheckUnsafe;
  /** --disk and --init-disk, as for `tsremus protect`. */
  readonly disks: DiskOptions;
  /** Mends what is harmless, before it is looked at. */
  readonly fix: boolean;
  /** For hints that repeat the command. */
  readonly argv: readonly string[];
}

export interface CheckResult {
  /** This host's name, the guest's and the other host's as it names itself; null: none is meant. */
  readonly host: string;
  readonly domain: string | null;
  readonly peer: string | null;
  readonly lines: readonly PlacedLine[];
  /** What the path carried; null: it was not measured. */
  readonly bytesPerSecond: number | null;
}

/** What this host would need of itself if the guest came back to it. */
async function backLines(
  { hypervisor }: Opened,
  guest: Guest,
  disks: readonly AnnouncedDisk[],
  hello: HelloContent,
): Promise<CheckLine[]> {
  const config = guestConfig(guest.spec, guest.memoryBytes, disks);
  const { line } = confinementLine(hypervisor, config, hello);
  const lines = [line, ...(await needsLines(hypervisor, guest.spec))];
  return lines.map(forTheWayBack);
}

/** A login that prints something says it with every connection; on stdout it would end this one. */
function loginLine(said: readonly string[], command: TransportCommand): CheckLine {
  if (said.length === 0) return okLine('login', 'prints nothing');
  const shown = said.slice(0, 3).map((text) => cleanText(text, 100));
  const next = adviceLine(greetingAdvice(command));
  return warnLine('login', `prints on stderr: ${shown.join(' / ')}`, next);
}

interface Asked {
  readonly peer: string | null;
  readonly lines: readonly PlacedLine[];
  readonly bytesPerSecond: number | null;
}

class OtherHost {
  readonly #host: ThisHost;
  readonly #ports: CheckPorts;
  readonly #command: TransportCommand;

  constructor(host: ThisHost, ports: CheckPorts, command: TransportCommand) {
    this.#host = host;
    this.#ports = ports;
    this.#command = command;
  }

  async ask(
    guest: Guest,
    disks: readonly AnnouncedDisk[],
    hello: HelloContent,
    opened: Opened,
  ): Promise<Asked> {
    const { clock, timers, env } = this.#host;
    const said: string[] = [];
    const onStderrLine = (line: string) => void (said.length < 10 && said.push(line));
    const beganMs = clock.nowMs();
    let connection: Connection;
    try {
      connection = await connectBackup(this.#command, hello, { clock, timers, env, onStderrLine });
    } catch (thrown) {
      const error = explainOld(thrown);
      const isSpoken = error instanceof OperationError && error.code === 'protocol';
      const line = failedLine(isSpoken ? 'login' : 'connection', error);
      return { peer: null, lines: placed('between', [line]), bytesPerSecond: null };
    }
    const tookMs = clock.nowMs() - beganMs;
    const connected = okLine('connection', `it answered after ${formatMs(tookMs)}`);
    const lines = placed('between', [connected]);
    try {
      return await this.#over(connection, { spec: guest.spec, disks }, hello, opened, lines, said);
    } catch (error) {
      const failed = placed('between', [failedLine('connection', error)]);
      return { peer: connection.reply.host, lines: failed, bytesPerSecond: null };
    } finally {
      await connection.close('checked');
    }
  }

  async #over(
    connection: Connection,
    about: { readonly spec: GuestSpec; readonly disks: readonly AnnouncedDisk[] },
    hello: HelloContent,
    opened: Opened,
    before: readonly PlacedLine[],
    said: readonly string[],
  ): Promise<Asked> {
    const { link, reply } = connection;
    const { checked, looks } = await askChecked(link, hello, about, this.#host);
    const here = await hostFacts(this.#ports, opened.info, checked.address);
    const bytesPerSecond = await measurePath(link, measuredPiece(this.#host.chance), this.#host);
    const { spec } = about;
    const beside = { here, looks, spec, there: (line: string) => connection.there(line) };
    const found = checkedLines(checked, beside);
    const between = [
      loginLine(said, this.#command),
      ...found.between,
      bandwidthLine(bytesPerSecond),
    ];
    return {
      peer: reply.host,
      lines: [...placed('there', found.there), ...before, ...placed('between', between)],
      bytesPerSecond,
    };
  }
}

/** The guest that is meant; null: there is no Xen to ask, or none is meant. */
function guestOf(hypervisor: Hypervisor | undefined, wanted: string | undefined) {
  if (hypervisor === undefined || wanted === undefined) return Promise.resolve(null);
  return findRunning(hypervisor, wanted);
}

/** What does not run is a line; one that nobody knows is an error, for the name may be wrong. */
async function lookForGuest(
  opened: Opened | null,
  wanted: string | undefined,
): Promise<{ readonly guest: Guest | null; readonly line: CheckLine | null }> {
  try {
    return { guest: await guestOf(opened?.hypervisor, wanted), line: null };
  } catch (error) {
    if (error instanceof OperationError && error.code === 'unsupported-guest') {
      return { guest: null, line: failedLine('guest', error) };
    }
    throw error;
  }
}

/** What was found of this host so far. */
interface Found {
  readonly xen: CheckLine;
  readonly opened: Opened | null;
  readonly guest: Guest | null;
}

async function linesHere(
  host: ThisHost,
  ports: CheckPorts,
  { xen, opened, guest }: Found,
  { unsafe, argv, fix }: CheckOptions,
): Promise<CheckLine[]> {
  const fixed = fix ? [await fixModules(placesOf(host))] : [];
  const info = opened?.info ?? null;
  const about = { xen, info, spec: guest?.spec ?? null, buffered: unsafe.network, argv };
  const found = [...(await hostLines(ports, about)), memoryLine(ports)];
  const lines = found.map((line) => fixed.find(({ name }) => name === line.name) ?? line);
  if (guest === null || opened === null) return lines;
  return [...lines, ...(await guestLines(ports, opened.hypervisor, guest, unsafe))];
}

/** What a session would say of its disks; nothing where it cannot: a line of its own says why. */
async function announced(
  ports: CheckPorts,
  spec: GuestSpec,
  said: DiskOptions,
): Promise<readonly AnnouncedDisk[]> {
  if (spec.writableDisks.length === 0) return [];
  const disks = await ports.describeDisks(spec).catch(() => []);
  return factsFor(disks, said);
}

/** Looks at everything. Throws an OperationError where there is no such guest. */
export async function runCheck(options: CheckOptions, env: Environment): Promise<CheckResult> {
  const host = thisHost(env);
  const ports = checkPorts(host);
  const { line: xen, opened } = await openLine(ports);
  const { guest, line } = await lookForGuest(opened, options.domain);
  if (guest !== null) refuseUnknownDisks(guest.spec, options.disks);
  const here = await linesHere(host, ports, { xen, opened, guest }, options);
  if (line !== null) here.push(line);
  const names = { host: host.settings.hostName, domain: guest?.name ?? options.domain ?? null };
  const alone = { ...names, peer: null, lines: placed('here', here), bytesPerSecond: null };
  if (options.host === undefined) return alone;
  if (guest === null || opened === null) {
    const why = 'there is no guest to ask for';
    return {
      ...alone,
      lines: [...alone.lines, ...placed('between', [skipLine('connection', why)])],
    };
  }
  const { name: domain, ref, memoryBytes } = guest;
  const disks = options.unsafe.disk ? await announced(ports, guest.spec, options.disks) : [];
  const there = { ...guest, spec: specThere(opened.hypervisor, guest.spec, options.disks) };
  const drivers = disks.length > 0 ? diskDrivers : [];
  const hello = checkHello(host, { domain, uuid: ref.uuid, memoryBytes }, drivers);
  const back = await backLines(opened, guest, disks, hello);
  const command = transportCommand(options.host, options.sshCommand ?? undefined);
  const asked = await new OtherHost(host, ports, command).ask(there, disks, hello, opened);
  return { ...alone, ...asked, lines: [...alone.lines, ...placed('here', back), ...asked.lines] };
}
