/** The way to a backup host: by the transport command, over a connection of the session's own. */
import type { Answered } from '../core/vocabulary.ts';
import type { Log } from '../host/log.ts';
import { askFresh, connectBackup, type HelloContent } from '../link/connect.ts';
import type { EarlyTransport } from '../link/early-transport.ts';
import { followPulse } from '../link/pulse.ts';
import type { TransportCommand } from '../link/transport-command.ts';
import type { BackupHostPort } from '../session/primary/protection.ts';
import type { ThisHost } from './host.ts';

/**
 * How long a fresh run of the transport may take, in which ssh connects, node starts and the backup
 * destroys its copy. A session asks again and again, and may be freed in between by an answer over
 * its old link; a person who waits for `tsremus stop` asks once, perhaps of a host that is busy.
 */
const askTimeoutMs = 15_000;
const personsAskTimeoutMs = 60_000;

/** Asks for the promise by a fresh run of the transport. Rejects when there was no answer. */
export function askByCommand(
  host: ThisHost,
  command: TransportCommand,
  hello: HelloContent,
  asker: 'session' | 'person',
): Promise<Answered> {
  const { clock, timers, env } = host;
  const asking = { ...hello, purpose: 'promise' } as const;
  const timeoutMs = asker === 'person' ? personsAskTimeoutMs : askTimeoutMs;
  return askFresh(command, asking, 1, { clock, timers, env, timeoutMs });
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
    ask: (hello) => askByCommand(host, command, hello, 'session'),
    followPulse: (offer, session, onHeard) => followPulse(offer, { session, log, onHeard }),
  };
}
