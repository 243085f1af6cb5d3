/**
 * Which command carries the link. Pure.
 *
 * As xl_migrate.c (main_remus) does it, so that what works with `xl remus -s` works here:
 *
 *   no -s       ssh with our options, without a shell in between;
 *   -s CMD      /bin/sh -c "exec CMD HOST tsremus receive"; CMD may hold options;
 *   -s ''       /bin/sh -c HOST: HOST is itself a shell command that leads to a `tsremus receive`.
 *
 * The command must give a clean two-way byte stream and must not ask questions: it runs without a
 * terminal, in a process group of its own, so that Ctrl-C reaches tsremus and not the transport.
 */
import { adviceLine } from '../core/texts/advice.ts';
import { quoteWord } from '../core/texts/quote.ts';
import { OperationError } from '../host/errors.ts';
import { cleanText } from '../host/text.ts';

export interface TransportCommand {
  readonly file: string;
  readonly args: readonly string[];
  /** The backup as the user named it, shortened; for texts. */
  readonly host: string;
  /** What a person runs another command there with (`ssh HOST`); null when nobody can know. */
  readonly remoteShell: string | null;
  /** The same on the way of ours: what fails for us fails so, too. */
  readonly remoteTrial: string | null;
  /** True when the exit codes and messages are those of our own ssh command line. */
  readonly isSsh: boolean;
}

/** Time for ssh to connect, before the HELLO timeout is the only bound, s. */
const sshConnectSeconds = 10;
const shownBytesMax = 60;

export const sshOptions: readonly string[] = [
  'BatchMode=yes',
  `ConnectTimeout=${sshConnectSeconds}`,
  // A shared master connection would put the promise on the same dead TCP connection as the
  // session.
  'ControlPath=none',
  'ClearAllForwardings=yes',
  'ForwardAgent=no',
  'ForwardX11=no',
  'PermitLocalCommand=no',
  'RequestTTY=no',
];

/** Of them what makes another outcome than a plain `ssh HOST`: no questions, no old connection. */
const trialOptions = '-o BatchMode=yes -o ControlPath=none';

/**
 * The command that reaches `tsremus receive` on `host`. `sshCommand` is the value of `-s`,
 * undefined when it was not given. Throws an OperationError when `host` cannot be a host.
 */
export function transportCommand(host: string, sshCommand: string | undefined): TransportCommand {
  if (host.trim() === '' || host.includes('\0')) throw badHost(host, 'it is empty');
  if (sshCommand === '') {
    const shown = `"${cleanText(host, shownBytesMax)}"`;
    return shell(host, { host: shown, remoteShell: null, remoteTrial: null, isSsh: false });
  }
  if (host.startsWith('-')) throw badHost(host, 'it begins like an option');
  if (sshCommand !== undefined) {
    const remoteShell = `${sshCommand} ${host}`;
    return shell(`exec ${remoteShell} tsremus receive`, {
      host,
      remoteShell,
      remoteTrial: remoteShell,
      isSsh: false,
    });
  }
  const options = sshOptions.flatMap((option) => ['-o', option]);
  return {
    file: 'ssh',
    args: [...options, '--', host, 'tsremus', 'receive'],
    host,
    remoteShell: `ssh ${quoteWord(host)}`,
    remoteTrial: `ssh ${trialOptions} ${quoteWord(host)}`,
    isSsh: true,
  };
}

type Naming = Omit<TransportCommand, 'file' | 'args'>;

function shell(rune: string, naming: Naming): TransportCommand {
  return { file: '/bin/sh', args: ['-c', rune], ...naming };
}

function badHost(host: string, why: string): OperationError {
  return new OperationError('peer-unreachable', `"${host}" is no host: ${why}`, {
    op: 'open-transport',
    subject: host,
    hint: adviceLine({ kind: 'see-help', command: 'tsremus protect' }),
  });
}
