/** DRBD's own commands, and /proc/drbd, of the host whose files are below `root`. */
import { run } from '../../host/runner.ts';
import type { DeviceFiles } from '../backing.ts';
import type { DrbdTools } from './find.ts';

/** DRBD's commands wait for its lock, and drbdadm reads every resource there is. */
const timeoutMs = 10_000;

export function drbdTools(files: DeviceFiles): DrbdTools {
  return {
    async proc() {
      try {
        return await files.readText('/proc/drbd');
      } catch {
        // Whatever the reason is, there is no DRBD that could be asked.
        return null;
      }
    },
    run: async (argv) => (await run(argv, { timeoutMs })).stdout,
  };
}
