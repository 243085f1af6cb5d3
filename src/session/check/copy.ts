/** Requirements of the backup for one guest: what `tsremus receive` would refuse, line by line. */
import { type CheckLine, failLine, okLine, skipLine } from '../../core/check/line.ts';
import { adviceLine } from '../../core/texts/advice.ts';
import { formatBytes } from '../../core/units.ts';
import type { GuestSpec, Hypervisor } from '../../hypervisor/port.ts';
import { checkConfig, checkConfigDisks, type GuestConfig } from '../../link/config-message.ts';
import type { Hello } from '../../link/hello-message.ts';
import { sessionsSinceBoot } from '../../registry/port.ts';
import { checkRoom, findNamesake } from '../backup/preflight.ts';
import { agreeStream } from '../backup/reception.ts';
import { failedLine, lineOf, type Opened } from './host.ts';
import type { CheckPorts } from './ports.ts';

/** The guest as this host reads it; the line says whether it may be so here. */
export function confinementLine(
  hypervisor: Hypervisor,
  config: GuestConfig,
  hello: Pick<Hello, 'domain' | 'uuid' | 'memoryBytes' | 'capabilities'>,
): { readonly line: CheckLine; readonly spec: GuestSpec | null } {
  try {
    const spec = hypervisor.readSpec(config.config);
    checkConfig(config, hello, spec);
    checkConfigDisks(config, hello, spec.writableDisks);
    return { line: okLine('confinement', 'the guest may be as it is here'), spec };
  } catch (error) {
    return { line: failedLine('confinement', error), spec: null };
  }
}

/** A line for each thing that the guest needs and that is not there. */
export async function needsLines(
  hypervisor: Hypervisor,
  spec: GuestSpec,
): Promise<readonly CheckLine[]> {
  const lacks = await hypervisor.lacks(spec, 'copy');
  if (lacks.length === 0) return [okLine('needs', 'bridges, scripts, disks and kernels are there')];
  return lacks.map(({ what, advice }) => failLine('needs', what, advice));
}

const readDisks = adviceLine({
  kind: 'read-page',
  page: 'tsremus-protect',
  why: 'DISKS: what a disk of a copy may be',
});

/** A line for each disk that cannot take the place of the guest's. */
export async function diskLines(
  ports: CheckPorts,
  spec: GuestSpec,
  { disks }: GuestConfig,
): Promise<readonly CheckLine[]> {
  if (disks.length === 0) return [okLine('copy-disks', 'none is to be copied')];
  try {
    const found = await ports.copyDiskRefusals(spec, disks);
    if (found.length > 0)
      return found.map(({ text, next }) => failLine('copy-disks', text, next ?? readDisks));
    const bytes = disks.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    return [okLine('copy-disks', `the guest's may be kept here, ${formatBytes(bytes)} in all`)];
  } catch (error) {
    return [failedLine('copy-disks', error)];
  }
}

/** What receiving would take of this system's own memory. */
function ownMemory(ports: CheckPorts, hello: Hello): string {
  const { maxBytes } = agreeStream(ports, hello, ports);
  const { availableBytes } = ports.settings;
  return `${formatBytes(availableBytes)} are available, a copy may use ${formatBytes(maxBytes)}`;
}

async function room({ hypervisor, info }: Opened, hello: Hello, spec: GuestSpec | null) {
  const memoryBytes = Math.max(hello.memoryBytes, spec?.roomBytes ?? 0);
  await checkRoom(hypervisor, { domain: hello.domain, memoryBytes });
  const free = info.freeMemoryBytes === null ? 'memory' : formatBytes(info.freeMemoryBytes);
  return `${free} free for ${formatBytes(memoryBytes)}`;
}

/** A session of the guest holds its copy here: its name and its memory are taken by that. */
function isHeld(ports: CheckPorts, { uuid }: Hello): boolean {
  return sessionsSinceBoot(ports.registry).some(({ status, liveness }) => {
    return status.uuid === uuid && status.role === 'backup' && liveness === 'alive';
  });
}

/** Everything that is asked of this host for the guest of `config`. */
export async function copyLines(
  ports: CheckPorts,
  opened: Opened | null,
  hello: Hello,
  config: GuestConfig,
): Promise<{ readonly lines: readonly CheckLine[]; readonly spec: GuestSpec | null }> {
  if (opened === null) return { lines: [skipLine('needs', 'there is no Xen to ask')], spec: null };
  const { hypervisor } = opened;
  const { line, spec } = confinementLine(hypervisor, config, hello);
  const own = await lineOf('memory', () => ownMemory(ports, hello));
  const needs = spec === null ? [] : await needsLines(hypervisor, spec);
  const asked = { ...ports, hypervisor };
  const held = `a copy of ${hello.domain} is held here now`;
  const others = isHeld(ports, hello)
    ? (['room', 'name', 'copy-disks'] as const).map((name) => skipLine(name, held))
    : [
        await lineOf('room', () => room(opened, hello, spec)),
        await lineOf('name', async () => {
          await findNamesake(asked, hello);
          return `no other domain is called ${hello.domain}`;
        }),
        ...(spec === null ? [] : await diskLines(ports, spec, config)),
      ];
  return { lines: [own, ...others, line, ...needs], spec };
}
