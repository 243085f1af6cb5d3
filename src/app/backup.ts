/** The way to a backup host: by the transport command, over a connection of the session's own. */
import type { Answer } from '../core/vocabulary.ts';
import type { Log } from '../host/log.ts';
import { askFresh, connectBackup, type HelloContent } from '../link/connect.ts';
import type { EarlyTransport } from '../link/early-transport.ts';
import { followPulse } from '../link/pulse.ts';
import type { TransportCommand } from '../link/transport-command.ts';
import type { BackupHostPort } from '../session/primary/protection.ts';
import type { ThisHost } from './host.ts';

/** A fresh run of the transport gets this long, in which ssh connects and node starts. */
const askTimeoutMs = 15_000;

/** Asks for the promise by a fresh run of the transport. Rejects when there was no answer. */
export function askByCommand(
  host: ThisHost,
  command: TransportCommand,
  hello: HelloContent,
): Promise<Answer> {
  const { clock, timers, env } = host;
  const asking = { ...hello, purpose: 'promise' } as const;
  return askFresh(command, asking, 1, { clock, timers, env, timeoutMs: askTimeoutMs });
}

/** The backup that `command` leads to; `early` is its transport, started already. */
export function backupBy(
  host: ThisHost,
  command: TransportCommand,
  early: EarlyTransport,
  log: Log,
): BackupHostPort {
  const { clock, timers, env } = host;
  return {
    connect(hello, signal, onLine) {
      early.onStderrLine(onLine);
      const { started } = early;
      return connectBackup(command, hello, { clock, timers, env, signal, started });
    },
    ask: (hello) => askByCommand(host, command, hello),
    followPulse: (offer, session, onHeard) => followPulse(offer, { session, log, onHeard }),
  };
}
