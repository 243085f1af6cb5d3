/**
 * How a command says that it failed: `tsremus: what` and `Try: what to type` on stderr; with
 * --json one last object on stderr, so that stdout stays what it promised to be.
 */
import type { ChalkInstance } from 'chalk';
import { CommanderError } from 'commander';
import { UsageError } from '../../config/usage-error.ts';
import { type Advice, adviceLine, readSettings } from '../../core/texts/advice.ts';
import { errorText, type OperationCode, OperationError } from '../../host/errors.ts';
import { journalMark } from '../../host/priority.ts';
import { correctedArgv, type Spelling } from '../correction.ts';
import { type ExitCode, exit, exitOfOperation } from '../exit-codes.ts';
import type { Stream } from '../io.ts';
import { printable } from './table.ts';

/** A command's failure, ready to be printed. */
export interface Failure {
  /** Kebab-case: an operation code, an outcome, or `usage`, `config`, `internal`. */
  readonly code: string;
  readonly message: string;
  /** What to type or do next, best first. */
  readonly hints: readonly string[];
  readonly exit: ExitCode;
}

/** A command cannot do what it was asked for, for a reason that only the command line knows. */
export class CommandFailure extends Error {
  override readonly name = 'CommandFailure';
  readonly failure: Failure;

  constructor(failure: Failure) {
    super(failure.message);
    this.failure = failure;
  }
}

function fromCommander(error: CommanderError, command: string): Failure {
  // commander writes "error: unknown option '--foo'\n(Did you mean --force?)".
  const [first = '', ...rest] = error.message.replace(/^error: /, '').split('\n');
  const guess = rest.join(' ').replace(/^\(|\)$/g, '');
  const message = guess === '' ? first : `${first} (${guess.replace(/^D/, 'd')})`;
  return {
    code: 'usage',
    message,
    hints: [adviceLine({ kind: 'see-help', command })],
    exit: exit.usage,
  };
}

/** What was typed when a command failed. */
export interface Typed {
  /** The command line up to its arguments: `tsremus stop`. */
  readonly command: string;
  readonly argv: readonly string[];
  /** Of the command. */
  readonly options: readonly Spelling[];
}

function usageHint({ hint, origin }: UsageError, { command, argv, options }: Typed): string {
  if (typeof hint === 'string') return hint;
  if (origin === 'file') return readSettings;
  if (hint !== undefined && origin === 'environment') {
    const environment =
      hint.value === null
        ? ['-u', hint.name, ...(hint.instead === undefined ? [] : [hint.instead])]
        : [`${hint.name}=${hint.value}`];
    return adviceLine({ kind: 'corrected', argv, environment });
  }
  const corrected = hint === undefined ? null : correctedArgv(argv, hint, options);
  if (corrected === null) return adviceLine({ kind: 'see-help', command });
  return adviceLine({ kind: 'corrected', argv: corrected, environment: [] });
}

const page = (name: string, why: string): Advice => ({ kind: 'read-page', page: name, why });
const inRunbook = page('tsremus-runbook', 'STATES: what to do in each');
const writable = page('tsremus-requirements', 'directories: what has to be writable');
const whenWrong = page('tsremus-protect', 'WHEN THINGS GO WRONG');

/**
 * What to look at where whoever refused had nothing better to say. Total: nobody is left with a
 * message alone.
 */
const furtherAdvice: Readonly<
  Record<OperationCode, (about: { argv: readonly string[]; subject: string }) => Advice>
> = {
  'peer-unreachable': () => whenWrong,
  'peer-refused': () => whenWrong,
  'peer-without-tsremus': () => ({ kind: 'same-version' }),
  'version-mismatch': () => ({ kind: 'same-version' }),
  protocol: () => ({ kind: 'same-version' }),
  limit: () => page('tsremus-runbook', 'SIZING: how much of what is needed'),
  'no-such-domain': () => ({ kind: 'list-guests' }),
  'no-such-session': () => ({ kind: 'show-all' }),
  ambiguous: () => ({ kind: 'list-uuids' }),
  locked: () => ({ kind: 'show-all' }),
  'already-protected': () => ({ kind: 'show-all' }),
  'unsupported-guest': () => page('tsremus-requirements', 'what can be protected'),
  'not-allowed': () => page('tsremus-receive', 'CONFINEMENT: what a guest may have there'),
  'split-brain-risk': () => inRunbook,
  'not-root': ({ argv }) => ({ kind: 'as-root', argv }),
  'no-xen': () => ({ kind: 'see-host' }),
  'not-built': () => page('tsremus', 'what is built'),
  'no-buffer': () => page('tsremus-protect', 'OUTPUT BUFFER: what it needs'),
  hypervisor: () => ({ kind: 'list-guests' }),
  'disk-full': () => writable,
  storage: ({ subject }) =>
    subject.startsWith('/') ? { kind: 'see-file', path: subject } : writable,
  'command-not-found': () => page('tsremus-requirements', 'what has to be installed'),
  'command-failed': () => ({ kind: 'show-all' }),
  'command-timeout': () => ({ kind: 'show-all' }),
  'no-answer': () => ({ kind: 'show-all' }),
  aborted: ({ argv }) => ({ kind: 'again', argv }),
};

function operationHint({ code, hint, detail }: OperationError, { argv }: Typed): string {
  return hint ?? adviceLine(furtherAdvice[code]({ argv, subject: detail.subject ?? '' }));
}

/** Any thrown value as a Failure. */
export function describeFailure(error: unknown, typed: Typed): Failure {
  if (error instanceof CommandFailure) return error.failure;
  if (error instanceof CommanderError) return fromCommander(error, typed.command);
  if (error instanceof UsageError) {
    const inEnvironment = error.origin !== 'arguments';
    return {
      code: inEnvironment ? 'config' : 'usage',
      message: error.message,
      hints: [usageHint(error, typed)],
      exit: inEnvironment ? exit.config : exit.usage,
    };
  }
  if (error instanceof OperationError) {
    return {
      code: error.code,
      message: error.message,
      hints: [operationHint(error, typed)],
      exit: exitOfOperation(error.code),
    };
  }
  return {
    code: 'internal',
    message: `${errorText(error)} (this is a bug of tsremus)`,
    hints: [adviceLine({ kind: 'debug-again', argv: typed.argv })],
    exit: exit.failed,
  };
}

/** Prints a failure the one way in which tsremus prints failures. */
export function printFailure(
  stream: Stream,
  failure: Failure,
  how: { readonly json: boolean; readonly paint?: ChalkInstance },
): void {
  if (how.json) {
    const { code, message, exit: exitCode } = failure;
    const error = { code, message, hint: failure.hints[0] ?? null, exit: exitCode };
    stream.write(`${JSON.stringify({ schema: 1, error })}\n`);
    return;
  }
  const mark = stream.isJournal ? journalMark('error') : '';
  const head = how.paint?.red('tsremus:') ?? 'tsremus:';
  const hints = failure.hints.map((hint) => `${mark}Try: ${printable(hint)}\n`);
  stream.write(`${mark}${head} ${printable(failure.message)}\n${hints.join('')}`);
}
