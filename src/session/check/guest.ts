/** Requirements of the guest, on the host where it runs. */
import { type CheckLine, okLine, warnLine } from '../../core/check/line.ts';
import { adviceLine } from '../../core/texts/advice.ts';
import { formatBytes } from '../../core/units.ts';
import type { Hypervisor } from '../../hypervisor/port.ts';
import { isSettled, sessionsSinceBoot } from '../../registry/port.ts';
import { type Guest, refuseDisks, refuseUnknown } from '../primary/preflight.ts';
import { lineOf } from './host.ts';
import type { CheckPorts } from './ports.ts';

/** What would be given up: -n, -d and --allow of `tsremus protect`. */
export interface CheckUnsafe {
  readonly network: boolean;
  readonly disk: boolean;
  readonly allow: readonly string[];
}

/** Whether a session of the guest lives, or is to be cleared up first; null: neither. */
export function sessionLine(ports: CheckPorts, { ref, name }: Guest): CheckLine | null {
  const entry = sessionsSinceBoot(ports.registry).find(
    ({ status }) => status.uuid === ref.uuid && !isSettled(status),
  );
  if (entry === undefined) return null;
  const next = adviceLine({ kind: 'show', domain: name });
  if (entry.liveness === 'alive') {
    return warnLine(
      'session',
      `${name} has a session now: what that has made is not looked at`,
      next,
    );
  }
  const text = `an earlier session of ${name} was not ended in order`;
  return warnLine('session', text, adviceLine({ kind: 'stop', domain: name }));
}

function devices(guest: Guest, allow: readonly string[]): string {
  refuseUnknown(guest.spec, allow);
  return 'all of it is in a copy';
}

async function disks(guest: Guest, { disk }: CheckUnsafe, ports: CheckPorts): Promise<string> {
  const names = guest.spec.writableDisks.map(({ name }) => name).join(', ');
  if (names === '') return 'none that the guest writes to';
  if (!disk) return `${names} left alone (-d)`;
  await refuseDisks(guest.name, ports.disks, guest.spec);
  return names;
}

function saver(hypervisor: Hypervisor, { ref, name }: Guest): CheckLine {
  const who = hypervisor.otherSaver(ref, name);
  if (who === null) return okLine('guest', `${name} runs, domain ${ref.id}`);
  const next = adviceLine({ kind: 'list-guest', domain: name });
  return warnLine('guest', `${name} is saved or moved by ${who}`, next);
}

/** Everything that is asked of the guest alone. */
export async function guestLines(
  ports: CheckPorts,
  hypervisor: Hypervisor,
  guest: Guest,
  unsafe: CheckUnsafe,
): Promise<readonly CheckLine[]> {
  const session = sessionLine(ports, guest);
  const buffered: CheckLine[] = [];
  if (!unsafe.network) buffered.push(okLine('interfaces', 'not buffered (-n)'));
  else if (session === null) buffered.push(await ports.interfacesLine(guest));
  const found = saver(hypervisor, guest);
  const size = formatBytes(guest.memoryBytes);
  return [
    { ...found, text: `${found.text}, ${size} of memory` },
    ...(session === null ? [] : [session]),
    await lineOf('devices', () => devices(guest, unsafe.allow)),
    await lineOf('disks', () => disks(guest, unsafe, ports)),
    await ports.suspendLine(guest),
    ...buffered,
  ];
}
