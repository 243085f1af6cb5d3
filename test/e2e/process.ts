/** Programs as a shell would start them, and what becomes of processes. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

export interface Ran {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly out: string;
  readonly err: string;
}

/** A program that runs; its output is collected. */
export class Running {
  readonly child: ChildProcess;
  readonly ended: Promise<Ran>;
  out = '';
  err = '';

  constructor(file: string, args: readonly string[], env: NodeJS.ProcessEnv) {
    this.child = spawn(file, [...args], { env, stdio: ['ignore', 'pipe', 'pipe'], cwd: '/' });
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.out += text;
    });
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.err += text;
    });
    this.ended = new Promise((resolve, reject) => {
      this.child.on('error', reject);
      // Not `close`: what a program leaves behind may hold its stderr open.
      this.child.on('exit', (code, signal) => {
        void this.#allSaid().then(() => resolve({ code, signal, out: this.out, err: this.err }));
      });
    });
  }

  /** What it wrote lies in the pipes when it has ended: a turn that reads nothing is the last. */
  async #allSaid(): Promise<void> {
    for (let seen = -1; seen !== this.out.length + this.err.length; ) {
      seen = this.out.length + this.err.length;
      for (let turn = 0; turn < 2; turn += 1) {
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  /** The lines of --json, parsed. */
  get events(): Record<string, unknown>[] {
    const lines = this.out.split('\n').slice(0, -1);
    return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  /** True once a line of this kind was printed. */
  said(kind: string): boolean {
    return this.events.some((event) => event['message_type'] === kind);
  }
}

export function run(file: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<Ran> {
  return new Running(file, args, env).ended;
}

export function signal(pid: number, name: NodeJS.Signals): void {
  process.kill(pid, name);
}

function readProc(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'latin1');
  } catch {
    return ''; // it has gone, or is another user's
  }
}

/** What follows the name in /proc/PID/stat: state, parent, and so on. */
function statOf(pid: number): string[] {
  const stat = readProc(pid, 'stat');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

/** proc(5): T stands, Z is dead; undefined when there is no such process. */
export function stateOf(pid: number): string | undefined {
  return statOf(pid)[0] || undefined;
}

export function parentOf(pid: number): number {
  return Number(statOf(pid)[1]);
}

/** False for a zombie, too: nothing runs there any more. */
export function isRunning(pid: number): boolean {
  const state = stateOf(pid);
  return state !== undefined && state !== 'Z' && state !== 'X';
}

/** Its command line; of a process that gave itself a title, the words of that. */
function wordsOf(pid: number): string[] {
  return readProc(pid, 'cmdline')
    .split(/[\0 ]/)
    .filter((word) => word !== '');
}

export interface Found {
  readonly pid: number;
  readonly argv: readonly string[];
}

/** The processes that were started with `text` in their environment, but for this one. */
export function processesWith(text: string): Found[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => pid !== process.pid && readProc(pid, 'environ').includes(text))
    .filter(isRunning)
    .map((pid) => ({ pid, argv: wordsOf(pid) }));
}

/** How long a test waits for what must come: only a hang, or what never comes, takes as long. */
const hangMs = 300_000;

/**
 * Waits until `probe` gives something. Never a fixed sleep: on a busy machine everything takes its
 * time, and what counts is that it happens.
 */
export async function until<T>(
  what: string,
  probe: () => T | Promise<T>,
  timeoutMs = hangMs,
): Promise<NonNullable<Exclude<T, false>>> {
  const endMs = performance.now() + timeoutMs;
  for (;;) {
    const found = await probe();
    if (found !== null && found !== undefined && found !== false) {
      return found as NonNullable<Exclude<T, false>>;
    }
    if (performance.now() > endMs) throw new Error(`waited ${timeoutMs} ms in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 40));
  }
}
