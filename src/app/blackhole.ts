/** The other end of `tsremus protect -b`: the same program once more, which keeps nothing. */
import { type Environment, nowhere } from '../config/settings.ts';
import { version } from '../config/version.ts';
import { quoteWords } from '../core/texts/quote.ts';
import { OperationError } from '../host/errors.ts';
import { type Decision, greetPrimary, refuse } from '../link/hello.ts';
import type { Hello } from '../link/hello-message.ts';
import { openStdioLink } from '../link/stdio.ts';
import type { Registry } from '../registry/port.ts';
import { swallow } from '../session/backup/blackhole.ts';
import { chooseStream, codecsOf } from '../stream/agreement.ts';
import { thisHost, thisRegistry } from './host.ts';
import { ownCommand } from './own-command.ts';

/** A shell command that starts it on this host. */
export function blackholeCommand(): string {
  return `exec ${quoteWords([process.execPath, ...ownCommand(['receive', '--blackhole'])])}`;
}

/** A session that knows what it speaks to is one of this host, and says so itself. */
function isMeasured(registry: Registry, { session }: Hello): boolean {
  return registry.sessions().sessions.some(({ status }) => {
    return status.session === session && status.peer === nowhere;
  });
}

/**
 * Serves one link. The promise not to run a copy costs nothing where there is none; who has one
 * elsewhere, or may, is refused, a session as well as a question.
 */
export async function runBlackhole(env: Environment): Promise<void> {
  for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const) process.on(signal, () => {});
  const host = thisHost(env);
  const { clock, timers } = host;
  const link = openStdioLink({ role: 'backup', clock, timers });
  const capabilities = { codecs: codecsOf(true), disks: [] };
  const speaker = { tsremus: version, xen: null, host: nowhere, capabilities };
  const decide = (hello: Hello): Decision => {
    if (isMeasured(thisRegistry(host), hello)) {
      const isSession = hello.purpose === 'session';
      const stream = isSession ? chooseStream(hello, hello.cacheBytes) : null;
      return { accept: true, pulse: null, stream };
    }
    const text = `a copy of ${hello.domain} would be kept nowhere, and its host does not know that`;
    return refuse(new OperationError('not-allowed', text, { op: 'check-purpose' }));
  };
  await greetPrimary(link, speaker, decide, { timers });
  await swallow(link);
}
