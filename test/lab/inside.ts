/**
 * Long-running programs of the lab in its network namespace: they say `# …` when they have begun,
 * speak in lines, and end with their standard input; `frames`, which has none in a host, on
 * SIGTERM.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { LabError } from './command.ts';
import { labProgram } from './guest.ts';
import { inNamespace } from './network.ts';

/** A program that is to end by itself is waited for this long before it is killed, ms. */
const endMs = 120_000;

export interface InsideProgram {
  /** Ends the program; resolves when its last line was given to `onLine`. */
  stop(): Promise<void>;
}

/** Starts labguest with these arguments; resolves once it has begun. */
export async function startInside(
  args: readonly string[],
  onLine: (line: string) => void,
): Promise<InsideProgram> {
  const argv = [...inNamespace, labProgram(), ...args];
  const child = spawn(argv[0] as string, argv.slice(1), { stdio: ['pipe', 'pipe', 'pipe'] });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  await begin(child, args[0] as string, onLine);
  return {
    stop: async () => {
      child.stdin?.end();
      if (args[0] === 'frames') child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), endMs);
      await ended;
      clearTimeout(timer);
    },
  };
}

function begin(child: ChildProcess, name: string, onLine: (line: string) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    let rest = '';
    let trouble = '';
    child.stdin?.on('error', () => {}); // EPIPE: it has ended already
    child.stderr?.on('data', (data) => {
      trouble += data;
    });
    child.stdout?.on('data', (data: Buffer) => {
      const lines = (rest + data.toString('latin1')).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        if (line.startsWith('#')) resolve();
        else onLine(line);
      }
    });
    child.on('error', reject);
    child.on('close', () => reject(new LabError(`${name} ended: ${trouble.trim()}`)));
  });
}
