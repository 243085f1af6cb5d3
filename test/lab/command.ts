/**
 * Child processes of the lab: every one has a time limit, and every failure names the command,
 * how it ended, the end of what it wrote and, where there is one, the log to look at.
 */
import { spawn } from 'node:child_process';

/**
 * The limit of every wait for what must come, ms. Emulated hosts on a busy machine are slow, and
 * that is no failure: only a hang takes as long. How long it took is a figure.
 */
export const hangMs = 900_000;

/** The same for a step of a build: a download, a disk image. */
export const buildMs = 1_800_000;

/** What the lab reports to its user: a sentence, what to try, and the log that knows more. */
export class LabError extends Error {
  override readonly name = 'LabError';
  readonly hint: string | undefined;
  readonly log: string | undefined;

  constructor(message: string, detail: { hint?: string; log?: string; cause?: unknown } = {}) {
    super(detail.log ? `${message} (log: ${detail.log})` : message, { cause: detail.cause });
    this.hint = detail.hint;
    this.log = detail.log;
  }
}

/** What was asked for is not to be had here, and nothing of it was begun. */
export class RefusedError extends LabError {}

export interface CommandResult {
  /** Exit code; 124 when the time limit ended it, 128 + n when a signal did. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly timedOut: boolean;
  readonly durationMs: number;
}

export interface CommandOptions {
  readonly timeoutMs?: number;
  readonly input?: string | Buffer;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Shows the child's output as it comes instead of collecting it. */
  readonly inherit?: boolean;
  /** Ends the child as soon as its output shows this. */
  readonly until?: RegExp;
}

/** Bytes kept of each stream; a runaway child must not eat the test runner's memory. */
const outputMax = 64 * 1024 * 1024;

const signalNumbers: Readonly<Record<string, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGABRT: 6,
  SIGKILL: 9,
  SIGSEGV: 11,
  SIGPIPE: 13,
  SIGTERM: 15,
};

/** Runs a command to its end, whatever the end is; rejects only when it cannot be started. */
export function execute(
  argv: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const timeoutMs = options.timeoutMs ?? hangMs;
  const startMs = performance.now();
  return new Promise((resolve, reject) => {
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    let timedOut = false;
    const child = spawn(argv[0] as string, argv.slice(1), {
      cwd: options.cwd,
      env: options.env ? { ...process.env, ...options.env } : process.env,
      stdio: options.inherit ? 'inherit' : ['pipe', 'pipe', 'pipe'],
    });
    const timer = setTimeout(() => {
      timedOut = true;
      child.kill('SIGKILL');
      // A grandchild may hold the pipes open for ever; the answer must not wait for it.
      child.stdout?.destroy();
      child.stderr?.destroy();
    }, timeoutMs);
    const onData = () => {
      if (options.until?.test(Buffer.concat([...out, ...err]).toString())) child.kill('SIGKILL');
    };
    collect(child.stdout, out, onData);
    collect(child.stderr, err, onData);
    child.stdin?.on('error', () => {}); // EPIPE: the child did not want its input
    child.stdin?.end(options.input ?? '');
    child.on('error', (cause) => {
      clearTimeout(timer);
      reject(new LabError(`cannot run ${argv[0]}: ${cause.message}`, { cause }));
    });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve({
        code: timedOut ? 124 : (code ?? 128 + (signalNumbers[signal ?? ''] ?? 0)),
        stdout: Buffer.concat(out).toString(),
        stderr: Buffer.concat(err).toString(),
        timedOut,
        durationMs: performance.now() - startMs,
      });
    });
  });
}

function collect(stream: NodeJS.ReadableStream | null, chunks: Buffer[], onData: () => void): void {
  let bytes = 0;
  stream?.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes <= outputMax) chunks.push(chunk);
    onData();
  });
}

/** Runs a command that must succeed, and returns its standard output. */
export async function run(
  argv: readonly string[],
  options: CommandOptions & { readonly log?: string } = {},
): Promise<string> {
  const result = await execute(argv, options);
  if (result.code === 0) return result.stdout;
  const how = result.timedOut
    ? `did not end within ${options.timeoutMs ?? hangMs} ms`
    : `ended with code ${result.code}`;
  const tail = (result.stderr.trim() || result.stdout.trim()).slice(-4096);
  throw new LabError(`${argv.join(' ').slice(0, 300)} ${how}${tail ? `:\n${tail}` : ''}`, {
    ...(options.log ? { log: options.log } : {}),
  });
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Asks `probe` again and again until it has an answer; fails with `what` after the time limit. */
export async function waitFor<T>(
  what: string,
  timeoutMs: number,
  probe: () => Promise<T | undefined | false> | T | undefined | false,
  options: { readonly everyMs?: number; readonly log?: string } = {},
): Promise<T> {
  const endMs = performance.now() + timeoutMs;
  for (;;) {
    const value = await probe();
    if (value !== undefined && value !== false) return value;
    if (performance.now() >= endMs) {
      throw new LabError(`${what}: not within ${timeoutMs} ms`, {
        ...(options.log ? { log: options.log } : {}),
      });
    }
    await sleep(options.everyMs ?? 100);
  }
}
