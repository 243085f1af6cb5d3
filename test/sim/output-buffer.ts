/**
 * Host A's output buffer: the driver's rule (native/plug/plug.c) played on the literal model of
 * the kernel's plug. It lives in the kernel, so it survives the process, not the host.
 *
 * The rule: at most one sealed epoch per interface. A barrier while one is sealed does nothing, and
 * what was sent meanwhile waits for a later epoch's acknowledgement: late, never early. The
 * first barrier, at the end of the seed, closes the buffer; before that it passes everything.
 * An interface that is plugged in later is blocked: its plug is as the kernel makes it.
 *
 * Two kinds of port: one queue, where sch_plug's own counts do the work (an administrator's script
 * made it), and two queues, only ever closed or open, between which the barrier turns.
 */
import type { Packet } from './guest.ts';
import { PlugModel } from './plug-model.ts';

export type Emit = (packet: Packet) => void;

export interface Port {
  /** Lets all through until the first barrier. */
  begin(): void;
  accept(packet: Packet): boolean;
  barrier(epoch: number): void;
  release(epoch: number): void;
  /** Lets everything out, the oldest first, and stays open. */
  pass(): void;
  /** The device is taken down: what is held is freed. Returns it. */
  drop(): readonly Packet[];
  readonly held: readonly Packet[];
  readonly heldBytes: number;
  readonly drops: number;
}

export class OneQueue implements Port {
  protected readonly plug: PlugModel<Packet>;
  protected sealed: number | null = null;

  constructor(limitBytes: number, emit: Emit) {
    this.plug = new PlugModel(limitBytes, emit);
  }

  get held(): readonly Packet[] {
    return this.plug.queue;
  }

  get heldBytes(): number {
    return this.plug.backlogBytes;
  }

  get drops(): number {
    return this.plug.drops;
  }

  begin(): void {
    this.plug.change('release-indefinite');
  }

  accept(packet: Packet): boolean {
    return this.plug.enqueue(packet);
  }

  barrier(epoch: number): void {
    if (this.sealed !== null) return;
    // The seed's packets have left already: nothing is sealed by the barrier that closes.
    if (!this.plug.isPassingThrough) this.sealed = epoch;
    this.plug.change('buffer');
  }

  release(epoch: number): void {
    if (this.sealed === null || this.sealed > epoch) return;
    this.sealed = null;
    this.plug.change('release-one');
  }

  pass(): void {
    this.plug.change('release-indefinite');
  }

  drop(): readonly Packet[] {
    return this.plug.reset();
  }
}

export class TwoQueues implements Port {
  protected readonly queues: readonly [PlugModel<Packet>, PlugModel<Packet>];
  /** Where the redirect points to. */
  protected current: 0 | 1 = 0;
  protected sealed: number | null = null;
  #isPassing = false;
  #isEmptying = false;

  constructor(limitBytes: number, emit: Emit) {
    this.queues = [new PlugModel(limitBytes, emit), new PlugModel(limitBytes, emit)];
  }

  protected get other(): PlugModel<Packet> {
    return this.queues[this.current === 0 ? 1 : 0];
  }

  get held(): readonly Packet[] {
    return [...this.other.queue, ...this.queues[this.current].queue];
  }

  get heldBytes(): number {
    return this.queues[0].backlogBytes + this.queues[1].backlogBytes;
  }

  get drops(): number {
    return this.queues[0].drops + this.queues[1].drops;
  }

  begin(): void {
    this.#isPassing = true;
    this.queues[this.current].change('release-indefinite');
  }

  accept(packet: Packet): boolean {
    return this.queues[this.current].enqueue(packet);
  }

  barrier(epoch: number): void {
    if (this.sealed !== null) return;
    if (this.#isEmptying) {
      if (this.other.queue.length > 0) return;
      this.other.change('buffer');
    }
    this.turn();
    // The seed's packets have left already, and their queue is open.
    this.#isEmptying = this.#isPassing;
    if (!this.#isPassing) this.sealed = epoch;
    this.#isPassing = false;
  }

  protected turn(): void {
    this.current = this.current === 0 ? 1 : 0;
  }

  release(epoch: number): void {
    if (this.sealed === null || this.sealed > epoch) return;
    this.sealed = null;
    this.#isEmptying = true;
    this.other.change('release-indefinite');
  }

  pass(): void {
    this.other.change('release-indefinite');
    this.queues[this.current].change('release-indefinite');
  }

  drop(): readonly Packet[] {
    return [...this.other.reset(), ...this.queues[this.current].reset()];
  }
}

export type PortKind = 'one' | 'two';

interface Interface {
  readonly kind: PortKind;
  port: Port;
  state: 'protected' | 'lost' | 'blocked' | 'gone';
}

/** Somebody took apart what holds interface `at`; to be made anew after `forMs`. */
export interface Loss {
  readonly at: number;
  readonly escaped: boolean;
  readonly forMs: number;
}

/** What the buffer tells the ledger of packets. */
export interface BufferLedger {
  emitted(packet: Packet): void;
  held(packet: Packet, isProtected: boolean): void;
  refused(packet: Packet): void;
  /** Not to come any more: their interface is gone, or they were thrown away. */
  lost(packets: readonly Packet[]): void;
}

export interface BufferPlan {
  readonly ports: readonly PortKind[];
  readonly limitBytes: number;
}

export class OutputBuffer {
  readonly #plan: BufferPlan;
  readonly #ledger: BufferLedger;
  readonly interfaces: Interface[] = [];
  /** Whoever looks after it hears of losses; null: it is not set up yet. */
  onLoss: ((loss: Loss) => void) | null = null;
  #isClosed = false;
  #isRemoved = false;
  /** The interfaces were taken down: what the guest sends now goes nowhere. */
  #isDown = false;

  constructor(plan: BufferPlan, ledger: BufferLedger) {
    this.#plan = plan;
    this.#ledger = ledger;
    for (const kind of plan.ports) {
      const port = this.makePort(kind, plan.limitBytes, (packet) => ledger.emitted(packet));
      port.begin();
      this.interfaces.push({ kind, port, state: 'protected' });
    }
  }

  protected makePort(kind: PortKind, limitBytes: number, emit: Emit): Port {
    return kind === 'one' ? new OneQueue(limitBytes, emit) : new TwoQueues(limitBytes, emit);
  }

  /** Something may wait: the buffer was closed and is not open again. */
  get isHolding(): boolean {
    return this.#isClosed && !this.#isRemoved;
  }

  /** The interfaces that the guest can send on. */
  get present(): readonly number[] {
    return [...this.interfaces.keys()].filter((at) => this.interfaces[at]?.state !== 'gone');
  }

  accept(packet: Packet): void {
    const { port, state } = this.#at(packet.port);
    this.#ledger.held(packet, state === 'protected');
    if (this.#isDown || state === 'lost' || !port.accept(packet)) this.#ledger.refused(packet);
  }

  barrier(epoch: number): void {
    if (this.#isRemoved) return;
    this.#isClosed = true;
    for (const { port } of this.#protected()) port.barrier(epoch);
  }

  release(epoch: number): void {
    for (const { port } of this.#protected()) port.release(epoch);
  }

  open(): void {
    this.#isRemoved = true;
    for (const at of this.interfaces.keys()) this.#renew(at);
    for (const { port, state } of this.interfaces) if (state !== 'gone') port.pass();
  }

  /** Only before the guest is destroyed, or with its host. */
  drop(): void {
    this.#isDown = true;
    for (const { port } of this.interfaces) this.#ledger.lost(port.drop());
  }

  /** An interface is plugged in while the session runs: mute from its first packet on. */
  plugIn(kind: PortKind): void {
    const { limitBytes } = this.#plan;
    const port = this.makePort(kind, limitBytes, (packet) => this.#ledger.emitted(packet));
    if (this.#isRemoved) port.begin();
    this.interfaces.push({ kind, port, state: this.#isRemoved ? 'protected' : 'blocked' });
  }

  /** An interface is unplugged; what it holds goes with it. */
  unplug(at: number): void {
    const gone = this.#at(at);
    gone.state = 'gone';
    this.#ledger.lost(gone.port.drop());
  }

  /** Somebody takes its parts away: what it holds goes with them, and nothing gets out. */
  lose(at: number): void {
    const lost = this.#at(at);
    lost.state = 'lost';
    this.#ledger.lost(lost.port.drop());
  }

  /** What was lost is made anew: closed, unless the seed is still on its way. */
  mend(at: number): void {
    if (!this.#isRemoved && !this.#isDown) this.#renew(at);
  }

  #renew(at: number): void {
    const lost = this.#at(at);
    if (lost.state !== 'lost') return;
    const { limitBytes } = this.#plan;
    lost.port = this.makePort(lost.kind, limitBytes, (packet) => this.#ledger.emitted(packet));
    if (!this.#isClosed) lost.port.begin();
    lost.state = 'protected';
  }

  /** The protected ones, by their numbers. */
  get protectedOnes(): readonly number[] {
    if (this.#isRemoved || this.#isDown) return [];
    return [...this.interfaces.keys()].filter((at) => this.interfaces[at]?.state === 'protected');
  }

  /** What waits, as the primary's machine hears of it. */
  look(): { readonly packets: number; readonly bytes: number; readonly nearLimit: boolean } {
    const ports = this.interfaces.filter(({ state }) => state !== 'gone').map(({ port }) => port);
    const nearBytes = 0.75 * this.#plan.limitBytes;
    return {
      packets: ports.reduce((sum, port) => sum + port.held.length, 0),
      bytes: ports.reduce((sum, port) => sum + port.heldBytes, 0),
      nearLimit: this.#protected().some(({ port }) => port.heldBytes >= nearBytes),
    };
  }

  #protected(): readonly Interface[] {
    return this.interfaces.filter(({ state }) => state === 'protected');
  }

  #at(at: number): Interface {
    const found = this.interfaces[at];
    if (found === undefined) throw new Error(`no interface ${at}`);
    return found;
  }
}
