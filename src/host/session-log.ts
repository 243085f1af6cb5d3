/**
 * The log of a session: one file per domain and role, appended to. Not on stderr: the backup's
 * stderr is ssh's pipe, which dies with the primary, and the primary's belongs to the reporter.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from './clock.ts';
import { type LogLevel, openLog, type ProcessLog } from './log.ts';

export const logDirectoryDefault = '/var/log/tsremus';

/**
 * Opens `NAME.log` in TSREMUS_LOG_DIR. A log that cannot be opened must not cost the guest its
 * protection: then the lines go to stderr.
 */
export function openSessionLog(name: string, env: NodeJS.ProcessEnv): ProcessLog {
  const dir = env['TSREMUS_LOG_DIR'] || logDirectoryDefault;
  const level: LogLevel = env['TSREMUS_LOG_LEVEL'] === 'debug' ? 'debug' : 'info';
  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    return openLog({ clock: systemClock, level, path: join(dir, `${name}.log`) });
  } catch {
    return openLog({ clock: systemClock, level });
  }
}
