/**
 * Why a transport ended, in one sentence and with what to do. Pure: the exit of the command and the
 * last of its stderr in, an OperationError out. The messages are those of OpenSSH and of shells; a
 * message that is not known is quoted.
 */

import { OperationError, type OperationErrorDetail } from '../host/errors.ts';
import { cleanText } from '../host/text.ts';
import { describeCommand, type TransportCommand } from './transport-command.ts';

/** How the command ended. */
export interface TransportExit {
  readonly code: number | null;
  readonly signal: string | null;
  /** ENOENT and its like when it could not even be started. */
  readonly spawnError: string | null;
  /** The last of its stderr, at most 4 KiB. */
  readonly stderr: string;
}

interface Rule {
  readonly pattern: RegExp;
  readonly why: string;
  /** For a transport that leads to a host; `remote` runs a command there. */
  readonly hint: (host: string, remote: string) => string;
}

/** First match wins: the more telling line comes first. */
const rules: readonly Rule[] = [
  {
    pattern: /Could not resolve hostname|Name or service not known|name resolution/i,
    why: 'the host name is not known',
    hint: (host) => `check the name: getent hosts ${host}`,
  },
  {
    pattern: /REMOTE HOST IDENTIFICATION HAS CHANGED/,
    why: 'its host key has changed',
    hint: (host, remote) => `if that is expected: ssh-keygen -R ${host}; then: ${remote} true`,
  },
  {
    pattern: /Host key verification failed/i,
    why: 'its host key is not known here',
    hint: (_host, remote) => `accept the key once, as root: ${remote} true`,
  },
  {
    pattern: /Permission denied \(|Too many authentication failures/i,
    why: 'it does not accept our key',
    hint: (host) => `let root log in there without a password: ssh-copy-id ${host}`,
  },
  {
    pattern: /Connection refused/i,
    why: 'connection refused',
    hint: (_host, remote) => `check that sshd runs there: ${remote} true`,
  },
  {
    pattern: /No route to host|Network is unreachable/i,
    why: 'there is no route to it',
    hint: (host) => `check the network: ping ${host}`,
  },
  {
    pattern: /timed out|Timeout, server .* not responding/i,
    why: 'it does not answer',
    hint: (host) => `check that it is up: ping ${host}`,
  },
  {
    pattern: /Connection (to \S+ )?(reset|closed)|Broken pipe/i,
    why: 'it closed the connection',
    hint: (_host, remote) => `check that this works: ${remote} true`,
  },
];

/**
 * The error for a connection that never came to a HELLO, or that was lost. `fallback` is what the
 * link itself saw (end of file, a timeout); it is used when the command says nothing.
 */
export function explainTransport(
  command: TransportCommand,
  exit: TransportExit | null,
  fallback: string,
): OperationError {
  if (exit?.spawnError) return spawnFailed(command, exit.spawnError);
  const stderr = exit?.stderr ?? '';
  // Any other exit code of ssh is the remote command's, and so is its stderr.
  const transportSpeaks = !command.isSsh || exit === null || exit.code === 255;
  const rule = transportSpeaks ? rules.find((entry) => entry.pattern.test(stderr)) : undefined;
  if (rule !== undefined) {
    const { host, remoteShell } = command;
    const hint = remoteShell === null ? tryHint(command) : rule.hint(host, remoteShell);
    return unreachable(command, rule.why, hint, stderr);
  }
  if (exit?.code === 127) return commandMissing(command, stderr);
  if (exit?.code === 126) return withoutTsremus(command, 'cannot be executed there', stderr);
  return unreachable(command, plainReason(exit, fallback), tryHint(command), stderr);
}

function tryHint(command: TransportCommand): string {
  if (command.isSsh) return `check that this works: ${command.remoteShell} true`;
  return `check this command: ${describeCommand(command)}`;
}

function unreachable(
  command: TransportCommand,
  why: string,
  hint: string,
  stderr: string,
): OperationError {
  return new OperationError(
    'peer-unreachable',
    `cannot reach the backup ${command.host}: ${why}`,
    detail(command, hint, stderr),
  );
}

function versionHint(command: TransportCommand): string {
  if (command.remoteShell === null) return tryHint(command);
  return `check: ${command.remoteShell} tsremus --version`;
}

function withoutTsremus(command: TransportCommand, why: string, stderr: string): OperationError {
  return new OperationError(
    'peer-without-tsremus',
    `cannot use the backup ${command.host}: tsremus ${why}`,
    detail(command, versionHint(command), stderr),
  );
}

function detail(command: TransportCommand, hint: string, stderr: string): OperationErrorDetail {
  return {
    op: 'open-transport',
    subject: command.host,
    hint: cleanText(hint, 300),
    cause: stderr === '' ? undefined : new Error(stderr),
  };
}

/** 127 is a shell's: the remote one's about tsremus, or the local one's about the -s command. */
function commandMissing(command: TransportCommand, stderr: string): OperationError {
  // For a file that is there but may not be executed bash says 126, dash 127.
  if (/\btsremus: Permission denied/i.test(lastLine(stderr))) {
    return withoutTsremus(command, 'cannot be executed there', stderr);
  }
  if (command.isSsh || stderr === '' || /\btsremus\b/.test(lastLine(stderr))) {
    return withoutTsremus(
      command,
      'is not installed there, or not in the PATH of a remote command',
      stderr,
    );
  }
  return unreachable(command, `command not found (${lastLine(stderr)})`, tryHint(command), stderr);
}

function spawnFailed(command: TransportCommand, errno: string): OperationError {
  const missing = errno === 'ENOENT';
  return new OperationError(
    missing ? 'command-not-found' : 'command-failed',
    `cannot start ${command.file}: ${missing ? 'command not found' : errno}`,
    {
      op: 'open-transport',
      subject: command.file,
      hint: missing && command.isSsh ? 'install it: apt install openssh-client' : undefined,
    },
  );
}

function plainReason(exit: TransportExit | null, fallback: string): string {
  if (exit === null) return fallback;
  const said = lastLine(exit.stderr);
  if (said !== '') return said;
  if (exit.signal !== null) return `${fallback} (the transport was ended by ${exit.signal})`;
  if (exit.code !== null && exit.code !== 0) return `${fallback} (exit code ${exit.code})`;
  return fallback;
}

function lastLine(text: string): string {
  const lines = text.split('\n').map((line) => line.trim());
  return cleanText(lines.findLast((line) => line !== '') ?? '', 300);
}
