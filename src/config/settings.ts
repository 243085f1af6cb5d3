/**
 * Flags and environment -> settings. A flag wins over its TSREMUS_* variable, that over the
 * default. Pure: the environment is handed in, and nothing is read or printed here.
 */
import { UsageError } from './usage-error.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** One setting that is a number of milliseconds. */
export interface MillisecondsSetting {
  readonly flag: string;
  readonly variable: string;
  readonly fallback: number;
  readonly min: number;
  readonly max: number;
  /** Why 0 is refused where a user may expect it to mean something. */
  readonly zero?: string;
}

export const intervalSetting: MillisecondsSetting = {
  flag: '--interval',
  variable: 'TSREMUS_INTERVAL',
  fallback: 200,
  min: 10,
  max: 60_000,
  // main_remus() of xl parses with atoi and reads 0 as "not given".
  zero: 'leave the option out, or say --interval 200 (xl remus takes 0 for 200)',
};

export const heartbeatTimeoutSetting: MillisecondsSetting = {
  flag: '--heartbeat-timeout',
  variable: 'TSREMUS_HEARTBEAT_TIMEOUT',
  fallback: 1_000,
  // Below this the scheduling of an ordinary dom0 looks like a dead host.
  min: 200,
  max: 60_000,
};

export const holdSetting: MillisecondsSetting = {
  flag: '--hold',
  variable: 'TSREMUS_HOLD',
  fallback: 3_000,
  min: 100,
  max: 600_000,
};

/** Every setting in milliseconds: the man page is checked against this list. */
export const millisecondsSettings = [intervalSetting, heartbeatTimeoutSetting, holdSetting];

/** Where a session's state is kept while this host is up. */
export const runDirectoryVariable = 'TSREMUS_RUN_DIR';
export const runDirectoryDefault = '/run/tsremus';

/** The default of -s. */
export const sshCommandVariable = 'TSREMUS_SSH_COMMAND';

function parseMilliseconds(text: string, name: string, setting: MillisecondsSetting): number {
  const origin = name === setting.variable ? 'environment' : 'arguments';
  const range = `milliseconds, ${setting.min} to ${setting.max}`;
  const say =
    origin === 'arguments' ? `${name} ${setting.fallback}` : `${name}=${setting.fallback}`;
  const hint = `say, for example, ${say}`;
  if (!/^[0-9]{1,9}$/.test(text)) {
    const shown = JSON.stringify(text.slice(0, 40));
    throw new UsageError(`${name}: ${shown} is not a whole number of ${range}`, hint, origin);
  }
  const value = Number(text);
  if (value === 0 && setting.zero !== undefined) {
    throw new UsageError(`${name}: 0 is not a time`, setting.zero, origin);
  }
  if (value < setting.min || value > setting.max) {
    throw new UsageError(`${name}: ${value} is out of range (${range})`, hint, origin);
  }
  return value;
}

/** The value of a setting: from the flag, else from the environment, else its default. */
export function milliseconds(
  setting: MillisecondsSetting,
  flag: string | undefined,
  env: Environment,
): number {
  if (flag !== undefined) return parseMilliseconds(flag, setting.flag, setting);
  const set = env[setting.variable];
  // An empty variable is an unset one, as everywhere in a shell.
  if (set) return parseMilliseconds(set, setting.variable, setting);
  return setting.fallback;
}

/** The folder of status files and control sockets. */
export function runDirectory(env: Environment): string {
  const set = env[runDirectoryVariable];
  if (!set) return runDirectoryDefault;
  if (!set.startsWith('/')) {
    const hint = `say, for example, ${runDirectoryVariable}=${runDirectoryDefault}`;
    const shown = JSON.stringify(set);
    throw new UsageError(
      `${runDirectoryVariable}: ${shown} is not an absolute path`,
      hint,
      'environment',
    );
  }
  return set;
}

/** What carries the stream: null is plain `ssh`, the empty string runs HOST as a command. */
export function sshCommand(flag: string | undefined, env: Environment): string | null {
  return flag ?? (env[sshCommandVariable] || null);
}
