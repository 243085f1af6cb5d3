/** Runs a program that plays with network devices where it can disturb nobody. */
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
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

/**
 * Until frames cross each of these. `ip link set up` returns before the kernel has looked at a
 * carrier (linkwatch, in a worker of its own): until then an interface drops what it is to send,
 * and a bridge what comes from its port.
 */
export async function carry(...interfaces: readonly string[]): Promise<void> {
  const stands = (name: string, what: string, value: string) => {
    const path = `/sys/class/net/${name}/${what}`;
    return !existsSync(path) || readFileSync(path, 'utf8').trim() === value;
  };
  const forwarding = '3';
  const ready = (name: string) =>
    stands(name, 'operstate', 'up') && stands(name, 'brport/state', forwarding);
  while (!interfaces.every(ready)) await sleep(1);
}
