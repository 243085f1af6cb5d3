/** The service manager of this process, where one wants to hear, and a session's words to it. */
import type { Environment } from '../config/settings.ts';
import { systemTimers } from '../host/clock.ts';
import { errorText } from '../host/errors.ts';
import { NotifiedService, noService, type Service, watchdogMsOf } from '../host/service.ts';
import type { ProtectReporter } from '../session/options.ts';

/** Loads FFI where NOTIFY_SOCKET is set. `say` hears why nothing is told. Never rejects. */
export async function openService(
  env: Environment,
  nativePath: string | undefined,
  say: (text: string) => void,
): Promise<Service> {
  const address = env['NOTIFY_SOCKET'];
  if (!address) return noService;
  try {
    const { openNotify } = await import('../native/notify.ts');
    const send = openNotify(address, nativePath);
    const watchdogMs = watchdogMsOf(env, process.pid);
    return new NotifiedService({ timers: systemTimers, send, watchdogMs, say });
  } catch (error) {
    say(`the service manager is not told: ${errorText(error)}`);
    return noService;
  }
}

/** What `reporter` hears, told to the service as well: it is ready once the guest is protected. */
export function reportingTo(service: Service, reporter: ProtectReporter): ProtectReporter {
  return {
    seedProgress(progress) {
      const what = progress.disksBytes === undefined ? 'the first copy' : 'copying disks';
      service.status(`${what}: ${progress.percent} %`);
      reporter.seedProgress(progress);
    },
    event(kind, text, data) {
      service.status(text);
      if (kind === 'protected') service.ready();
      reporter.event(kind, text, data);
    },
  };
}
