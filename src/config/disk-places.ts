/** --disk VDEV=PATH and --init-disk VDEV: a guest's disks on the other host. Pure. */
import { UsageError } from './usage-error.ts';

/** As CONFIG takes it (src/link/config-message.ts). */
const diskName = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$/;
const pathCharactersMax = 255;

function checkName(flag: string, name: string): void {
  if (diskName.test(name)) return;
  const shown = JSON.stringify(name.slice(0, 40));
  throw new UsageError(`${flag}: ${shown} is no name of a disk, such as xvda`);
}

/** Where each disk is; throws UsageError. */
export function diskPlaces(values: readonly string[]): ReadonlyMap<string, string> {
  const places = new Map<string, string>();
  for (const value of values) {
    const at = value.indexOf('=');
    const [name, path] = at < 0 ? [value, ''] : [value.slice(0, at), value.slice(at + 1)];
    checkName('--disk', name);
    if (!path.startsWith('/') || path.length > pathCharactersMax) {
      const text = `--disk: ${JSON.stringify(value.slice(0, 60))} names no path from / on`;
      throw new UsageError(text, { name: '--disk', joint: ' ', value: `${name}=/dev/vg0/${name}` });
    }
    if (places.has(name)) throw new UsageError(`--disk: ${name} is placed twice`);
    places.set(name, path);
  }
  return places;
}

/** Disks that may be written over; throws UsageError. */
export function overwrittenDisks(values: readonly string[]): readonly string[] {
  for (const name of values) checkName('--init-disk', name);
  return [...new Set(values)];
}
