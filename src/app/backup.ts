/** The way to a backup host: by the transport command, over a connection of the session's own. */
import type { Answer } from '../core/vocabulary.ts';
import type { Log } from '../host/log.ts';
import type { HostPorts } from '../host/ports.ts';
import { askFresh, connectBackup, type HelloContent } from '../link/connect.ts';
import type { EarlyTransport } from '../link/early-transport.ts';
import { followPulse } from '../link/pulse.ts';
import type { TransportCommand } from '../link/transport-command.ts';
import type { BackupHostPort } from '../session/primary/protection.ts';

/** A fresh run of the transport gets this long, in which ssh connects and node starts. */
const askTimeoutMs = 15_000;

/** Asks for the promise by a fresh run of the transport. Rejects when there was no answer. */
export function askByCommand(
  host: HostPorts,
  command: TransportCommand,
  hello: HelloContent,
): Promise<Answer> {
  const { clock, timers } = host;
  const asking = { ...hello, purpose: 'promise' } as const;
  return askFresh(command, asking, 1, { clock, timers, timeoutMs: askTimeoutMs });
}

/** The backup that `command` leads to; `early` is its transport, started already. */
export function backupBy(
  host: HostPorts,
  command: TransportCommand,
  early: EarlyTransport,
  log: Log,
): BackupHostPort {
  const { clock, timers } = host;
  return {
    connect(hello, signal, onLine) {
      early.onStderrLine(onLine);
      return connectBackup(command, hello, { clock, timers, signal, started: early.started });
    },
    ask: (hello) => askByCommand(host, command, hello),
    followPulse: (offer, session, onHeard) => followPulse(offer, { session, log, onHeard }),
  };
}
