/**
 * What a process may use of its host, in one place. src/app makes it of the system, the simulator
 * of a model; nothing else reaches for the system's clock, chance, files, processes or environment.
 */
import type { HostSettings } from '../config/host-settings.ts';
import type { BootClock, Chance, Time } from './clock.ts';
import type { ProcessLog } from './log.ts';
import type { Processes } from './process-id.ts';
import type { Store } from './store.ts';

export interface HostPorts extends Time {
  readonly bootClock: BootClock;
  readonly chance: Chance;
  readonly store: Store;
  readonly processes: Processes;
  readonly settings: HostSettings;
  /** What this host refused to this process, and it does without, clauses: status notes them. */
  readonly refusals: readonly string[];
  /**
   * The log called `name`. One that cannot be opened must not cost the guest its protection: its
   * lines then go to stderr.
   */
  openLog(name: string): ProcessLog;
}
