/**
 * A protect that is stopped in a checkpoint (SIGSTOP, a debugger) leaves its guest suspended as one
 * that died does, and nobody tells. The guard hears that it does not move, sees that the guest is
 * suspended all the while, and takes its place: where the backup gives its promise, so that no copy
 * runs or ever will, protect is ended, seen dead, and what it left is settled as after any death.
 *
 *   G1  only after it was silent, and the guest suspended, at so many looks in a row
 *   G2  only with the backup's promise; a copy that took over, or a backup that does not answer,
 *       leaves all as it is
 *   G3  only the process that is named in the session's status, by pid, start and boot, and nothing
 *       is touched before it is dead
 */
import { sleep } from '../host/clock.ts';
import { errorText } from '../host/errors.ts';
import type { Log } from '../host/log.ts';
import type { Processes, ProcessId } from '../host/process-id.ts';
import type { SessionStatus } from '../registry/status.ts';
import type { KeepWatchPorts, Watched } from './keep-watch.ts';

/** Protect says that it moves this often, ms. */
export const beatMs = 1_000;
const lookMs = 1_000;
/** Looks in a row at which nothing was heard of it and the guest was suspended. */
const stillLooksMax = 10;
/** Looks until the backup, which gave no promise, is asked again. */
const askLooks = 5;
const deadMsMax = 10_000;
const deadPollMs = 50;

export interface StoppedPorts extends KeepWatchPorts {
  readonly processes: Processes;
}

/** What is heard of protect. */
export interface Heard {
  /** How often it has said so far that it moves. */
  readonly beats: () => number;
  /** It has said farewell, or is gone. */
  readonly isOver: () => boolean;
}

class StoppedProtect {
  readonly #ports: StoppedPorts;
  readonly #watched: Watched;
  readonly #heard: Heard;
  readonly #log: Log;

  constructor(ports: StoppedPorts, watched: Watched, heard: Heard, log: Log) {
    this.#ports = ports;
    this.#watched = watched;
    this.#heard = heard;
    this.#log = log;
  }

  async isSuspended(): Promise<boolean> {
    const info = await this.#ports.hypervisor.info(this.#watched.ref);
    return info?.state === 'suspended';
  }

  /** The session, as long as its process is there and nothing was decided. */
  #session(): SessionStatus | null {
    const { ref, session } = this.#watched;
    const found = this.#ports.registry.sessions().sessions.find(({ status, liveness }) => {
      const isIts = status.role === 'primary' && status.uuid === ref.uuid;
      return isIts && status.session === session && liveness === 'alive';
    });
    return found === undefined || found.status.outcome !== null ? null : found.status;
  }

  /** True once the guest has been let run, and there is no protect any more. */
  async replace(beats: number): Promise<boolean> {
    const { leftovers } = this.#ports;
    const status = this.#session();
    if (status === null) return false;
    this.#log.warning(`process ${status.pid} does not move while it has the guest suspended`);
    const news = await leftovers.mayGoOn(status); // G2
    if (news !== null) {
      this.#log.info(`the guest stays suspended: ${news}`);
      return false;
    }
    // It moves again: it hears of the promise by itself.
    if (this.#heard.isOver() || this.#heard.beats() !== beats) return false;
    if (!(await this.#end(status))) return false;
    return this.#settle();
  }

  /** G3. */
  async #end(status: SessionStatus): Promise<boolean> {
    const { processes, clock, timers } = this.#ports;
    const { pid, pid_start: startTicks, boot_id: bootId } = status;
    const id: ProcessId = { pid, startTicks, bootId };
    processes.signal(id, 'SIGKILL');
    const endMs = clock.nowMs() + deadMsMax;
    while (processes.state(id) === 'alive') {
      if (clock.nowMs() > endMs) return false;
      await sleep(timers, deadPollMs);
    }
    this.#log.warning(`process ${pid} was ended: the guest must not stay suspended`);
    return true;
  }

  async #settle(): Promise<boolean> {
    const { leftovers, registry } = this.#ports;
    const { ref, session } = this.#watched;
    const left = await leftovers.of(this.#watched);
    if (left === null) return true;
    const { outcome } = await leftovers.settle(left, { force: false, destroy: false });
    if (outcome.kind !== 'stopped') return false;
    const still = `its process ${left.pid} did not move while it had the guest suspended`;
    const reason = `${still}: the guard ended it, with the promise of the other host`;
    registry.amend({ uuid: ref.uuid, session }, (status) => {
      return { ...status, state: 'unprotected', outcome: 'unprotected', next: [], reason };
    });
    this.#log.info('the guest runs on without a copy');
    return true;
  }
}

/** Watches protect until it is over, or was ended here. Never rejects. */
export async function watchProtect(
  ports: StoppedPorts,
  watched: Watched,
  heard: Heard,
): Promise<void> {
  const log = ports.openLog(`${watched.name}.watch`);
  const protect = new StoppedProtect(ports, watched, heard, log);
  let beats = heard.beats();
  let stillLooks = 0;
  while (!heard.isOver()) {
    await sleep(ports.timers, lookMs);
    if (heard.isOver()) break;
    if (heard.beats() !== beats) {
      beats = heard.beats();
      stillLooks = 0;
      continue;
    }
    try {
      stillLooks = (await protect.isSuspended()) ? stillLooks + 1 : 0; // G1
      if (stillLooks < stillLooksMax) continue;
      if (await protect.replace(beats)) break;
    } catch (error) {
      log.error(errorText(error));
    }
    stillLooks = stillLooksMax - askLooks;
  }
  log.close();
}
