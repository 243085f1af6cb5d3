/** What tells LVM whose the guests' volumes on this host are; what dead sessions left untold. */
import type { LvmPorts } from '../disk/mirror/lvm.ts';
import { run } from '../host/runner.ts';
import type { ThisHost } from './host.ts';

/** LVM may wait for a lock of its own, or for a disk that is slow to answer, ms. */
const commandMsMax = 30_000;

/**
 * What the two below load, loaded while the files are there. From here: Node looks for the file
 * once for each module that asks for it, though it has it already.
 */
export async function loadLvm(): Promise<void> {
  await Promise.all([import('../disk/backing.ts'), import('../disk/mirror/lvm.ts')]);
}

/** `say`: for the log. */
export async function lvmPorts(host: ThisHost, say: (text: string) => void): Promise<LvmPorts> {
  const { deviceFiles } = await import('../disk/backing.ts');
  const { store, settings, env } = host;
  return {
    ...{ store, stateDirectory: settings.stateDirectory, say },
    // simxl has a host's files below its own folder.
    files: deviceFiles(env['SIMXL_HOST'] ?? ''),
    async run(argv) {
      await run(argv, { timeoutMs: commandMsMax });
    },
  };
}

/**
 * Has LVM do of a guest's copies here what a session that died did not come to; what it did not do.
 * Never rejects.
 */
export async function followLeftMarks(host: ThisHost, uuid: string): Promise<readonly string[]> {
  const { followMarks } = await import('../disk/mirror/lvm.ts');
  const said: string[] = [];
  await followMarks(await lvmPorts(host, (text) => said.push(text)), uuid);
  return said;
}
