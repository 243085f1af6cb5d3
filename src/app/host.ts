/**
 * This host's own clock, chance, files, processes and environment, handed out to whoever runs on
 * it. Only src/app does that; everything below gets its ports from here.
 */
import { freemem, hostname, totalmem } from 'node:os';
import { hostSettings } from '../config/host-settings.ts';
import type { Environment } from '../config/settings.ts';
import { noEventsText, noFiguresText } from '../core/texts/events.ts';
import { systemBootClock, systemChance, systemClock, systemTimers } from '../host/clock.ts';
import { errorText } from '../host/errors.ts';
import { systemFiles } from '../host/files.ts';
import type { ReopenedLog } from '../host/log.ts';
import type { HostPorts } from '../host/ports.ts';
import { systemProcesses } from '../host/process-id.ts';
import { openLogIn } from '../host/session-log.ts';
import { Store } from '../host/store.ts';
import type { Hypervisor } from '../hypervisor/port.ts';
import { type NotingParts, notingRegistry } from '../registry/noting.ts';
import type { Registry } from '../registry/port.ts';
import { RunDirectory } from '../registry/run-directory.ts';
import type { EventSink } from './events.ts';

/** With what the adapters need of it beside the ports. */
export interface ThisHost extends HostPorts {
  readonly env: Environment;
  readonly refusals: string[];
  /** Of libtsremus, where it is not beside the program. */
  readonly nativePath: string | undefined;
  /** What happens to sessions is noted there. */
  readonly events: EventSink;
  /** For SIGHUP: every log of this process goes to the file that has its name now. */
  readonly reopenLogs: () => void;
}

/** Loaded with the first that is noted: most commands note nothing. */
function eventsLater(
  stateDir: string,
  onLost: (error: Error, what: 'events' | 'figures') => void,
): EventSink {
  let opened: Promise<EventSink> | null = null;
  const open = () => {
    opened ??= import('./events.ts').then(({ openEvents }) => openEvents(stateDir, onLost));
    return opened;
  };
  return {
    note(record) {
      open().then(
        (sink) => sink.note(record),
        (error) => onLost(error, 'events'),
      );
    },
    measure(record) {
      open().then(
        (sink) => sink.measure(record),
        (error) => onLost(error, 'figures'),
      );
    },
    async settled() {
      await opened?.then((sink) => sink.settled()).catch(() => {});
    },
  };
}

/** Throws UsageError where the environment says what cannot be. */
export function thisHost(env: Environment): ThisHost {
  // freemem is MemAvailable on Linux.
  const memory = { memoryBytes: totalmem(), availableBytes: freemem() };
  const settings = hostSettings(env, { name: hostname(), ...memory });
  // A process opens two or three of them in its life.
  const logs: ReopenedLog[] = [];
  const refusals: string[] = [];
  return {
    clock: systemClock,
    bootClock: systemBootClock,
    timers: systemTimers,
    chance: systemChance,
    store: new Store(systemFiles, systemChance),
    processes: systemProcesses(),
    settings,
    refusals,
    events: eventsLater(settings.stateDirectory, (error, what) => {
      const textOf = what === 'events' ? noEventsText : noFiguresText;
      const text = textOf(errorText(error));
      if (!refusals.includes(text)) refusals.push(text);
    }),
    openLog(name) {
      const log = openLogIn(settings, name, systemClock, env);
      logs.push(log);
      return log;
    },
    reopenLogs() {
      for (const log of logs) log.reopen();
    },
    env,
    nativePath: env['TSREMUS_NATIVE'] || undefined,
  };
}

/** How this host notes what happens. */
export function notingParts({ clock, settings, events }: ThisHost): NotingParts {
  return {
    ...{ clock, host: settings.hostName },
    note: (record) => events.note(record),
    measure: (record) => events.measure(record),
  };
}

/** The sessions of this host; what becomes of them is noted. */
export function thisRegistry(host: ThisHost): Registry {
  return notingRegistry(new RunDirectory(host.settings.runDirectory, host), notingParts(host));
}

/** What runs the guests of this host; loads FFI. */
export async function thisHypervisor({ env, nativePath }: ThisHost): Promise<Hypervisor> {
  const { openXen } = await import('../hypervisor/xen/xen.ts');
  return openXen(env, nativePath);
}
