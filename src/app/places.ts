/** Where this host's own files are, and what runs its programs, for whoever looks at it. */
import type { LookPlaces } from '../output/plug/looks.ts';
import { toolRunner } from '../output/plug/tools.ts';
import type { ThisHost } from './host.ts';

/** The stand-in's host is a folder, and has its own files in it. */
export function placesOf({ env, store }: ThisHost): LookPlaces {
  const root = env['SIMXL_HOST'] ?? '';
  return { root, sysfs: `${root}/sys`, procDir: `${root}/proc`, env, store, run: toolRunner(env) };
}
