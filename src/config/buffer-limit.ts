/**
 * --buffer-limit and --netbuf-script: what dom0 may hold back of a guest's output. Pure.
 */
import { bufferLimitBytesMax, bufferLimitBytesMin } from '../core/limits.ts';
import type { Environment } from './settings.ts';
import { UsageError } from './usage-error.ts';

export const bufferLimitFlag = '--buffer-limit';
export const bufferLimitVariable = 'TSREMUS_BUFFER_LIMIT';
/**
 * Memory of dom0 for one interface, with what the kernel needs for each frame. 64 MiB hold 0.2 s of
 * a guest that sends full frames at 1.5 Gbit/s, and are no danger to any dom0.
 */
export const bufferLimitDefaultBytes = 64 * 1024 ** 2;

const suffixes = ['', 'K', 'M', 'G'];

/** Bytes: from the flag, else from the environment, else the default. */
export function bufferLimit(flag: string | undefined, env: Environment): number {
  const isFlag = flag !== undefined;
  const text = flag ?? env[bufferLimitVariable];
  if (!isFlag && !text) return bufferLimitDefaultBytes;
  const name = isFlag ? bufferLimitFlag : bufferLimitVariable;
  const origin = isFlag ? 'arguments' : 'environment';
  const hint = { name, joint: isFlag ? ' ' : '=', value: '64M' } as const;
  const match = /^([0-9]{1,12})([KMG]?)$/i.exec(text ?? '');
  if (match === null) {
    const shown = JSON.stringify((text ?? '').slice(0, 40));
    throw new UsageError(`${name}: ${shown} is not a size such as 64M or 1G`, hint, origin);
  }
  const bytes = Number(match[1]) * 1024 ** suffixes.indexOf((match[2] ?? '').toUpperCase());
  if (bytes >= bufferLimitBytesMin && bytes <= bufferLimitBytesMax) return bytes;
  throw new UsageError(`${name}: ${text} is out of range (1M to 2G)`, hint, origin);
}

/** Where xl looks for a script that is named without a folder. */
const scriptFolder = '/etc/xen/scripts';

/** The path of -N; null: not said. */
export function netbufScript(flag: string | undefined): string | null {
  if (flag === undefined) return null;
  if (flag === '') {
    const correction = { name: '--netbuf-script', joint: ' ', value: null } as const;
    throw new UsageError('--netbuf-script (-N) names no file', correction);
  }
  if (flag.includes('/') && !flag.startsWith('/')) {
    // The session runs in the root folder, and lives longer than any other is there for sure.
    throw new UsageError(
      `--netbuf-script (-N): ${JSON.stringify(flag)} is not the whole path`,
      `name it from / on, or by its name alone if it is in ${scriptFolder}`,
    );
  }
  return flag.includes('/') ? flag : `${scriptFolder}/${flag}`;
}
