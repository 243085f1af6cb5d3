/** --resync-rate: what is read of a guest's disk in a second while it is copied. Pure. */
import { resyncRateMax, resyncRateMin } from '../core/limits.ts';
import { UsageError } from './usage-error.ts';

export const resyncRateFlag = '--resync-rate';

const suffixes = ['', 'K', 'M', 'G'];

/** Bytes a second, with or without K, M or G (powers of 1024); null: not said. */
export function resyncRate(flag: string | undefined): number | null {
  if (flag === undefined) return null;
  const hint = { name: resyncRateFlag, joint: ' ', value: '50M' } as const;
  const [, digits = '', suffix = ''] = /^([0-9]{1,12})([KMG]?)$/i.exec(flag) ?? [];
  if (digits === '') {
    const shown = JSON.stringify(flag.slice(0, 40));
    throw new UsageError(`${resyncRateFlag}: ${shown} is not a rate such as 50M or 1G`, hint);
  }
  const bytes = Number(digits) * 1024 ** suffixes.indexOf(suffix.toUpperCase());
  if (bytes >= resyncRateMin && bytes <= resyncRateMax) return bytes;
  throw new UsageError(`${resyncRateFlag}: ${flag} is out of range (64K to 1024G)`, hint);
}
