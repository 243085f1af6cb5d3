/**
 * One watcher per guest. A session watches the guest that it protects; whoever watched before (the
 * guard of an earlier session, or `tsremus receive` after a takeover) leaves when it is asked to.
 */
import { adviceLine } from '../core/texts/advice.ts';
import { OperationError } from '../host/errors.ts';
import type { ProcessId } from '../host/process-id.ts';
import { claimWatch, watcherOf } from '../registry/run-directory.ts';

/** A watcher that is just booting the guest anew finishes that first. */
const leaveMsMax = 60_000;
const pollMs = 100;

export interface Watch {
  /** Another process watched until now. */
  readonly wasTaken: boolean;
  release(): void;
}

function askToLeave({ pid }: ProcessId): void {
  try {
    process.kill(pid, 'SIGTERM');
  } catch {
    // It has left by itself.
  }
}

/** Takes the watch over the guest from whoever has it. Rejects with `locked` if that one stays. */
export async function takeWatch(
  dir: string,
  guest: { readonly uuid: string; readonly name: string },
): Promise<Watch> {
  const endMs = performance.now() + leaveMsMax;
  let asked = 0;
  for (;;) {
    const release = await claimWatch(dir, guest);
    if (release !== null) return { wasTaken: asked !== 0, release };
    const owner = watcherOf(dir, guest.uuid);
    if (owner !== null && owner.pid !== asked) {
      askToLeave(owner);
      asked = owner.pid;
    }
    if (performance.now() > endMs) {
      throw new OperationError('locked', `process ${asked} watches ${guest.name} and stays`, {
        op: 'take-watch',
        subject: guest.name,
        hint: adviceLine({ kind: 'see-process', pid: asked }),
      });
    }
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}
