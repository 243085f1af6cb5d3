/**
 * A protected guest whose every frame is recorded where it leaves its host, and the verdict on
 * them: none may have left before its epoch was acknowledged.
 */
import {
  checkFrames,
  type EpochTimes,
  type FrameVerdict,
  parseEpochTimes,
} from '../commit-check.ts';
import type { FrameRecord } from '../frame-records.ts';
import { type FrameRecording, recordFrames } from '../frames.ts';
import { type GuestState, guestIp, guestState, type HostId } from '../lab.ts';
import type { ProtectOptions } from '../session.ts';
import { setFlow } from '../traffic.ts';
import type { Trial } from './trial.ts';

const seedBytesPerSecond = 4096;

/** The last byte of the guest's MACs, which is that of its address. */
export function guestNumberOf(guest: string): number {
  return Number(guestIp(guest).split('.').at(-1));
}

export class Watched {
  readonly #trial: Trial;
  readonly #host: HostId;
  readonly #recording: FrameRecording;
  readonly #before: ReadonlyMap<string, GuestState>;

  private constructor(
    trial: Trial,
    host: HostId,
    recording: FrameRecording,
    before: ReadonlyMap<string, GuestState>,
  ) {
    this.#trial = trial;
    this.#host = host;
    this.#recording = recording;
    this.#before = before;
  }

  /** Records, and protects all these guests; each has an epoch acknowledged then. */
  static async protect(
    trial: Trial,
    host: HostId,
    guests: readonly string[],
    options: ProtectOptions,
  ): Promise<Watched> {
    const before = new Map<string, GuestState>();
    for (const guest of guests) before.set(guest, await guestState(guest));
    const recording = await recordFrames(trial.lab, host);
    for (const guest of guests) await setFlow(guest, 'udp4', seedBytesPerSecond, 200);
    const debug: ProtectOptions = { ...options, logLevel: 'debug' };
    await Promise.all(guests.map((guest) => trial.protect(host, guest, 1, debug)));
    return new Watched(trial, host, recording, before);
  }

  stateBefore(guest: string): GuestState {
    const state = this.#before.get(guest);
    if (state === undefined) throw new Error(`${guest} is not watched`);
    return state;
  }

  /** Ends the recording. The host must be there still. */
  fetch(): Promise<readonly FrameRecord[]> {
    return this.#recording.stop();
  }

  /** By the primary's log as it is now. */
  async epochTimes(guest: string): Promise<EpochTimes> {
    const path = `/var/log/tsremus/${guest}.primary.log`;
    const { stdout } = await this.#trial.lab.ssh(this.#host, `cat ${path}`);
    const times = parseEpochTimes(stdout);
    const lost = /lines were dropped/.test(stdout);
    this.#trial.check('a log without gaps', !lost && times.acknowledgedMs.size > 0, {
      lost,
      acknowledged: times.acknowledgedMs.size,
    });
    return times;
  }

  /** The verdict on all frames of one guest. */
  async judge(guest: string, records: readonly FrameRecord[]): Promise<FrameVerdict> {
    const times = await this.epochTimes(guest);
    const { suspends } = this.stateBefore(guest);
    const verdict = checkFrames(records, times, guestNumberOf(guest), suspends);
    const total = Object.values(verdict.checked).reduce((sum, count) => sum + count, 0);
    this.#trial.say(`${guest}: ${JSON.stringify(verdict.checked)} in ${verdict.epochs} epochs`);
    this.#trial.measure('epochs_checked', verdict.epochs);
    this.#trial.measure('frames_checked', total);
    if (Number.isFinite(verdict.soonestMs)) {
      this.#trial.measure('soonest_after_ack_ms', verdict.soonestMs);
    }
    return verdict;
  }

  /** The guest counts as many checkpoints as the log, or fewer where it did not get to run. */
  async checkCounts(guest: string): Promise<void> {
    const { checkpointMs } = await this.epochTimes(guest);
    const counted = (await guestState(guest)).suspends - this.stateBefore(guest).suspends;
    this.#trial.measure('suspensions_not_counted', checkpointMs.length - counted);
    // One too few where it did not run between two of them, which the load of the machine decides.
    const likely = counted <= checkpointMs.length && counted > 0.5 * checkpointMs.length;
    this.#trial.check(`${guest}: most suspensions counted`, likely, {
      counted,
      checkpoints: checkpointMs.length,
    });
  }

  /** No frame left early; and the kinds named were there to be looked at. */
  checkVerdict(guest: string, verdict: FrameVerdict, kinds: readonly string[]): void {
    const { early, firstEarly, checked } = verdict;
    this.#trial.check(`${guest}: no frame before its acknowledgement`, early === 0, {
      early,
      firstEarly,
    });
    const missing = kinds.filter((kind) => (checked[kind] ?? 0) === 0);
    this.#trial.check(`${guest}: frames of every kind`, missing.length === 0, { missing, checked });
  }
}
