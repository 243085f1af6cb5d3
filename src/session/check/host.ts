/** Requirements of a host, whatever runs on it; and what it says of itself to be compared. */
import { dirname, join } from 'node:path';
import { version } from '../../config/version.ts';
import type { HostFacts } from '../../core/check/compare.ts';
import {
  type CheckLine,
  type CheckName,
  failLine,
  okLine,
  readOn,
  skipLine,
  warnLine,
} from '../../core/check/line.ts';
import { adviceLine } from '../../core/texts/advice.ts';
import { formatBytes } from '../../core/units.ts';
import { errorText, OperationError } from '../../host/errors.ts';
import type { GuestSpec, HostInfo, Hypervisor } from '../../hypervisor/port.ts';
import type { Checked } from '../../link/checked-message.ts';
import { defaultMaxMemory } from '../../stream/budget.ts';
import type { CheckPorts } from './ports.ts';

/** What one host of a session tells the other one, before that begins. */
export type HostLook = Omit<Checked, 'kind' | 'clock'>;

/** A failure as a line; whoever asks does the rest. */
export function failedLine(name: CheckName, error: unknown): CheckLine {
  const hint = error instanceof OperationError ? error.hint : undefined;
  return failLine(name, errorText(error), hint ?? readOn(name));
}

/** `ok` with the text that `look` gives, or the line of what it throws. */
export async function lineOf(
  name: CheckName,
  look: () => string | Promise<string>,
): Promise<CheckLine> {
  try {
    return okLine(name, await look());
  } catch (error) {
    return failedLine(name, error);
  }
}

/** This host's hypervisor, and what it says of itself; null: there is none. */
export interface Opened {
  readonly hypervisor: Hypervisor;
  readonly info: HostInfo;
}

/** Opens it; the line says how that went. */
export async function openLine(
  ports: CheckPorts,
): Promise<{ readonly line: CheckLine; readonly opened: Opened | null }> {
  try {
    const hypervisor = await ports.openHypervisor();
    const info = await hypervisor.host();
    return { line: okLine('xen', info.version), opened: { hypervisor, info } };
  } catch (error) {
    return { line: failedLine('xen', error), opened: null };
  }
}

/** The folder itself, or the one that it would be made in. */
async function nearest(ports: CheckPorts, dir: string): Promise<string> {
  const names = await ports.store.listDir(dirname(dir));
  if (names.includes(dir.slice(dir.lastIndexOf('/') + 1)) || dir === dirname(dir)) return dir;
  return nearest(ports, dirname(dir));
}

/** A small durable file can be written in each of the program's folders; it is gone after that. */
async function directoriesLine(ports: CheckPorts): Promise<CheckLine> {
  const { stateDirectory, runDirectory, logDirectory } = ports.settings;
  const dirs = [stateDirectory, runDirectory, logDirectory];
  for (const dir of dirs) {
    try {
      const name = `.tsremus-check-${ports.chance.bytes(8).toString('hex')}`;
      const path = join(await nearest(ports, dir), name);
      await ports.store.writeDurably(path, 'a trial\n');
      await ports.store.removeFile(path);
    } catch (error) {
      const hint = error instanceof OperationError ? error.hint : undefined;
      const next = hint ?? adviceLine({ kind: 'see-file', path: dir });
      return failLine('directories', errorText(error), next);
    }
  }
  return okLine('directories', `${dirs.join(', ')} can be written`);
}

/** What a session may use of this host's own memory, where the guest runs. */
export function memoryLine({ settings, maxMemoryBytes }: CheckPorts): CheckLine {
  const { memoryBytes, availableBytes } = settings;
  const wanted = maxMemoryBytes ?? defaultMaxMemory(memoryBytes);
  const has = `${formatBytes(availableBytes)} of ${formatBytes(memoryBytes)} are available`;
  const text = `${has}, a session may use ${formatBytes(wanted)}`;
  if (availableBytes >= wanted) return okLine('memory', text);
  const mib = Math.ceil((memoryBytes + wanted - availableBytes) / 1024 ** 2);
  return warnLine('memory', text, adviceLine({ kind: 'grow-own-memory', mib }));
}

function root({ isRoot }: CheckPorts, argv: readonly string[] | null): CheckLine {
  if (isRoot) return okLine('root', 'tsremus runs as root');
  const next = argv === null ? readOn('root') : adviceLine({ kind: 'as-root', argv });
  return failLine('root', 'only root can talk to Xen and hold packets', next);
}

/**
 * Everything that is asked of a host alone. `argv`: what was typed here, for a hint; null: another
 * host asks. `spec`: of the guest that is meant; null: of none.
 */
export async function hostLines(
  ports: CheckPorts,
  about: {
    readonly xen: CheckLine;
    readonly info: HostInfo | null;
    readonly spec: GuestSpec | null;
    /** False with -n. */
    readonly buffered: boolean;
    readonly argv: readonly string[] | null;
  },
): Promise<readonly CheckLine[]> {
  const { xen, info, spec, argv } = about;
  const own =
    info === null
      ? [skipLine('log-dirty', 'there is no Xen to ask')]
      : ports.hypervisorLines(info, spec);
  return [
    root(ports, argv),
    xen,
    ...own,
    ...(await ports.bufferLines(about.buffered && spec?.interfaces.length !== 0)),
    await directoriesLine(ports),
  ];
}

/** What this host says of itself; `toPeer`: the address of the other one, where it is known. */
export async function hostFacts(
  ports: CheckPorts,
  info: HostInfo | null,
  toPeer: string | null,
): Promise<HostFacts> {
  const { mtuBytes } = await ports.way(toPeer);
  return {
    host: ports.settings.hostName,
    tsremus: version,
    hypervisor: info?.version ?? null,
    cpus: info?.cpus ?? null,
    processor: ports.processor,
    features: info?.features ?? [],
    mtuBytes,
  };
}
