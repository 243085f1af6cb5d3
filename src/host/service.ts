/**
 * What runs this process as a service (systemd), told how the session is by sd_notify(3). All that
 * there is to say is said again with each beat, so that a datagram that nobody took is no loss, and
 * nothing is waited for.
 *
 * The beat is the watchdog's: it comes from the main loop, by the timers that the session's
 * machine lives by, and stops when they do.
 */
import { type Cancel, every, type Time } from './clock.ts';
import { errorText } from './errors.ts';
import { cleanText } from './text.ts';

/** What a session says to the service manager. Its methods never throw and never wait. */
export interface Service {
  /** The guest is protected: what is ordered behind this service may begin. */
  ready(): void;
  /** How it is, a sentence. */
  status(text: string): void;
  /** The session is over and its process will end: nothing is said after it. */
  stopping(): void;
}

/** Where there is no service manager that wants to hear. */
export const noService: Service = { ready() {}, status() {}, stopping() {} };

export interface NotifiedParts extends Pick<Time, 'timers'> {
  /** Sends lines; may throw. */
  readonly send: (lines: string) => void;
  /** After so long without a beat the service manager ends this process, ms; null: it does not. */
  readonly watchdogMs: number | null;
  /** Hears once that nobody takes what is sent. */
  readonly say: (text: string) => void;
}

/** Of a status line, bytes: `systemctl status` shows one line. */
const statusBytesMax = 400;
/** Without a watchdog, ms: how long what got lost stays unsaid. */
const beatMs = 10_000;
/** sd_watchdog_enabled(3) asks for half of the time; a beat may get lost. */
const beatsInWatchdog = 4;

export class NotifiedService implements Service {
  readonly #parts: NotifiedParts;
  readonly #cancel: Cancel;
  #isReady = false;
  #status = '';
  #isOver = false;
  #hasFailed = false;

  constructor(parts: NotifiedParts) {
    this.#parts = parts;
    const { timers, watchdogMs } = parts;
    const period = watchdogMs === null ? beatMs : watchdogMs / beatsInWatchdog;
    this.#cancel = every(timers, Math.min(beatMs, period), () => this.#tell());
    this.#tell();
  }

  ready(): void {
    if (this.#isReady) return;
    this.#isReady = true;
    this.#tell();
  }

  status(text: string): void {
    const status = cleanText(text, statusBytesMax);
    if (status === this.#status) return;
    this.#status = status;
    this.#tell();
  }

  stopping(): void {
    this.#tell(['STOPPING=1']);
    this.#isOver = true;
    this.#cancel();
  }

  #tell(more: readonly string[] = []): void {
    if (this.#isOver) return;
    const lines = [
      ...(this.#isReady ? ['READY=1'] : []),
      ...(this.#status === '' ? [] : [`STATUS=${this.#status}`]),
      ...(this.#parts.watchdogMs === null ? [] : ['WATCHDOG=1']),
      ...more,
    ];
    if (lines.length === 0) return;
    try {
      this.#parts.send(`${lines.join('\n')}\n`);
    } catch (error) {
      if (!this.#hasFailed) this.#parts.say(`the service manager is not told: ${errorText(error)}`);
      this.#hasFailed = true;
    }
  }
}

/**
 * The watchdog's time, ms, where it is meant for process `pid`; null: there is none
 * (sd_watchdog_enabled(3): WATCHDOG_USEC, WATCHDOG_PID).
 */
export function watchdogMsOf(
  env: Readonly<Record<string, string | undefined>>,
  pid: number,
): number | null {
  const { WATCHDOG_USEC: micros = '', WATCHDOG_PID: meant = '' } = env;
  if (!/^[1-9]\d{0,17}$/.test(micros) || (meant !== '' && meant !== String(pid))) return null;
  return Number(micros) / 1_000;
}
