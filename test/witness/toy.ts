/**
 * A witness in memory: what a real one has to do, in fifty lines. Each thing that can go wrong with
 * one is a field, and so is each mistake that the contract must find.
 */
import { OperationError } from '../../src/host/errors.ts';
import type { Registration, Side, Testimony, Witness } from '../../src/witness/port.ts';

interface Cells {
  nonce: string;
  decision: Side | null;
  outcome: 'given-up' | null;
}

/** Mistakes; a witness that makes one passes the contract no more. */
export type Mistake =
  | 'the last one who asks has it'
  | 'any nonce will do'
  | 'a decision makes its registration'
  | 'told before it is durable'
  | 'told from memory'
  | 'anybody may give up'
  | 'whoever forgets, forgets all'
  | 'registered anew is undecided';

/** The third host: what is on its disk, and what it has not synced yet. */
export class ToyWitnessHost {
  readonly mistake: Mistake | null;
  #durable = new Map<string, Cells>();
  #cells = new Map<string, Cells>();
  isUp = true;
  /** So many calls are carried out, and their answer is lost. */
  answersToLose = 0;

  constructor(mistake: Mistake | null = null) {
    this.mistake = mistake;
  }

  /** Loses power, and comes back with what was durable. */
  restart(): void {
    this.#cells = structuredClone(this.#durable);
    this.isUp = true;
  }

  loseMemory(): void {
    this.#durable.clear();
    this.#cells.clear();
  }

  async answer<T>(what: (cells: Map<string, Cells>) => T): Promise<T> {
    // Nothing that is asked is answered in the same breath.
    await Promise.resolve();
    const unreachable = new OperationError('peer-unreachable', 'no answer', { op: 'ask-witness' });
    if (!this.isUp) throw unreachable;
    const told = what(this.#cells);
    if (this.mistake !== 'told before it is durable') this.#durable = structuredClone(this.#cells);
    if (this.answersToLose === 0) return told;
    this.answersToLose -= 1;
    throw unreachable;
  }
}

const keyOf = ({ uuid, session }: Pick<Registration, 'uuid' | 'session'>) => `${uuid}.${session}`;

/** One host's way to it. */
export function openToyWitness(host: ToyWitnessHost): Witness {
  const { mistake } = host;
  const known = new Map<string, Testimony | null>();

  function standing(cells: Map<string, Cells>, registration: Registration): Cells {
    const key = keyOf(registration);
    const { nonce } = registration;
    if (mistake === 'a decision makes its registration' && !cells.has(key)) {
      cells.set(key, { nonce, decision: null, outcome: null });
    }
    const found = cells.get(key);
    if (found !== undefined && (found.nonce === nonce || mistake === 'any nonce will do')) {
      return found;
    }
    throw new OperationError('no-such-session', 'nothing is registered', { op: 'ask-witness' });
  }

  return {
    name: 'toy',
    register: (registration) =>
      host.answer((cells) => {
        const { nonce } = registration;
        const found = cells.get(keyOf(registration));
        if (found === undefined || mistake === 'registered anew is undecided') {
          cells.set(keyOf(registration), { nonce, decision: null, outcome: null });
        } else if (found.nonce !== nonce) {
          throw new OperationError('already-protected', 'registered with another nonce', {
            op: 'register',
          });
        }
      }),
    async read(session) {
      const key = keyOf(session);
      const before = known.get(key);
      if (mistake === 'told from memory' && before) return before;
      const told = await host.answer((cells) => structuredClone(cells.get(key) ?? null));
      known.set(key, told);
      return told;
    },
    decide: (registration, side) =>
      host.answer((cells) => {
        const found = standing(cells, registration);
        if (mistake === 'the last one who asks has it') found.decision = side;
        found.decision ??= side;
        return { ...found };
      }),
    giveUp: (registration) =>
      host.answer((cells) => {
        const found = standing(cells, registration);
        if (found.decision !== 'backup' && mistake !== 'anybody may give up') {
          throw new OperationError('split-brain-risk', 'the backup has no decision to give up', {
            op: 'give-up',
          });
        }
        found.outcome = 'given-up';
        return { ...found };
      }),
    forget: (registration) =>
      host.answer((cells) => {
        const found = cells.get(keyOf(registration));
        const isMeant = found?.nonce === registration.nonce;
        if (isMeant || mistake === 'whoever forgets, forgets all') {
          cells.delete(keyOf(registration));
        }
      }),
    close() {},
  };
}
