/** Runs a program that plays with network devices where it can disturb nobody. */
import { errorText } from '../../../src/host/errors.ts';
import { run } from '../../../src/host/runner.ts';

/** The JSON line that `main` prints, in a network namespace of its own; or why it cannot be run. */
export async function measuredInNamespace(
  main: string,
  ...args: readonly string[]
): Promise<Record<string, unknown>> {
  const unshare = ['unshare', '--net', '--mount', 'sh', '-c'];
  // sysfs shows the devices of the namespace in which it was mounted.
  const inside = 'mount -t sysfs sysfs /sys && exec "$@"';
  // Only a hang takes as long.
  const bounds = { timeoutMs: 500_000 };
  try {
    await run([...unshare, inside, 'sh', 'true'], bounds);
  } catch (error) {
    return { skip: errorText(error) };
  }
  const node = [process.execPath, '--import', 'tsx', main, ...args];
  return JSON.parse((await run([...unshare, inside, 'sh', ...node], bounds)).stdout);
}
