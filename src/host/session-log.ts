/**
 * The log of a session: one file per domain and role, appended to. Not on stderr: the backup's
 * stderr is ssh's pipe, which dies with the primary, and the primary's belongs to the reporter.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { HostSettings } from '../config/host-settings.ts';
import type { Environment } from '../config/settings.ts';
import type { Clock } from './clock.ts';
import { openLog, type ReopenedLog } from './log.ts';
import { cleanText } from './text.ts';

/** A file's name may have 255 bytes, and a guest's name 128 characters, of three bytes each. */
function fitting(name: string): string {
  if (Buffer.byteLength(name) <= 240) return name;
  return `${cleanText(name, 200)}${name.slice(-8)}`;
}

/**
 * Opens `NAME.log` in the log directory. A log that cannot be opened must not cost the guest its
 * protection: then the lines go to stderr.
 */
export function openLogIn(
  settings: Pick<HostSettings, 'logDirectory' | 'logLevel'>,
  name: string,
  clock: Clock,
  env: Environment,
): ReopenedLog {
  const { logDirectory: dir, logLevel: level } = settings;
  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    return openLog({ clock, level, env, path: join(dir, `${fitting(name)}.log`) });
  } catch {
    return openLog({ clock, level, env });
  }
}
