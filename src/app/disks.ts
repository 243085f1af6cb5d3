/** The disks of this host's guests, and what replicates them. */
import type { DiskDriver } from '../disk/port.ts';
import type { ThisHost } from './host.ts';

/** Looks at each disk; none is taken as long as no driver takes a session's epochs. */
export function diskRefusals({ env }: ThisHost): Pick<DiskDriver, 'refusals'> {
  return {
    async refusals({ writableDisks }) {
      if (writableDisks.length === 0) return [];
      const { deviceFiles } = await import('../disk/backing.ts');
      const { diskRefusals: refusalsOf } = await import('../disk/look.ts');
      const { lookAtDrbd } = await import('../disk/drbd/look.ts');
      const { drbdTools } = await import('../disk/drbd/tools.ts');
      // simxl has a host's files below its own folder.
      const files = deviceFiles(env['SIMXL_HOST'] ?? '');
      return refusalsOf(files, [lookAtDrbd(drbdTools(files))], writableDisks);
    },
  };
}
