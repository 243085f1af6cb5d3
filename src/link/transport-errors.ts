/**
 * Why a transport ended, in one sentence, with what the other side said of it and a line that shows
 * the same fault when it is typed. Pure: the exit of the command, the last of its stderr and what
 * the link saw in, an OperationError out. The messages are those of OpenSSH and of shells; one that
 * is not known is quoted.
 */

import { type Advice, adviceLine } from '../core/texts/advice.ts';
import { OperationError } from '../host/errors.ts';
import { cleanText, hasControl } from '../host/text.ts';
import { terminalFound } from './frame-decoder.ts';
import type { TransportCommand } from './transport-command.ts';

/** How the command ended. */
export interface TransportExit {
  readonly code: number | null;
  readonly signal: string | null;
  /** ENOENT and its like when it could not even be started. */
  readonly spawnError: string | null;
  /** The last of its stderr, at most 4 KiB. */
  readonly stderr: string;
}

/** What the link saw: its end, nothing at all, or bytes that are no frame. */
export interface Seen {
  /** A clause. */
  readonly reason: string;
  /** Null: what was seen is no fault of what was said, but that it ended or never began. */
  readonly error: OperationError | null;
}

interface Rule {
  readonly pattern: RegExp;
  readonly why: string;
  /** For a transport that leads to a host; `trial` runs a command there as we do. */
  readonly advice: (way: Way, said: string) => Advice;
}

interface Way {
  readonly host: string;
  /** As a person goes it. */
  readonly remote: string;
  /** As we do. */
  readonly trial: string;
}

/** ssh's own word for where it went: an alias of its configuration stands for another name. */
function wentTo(host: string, said: string): string {
  const [, name] =
    /resolve hostname ([^\s:]+)|connect to host ([^\s:]+) port/i
      .exec(said)
      ?.filter((part) => part !== undefined) ?? [];
  return name ?? host;
}

/** First match wins: the more telling line comes first. */
const rules: readonly Rule[] = [
  {
    pattern: /Could not resolve hostname|Name or service not known|name resolution/i,
    why: 'the host name is not known',
    advice: ({ host }, said) => ({ kind: 'look-up-host', host: wentTo(host, said) }),
  },
  {
    pattern: /REMOTE HOST IDENTIFICATION HAS CHANGED/,
    why: 'its host key has changed',
    advice: ({ host }) => ({ kind: 'forget-key', host }),
  },
  {
    pattern: /Host key verification failed/i,
    why: 'its host key is not known here',
    advice: ({ remote }) => ({ kind: 'accept-key', remote }),
  },
  {
    pattern: /Permission denied \(|Too many authentication failures/i,
    why: 'it does not accept our key',
    advice: ({ host }) => ({ kind: 'copy-key', host }),
  },
  {
    pattern: /Connection refused/i,
    why: 'connection refused',
    advice: ({ trial }) => ({ kind: 'try-remote', remote: trial }),
  },
  {
    pattern: /No route to host|Network is unreachable/i,
    why: 'there is no route to it',
    advice: ({ host }, said) => ({ kind: 'ping-host', host: wentTo(host, said) }),
  },
  {
    pattern: /timed out|Timeout, server .* not responding/i,
    why: 'it does not answer',
    advice: ({ host }, said) => ({ kind: 'ping-host', host: wentTo(host, said) }),
  },
  {
    pattern: /Connection (to \S+ )?(reset|closed)|Broken pipe/i,
    why: 'it closed the connection',
    advice: ({ trial }) => ({ kind: 'try-remote', remote: trial }),
  },
];

/** A program that a shell, or env, did not find: `bash: line 1: x: command not found`. */
const notFound =
  /([^\s:'"‘’]+)['"’]?: (?:command not found|not found|No such file or directory)\s*$/im;

/** Lines of it that are shown, and the longest of them, bytes. */
const shownLinesMax = 3;
const shownBytesMax = 300;

/**
 * The error for a connection that never came to a HELLO, or that was lost. `seen` is what the link
 * saw of it; it is used when the command says nothing.
 */
export function explainTransport(
  command: TransportCommand,
  exit: TransportExit | null,
  seen: Seen,
): OperationError {
  if (exit?.spawnError) return spawnFailed(command, exit.spawnError);
  if (seen.error !== null) return notUnderstood(command, seen.error, exit?.stderr ?? '');
  const stderr = exit?.stderr ?? '';
  // Any other exit code of ssh is the remote command's, and so is its stderr.
  const transportSpeaks = !command.isSsh || exit === null || [null, 255].includes(exit.code);
  const rule = transportSpeaks ? rules.find((entry) => entry.pattern.test(stderr)) : undefined;
  if (rule !== undefined) {
    const advice = onWay(command, (way) => rule.advice(way, stderr));
    return failed('unreachable', command, rule.why, advice, stderr);
  }
  if (exit?.code === 127) return commandMissing(command, stderr);
  if (exit?.code === 126) return cannotRun(command, stderr);
  const code = exit?.code ?? 0;
  const signal = exit?.signal ?? null;
  const how = signal === null ? `exit code ${code}` : `the transport was ended by ${signal}`;
  const why = code === 0 && signal === null ? seen.reason : `${seen.reason} (${how})`;
  return failed('unreachable', command, why, programAdvice(command, exit), stderr);
}

/** What is typed next on a way that is known; a whole command is all that is known of another. */
function onWay(command: TransportCommand, advice: (way: Way) => Advice): Advice {
  const { host, remoteShell, remoteTrial } = command;
  if (remoteShell === null || remoteTrial === null) {
    const line = command.args[1] ?? command.file;
    if (!hasControl(line) && line.length <= shownBytesMax)
      return { kind: 'try-command', command: line };
    return { kind: 'read-page', page: 'tsremus-protect', why: "-s '': what HOST has to lead to" };
  }
  return advice({ host, remote: remoteShell, trial: remoteTrial });
}

/** For a login that prints something although nothing went wrong. */
export function greetingAdvice(command: TransportCommand): Advice {
  return onWay(command, ({ trial: remote }) => ({ kind: 'try-greeting', remote }));
}

function programAdvice(command: TransportCommand, exit: TransportExit | null): Advice {
  return onWay(command, ({ trial }) => {
    if (!command.isSsh || exit?.code !== 255) return { kind: 'try-program', remote: trial };
    return { kind: 'try-remote-verbosely', remote: trial.replace(/^ssh /, 'ssh -v ') };
  });
}

const heads = {
  unreachable: { code: 'peer-unreachable', text: 'cannot reach the backup' },
  unusable: { code: 'peer-without-tsremus', text: 'cannot use the backup' },
} as const;

/** `said`: what was said there of it, for the reader to see. */
function failed(
  what: keyof typeof heads,
  command: TransportCommand,
  why: string,
  advice: Advice,
  said: string,
): OperationError {
  const { code, text } = heads[what];
  const message = `${text} ${command.host}: ${why}${quoted(said)}`;
  return new OperationError(code, message, {
    op: 'open-transport',
    subject: command.host,
    hint: adviceLine(advice),
    cause: said === '' ? undefined : new Error(said),
  });
}

/** Its last lines; of a stack of calls only what it is about. */
function quoted(said: string): string {
  const lines = said
    .split('\n')
    .map((text) => text.trim())
    .filter((text) => text !== '' && !/^at |^Node\.js v|^\^+$/.test(text))
    .slice(-shownLinesMax)
    .map((text) => cleanText(text, shownBytesMax));
  return lines.length === 0 ? '' : `; it said: ${lines.join(' / ')}`;
}

/** 127 is a shell's, or env's: the remote one about a program, or the local one about -s. */
function commandMissing(command: TransportCommand, stderr: string): OperationError {
  // For a file that is there but may not be executed bash says 126, dash 127.
  if (/\btsremus: Permission denied/i.test(stderr)) return cannotRun(command, stderr);
  const name = notFound.exec(stderr)?.[1] ?? '';
  const program = name.slice(name.lastIndexOf('/') + 1);
  const where = 'is not installed there, or not in the PATH of a remote command';
  if (program === 'node') {
    const advice = onWay(command, ({ trial }) => ({ kind: 'try-node', remote: trial }));
    return failed('unusable', command, `node, which runs tsremus, ${where}`, advice, stderr);
  }
  const advice = programAdvice(command, null);
  if (command.isSsh || program === '' || program === 'tsremus') {
    return failed('unusable', command, `tsremus ${where}`, advice, stderr);
  }
  return failed('unreachable', command, `command not found: ${name}`, advice, stderr);
}

function cannotRun(command: TransportCommand, stderr: string): OperationError {
  const why = 'tsremus cannot be executed there';
  return failed('unusable', command, why, programAdvice(command, null), stderr);
}

/** Something else than tsremus spoke, or another version of it. */
function notUnderstood(
  command: TransportCommand,
  error: OperationError,
  stderr: string,
): OperationError {
  const { code, message, detail } = error;
  const advice = onWay(command, ({ trial: remote }) => {
    if (code === 'version-mismatch') return { kind: 'try-versions', remote };
    if (detail.subject === terminalFound) return { kind: 'try-terminal', remote };
    return { kind: 'try-greeting', remote };
  });
  // Of a whole command no part asks for a version: the error's own line says what to do.
  const isOwn = code === 'version-mismatch' && command.remoteTrial === null;
  return new OperationError(code, `${command.host}: ${message}${quoted(stderr)}`, {
    ...detail,
    hint: isOwn ? error.hint : adviceLine(advice),
  });
}

function spawnFailed(command: TransportCommand, errno: string): OperationError {
  const missing = errno === 'ENOENT';
  const install = { kind: 'install-packages', packages: ['openssh-client'], why: null } as const;
  return new OperationError(
    missing ? 'command-not-found' : 'command-failed',
    `cannot start ${command.file}: ${missing ? 'command not found' : errno}`,
    {
      op: 'open-transport',
      subject: command.file,
      hint: missing && command.isSsh ? adviceLine(install) : undefined,
    },
  );
}
