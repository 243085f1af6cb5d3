/** What the record on host B's disk says, read without any code of ours. */
import type { SimDisk } from './files.ts';

/** As the settings of the simulated hosts have it. */
export const stateDirectory = '/var/lib/tsremus';

export type RecordPermission = 'none' | 'standby' | 'activating' | 'active' | 'promised' | 'lost';

/** Of that session, by the files that are visible now. */
export function recordOn(disk: SimDisk, session: string): RecordPermission {
  const says = (part: string): string | null => {
    const end = `${session}.${part}`;
    const name = disk.names(stateDirectory).find((one) => one.endsWith(end));
    const text = name === undefined ? null : disk.read(`${stateDirectory}/${name}`);
    try {
      return text === null ? null : String(JSON.parse(text).says);
    } catch {
      return null;
    }
  };
  if (says('standby') === null) return 'none';
  const decision = says('decision');
  if (decision === null) return 'standby';
  if (decision === 'promised') return 'promised';
  const outcome = says('outcome');
  if (outcome === 'active' && says('lost') !== null) return 'lost';
  return outcome === 'active' || outcome === 'promised' ? outcome : 'activating';
}

/** What was agreed for the session, as host B will know it after any crash; null: no record. */
export function agreedOn(disk: SimDisk, session: string): string | null {
  const end = `${session}.standby`;
  const name = disk.names(stateDirectory).find((one) => one.endsWith(end));
  const text = name === undefined ? null : disk.read(`${stateDirectory}/${name}`);
  return text === null ? null : String(JSON.parse(text).withoutWitness);
}

/** The copy was noted to run. */
export function isNotedRunning(disk: SimDisk, session: string): boolean {
  return disk.names(stateDirectory).some((name) => name.endsWith(`${session}.running`));
}
