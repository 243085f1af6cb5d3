/**
 * Interfaces of a guest that come and go while it is protected. One that comes has no queue, and
 * its frames would leave unacknowledged: it is blocked. The kernel tells of it (link-listener.ts);
 * the looks between that are for the case that it did not.
 *
 * A device is known by the kernel's number of it: its name may change, for the hotplug script of a
 * `vifname=` gives it after it came (Xen, tools/hotplug/Linux/vif-common.sh).
 */
import { adviceCommand } from '../../core/texts/advice.ts';
import { errorText } from '../../host/errors.ts';
import type { Devices, GuestInterface } from './interfaces.ts';
import type { LinkListener, ListenLinks } from './link-listener.ts';
import type { NamedDevice } from './state-file.ts';

/** How often interfaces are looked for, ms, where nobody tells of them. */
const alonePeriodMs = 50;
/** And where somebody does, after the time in which that one may have begun to listen. */
const toldPeriodMs = 1_000;
const beginMs = 2_000;
/** Many changes make at most this many looks, ms between them. */
const gapMs = 5;
/** How often it is tried to block one interface; its name may change at the wrong moment. */
const triesMax = 20;

export interface HotPlugParts {
  readonly domain: string;
  readonly domid: number;
  readonly devices: Devices;
  /** Null: nobody tells, there are only looks. */
  readonly listen: ListenLinks | null;
  /** Drops whatever comes in at an interface; `again`: after a try that failed. */
  readonly block: (name: string, again: boolean) => Promise<void>;
  /** What is blocked, to be written down for whoever finds it after a crash. */
  readonly note: (blocked: readonly NamedDevice[]) => Promise<void>;
  readonly onNews: (text: string) => void;
}

interface Late {
  name: string;
  isBlocked: boolean;
  tries: number;
}

export class HotPlug {
  readonly #parts: HotPlugParts;
  /** The protected ones, by number. */
  readonly #known = new Map<number, string>();
  readonly #gone = new Set<string>();
  readonly #late = new Map<number, Late>();
  #listener: LinkListener | null = null;
  #beganMs = 0;
  #lookedMs = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | null = null;
  #scanning: Promise<void> | null = null;
  #isWoken = false;
  #isOver = false;

  constructor(parts: HotPlugParts) {
    this.#parts = parts;
  }

  /** One that is protected. */
  know(index: number, name: string): void {
    this.#known.set(index, name);
  }

  isGone(name: string): boolean {
    return this.#gone.has(name);
  }

  /** Those that came later, and whether nothing of them gets out. */
  get late(): readonly { readonly name: string; readonly isBlocked: boolean }[] {
    return [...this.#late.values()];
  }

  get blocked(): readonly NamedDevice[] {
    const done = [...this.#late].filter(([, { isBlocked }]) => isBlocked);
    return done.map(([index, { name }]) => ({ index, name }));
  }

  start(): void {
    const { listen, onNews } = this.#parts;
    this.#beganMs = performance.now();
    const onEnd = (why: string) => {
      this.#listener = null;
      onNews(
        `ip monitor ended (${why}): new interfaces are looked for every ${alonePeriodMs} ms only`,
      );
      this.#later();
    };
    this.#listener = listen?.(() => this.#wake(), onEnd) ?? null;
    this.#later();
  }

  /** Nothing is blocked after this; what was under way is done when it resolves. */
  async stop(): Promise<void> {
    this.#isOver = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#listener?.close();
    this.#listener = null;
    await this.#scanning;
  }

  #wake(): void {
    this.#isWoken = true;
    this.#later();
  }

  /** The next look: soon when something changed. */
  #later(): void {
    if (this.#isOver || this.#scanning !== null) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    const soonMs = Math.max(0, this.#lookedMs + gapMs - performance.now());
    const isTold = this.#listener !== null && performance.now() - this.#beganMs > beginMs;
    const periodMs = isTold ? toldPeriodMs : alonePeriodMs;
    this.#timer = setTimeout(() => this.#look(), this.#isWoken ? soonMs : periodMs);
    this.#timer.unref();
  }

  #look(): void {
    this.#isWoken = false;
    this.#scanning = this.#scan()
      .catch((error: unknown) => this.#parts.onNews(errorText(error)))
      .then(() => {
        this.#scanning = null;
        this.#lookedMs = performance.now();
        this.#later();
      });
  }

  async #scan(): Promise<void> {
    const found = this.#parts.devices.ofGuest(this.#parts.domid);
    const isThere = (index: number) => found.some((one) => one.index === index);
    for (const [index, name] of this.#known) {
      if (isThere(index)) continue;
      this.#known.delete(index);
      this.#gone.add(name);
      this.#parts.onNews(`${name} is gone; the others stay protected`);
    }
    let isChanged = false;
    for (const index of this.#late.keys()) {
      if (!isThere(index)) isChanged = this.#late.delete(index) || isChanged;
    }
    for (const one of found) {
      if (!this.#known.has(one.index)) isChanged = (await this.#meet(one)) || isChanged;
    }
    if (isChanged) await this.#parts.note(this.blocked);
  }

  /** True when there is something new to be written down. */
  async #meet({ index, name }: GuestInterface): Promise<boolean> {
    const late = this.#late.get(index) ?? { name, isBlocked: false, tries: 0 };
    const isRenamed = late.name !== name;
    late.name = name;
    this.#late.set(index, late);
    if (late.isBlocked || late.tries >= triesMax) return isRenamed;
    late.tries += 1;
    try {
      await this.#parts.block(name, late.tries > 1);
    } catch (error) {
      // Once: the next try may do it, and status shows the interface as open until then.
      if (late.tries === 1) this.#parts.onNews(errorText(error));
      return false;
    }
    late.isBlocked = true;
    const stop = adviceCommand({ kind: 'stop-to-plug-in', domain: this.#parts.domain });
    const again = `${stop}, then protect it again`;
    this.#parts.onNews(`${name} came while the guest is protected: blocked (${again})`);
    return true;
  }
}
