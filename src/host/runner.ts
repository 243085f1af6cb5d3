/**
 * Runs a command to its end: argv only (never a shell), bounded in time and in output.
 *
 * A process that holds big buffers must not call this while an epoch is under way: fork copies page
 * tables (65 ms per GiB were measured).
 */
import { spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { systemClock, systemTimers } from './clock.ts';
import { errnoCode, OperationError } from './errors.ts';
import { cleanText } from './text.ts';

export interface RunOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  /** Most bytes of stdout that are kept; more of it is an error. */
  readonly outputBytesMax?: number | undefined;
  readonly env?: NodeJS.ProcessEnv | undefined;
  readonly cwd?: string | undefined;
  /** Written to stdin; without it stdin is empty. */
  readonly input?: string | undefined;
  /** Exit codes that are answers and not failures; 0 is always one. */
  readonly okCodes?: readonly number[] | undefined;
}

export interface RunResult {
  readonly code: number;
  readonly stdout: string;
  /** The last 4 KiB. */
  readonly stderr: string;
  readonly durationMs: number;
}

export const stderrTailBytes = 4096;
const outputBytesMaxDefault = 1024 * 1024;

interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly spawnError: Error | null;
}

/**
 * Runs `argv`. Throws an OperationError: `command-not-found`, `command-failed` (exit code, signal,
 * or too much output), `command-timeout` or `aborted`; it names the command and quotes its last
 * words.
 */
export async function run(argv: readonly string[], options: RunOptions): Promise<RunResult> {
  const [file, ...args] = argv;
  if (file === undefined) throw new Error('run without a command');
  if (options.signal?.aborted) throw failure('aborted', argv, 'the caller gave up', '');
  const startMs = systemClock.nowMs();
  const child = spawn(file, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    // A process group of its own: what the command started is ended with it.
    detached: true,
    ...(options.env === undefined ? {} : { env: options.env }),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  const stopped = { why: null as 'command-timeout' | 'aborted' | 'output' | null };
  const stop = (why: NonNullable<typeof stopped.why>) => {
    stopped.why ??= why;
    killGroup(child.pid);
    child.stdout.destroy();
    child.stderr.destroy();
  };
  const outputMax = options.outputBytesMax ?? outputBytesMaxDefault;
  const stdout = collect(child.stdout, outputMax, () => stop('output'));
  const stderr = collectTail(child.stderr);
  child.stdin.on('error', () => {});
  child.stdin.end(options.input ?? '');
  const cancel = systemTimers.after(options.timeoutMs, () => stop('command-timeout'));
  const onAbort = () => stop('aborted');
  options.signal?.addEventListener('abort', onAbort, { once: true });
  const ending = await new Promise<Ending>((resolve) => {
    child.on('error', (spawnError) => resolve({ code: null, signal: null, spawnError }));
    child.on('close', (code, signal) => resolve({ code, signal, spawnError: null }));
  });
  cancel();
  options.signal?.removeEventListener('abort', onAbort);
  if (stopped.why === 'output') {
    throw failure('command-failed', argv, `more than ${outputMax} bytes of output`, stderr());
  }
  if (stopped.why === 'aborted') throw failure('aborted', argv, 'the caller gave up', stderr());
  if (stopped.why !== null) {
    throw failure(stopped.why, argv, `no end within ${options.timeoutMs} ms`, stderr());
  }
  checkEnding(ending, argv, options.okCodes ?? [], stderr());
  return {
    code: ending.code ?? 0,
    stdout: stdout(),
    stderr: stderr(),
    durationMs: systemClock.nowMs() - startMs,
  };
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}

function checkEnding(
  { code, signal, spawnError }: Ending,
  argv: readonly string[],
  okCodes: readonly number[],
  stderr: string,
): void {
  if (spawnError !== null) {
    const errno = errnoCode(spawnError);
    if (errno === 'ENOENT') throw failure('command-not-found', argv, 'command not found', '');
    throw failure('command-failed', argv, errno ?? spawnError.message, '');
  }
  if (signal !== null) throw failure('command-failed', argv, `ended by ${signal}`, stderr);
  if (code === null || code === 0 || okCodes.includes(code)) return;
  throw failure('command-failed', argv, `exit code ${code}`, stderr);
}

function failure(
  code: 'command-not-found' | 'command-failed' | 'command-timeout' | 'aborted',
  argv: readonly string[],
  why: string,
  stderr: string,
): OperationError {
  const command = cleanText(argv.join(' '), 200);
  const said = cleanText(stderr.trim().split('\n').at(-1) ?? '', 300);
  return new OperationError(code, `${command}: ${why}${said === '' ? '' : `: ${said}`}`, {
    op: 'run-command',
    subject: argv[0],
    cause: stderr === '' ? undefined : new Error(stderr),
  });
}

function collect(stream: Readable, bytesMax: number, onTooMuch: () => void): () => string {
  const chunks: Buffer[] = [];
  let bytes = 0;
  stream.on('error', () => {});
  stream.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > bytesMax) onTooMuch();
    else chunks.push(chunk);
  });
  return () => Buffer.concat(chunks).toString('utf8');
}

function collectTail(stream: Readable): () => string {
  let tail: Buffer = Buffer.alloc(0);
  stream.on('error', () => {});
  stream.on('data', (chunk: Buffer) => {
    tail = Buffer.concat([tail, chunk]).subarray(-stderrTailBytes);
  });
  return () => tail.toString('utf8');
}
