/** The disk guard (native/disk/guard.c) as the driver knows it: its arguments, and what it says. */
import { within } from '../../host/clock.ts';
import { cleanText } from '../../host/text.ts';
import type { GuardDescriptors } from '../../native/capture.ts';
import { type GuardProcess, guardDescriptors, type MirrorPorts } from './host.ts';
import type { Leg } from './legs.ts';
import type { Volume } from './volume.ts';

/**
 * The leg has answered nothing for so long although it was asked, and no write waits for room: it
 * is given up, ms.
 */
const stallMs = 2_000;
/** After which the kernel itself gives up a request, were the guard to hang, s. */
const kernelTimeoutS = 30;
/** Until the device is there, ms; a busy dom0 takes seconds. */
const connectMsMax = 60_000;
/** What a guard takes to end that was told to, ms: it waits ten seconds for the kernel. */
const endMsMax = 20_000;
/** Of what it says the last lines are kept, for whoever is told that it failed. */
const keptLines = 4;
const lineBytesMax = 500;

/** The NBD device was somebody else's in that moment. */
export class LegBusy extends Error {
  override readonly name = 'LegBusy';
}

export function guardArguments(volume: Volume, leg: Leg, sizeBytes: number): string[] {
  const { name, under, lock, vgLock } = volume;
  const to = guardDescriptors;
  return [
    ...['--device', name, '--under', under, '--nbd', leg.path, '--size', `${sizeBytes}`],
    ...['--leg', `${to.leg}`, '--session', `${to.session}`, '--log', `${to.log}`],
    ...['--pace', `${to.pace}`, '--stall', `${stallMs}`, '--timeout', `${kernelTimeoutS}`],
    ...['--lock', lock],
    ...(vgLock === '' ? [] : ['--vg-lock', vgLock]),
  ];
}

/** `event=swapped reason=told ..`: the word behind `event=`. */
function eventIn(line: string): string {
  return /^event=(\S+)/.exec(line)?.[1] ?? '';
}

export class DiskGuard {
  readonly #ports: MirrorPorts;
  readonly #process: GuardProcess;
  readonly #said: string[] = [];
  /** `connected`, `failed`, or how it ended, whichever comes first. */
  readonly #first: Promise<string>;
  #tellFirst: (event: string) => void = () => {};
  #isTold = false;

  constructor(ports: MirrorPorts, argv: readonly string[], given: GuardDescriptors) {
    this.#ports = ports;
    this.#first = new Promise((resolve) => {
      this.#tellFirst = resolve;
    });
    this.#process = ports.startGuard(argv, given, (line) => this.#onLine(line));
    void this.#process.gone.then((how) => this.#tellFirst(how));
  }

  get pid(): number | null {
    return this.#process.pid;
  }

  /** Resolves when the NBD device can be put under a mirror; rejects with LegBusy or an error. */
  async connected(): Promise<void> {
    const { timers } = this.#ports;
    const event = await within(timers, connectMsMax, this.#first, () => 'too late');
    if (event === 'connected') return;
    this.#isTold = true;
    // Nothing is under a mirror yet that only it could take away.
    this.#process.kill();
    await within(timers, endMsMax, this.#process.gone, () => '');
    const said = this.#said.join('; ');
    if (/NBD_SET_SOCK: Device or resource busy/.test(said)) throw new LegBusy(said);
    throw new Error(`the disk guard did not start: ${said === '' ? event : said}`);
  }

  /** How it ended without being told to. */
  async died(): Promise<string> {
    const how = await this.#process.gone;
    return this.#isTold ? new Promise(() => {}) : how;
  }

  /**
   * Tells it to take the mirror away, and waits until it has gone; false: it has not, and goes on
   * trying. Nobody kills it: the guest's writes may wait for what it is at. Never rejects.
   */
  async end(): Promise<boolean> {
    this.#isTold = true;
    this.#process.tell();
    const gone = this.#process.gone.then(() => true);
    return within(this.#ports.timers, endMsMax, gone, () => false);
  }

  #onLine(line: string): void {
    this.#ports.say(`disk guard: ${cleanText(line, lineBytesMax)}`);
    this.#said.push(cleanText(line, lineBytesMax));
    if (this.#said.length > keptLines) this.#said.shift();
    const event = eventIn(line);
    if (event === 'connected' || event === 'failed') this.#tellFirst(event);
  }
}
