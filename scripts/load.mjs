/**
 * The load of `npm test -- --stress`: processes that take all the time they get. Each hangs on a
 * pipe that only its starter holds, and ends with it: in order, on Ctrl-C, or when the starter is
 * killed.
 */
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const stressCores = 2;
const sliceMs = 20;

/** Starts so many; resolves, when all of them run, to their ids and what ends them. */
export async function startLoad(count) {
  const children = Array.from({ length: count }, () =>
    spawn(process.execPath, [fileURLToPath(import.meta.url)], {
      stdio: ['pipe', 'pipe', 'inherit'],
    }),
  );
  const ended = children.map((child) => new Promise((resolve) => child.once('exit', resolve)));
  await Promise.all(
    children.map(
      (child) =>
        new Promise((resolve, reject) => {
          child.stdout.once('data', resolve);
          child.once('error', reject);
          child.once('exit', () => reject(new Error('a process of the load ended by itself')));
        }),
    ),
  );
  return {
    pids: children.map(({ pid }) => pid),
    end: async () => {
      for (const child of children) child.stdin.end();
      await Promise.all(ended);
    },
  };
}

/** The numbers of a list as in /proc/PID/status: `0-2,5`. */
function numbersOf(list) {
  return list.split(',').flatMap((part) => {
    const [from = 0, to = from] = part.split('-').map(Number);
    return Array.from({ length: to - from + 1 }, (_, index) => from + index);
  });
}

/** Leaves this process, and what it starts from now on, as many cores as the stress test means. */
export function takeFewCores() {
  const status = readFileSync('/proc/self/status', 'utf8');
  const allowed = numbersOf(/^Cpus_allowed_list:\s*(\S+)$/m.exec(status)?.[1] ?? '0');
  if (allowed.length <= stressCores) return;
  const few = allowed.slice(0, stressCores).join(',');
  const words = ['--all-tasks', '--cpu-list', '--pid', few, String(process.pid)];
  const { status: code, stderr } = spawnSync('taskset', words, { encoding: 'utf8' });
  if (code !== 0) throw new Error(`cannot keep to two cores: ${stderr}`);
}

function burn() {
  const endMs = performance.now() + sliceMs;
  while (performance.now() < endMs) {
    // Between the slices the end of the pipe is seen.
  }
  setImmediate(burn);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  process.stdin.once('close', () => process.exit(0)).resume();
  process.stdout.write('runs\n');
  burn();
}
