/** What a host's environment says to every process of tsremus on it. Pure. */
import { type Environment, pathOf, runDirectory, stateDirectory, wordOf } from './settings.ts';

export const logDirectoryDefault = '/var/log/tsremus';

export interface HostSettings {
  readonly hostName: string;
  /** All the memory that this system sees, bytes. */
  readonly memoryBytes: number;
  /** What of it could be had when this process began, without swapping, bytes. */
  readonly availableBytes: number;
  /** Where a session's state is kept while this host is up. */
  readonly runDirectory: string;
  /** Where records are kept. */
  readonly stateDirectory: string;
  readonly logDirectory: string;
  readonly logLevel: 'debug' | 'info';
}

/** What adapters read for themselves, later: it would be found out too late there. */
function checkOthers(env: Environment): void {
  pathOf('TSREMUS_ALLOW', '/etc/tsremus/allow', env);
  pathOf('TSREMUS_NATIVE', '/usr/lib/tsremus/libtsremus.so', env);
}

/** Throws UsageError where the environment says what cannot be. */
export function hostSettings(
  env: Environment,
  host: {
    readonly name: string;
    readonly memoryBytes: number;
    readonly availableBytes: number;
  },
): HostSettings {
  checkOthers(env);
  return {
    hostName: host.name,
    memoryBytes: host.memoryBytes,
    availableBytes: host.availableBytes,
    runDirectory: runDirectory(env),
    stateDirectory: stateDirectory(env),
    logDirectory: pathOf('TSREMUS_LOG_DIR', logDirectoryDefault, env),
    logLevel: wordOf('TSREMUS_LOG_LEVEL', ['debug', 'info'], env) ?? 'info',
  };
}
