/**
 * `tsremus receive`: the backup's end of a link on stdin and stdout. What the first frame asks for
 * decides what it is: a session that holds a copy, or a fresh run that answers one question.
 *
 * It survives the ssh session that started it: it leads a session of its own, ignores SIGHUP,
 * and logs to a file.
 */
import { hostname, setPriority } from 'node:os';
import { version } from '../config/version.ts';
import type { BackupOutcome } from '../core/backup-types.ts';
import { systemClock, systemTimers } from '../host/clock.ts';
import { errorText, OperationError } from '../host/errors.ts';
import { type Decision, greetPrimary, type LocalSpeaker, refuse } from '../link/hello.ts';
import type { Hello } from '../link/hello-message.ts';
import { openStdioLink } from '../link/stdio.ts';
import { BackupHost, type Prepared } from './backup-host.ts';
import { answerQuestion } from './promise-run.ts';
import type { ReceiveOptions, ReceiveResult } from './protect-options.ts';

const clocks = { clock: systemClock, timers: systemTimers };

/** Serves one link. The outcome of a question is that it was answered: `promised` or not. */
export async function runReceive(options: ReceiveOptions): Promise<ReceiveResult> {
  for (const signal of ['SIGHUP', 'SIGINT'] as const) process.on(signal, () => {});
  const link = openStdioLink({ role: 'backup', ...clocks });
  const speaker: LocalSpeaker = {
    tsremus: version,
    xen: null,
    host: hostname(),
    capabilities: { codecs: ['none'], disks: [] },
  };
  let prepared: Prepared | null = null;
  const decide = async (hello: Hello): Promise<Decision> => {
    if (hello.purpose !== 'session') return { accept: true, pulse: null };
    try {
      prepared = await BackupHost.prepare(hello, options);
      return { accept: true, pulse: prepared.pulseOffer };
    } catch (error) {
      if (error instanceof OperationError) return refuse(error);
      throw error;
    }
  };
  const hello = await greetPrimary(link, speaker, decide, clocks);
  if (prepared !== null) {
    raisePriority();
    return { outcome: await new BackupHost(prepared, link).run() };
  }
  await answerQuestion(link, hello);
  return { outcome: answered };
}

/** A question decides nothing for this process: it ends well. */
const answered: BackupOutcome = { kind: 'promised' };

function raisePriority(): void {
  try {
    setPriority(-10);
  } catch (error) {
    process.emitWarning(`runs at ordinary priority: ${errorText(error)}`);
  }
}
