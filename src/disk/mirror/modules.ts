/** The modules of this kernel that a mirror takes, looked for before a session begins. */
import { OperationError } from '../../host/errors.ts';
import type { MirrorPorts } from './host.ts';

const modules: readonly string[] = ['nbd', 'dm_mirror'];

/** As kmod says it. What goes wrong in another way is no sign that a module is missing. */
function isAbsent(error: unknown): boolean {
  if (!(error instanceof OperationError) || error.code !== 'command-failed') return false;
  const { cause } = error.detail;
  return cause instanceof Error && /\bnot found\b/.test(cause.message);
}

/** Those that are neither there nor could be loaded. Loads none. */
export async function missingModules({
  files,
  run,
}: Pick<MirrorPorts, 'files' | 'run'>): Promise<readonly string[]> {
  // An upgrade may have taken the file of one that is loaded.
  const loaded = await files.list('/sys/module');
  const missing: string[] = [];
  for (const name of modules.filter((one) => !loaded.includes(one))) {
    try {
      await run(['modprobe', '--dry-run', name]);
    } catch (error) {
      if (isAbsent(error)) missing.push(name);
    }
  }
  return missing;
}
