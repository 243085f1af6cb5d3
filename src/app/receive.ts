/**
 * `tsremus receive`: the backup's end of a link on stdin and stdout. What the first frame asks for
 * decides what it is: a session that holds a copy, or a fresh run that answers one question.
 *
 * It survives the ssh session that started it: it leads a session of its own, ignores SIGHUP,
 * and logs to a file.
 */
import { hostname } from 'node:os';
import { version } from '../config/version.ts';
import type { BackupOutcome } from '../core/backup/types.ts';
import { systemClock, systemTimers } from '../host/clock.ts';
import { OperationError } from '../host/errors.ts';
import { openAhead } from '../host/open-ahead.ts';
import { raisePriority } from '../host/process-settings.ts';
import { openXen } from '../hypervisor/xen/xen.ts';
import { type Decision, greetPrimary, type LocalSpeaker, refuse } from '../link/hello.ts';
import type { Hello } from '../link/hello-message.ts';
import { openStdioLink } from '../link/stdio.ts';
import { answerQuestion } from '../session/backup/answer.ts';
import { BackupHost, type Prepared } from '../session/backup/reception.ts';
import type { ReceiveOptions, ReceiveResult } from '../session/options.ts';
import { codecsOf } from '../stream/agreement.ts';

const clocks = { clock: systemClock, timers: systemTimers };

/** Serves one link. The outcome of a question is that it was answered: `promised` or not. */
export async function runReceive(options: ReceiveOptions): Promise<ReceiveResult> {
  for (const signal of ['SIGHUP', 'SIGINT'] as const) process.on(signal, () => {});
  const link = openStdioLink({ role: 'backup', ...clocks });
  const speaker: LocalSpeaker = {
    tsremus: version,
    xen: null,
    host: hostname(),
    capabilities: { codecs: codecsOf(true), disks: [] },
  };
  const ahead = openAhead(openXen);
  let prepared: Prepared | null = null;
  const decide = async (hello: Hello): Promise<Decision> => {
    if (hello.purpose !== 'session') return { accept: true, pulse: null, stream: null };
    try {
      prepared = await BackupHost.prepare(hello, options, ahead);
      return { accept: true, pulse: prepared.pulseOffer, stream: prepared.stream };
    } catch (error) {
      if (error instanceof OperationError) return refuse(error);
      throw error;
    }
  };
  const hello = await greetPrimary(link, speaker, decide, clocks).finally(() => ahead.cancel());
  if (prepared !== null) {
    raisePriority((text) => process.emitWarning(text));
    return { outcome: await new BackupHost(prepared, link).run() };
  }
  await answerQuestion(link, hello);
  return { outcome: answered };
}

/** A question decides nothing for this process: it ends well. */
const answered: BackupOutcome = { kind: 'promised' };
