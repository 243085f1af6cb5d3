/**
 * Cleans up what a session left whose process died: `tsremus stop` when nobody is there to be told,
 * and the guard when such a guest ends. What may be done is for core/permission/recovery.ts to say.
 *
 * The primary's guest may be suspended (the guard resumes it, if it lives), paused by us, or run.
 */
import type { StopResult } from '../core/outcomes.ts';
import { isPresent } from '../core/permission/evidence.ts';
import { type LeftCopy, mayGoUnasked } from '../core/permission/left-copy.ts';
import {
  type LeftOnPrimary,
  type RecoveryDeed,
  type RecoveryOrder,
  recoveryOn,
  recoveryUnasked,
  recoveryWithoutAnswer,
} from '../core/permission/recovery.ts';
import { adviceLines } from '../core/texts/advice.ts';
import { adviceOnAnswer } from '../core/texts/outcomes.ts';
import { hostWord } from '../core/texts/quote.ts';
import type { Answer, Answered } from '../core/vocabulary.ts';
import type { Clock } from '../host/clock.ts';
import { errorText } from '../host/errors.ts';
import type { GuestRef, Hypervisor } from '../hypervisor/port.ts';
import { interfacesDown, openForGood } from '../output/open.ts';
import type { OutputBuffer } from '../output/port.ts';
import type { Listing, Registry } from '../registry/port.ts';
import type { SessionStatus } from '../registry/status.ts';
import { destroyCopy } from './destroy-copy.ts';
import { findGuest } from './find.ts';
import type { StartGuard } from './guard.ts';

/** A guest whose leftovers are looked for. */
export interface LeftGuest {
  readonly ref: GuestRef;
  readonly session: string;
}

/** What dead sessions left on this host, found and settled. */
export interface Leftovers {
  /**
   * What a dead session of the guest left on the primary, or its buffer where the session's own
   * state is lost; null: nothing is left any more.
   */
  of(guest: LeftGuest): Promise<SessionStatus | null>;
  /** Ends what is left of a dead session, as permitted, and leaves it to be seen. */
  settle(status: SessionStatus, order: RecoveryOrder): Promise<StopResult>;
  /**
   * Asks the backup whether the guest may go on here, and does nothing about it: null when it may,
   * by a promise that is final; else why not, a clause. Never rejects.
   */
  mayGoOn(status: SessionStatus): Promise<string | null>;
}

export interface RecoveryPorts {
  readonly clock: Clock;
  /** Opened when it is needed. */
  hypervisor(): Promise<Hypervisor>;
  readonly registry: Registry;
  /** Every session, and every buffer that none looks after as one that is held. */
  listAll(): Promise<Listing>;
  /** The output buffer that a dead session of the guest left; the null buffer: none. */
  leftOutput(uuid: string, id: number | null): Promise<OutputBuffer>;
  /** Asks the session's backup for the promise, by a fresh run of the transport. */
  askBackup(status: SessionStatus): Promise<Answered>;
  /** Answers, as the backup, for a session of this host. */
  answerHere(status: SessionStatus): Promise<Answer>;
  /** What is left of the copy that a dead session held here. */
  lookAtCopy(status: SessionStatus): Promise<LeftCopy>;
  /** Gives up a whole copy that is active by its record and never ran. */
  loseCopy(status: SessionStatus): Promise<void>;
  /** Writes down that the guest of a buffer without session may go on. */
  noteMayOpen(status: SessionStatus): Promise<void>;
  readonly startGuard: StartGuard;
}

/** The session's guest. */
function refOf({ uuid, domid }: SessionStatus): GuestRef | null {
  return domid === null ? null : { uuid, id: domid };
}

export class Recovery {
  readonly #ports: RecoveryPorts;

  constructor(ports: RecoveryPorts) {
    this.#ports = ports;
  }

  /** As in Leftovers. */
  settle(status: SessionStatus, order: RecoveryOrder): Promise<StopResult> {
    return status.role === 'primary' ? this.#primary(status, order) : this.#backup(status, order);
  }

  /** As in Leftovers. */
  async mayGoOn(status: SessionStatus): Promise<string | null> {
    const order = { force: false, destroy: false };
    try {
      const { answer } = await this.#ports.askBackup(status);
      const deed = recoveryOn(answer, order);
      if (deed.kind === 'let-run') return null;
      return deed.kind === 'hold' ? deed.reason : 'the copy took over';
    } catch (error) {
      return `the backup could not be asked: ${errorText(error)}`;
    }
  }

  /** `tsremus stop` of a session whose process died: settles, and leaves the guest watched. */
  async stop(left: SessionStatus, order: RecoveryOrder): Promise<StopResult> {
    const status = await this.#identified(left);
    const result = await this.settle(status, order);
    const { outcome } = result;
    if (outcome.kind !== 'held' && !status.buffer_only) this.#forget(status);
    if ('mayOpen' in outcome && outcome.mayOpen) await this.#noteUnopened(status, outcome.reason);
    if (outcome.kind === 'held') return this.#heldWatched(status, result);
    if (outcome.kind !== 'stopped' || status.watch === false) return result;
    try {
      await this.#ensureWatch(status);
      return result;
    } catch (error) {
      const unwatched = `nobody carries out what its own end asks for: ${errorText(error)}`;
      return { ...result, text: `${status.domain} runs on here, but ${unwatched}` };
    }
  }

  /**
   * What is left of the guest `wanted` where only devices are: their names have its number, and the
   * hypervisor knows which that is. Null: nothing, or no such guest is here any more.
   */
  async bufferNamed(wanted: string): Promise<SessionStatus | null> {
    const { sessions } = await this.#ports.listAll();
    const nameless = sessions.filter(({ status }) => status.buffer_only && status.uuid === '');
    if (nameless.length === 0) return null;
    const guest = await this.#ports
      .hypervisor()
      .then((hypervisor) => findGuest(hypervisor, wanted))
      .catch(() => null);
    const found = nameless.find(({ status }) => guest !== null && status.domid === guest.id);
    return found === undefined ? null : this.#identified(found.status);
  }

  async #primary(
    status: SessionStatus,
    order: RecoveryOrder,
    before: { readonly isRepeated?: boolean; readonly isDropped?: boolean } = {},
  ): Promise<StopResult> {
    const hypervisor = await this.#ports.hypervisor();
    const guest = await ownGuest(hypervisor, status);
    const left = { isGuestHere: guest !== null, mayOpen: status.may_open === true };
    const { deed, askedAtMs } = await this.#deed(left, status, order);
    if (guest === null || deed.kind === 'drop') {
      await this.#drop(status);
      const reason = 'the guest is not on this host any more';
      // Nobody was asked: it may be gone because its copy took over.
      return { outcome: { kind: 'guest-ended', reason }, text: goneText(status) };
    }
    switch (deed.kind) {
      case 'destroy': {
        const { clock } = this.#ports;
        const timeoutMs = status.heartbeat_timeout_ms;
        const isNow = () => askedAtMs === null || isPresent(askedAtMs, clock.nowMs(), timeoutMs);
        const mayDrop = isNow();
        // First the buffer: what it holds may keep pages of the guest, and the destroy would wait.
        if (mayDrop) await this.#drop(status);
        if (mayDrop && isNow()) {
          await hypervisor.destroy(guest);
          return { outcome: { kind: deed.because === 'ordered' ? 'destroyed' : 'taken-over' } };
        }
        // The answer came late, or to drop took its time: it goes on what is true now (E1).
        const isDropped = mayDrop || before.isDropped === true;
        if (!before.isRepeated) {
          return this.#primary(status, order, { isRepeated: true, isDropped });
        }
        return staysHeld(status, 'the other host answers too slowly to be believed', 'running');
      }
      case 'let-run': {
        const result = await this.#letRun(
          hypervisor,
          guest,
          status,
          deed.isVouched ? `${status.domain} runs on here` : undefined,
        );
        if (!before.isDropped) return result;
        return { ...result, text: `${status.domain} may run on here, but ${interfacesDown}` };
      }
      case 'hold':
        return staysHeld(status, deed.reason, deed.found);
    }
  }

  /** What is to be done; `askedAtMs`: on what the backup said to a question of then. */
  async #deed(
    left: LeftOnPrimary,
    status: SessionStatus,
    order: RecoveryOrder,
  ): Promise<{ readonly deed: RecoveryDeed; readonly askedAtMs: number | null }> {
    const unasked = recoveryUnasked(left, order);
    if (unasked !== null) return { deed: unasked, askedAtMs: null };
    try {
      const { answer, askedAtMs } = await this.#ports.askBackup(status);
      return { deed: recoveryOn(answer, order), askedAtMs };
    } catch (error) {
      return { deed: recoveryWithoutAnswer(errorText(error), order), askedAtMs: null };
    }
  }

  async #drop({ uuid, domid }: SessionStatus): Promise<void> {
    const left = await this.#ports.leftOutput(uuid, domid);
    await left.drop().finally(() => left.close());
  }

  /**
   * With the permission, undoes what the dead session left the guest in: suspended, paused, mute.
   * `text`: what to say where it is done.
   */
  async #letRun(
    hypervisor: Hypervisor,
    guest: GuestRef,
    status: SessionStatus,
    text?: string,
  ): Promise<StopResult> {
    const info = await hypervisor.info(guest);
    if (info?.state === 'suspended') await hypervisor.resume(guest);
    if (info?.paused && status.guest_paused) await hypervisor.unpause(guest);
    const isOver = info === null || info.state === 'ended';
    const unopened = await this.#open(status, isOver);
    if (unopened !== null) return { outcome: { kind: 'held', reason: unopened, mayOpen: true } };
    return { outcome: { kind: 'stopped', by: 'command' }, ...(text === undefined ? {} : { text }) };
  }

  async #open({ uuid, domid }: SessionStatus, isOver: boolean): Promise<string | null> {
    try {
      const left = await this.#ports.leftOutput(uuid, domid);
      const unopened = await openForGood(left, isOver, () => {});
      left.close();
      return unopened;
    } catch (error) {
      return errorText(error);
    }
  }

  /** A copy whose process died: its remains go, one that is whole only by a person's word (K3). */
  async #backup(status: SessionStatus, { destroy }: RecoveryOrder): Promise<StopResult> {
    const { domain, uuid } = status;
    const left = await this.#ports.lookAtCopy(status);
    if (!mayGoUnasked(left) && !destroy) return isWhole(status);
    if (left.kind === 'whole' && left.isActive) {
      await this.#ports.loseCopy(status);
      return { outcome: { kind: 'destroyed' }, text: givenUp(status) };
    }
    const answer = await this.#ports.answerHere(status);
    switch (answer.kind) {
      case 'running':
        return { outcome: { kind: 'activated', epoch: status.epoch ?? 0, why: 'it took over' } };
      case 'ended':
        return {
          outcome: { kind: 'guest-ended', reason: 'it took over here and has ended' },
          text: `${domain} took over here, and has ended since`,
        };
      case 'absent':
        return isAbsent(status);
      case 'promised': {
        const text = left.kind === 'whole' ? { text: givenUp(status) } : {};
        return { outcome: { kind: 'promised' }, ...text };
      }
      case 'unknown':
        await destroyCopy(await this.#ports.hypervisor(), { name: domain, uuid }, 'waiting');
        return { outcome: { kind: 'promised' } };
      case 'activating':
        return { outcome: { kind: 'held', reason: 'the copy is being activated' } };
    }
  }

  /**
   * The same with name and UUID of the guest, which devices alone do not tell; as it was where the
   * guest is gone, or known already. A number is not used again before a host is booted anew.
   */
  async #identified(status: SessionStatus): Promise<SessionStatus> {
    if (status.uuid !== '' || status.domid === null) return status;
    const hypervisor = await this.#ports.hypervisor();
    const guest = await hypervisor.numbered(status.domid);
    const info = guest === null ? null : await hypervisor.info(guest);
    if (guest === null || info === null || info.state === 'dying') return status;
    const { name } = await hypervisor.spec(guest);
    return { ...status, uuid: guest.uuid, domain: name || status.domain };
  }

  /** Takes a dead session out of sight. */
  #forget(status: SessionStatus): void {
    const { registry } = this.#ports;
    for (const entry of registry.sessions().sessions) {
      const same = entry.status.session === status.session && entry.status.role === status.role;
      if (same && entry.liveness !== 'alive') registry.forget(entry);
    }
  }

  /** The permission was given, and stays so whatever becomes of the backup. */
  async #noteUnopened(left: SessionStatus, reason: string): Promise<void> {
    // There is no session's status to note it in; the buffer's own state is the next best place.
    if (left.buffer_only) return this.#ports.noteMayOpen(left);
    this.#ports.registry.amend(left, (status) => {
      return { ...status, state: 'held', outcome: 'held', may_open: true, next: [], reason };
    });
  }

  /**
   * The guest stays as its session left it, and is not to stay suspended: where its guard died,
   * too, another one does what that would have done.
   */
  async #heldWatched(status: SessionStatus, result: StopResult): Promise<StopResult> {
    const { registry, startGuard } = this.#ports;
    const { domain: name, session, watch } = status;
    const ref = refOf(status);
    if (status.role !== 'primary' || ref === null) return result;
    if (registry.watcherOf(ref.uuid) !== null) return result;
    try {
      const guard = startGuard({ ref, name, session, wait: watch !== false });
      await guard.ready;
      if (await guard.standIn()) return result;
      throw new Error('the guard does not watch');
    } catch (error) {
      const detail = `nobody resumes it if it is suspended: ${errorText(error)}`;
      return { ...result, detail };
    }
  }

  /** The session's guard watches the guest, as a rule; if that died too, another one begins. */
  async #ensureWatch(status: SessionStatus): Promise<void> {
    const { registry, startGuard } = this.#ports;
    const { domain: name, session } = status;
    const ref = refOf(status);
    if (ref === null || registry.watcherOf(ref.uuid) !== null) return;
    const hypervisor = await this.#ports.hypervisor();
    if (hypervisor.otherWatcher(ref, name) !== null) return;
    const guard = startGuard({ ref, name, session, wait: true });
    await guard.ready;
    if (!(await guard.watch(ref, { end: true, lateSuspend: true })))
      throw new Error('the guard does not watch');
  }
}

/** Without the permission there is one thing that may be done unasked: giving the guest up here. */
function staysHeld(
  { domain, peer }: SessionStatus,
  reason: string,
  found: Answer['kind'] | null,
): StopResult {
  const next = adviceLines([
    ...adviceOnAnswer(found, { domain, peer }),
    { kind: 'stop-destroy', domain },
  ]);
  return { outcome: { kind: 'held', reason, found }, next };
}

/** K3: on the host of the copy. */
function isWhole({ domain, peer, epoch }: SessionStatus): StopResult {
  const reason = `its copy of epoch ${epoch ?? 0} stands here, whole, and may be all that is left`;
  return {
    outcome: { kind: 'held', reason, isWholeCopy: true },
    text: `${domain} is not given up: ${reason} of it`,
    next: adviceLines([
      { kind: 'failover-if-dead', domain, peer },
      { kind: 'stop-destroy-copy', domain, peer },
    ]),
  };
}

function givenUp({ domain, peer }: SessionStatus): string {
  return `the copy of ${domain} is destroyed here, as you said: ${hostWord(peer)} may go on`;
}

function goneText({ domain, peer }: SessionStatus): string {
  const where = hostWord(peer);
  return `${domain} is not on this host any more: it ended, or its copy runs on ${where}`;
}

/** Said on the host where the copy took over: a person decides what is to become of it. */
function isAbsent({ domain, peer }: SessionStatus): StopResult {
  return {
    outcome: { kind: 'held', reason: 'it took over here, and is here no more', found: 'absent' },
    text: `${domain} took over here, and is here no more: nobody knows why`,
    next: adviceLines([{ kind: 'stop-lost-here', domain, peer }]),
  };
}

/** The session's guest on this host; null when it is gone. */
async function ownGuest(hypervisor: Hypervisor, status: SessionStatus): Promise<GuestRef | null> {
  const ref = refOf(status);
  const info = ref === null ? null : await hypervisor.info(ref);
  return info === null || info.state === 'dying' ? null : ref;
}
