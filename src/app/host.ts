/**
 * This host's own clock, chance, files, processes and environment, handed out to whoever runs on
 * it. Only src/app does that; everything below gets its ports from here.
 */
import { hostname, totalmem } from 'node:os';
import { hostSettings } from '../config/host-settings.ts';
import type { Environment } from '../config/settings.ts';
import { systemChance, systemClock, systemTimers } from '../host/clock.ts';
import { systemFiles } from '../host/files.ts';
import type { HostPorts } from '../host/ports.ts';
import { systemProcesses } from '../host/process-id.ts';
import { openLogIn } from '../host/session-log.ts';
import { Store } from '../host/store.ts';
import type { Hypervisor } from '../hypervisor/port.ts';
import type { Registry } from '../registry/port.ts';
import { RunDirectory } from '../registry/run-directory.ts';

/** Throws UsageError where the environment says what cannot be. */
export function thisHost(env: Environment): HostPorts {
  const settings = hostSettings(env, { name: hostname(), memoryBytes: totalmem() });
  return {
    clock: systemClock,
    timers: systemTimers,
    chance: systemChance,
    store: new Store(systemFiles, systemChance),
    processes: systemProcesses(),
    settings,
    openLog: (name) => openLogIn(settings, name, systemClock, env),
  };
}

/** The sessions of this host. */
export function thisRegistry({ settings, ...host }: HostPorts): Registry {
  return new RunDirectory(settings.runDirectory, host);
}

/** What runs the guests of this host; loads FFI. */
export async function thisHypervisor(env: Environment): Promise<Hypervisor> {
  const { openXen } = await import('../hypervisor/xen/xen.ts');
  return openXen(env);
}
