/**
 * The output buffer of one guest, made of plugs: see set-up.ts for its parts and native/plug/plug.c
 * for its rule. After a crash the same object is made from what the dead session wrote down
 * (adopt.ts): it can then only be opened or dropped.
 */
import { adviceLine } from '../../core/texts/advice.ts';
import { type Cancel, sleep, type Time } from '../../host/clock.ts';
import { errorText, OperationError } from '../../host/errors.ts';
import type { Store } from '../../host/store.ts';
import type {
  HeldInterface,
  HeldOutput,
  InterfaceState,
  LossListener,
  OutputBuffer,
} from '../port.ts';
import { aliasOf } from './device-note.ts';
import { type Fault, frameOverheadBytes, type PlugDriver, type PlugPort } from './driver.ts';
import { EveryFrame } from './every-frame.ts';
import { HotPlug } from './hot-plug.ts';
import { type Devices, holdName } from './interfaces.ts';
import type { ListenLinks } from './link-listener.ts';
import { Mender } from './mender.ts';
import { queueLines, redirectWords, scriptsError } from './parts.ts';
import { Releases } from './releases.ts';
import { scriptTeardown } from './script.ts';
import {
  type BufferedInterface,
  type BufferState,
  type NamedDevice,
  removeState,
  writeState,
} from './state-file.ts';
import { actionTargets, batch, batchAll, type Classifier, type Run, tcJson } from './tools.ts';

/**
 * How often what waits is looked at, ms: a few netlink messages. The first frame of an epoch is
 * told (SaveEvent `output`), a look follows each release; in between only the amount changes.
 */
const lookEveryMs = { full: 20, some: 100, none: 500 };
/** From this share of its limit on a queue is looked at most often. */
const fullShare = 1 / 16;
/** Every this often until all is out, ms. */
const drainEveryMs = 5;
/** What is not out after this long never will be, ms: frames go out at the speed of memory. */
const drainMsMax = 10_000;
const actionTriesMax = 10;
const actionEveryMs = 50;
/** From this share of its limit on a queue asks for a checkpoint. */
const nearShare = 0.5;

export interface PlugBufferParts {
  readonly limitBytes: number;
  readonly statePath: string;
  readonly onNews: (text: string) => void;
  /** What this kernel picks every frame with; of no concern to what is left over. */
  readonly classifier: Classifier;
}

export interface PlugBufferTools extends Time {
  readonly run: Run;
  /** Keeps what the buffer consists of. */
  readonly store: Store;
  readonly devices: Devices;
  /** Absent: nobody tells of new interfaces, they are only looked for. */
  readonly listen?: ListenLinks;
}

interface Port {
  readonly plan: BufferedInterface;
  readonly number: number;
}

/** True for the part of what `tc -json qdisc show` prints that the redirect of `name` hangs on. */
function isIngress({ dev, kind }: Readonly<Record<string, unknown>>, name: string): boolean {
  return dev === name && (kind === 'clsact' || kind === 'ingress');
}

const nothingHeld: HeldOutput = { packets: 0, bytes: 0, dropped: 0, nearLimit: false };

export class PlugBuffer implements OutputBuffer {
  /** Puts the filters on: of the set-up, and of interfaces that come later. */
  readonly everyFrame: EveryFrame;
  readonly #parts: PlugBufferParts;
  readonly #driver: PlugDriver;
  readonly #tools: PlugBufferTools;
  readonly #ports: Port[] = [];
  readonly #held = new Map<string, HeldOutput>();
  readonly #hotPlug: HotPlug;
  readonly #mender: Mender;
  readonly #releases: Releases;
  #state: BufferState;
  #listener: (held: HeldOutput) => void = () => {};
  /** Undoes the next look; null: there is none to come. */
  #cancelLook: Cancel | null = null;
  #isLooking = false;
  #lookAgain = false;
  #isTold = false;
  #end: Promise<void> | null = null;
  #isEnding = false;
  #isClosed = false;

  constructor(
    state: BufferState,
    parts: PlugBufferParts,
    driver: PlugDriver,
    tools: PlugBufferTools,
  ) {
    this.#state = state;
    this.#parts = parts;
    this.#driver = driver;
    this.#tools = tools;
    this.#releases = new Releases((epoch) => driver.release(epoch));
    const { domain, domid } = state;
    this.#hotPlug = new HotPlug({
      ...{ domain, domid, devices: tools.devices, onNews: parts.onNews },
      ...{ clock: tools.clock, timers: tools.timers },
      listen: tools.listen ?? null,
      block: (name, again) => this.#block(name, again),
      note: (blocked) => this.#note(blocked),
    });
    this.#mender = new Mender({
      ...{ domain, clock: tools.clock, timers: tools.timers, onNews: parts.onNews },
      nameOf: (port) => this.#ports[port]?.plan.name ?? '',
      remake: (port) => this.#remake(port),
      note: (name, isDown) => this.#noteDown(name, isDown),
    });
    this.everyFrame = new EveryFrame(tools.run, parts.classifier, parts.onNews);
  }

  get barrier(): number {
    return this.#driver.handle;
  }

  get interfaces(): readonly HeldInterface[] {
    const known = this.#ports.map(({ plan: { name }, number }) => ({
      name,
      ...this.#stateOf(name, this.#mender.lossOf(number)),
      ...(this.#held.get(name) ?? nothingHeld),
    }));
    const late = this.#hotPlug.late.map(({ name, isBlocked }) => ({
      name,
      state: isBlocked ? ('blocked' as const) : ('open' as const),
      ...nothingHeld,
    }));
    return [...known, ...late];
  }

  #stateOf(name: string, reason: string | null): InterfaceState {
    if (this.#hotPlug.isGone(name)) return { state: 'gone' };
    return reason === null ? { state: 'protected' } : { state: 'lost', reason };
  }

  /** Set-up: the plugs of one interface; nothing is redirected into them yet. */
  add(plan: BufferedInterface, port: PlugPort): void {
    this.#ports.push({ plan, number: this.#driver.add(port) });
    if (port.interfaceIndex !== null) this.#hotPlug.know(port.interfaceIndex, plan.name);
  }

  /**
   * Set-up: what is not redirected is held, too. Where this kernel cannot, one hold is all, and
   * what a loss lets out is what comes until the interface is down.
   */
  holdTwice({ name, devid, emulated }: BufferedInterface): void {
    const port = this.#ports.find(({ plan }) => plan.name === name);
    if (port === undefined) return;
    try {
      this.#driver.hold(port.number, holdName(this.#state.domid, { devid, emulated }));
    } catch (error) {
      this.#parts.onNews(`${name} has no second hold: ${errorText(error)}`);
    }
  }

  /** Set-up: one more interface, written down. */
  async addToState(plan: BufferedInterface): Promise<void> {
    this.#state = { ...this.#state, interfaces: [...this.#state.interfaces, plan] };
    await writeState(this.#tools.store, this.#parts.statePath, this.#state);
  }

  listen(listener: (held: HeldOutput) => void): void {
    this.#listener = listener;
  }

  onLoss(listener: LossListener): void {
    this.#mender.listen(listener);
  }

  /**
   * Set-up is complete: looks at what waits, for interfaces that come and go, and for what others
   * change. Throws `no-buffer`.
   */
  watch(): void {
    this.#driver.watch(this.#mender);
    this.#lookIn(lookEveryMs.none);
    this.#hotPlug.start();
  }

  look(): void {
    this.#isTold = true;
    if (this.#isLooking) this.#lookAgain = true;
    else if (this.#cancelLook !== null) this.#lookIn(0);
  }

  #lookIn(ms: number): void {
    this.#cancelLook?.();
    this.#cancelLook = this.#tools.timers.after(ms, () => void this.#lookNow());
  }

  async #lookNow(): Promise<void> {
    this.#isLooking = true;
    this.#lookAgain = false;
    let ms = lookEveryMs.some;
    try {
      ms = await this.#lookAtAll();
      if (!this.#isClosed && !this.#isEnding) this.#listener(this.held());
    } catch (error) {
      this.#parts.onNews(`cannot look at the output buffer: ${errorText(error)}`);
    }
    this.#isLooking = false;
    if (!this.#isClosed && !this.#isEnding) this.#lookIn(this.#lookAgain ? 0 : ms);
  }

  /** The answer: when to look again, ms. */
  async #lookAtAll(): Promise<number> {
    // Told of a frame that is not in its queue yet, or of one that is on its way out.
    let ms = this.#isTold ? lookEveryMs.some : lookEveryMs.none;
    this.#isTold = false;
    for (const { plan, number } of this.#ports) {
      const { packets, bytes, dropped } = await this.#driver.look(number);
      const memory = bytes + packets * frameOverheadBytes;
      // Of two queues each has half the limit, and one of them may hold all of this.
      const limit = this.#parts.limitBytes / plan.queues.length;
      const nearLimit = memory >= limit * nearShare;
      this.#held.set(plan.name, { packets, bytes, dropped, nearLimit });
      if (packets > 0) ms = Math.min(ms, lookEveryMs.some);
      if (memory >= limit * fullShare) ms = Math.min(ms, lookEveryMs.full);
    }
    return ms;
  }

  held(): HeldOutput {
    let sum = nothingHeld;
    for (const { packets, bytes, dropped, nearLimit } of this.#held.values()) {
      sum = {
        packets: sum.packets + packets,
        bytes: sum.bytes + bytes,
        dropped: sum.dropped + dropped,
        nearLimit: sum.nearLimit || nearLimit,
      };
    }
    return sum;
  }

  async release(epoch: number): Promise<void> {
    // Whoever ends the buffer decides about all of it.
    if (this.#isEnding) return;
    await this.#releases.upTo(epoch);
    this.look();
  }

  // ---- interfaces that come and go ------------------------------------------------------------

  async #block(name: string, again: boolean): Promise<void> {
    // What came before the failure is in the way of the next try.
    const begun = [['qdisc', 'del', 'dev', name, 'clsact']];
    if (again) await batchAll(this.#tools.run, 'tc', begun);
    await this.everyFrame.add(name, ['action', 'drop'], `cannot block ${name}`);
  }

  async #note(blocked: readonly NamedDevice[]): Promise<void> {
    this.#state = { ...this.#state, blocked };
    await writeState(this.#tools.store, this.#parts.statePath, this.#state);
  }

  /** As they are called now. */
  #blockedNames(): string[] {
    const { blocked = [], domid } = this.#state;
    if (blocked.length === 0) return [];
    const its = this.#tools.devices.ofGuest(domid);
    const isBlocked = (index: number) => blocked.some((one) => one.index === index);
    return its.filter(({ index }) => isBlocked(index)).map(({ name }) => name);
  }

  // ---- what somebody else took apart ------------------------------------------------------------

  async #remake(number: number): Promise<readonly Fault[]> {
    const { run, devices } = this.#tools;
    const plan = this.#ports[number]?.plan;
    if (plan === undefined) return [];
    const { name, queues, script } = plan;
    const doing = `cannot hold ${name} again`;
    if (script !== null) throw scriptsError(plan, doing);
    const missing = queues.filter((queue) => devices.index(queue) === null);
    const alias = aliasOf(this.#state);
    await batch(
      run,
      'ip',
      missing.flatMap((queue) => queueLines(queue, alias)),
      doing,
    );
    const indexes = queues.map((queue) => devices.index(queue) ?? 0);
    // Removed again meanwhile: the next try makes it.
    if (indexes.includes(0)) return ['no-device'];
    const { left, current } = await this.#driver.mend(number, indexes);
    if (!left.includes('unredirected') || left.includes('turned')) return left;
    const theirs = ['clsact', 'ingress'].map((kind) => ['qdisc', 'del', 'dev', name, kind]);
    await batchAll(run, 'tc', theirs);
    // The other queue may be open: not one frame may go there.
    await this.everyFrame.add(name, redirectWords(plan, current), doing);
    return (await this.#driver.mend(number, indexes)).left;
  }

  async #noteDown(name: string, isDown: boolean): Promise<void> {
    const others = (this.#state.down ?? []).filter((one) => one !== name);
    this.#state = { ...this.#state, down: isDown ? [...others, name] : others };
    await writeState(this.#tools.store, this.#parts.statePath, this.#state);
  }

  // ---- the end --------------------------------------------------------------------------------

  open(): Promise<void> {
    return this.#endBy(() => this.#open());
  }

  drop(): Promise<void> {
    return this.#endBy(() => this.#drop());
  }

  /** Once; what failed may be tried again, or the other way. */
  #endBy(work: () => Promise<void>): Promise<void> {
    this.#isEnding = true;
    // An interface that is being blocked just now has to be let go as well.
    const stopped = this.#stopLooking();
    this.#end ??= Promise.all([stopped, this.#mender.stop(), this.#releases.idle()])
      // From now on it is we who take it apart.
      .then(() => this.#driver.unwatch())
      .then(work)
      .catch((error: unknown) => {
        this.#end = null;
        throw error;
      });
    return this.#end;
  }

  async #open(): Promise<void> {
    await this.#drain();
    await this.#removeHolds();
    await this.#setUpAgain();
    // Now frames pass through open queues. Without the redirect they go the straight way.
    await this.#removeRedirects();
    await this.#drain();
    await this.#removeQueues(actionTriesMax);
    await this.#forget();
  }

  /** Opens the plugs and waits until nothing is in them, or on the way back from their devices. */
  async #drain(): Promise<void> {
    const { clock, timers } = this.#tools;
    const endMs = clock.nowMs() + drainMsMax;
    while ((await this.#driver.pass()) > 0) {
      if (clock.nowMs() > endMs) {
        throw new OperationError('no-buffer', 'the output buffer does not empty', {
          op: 'open-buffer',
          subject: this.#state.domain,
          hint: adviceLine({ kind: 'see-waiting' }),
        });
      }
      await sleep(timers, drainEveryMs);
    }
  }

  async #removeHolds(): Promise<void> {
    const { domid, domain } = this.#state;
    for (const plan of this.#state.interfaces) {
      if (plan.script !== null) continue;
      const hold = holdName(domid, plan);
      try {
        await this.#driver.unhold(hold);
      } catch (error) {
        throw new OperationError('no-buffer', `${plan.name} is still held: ${errorText(error)}`, {
          op: 'open-buffer',
          subject: domain,
          hint: adviceLine({ kind: 'remove-hold', names: [hold] }),
        });
      }
    }
  }

  /** Interfaces that were taken down when what holds them was lost. */
  async #setUpAgain(): Promise<void> {
    const down = (this.#state.down ?? []).filter(
      (name) => this.#tools.devices.index(name) !== null,
    );
    const lines = down.map((name) => ['link', 'set', 'dev', name, 'up']);
    await batchAll(this.#tools.run, 'ip', lines);
  }

  async #removeRedirects(): Promise<void> {
    const ours = this.#state.interfaces.filter(({ script }) => script === null);
    const names = [...ours.map(({ name }) => name), ...this.#blockedNames()];
    const lines = names
      .filter((name) => this.#tools.devices.index(name) !== null)
      .map((name) => ['qdisc', 'del', 'dev', name, 'clsact']);
    await batchAll(this.#tools.run, 'tc', lines);
    if (lines.length === 0) return;
    // A redirect that stays would drop all from the moment at which its queue goes.
    const doing = 'cannot see whether the output buffer is gone';
    const qdiscs = await tcJson(this.#tools.run, ['qdisc', 'show'], doing);
    const left = names.filter((name) => qdiscs.some((one) => isIngress(one, name)));
    if (left.length === 0) return;
    throw new OperationError('no-buffer', `cannot take the filter off ${left.join(', ')}`, {
      op: 'open-buffer',
      subject: this.#state.domain,
      hint: adviceLine({ kind: 'remove-filters', names: left }),
    });
  }

  /**
   * Normally an action goes with its filter (some time after it: RCU). One whose filter was gone
   * already (an interface unplugged) was made anew by the next barrier and stands alone.
   */
  async #removeActions(triesMax: number): Promise<void> {
    const ours = this.#state.interfaces.map(({ action }) => action).filter((one) => one !== null);
    if (ours.length === 0) return;
    const { run, timers } = this.#tools;
    for (let tries = 0; tries < triesMax; tries++) {
      const targets = await actionTargets(run);
      const left = ours.filter((action) => targets.has(action));
      if (left.length === 0) return;
      if (tries > 0) await sleep(timers, actionEveryMs);
      const index = (action: number) => ['index', String(action)];
      const lines = left.map((one) => ['actions', 'del', 'action', 'mirred', ...index(one)]);
      await batchAll(run, 'tc', lines);
    }
  }

  async #drop(): Promise<void> {
    const { run, devices } = this.#tools;
    // Without a queue nothing of it is held here; by now another guest may have that name.
    const holding = this.#state.interfaces.filter(({ queues }) =>
      queues.some((queue) => devices.index(queue) !== null),
    );
    const late = [...this.#hotPlug.late.map(({ name }) => name), ...this.#blockedNames()];
    const names = new Set([...holding.map(({ name }) => name), ...late]);
    // Down, netback reads no more, and what comes back from an ifb goes nowhere.
    const down = [...names]
      .filter((name) => devices.index(name) !== null)
      .map((name) => ['link', 'set', 'dev', name, 'down']);
    await batchAll(run, 'ip', down);
    // Whatever still comes meets a redirect to a device that is gone, and is dropped.
    await this.#removeQueues(1);
    await this.#removeHolds();
    await this.#forget();
  }

  async #removeQueues(actionTries: number): Promise<void> {
    const { run, devices } = this.#tools;
    const there = (queue: string) => devices.index(queue) !== null;
    const ours = this.#state.interfaces.filter(({ script }) => script === null);
    const queues = () => ours.flatMap((plan) => plan.queues).filter(there);
    await batchAll(
      run,
      'ip',
      queues().map((queue) => ['link', 'del', 'dev', queue]),
    );
    for (const plan of this.#state.interfaces) {
      if (plan.script === null) continue;
      const guest = { ...plan, index: 0 };
      await scriptTeardown(run, plan.script, this.#state.domid, guest, plan.queues[0] ?? '');
    }
    await this.#removeActions(actionTries);
    const left = queues();
    if (left.length > 0) {
      throw new OperationError('no-buffer', `cannot remove ${left.join(', ')}`, {
        op: 'remove-buffer',
        subject: left[0],
        hint: adviceLine({ kind: 'remove-queues', names: left }),
      });
    }
  }

  async #forget(): Promise<void> {
    await removeState(this.#tools.store, this.#parts.statePath);
    this.close();
  }

  #stopLooking(): Promise<void> {
    this.#cancelLook?.();
    this.#cancelLook = null;
    return this.#hotPlug.stop();
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    void this.#stopLooking();
    void this.#mender.stop();
    this.#driver.close();
  }
}
