/**
 * The permission record: who may go on, durable on the backup host (DESIGN.md, "Who may go on").
 *
 *     standby --> activating --> active --> lost
 *        |            |
 *        +--> promised <-+
 *
 * Two processes can want to decide at the same moment: the one that receives the session, and a
 * fresh one that asks for the promise. So each of the two steps is one file that is created by
 * link(2) and never changed again. Whoever creates it first has decided; everybody else reads it.
 *
 *     UUID.SESSION.standby     the session began; without this file there is no record
 *     UUID.SESSION.decision    out of standby: activating or promised
 *     UUID.SESSION.outcome     out of activating: active or promised
 *     UUID.SESSION.built       news of this boot: the hypervisor has built the copy, whole
 *     UUID.SESSION.running     news: the copy was seen to run
 *     UUID.SESSION.ended       news: it ended by itself, and is not to be booted again
 *     UUID.SESSION.lost        out of active: a person's word that the guest is lost
 *     UUID.SESSION.ready-WORD  a decision, an outcome or `built` as it may be needed, made before
 *                              the session began: by a second name it becomes one, also on a full
 *                              disk
 *
 *   R1  a step is taken at most once, by one process (exclusive creation)
 *   R2  what was reported survives a crash of the host (synced before reporting, and on reading)
 *   R3  no record is never a promise (read gives null)
 *   R4  a step out of activating that its owner did not take needs the owner's death proved
 *   R5  activating is written only as was agreed when the session began (core/permission/tie.ts)
 */

import { join } from 'node:path';
import { canMove } from '../core/permission/record.ts';
import {
  type Agreement,
  agreementDefault,
  mayActivate,
  type Said,
} from '../core/permission/tie.ts';
import { adviceLine } from '../core/texts/advice.ts';
import type { Permission } from '../core/vocabulary.ts';
import type { Clock } from '../host/clock.ts';
import { OperationError } from '../host/errors.ts';
import { type Processes, sameProcess } from '../host/process-id.ts';
import type { Store } from '../host/store.ts';
import { parseNote, type RecordFacts, type RecordNote, serializeNote } from './note.ts';

export type { RecordFacts, RecordNote } from './note.ts';

/** What the record says, and who said it. */
export interface RecordState {
  readonly permission: Permission;
  /** Only with `activating`: the copy that was built in this boot of the host stands whole. */
  readonly built: boolean;
  /** Only with `active`: the copy was seen to run. */
  readonly running: boolean;
  /** Only with `active`: it ended by itself. */
  readonly ended: boolean;
  /** Who goes on when the other host cannot be asked. */
  readonly withoutWitness: Agreement;
  readonly standby: RecordNote;
  readonly decision: RecordNote | null;
  readonly outcome: RecordNote | null;
}

export interface Moved {
  /** What the record says now; not necessarily what was wanted. */
  readonly permission: Permission;
  /** True when this process took the step (now or in an earlier call). */
  readonly mine: boolean;
}

export type Step = 'decision' | 'outcome';

/** What a step can lead to. */
export const stepWords = ['activating', 'active', 'promised'] as const;
/** What is made ready when a session begins. */
export const readyWords = [...stepWords, 'built'] as const;
type ReadyWord = (typeof readyWords)[number];

/** What a record is made of: files, the time of day, and who acts through it. */
export interface RecordPorts {
  readonly store: Store;
  readonly clock: Clock;
  readonly processes: Processes;
}

export const noteBytesMax = 16 * 1024;

/** The files of one record. */
export function recordPath(dir: string, uuid: string, session: string, part: string): string {
  return join(dir, `${uuid}.${session}.${part}`);
}

export class PermissionRecord {
  readonly dir: string;
  readonly uuid: string;
  readonly session: string;
  readonly #ports: RecordPorts;

  constructor(dir: string, uuid: string, session: string, ports: RecordPorts) {
    this.dir = dir;
    this.uuid = uuid;
    this.session = session;
    this.#ports = ports;
  }

  /**
   * Makes the record: standby, with what was agreed for the session. Throws `already-protected`
   * when this session has one, `disk-full` or `storage` when it cannot be made durable.
   */
  async create(facts: RecordFacts, withoutWitness = agreementDefault): Promise<void> {
    await this.#ports.store.ensureDir(this.dir);
    const leftover = (await this.#note('decision')) ?? (await this.#note('outcome'));
    const made =
      leftover === null && (await this.#create('standby', 'standby', facts, withoutWitness));
    if (made) return;
    throw new OperationError('already-protected', `session ${this.session} exists already`, {
      op: 'create-record',
      subject: this.#path('standby'),
      hint: adviceLine({ kind: 'show-all' }),
    });
  }

  /**
   * Makes the files of every step that may be taken, so that a disk without room is found now and
   * not when it is needed. Before `create`; throws as that does.
   */
  async prepare(): Promise<void> {
    const { store } = this.#ports;
    await store.ensureDir(this.dir);
    const make = (says: ReadyWord) =>
      store.createExclusively(this.#path(`ready-${says}`), this.#text(says, { ready: true }));
    const made = await Promise.allSettled(readyWords.map(make));
    for (const one of made) if (one.status === 'rejected') throw one.reason;
  }

  /** What the record says, or null when there is none. What it says is durable. */
  async read(): Promise<RecordState | null> {
    const standby = await this.#note('standby');
    if (standby === null) return null;
    const decision = await this.#note('decision');
    const outcome = await this.#note('outcome');
    const isLost = (await this.#note('lost')) !== null;
    // R2: the process that made the file may not have come to sync the folder.
    if (decision !== null) await this.#ports.store.syncDir(this.dir);
    const says = permissionOf(decision, outcome, this.#path('decision'));
    const permission = says === 'active' && isLost ? 'lost' : says;
    const has = async (news: string) =>
      permission === 'active' && (await this.#note(news)) !== null;
    const [running, ended] = [await has('running'), await has('ended')];
    const withoutWitness = standby.withoutWitness ?? agreementDefault;
    const built = permission === 'activating' && (await this.#isBuilt());
    return { permission, built, running, ended, withoutWitness, standby, decision, outcome };
  }

  /**
   * Compare and swap: if the record says `from`, takes the step to `to`. Durable when it returns.
   * Throws `no-such-session` without a record, `split-brain-risk` when another living process owns
   * `activating` (R4) or when `said` is not enough to activate (R5), `disk-full` or `storage` when
   * the step could not be made durable: then ask `read` what holds.
   */
  async move(
    from: Permission,
    to: Permission,
    facts: RecordFacts,
    said: Said = 'nothing',
  ): Promise<Moved> {
    const step = stepOf(from, to);
    const before = await this.#mustRead();
    if (before.permission !== from) return this.#moved(before, step, to);
    if (step === 'outcome') this.#checkOwner(before);
    if (to === 'activating') this.#checkAgreement(before, said);
    await this.#createStep(step, to, facts);
    return this.#moved(await this.#mustRead(), step, to);
  }

  /**
   * Notes that the copy is built, for whoever finds its owner dead. Only the process that has built
   * it says so, and only of a record that was prepared. Throws `disk-full` or `storage`.
   */
  async noteBuilt(): Promise<void> {
    await this.#ports.store.linkExclusively(this.#path('ready-built'), this.#path('built'));
  }

  /** Notes that the active copy was seen to run. Only news: decides nothing. */
  noteRunning(facts: RecordFacts): Promise<void> {
    return this.#noteNews('running', facts);
  }

  /** Notes that the active copy ended by itself and is not booted again. As `noteRunning`. */
  noteEnded(facts: RecordFacts): Promise<void> {
    return this.#noteNews('ended', facts);
  }

  async #noteNews(news: 'running' | 'ended', facts: RecordFacts): Promise<void> {
    const state = await this.#mustRead();
    if (state.permission !== 'active') {
      throw new Error(`noting ${news} on a record that says ${state.permission}`);
    }
    await this.#create(news, news, facts);
  }

  /**
   * `active -> lost`, by a person's word: the guest that went on here will not run here again. The
   * caller has looked (lostRefusal). Throws as `move` does, and `split-brain-risk` when the record
   * says anything but active; a record that says lost already stays so.
   */
  async lose(facts: RecordFacts): Promise<void> {
    const { permission } = await this.#mustRead();
    if (!canMove(permission, 'lost') && permission !== 'lost') {
      throw new OperationError('split-brain-risk', `the record says ${permission}, not active`, {
        op: 'lose-guest',
        subject: this.#path('outcome'),
      });
    }
    await this.#create('lost', 'lost', facts);
  }

  /** A domain does not outlive the boot of its host, whatever has its name now. */
  async #isBuilt(): Promise<boolean> {
    const note = await this.#note('built');
    return note?.by.bootId === this.#ports.processes.self.bootId;
  }

  async #mustRead(): Promise<RecordState> {
    const state = await this.read();
    if (state !== null) return state;
    throw new OperationError('no-such-session', `there is no record of session ${this.session}`, {
      op: 'read-record',
      subject: this.#path('standby'),
    });
  }

  #moved(state: RecordState, step: Step, to: Permission): Moved {
    const note = step === 'decision' ? state.decision : state.outcome;
    const mine =
      note !== null && note.says === to && sameProcess(note.by, this.#ports.processes.self);
    return { permission: state.permission, mine };
  }

  /** R4. The copy that the dead owner left must be destroyed by the caller before. */
  #checkOwner(state: RecordState): void {
    const owner = state.decision?.by;
    const { processes } = this.#ports;
    if (owner === undefined || sameProcess(owner, processes.self)) return;
    if (processes.state(owner) !== 'alive') return;
    throw new OperationError(
      'split-brain-risk',
      `the copy is being activated by process ${owner.pid}, which is alive`,
      {
        op: 'move-record',
        subject: this.#path('outcome'),
        hint: adviceLine({ kind: 'see-process', pid: owner.pid }),
      },
    );
  }

  /** R5. Whatever the process that holds the session makes of it. */
  #checkAgreement({ withoutWitness }: RecordState, said: Said): void {
    if (mayActivate(withoutWitness, said)) return;
    throw new OperationError(
      'split-brain-risk',
      `it was agreed that the copy does not go on by itself (${withoutWitness})`,
      { op: 'move-record', subject: this.#path('decision') },
    );
  }

  #path(part: string): string {
    return recordPath(this.dir, this.uuid, this.session, part);
  }

  async #note(part: string): Promise<RecordNote | null> {
    const path = this.#path(part);
    const text = await this.#ports.store.readText(path, noteBytesMax);
    return text === null ? null : parseNote(text, path);
  }

  /** Without room what was made ready stands in: it says the same, without why and when. */
  async #createStep(step: Step, to: Permission, facts: RecordFacts): Promise<void> {
    try {
      await this.#create(step, to, facts);
    } catch (error) {
      if (!(error instanceof OperationError) || error.code !== 'disk-full') throw error;
      const { store } = this.#ports;
      const ready = this.#path(`ready-${to}`);
      if ((await this.#note(`ready-${to}`)) === null) throw error;
      await store.linkExclusively(ready, this.#path(step));
    }
  }

  async #create(
    part: string,
    says: RecordNote['says'],
    facts: RecordFacts,
    withoutWitness: Agreement | null = null,
  ): Promise<boolean> {
    const text = this.#text(says, facts, withoutWitness);
    return this.#ports.store.createExclusively(this.#path(part), text);
  }

  #text(
    says: RecordNote['says'],
    facts: RecordFacts,
    withoutWitness: Agreement | null = null,
  ): string {
    const { clock, processes } = this.#ports;
    const at = clock.wall().toISOString();
    return serializeNote({ says, at, by: processes.self, facts, withoutWitness });
  }
}

function permissionOf(
  decision: RecordNote | null,
  outcome: RecordNote | null,
  path: string,
): Permission {
  if (decision === null) return 'standby';
  if (decision.says === 'promised') return 'promised';
  if (decision.says === 'activating') {
    if (outcome === null) return 'activating';
    if (outcome.says === 'active' || outcome.says === 'promised') return outcome.says;
  }
  throw new OperationError('storage', `the record ${path} says what it cannot say`, {
    op: 'read-record',
    subject: path,
  });
}

/** Which file a step creates; a step that does not exist is a bug of the caller's. */
function stepOf(from: Permission, to: Permission): Step {
  if (from === 'standby' && (to === 'activating' || to === 'promised')) return 'decision';
  if (from === 'activating' && (to === 'active' || to === 'promised')) return 'outcome';
  throw new Error(`no step from ${from} to ${to}`);
}

/** The record of one guest and session in `dir`; nothing is touched before a method is called. */
export function openRecord(
  dir: string,
  uuid: string,
  session: string,
  ports: RecordPorts,
): PermissionRecord {
  return new PermissionRecord(dir, uuid, session, ports);
}
