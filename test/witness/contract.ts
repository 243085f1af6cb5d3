/**
 * What every witness has to do (src/witness/port.ts, W1 to W5), as one suite over a bench: two
 * hosts with a way each to one witness, which can be cut off, lose power, or lose its memory.
 */
import { strict as assert } from 'node:assert';
import { OperationError } from '../../src/host/errors.ts';
import type { Registration, Witness } from '../../src/witness/port.ts';

export interface Bench {
  readonly primary: Witness;
  readonly backup: Witness;
  /** The witness does not answer anybody until `heal`. */
  cut(): void;
  heal(): void;
  /** The next call is carried out there, and its answer is lost. */
  loseNextAnswer(): void;
  /** The witness loses power and comes back. */
  restart(): Promise<void>;
  /** It comes back without its disk. */
  loseMemory(): Promise<void>;
  close(): void;
}

export interface Clause {
  readonly name: string;
  run(bench: Bench): Promise<void>;
}

const registration: Registration = {
  uuid: '6ba7b810-9dad-11d1-80b4-00c04fd430c8',
  session: '0'.repeat(32),
  nonce: 'a'.repeat(32),
};
const stranger: Registration = { ...registration, nonce: 'b'.repeat(32) };

async function refused(what: Promise<unknown>, code: string): Promise<void> {
  const error = await what.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof OperationError, `expected ${code}`);
  assert.equal(error.code, code);
}

const undecided = { nonce: registration.nonce, decision: null, outcome: null };

export const clauses: readonly Clause[] = [
  {
    name: 'knows nothing before it is registered, and decides nothing (W3)',
    async run({ primary, backup }) {
      assert.equal(await backup.read(registration), null);
      await refused(primary.decide(registration, 'primary'), 'no-such-session');
      await refused(backup.giveUp(registration), 'no-such-session');
      assert.equal(await backup.read(registration), null);
    },
  },
  {
    name: 'tells the backup what the primary registered',
    async run({ primary, backup }) {
      await primary.register(registration);
      assert.deepEqual(await backup.read(registration), undecided);
      await primary.register(registration);
      assert.deepEqual(await backup.read(registration), undecided);
      await refused(primary.register(stranger), 'already-protected');
      assert.deepEqual(await backup.read(registration), undecided);
    },
  },
  {
    name: 'gives the decision to who asks first, for ever (W1)',
    async run({ primary, backup }) {
      await primary.register(registration);
      const told = { ...undecided, decision: 'backup' as const };
      assert.deepEqual(await backup.decide(registration, 'backup'), told);
      assert.deepEqual(await primary.decide(registration, 'primary'), told);
      assert.deepEqual(await backup.decide(registration, 'backup'), told);
      await primary.register(registration);
      assert.deepEqual(await primary.read(registration), told);
    },
  },
  {
    name: 'tells both the same when they ask at the same time',
    async run({ primary, backup }) {
      await primary.register(registration);
      const [one, other] = await Promise.all([
        primary.decide(registration, 'primary'),
        backup.decide(registration, 'backup'),
      ]);
      assert.deepEqual(one, other);
      assert.notEqual(one.decision, null);
    },
  },
  {
    name: 'decides nothing for another nonce (W3)',
    async run({ primary, backup }) {
      await primary.register(registration);
      await refused(backup.decide(stranger, 'backup'), 'no-such-session');
      await refused(backup.giveUp(stranger), 'no-such-session');
      await backup.forget(stranger);
      assert.deepEqual(await primary.read(registration), undecided);
    },
  },
  {
    name: 'lets the backup give up what it has, and nobody else anything',
    async run({ primary, backup }) {
      await primary.register(registration);
      await refused(backup.giveUp(registration), 'split-brain-risk');
      await backup.decide(registration, 'backup');
      const told = { ...undecided, decision: 'backup', outcome: 'given-up' };
      assert.deepEqual(await backup.giveUp(registration), told);
      assert.deepEqual(await backup.giveUp(registration), told);
      assert.deepEqual(await primary.decide(registration, 'primary'), told);
      const next = { ...registration, session: '1'.repeat(32) };
      await primary.register(next);
      await primary.decide(next, 'primary');
      await refused(backup.giveUp(next), 'split-brain-risk');
    },
  },
  {
    name: 'keeps over a power cut what it told (W2)',
    async run(bench) {
      const { primary, backup } = bench;
      await primary.register(registration);
      await bench.restart();
      assert.deepEqual(await backup.read(registration), undecided);
      await backup.decide(registration, 'backup');
      await bench.restart();
      assert.equal((await primary.decide(registration, 'primary')).decision, 'backup');
      await backup.giveUp(registration);
      await bench.restart();
      assert.equal((await primary.read(registration))?.outcome, 'given-up');
    },
  },
  {
    name: 'that lost its memory says so, and decides nothing (W3)',
    async run(bench) {
      const { primary, backup } = bench;
      await primary.register(registration);
      await backup.decide(registration, 'backup');
      await bench.loseMemory();
      assert.equal(await primary.read(registration), null);
      await refused(primary.decide(registration, 'primary'), 'no-such-session');
      assert.equal(await primary.read(registration), null);
    },
  },
  {
    name: 'tells what stands there now, and nothing that it told before (W4)',
    async run(bench) {
      const { primary, backup } = bench;
      await primary.register(registration);
      assert.deepEqual(await primary.read(registration), undecided);
      await backup.decide(registration, 'backup');
      assert.equal((await primary.read(registration))?.decision, 'backup');
      bench.cut();
      await refused(primary.read(registration), 'peer-unreachable');
      await refused(primary.decide(registration, 'primary'), 'peer-unreachable');
      bench.heal();
      assert.equal((await primary.read(registration))?.decision, 'backup');
    },
  },
  {
    name: 'may have done what it did not answer, and tells when it is asked again (W5)',
    async run(bench) {
      const { primary, backup } = bench;
      bench.loseNextAnswer();
      await refused(primary.register(registration), 'peer-unreachable');
      await primary.register(registration);
      bench.loseNextAnswer();
      await refused(backup.decide(registration, 'backup'), 'peer-unreachable');
      assert.equal((await primary.decide(registration, 'primary')).decision, 'backup');
      bench.loseNextAnswer();
      await refused(backup.giveUp(registration), 'peer-unreachable');
      assert.equal((await backup.giveUp(registration)).outcome, 'given-up');
    },
  },
  {
    name: 'forgets what it is told to, and is silent where there is nothing',
    async run({ primary, backup }) {
      await primary.forget(registration);
      await primary.register(registration);
      await backup.forget(registration);
      assert.equal(await primary.read(registration), null);
      await refused(primary.decide(registration, 'primary'), 'no-such-session');
    },
  },
];
