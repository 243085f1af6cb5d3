/** The way to a backup host: by the transport command, over a connection of the session's own. */
import type { Answered } from '../core/vocabulary.ts';
import { every } from '../host/clock.ts';
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

/** Whoever waits for the other host hears this often that it has not spoken, ms. */
const waitingToldEveryMs = 10_000;

/**
 * The backup that `command` leads to; `early` is its transport, started already. `tell` hears,
 * again and again, how long it is being waited for.
 */
export function backupBy(
  host: ThisHost,
  command: TransportCommand,
  early: EarlyTransport,
  log: Log,
  tell: (text: string) => void,
): BackupHostPort {
  const { clock, timers, env } = host;
  return {
    connect(hello, signal, onLine) {
      let last = '';
      early.onStderrLine((line) => {
        last = line;
        onLine(line);
      });
      const beganMs = clock.nowMs();
      const stopTelling = every(timers, waitingToldEveryMs, () => {
        const seconds = Math.round((clock.nowMs() - beganMs) / 1000);
        const said = last === '' ? 'it has said nothing' : `its last words: ${last}`;
        tell(`waiting for ${command.host} since ${seconds} s; ${said}`);
      });
      const { started } = early;
      const options = { clock, timers, env, signal, started };
      return connectBackup(command, hello, options).finally(stopTelling);
    },
    ask: (hello) => askByCommand(host, command, hello, 'session'),
    followPulse: (offer, session, onHeard) => followPulse(offer, { session, log, onHeard }),
  };
}
