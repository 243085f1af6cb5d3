/**
 * How the world's refusals are carried.
 *
 * `OperationError` says what failed, on what, and why; `hint` is what to type or do next. The code
 * is a closed union: it appears verbatim in JSON and in logs, and one table maps it to an exit
 * code. Bugs of tsremus itself are not OperationErrors.
 */
import { dirname } from 'node:path';
import { adviceLine } from '../core/texts/advice.ts';

/** Every way in which the world can refuse. */
export const operationCodes = [
  /** No connection to the peer: name, address, port, key, network, or it did not answer in time. */
  'peer-unreachable',
  /** The peer answered and said no. */
  'peer-refused',
  /** The peer's host is there, but tsremus is not installed or not executable on it. */
  'peer-without-tsremus',
  /** The two sides speak different protocol versions. */
  'version-mismatch',
  /** Bytes that no correct peer sends: wrong magic, checksum, order, length or text. */
  'protocol',
  /** A stated limit would be passed (epoch size, memory). */
  'limit',
  'no-such-domain',
  'no-such-session',
  /** What was typed may mean two guests. */
  'ambiguous',
  /** Another process works on this domain. */
  'locked',
  'already-protected',
  /** The guest has something that cannot be protected (passed-through devices, ...). */
  'unsupported-guest',
  /** The guest's configuration asks the backup's host for what that does not allow. */
  'not-allowed',
  /** Going on would risk two active guests. */
  'split-brain-risk',
  'not-root',
  'no-xen',
  'not-built',
  /** This host cannot hold a guest's output: module, tool, or somebody else's ingress filters. */
  'no-buffer',
  /** The hypervisor, or its library, refused. */
  'hypervisor',
  'disk-full',
  /** A file could not be read or written, or says what it cannot say. */
  'storage',
  'command-not-found',
  'command-failed',
  'command-timeout',
  /** A session of this host did not answer an order within its time. */
  'no-answer',
  /** The caller gave up (signal, end of the session). */
  'aborted',
] as const;

export type OperationCode = (typeof operationCodes)[number];

export interface OperationErrorDetail {
  /** What was being done, in kebab-case: `open-transport`, `write-record`. */
  readonly op: string;
  /** On what: a host, a domain, a file. */
  readonly subject?: string | undefined;
  /** What to type next: a line of core/texts/advice.ts. */
  readonly hint?: string | undefined;
  readonly cause?: unknown;
}

/** The world refused. `message` is a sentence without final stop: what failed, on what, why. */
export class OperationError extends Error {
  override readonly name = 'OperationError';
  readonly code: OperationCode;
  readonly detail: OperationErrorDetail;

  constructor(code: OperationCode, message: string, detail: OperationErrorDetail) {
    super(message, { cause: detail.cause });
    this.code = code;
    this.detail = detail;
  }

  get hint(): string | undefined {
    return this.detail.hint;
  }
}

/** True for a code of our own union; what a peer names may be anything. */
export function isOperationCode(code: string): code is OperationCode {
  return (operationCodes as readonly string[]).includes(code);
}

/** The sentence of any thrown value. */
export function errorText(error: unknown): string {
  if (error instanceof Error) return error.message;
  return String(error);
}

/** The system's code (`ENOENT`) of a thrown value, or undefined. */
export function errnoCode(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

const systemTexts: Readonly<Record<string, string>> = {
  ENOSPC: 'no space left on the device',
  EDQUOT: 'the disk quota is used up',
  EACCES: 'permission denied',
  EPERM: 'operation not permitted',
  EROFS: 'the file system is read-only',
  EIO: 'input/output error',
  ENOENT: 'no such file or directory',
  ENOTDIR: 'a part of the path is not a directory',
  EMFILE: 'too many open files in this process',
  ENFILE: 'too many open files on this host',
};

/**
 * A failed file operation as an OperationError: `disk-full` for ENOSPC and EDQUOT, else `storage`.
 * An OperationError passes through unchanged.
 */
export function storageError(cause: unknown, op: string, path: string): OperationError {
  if (cause instanceof OperationError) return cause;
  const errno = errnoCode(cause);
  const why = (errno && systemTexts[errno]) || errorText(cause);
  const full = errno === 'ENOSPC' || errno === 'EDQUOT';
  return new OperationError(full ? 'disk-full' : 'storage', `cannot ${verb(op)} ${path}: ${why}`, {
    op,
    subject: path,
    hint: full ? adviceLine({ kind: 'free-space', dir: dirname(path) }) : undefined,
    cause,
  });
}

function verb(op: string): string {
  return op.replaceAll('-', ' ');
}
