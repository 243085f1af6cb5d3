/**
 * Deliberate bugs in the shell that ships: one for each decision and each durable step around the
 * machines. Each is a piece of the sources that is replaced (source-mutation.ts), and each must be
 * caught: by the simulator where it can, else by the unit test that is named.
 */
import type { Fault, FaultKind, Plan, Trigger } from './plan.ts';
import type { Mutation } from './source-mutation.ts';

/** The simulator, from a seed on, in plans that make a coincidence less rare. */
export interface BySimulator {
  readonly seed: number;
  readonly tweak?: (plan: Plan) => Plan;
}

export interface ShellMutant extends Mutation {
  readonly name: string;
  /** Who catches it: the simulator, or a unit test by its path. */
  readonly by: BySimulator | string;
}

const sim = (seed = 1, tweak?: BySimulator['tweak']): BySimulator =>
  tweak === undefined ? { seed } : { seed, tweak };

/** Strikes `share` timeouts after the seed is about whole. */
const at =
  (share: number) =>
  (plan: Plan): Trigger => {
    const { heartbeatTimeoutMs } = plan.config;
    const seedMs = 2 * plan.diskLagMs + plan.seedChunks * plan.chunkMs + heartbeatTimeoutMs;
    return { kind: 'time', atMs: seedMs + share * heartbeatTimeoutMs };
  };

/** Strikes before the call. */
const on =
  (host: 'a' | 'b', what: string, count = 1) =>
  (): Trigger => ({
    kind: 'call',
    host,
    what,
    count,
  });

type When = (plan: Plan) => Trigger;
type What = FaultKind | ((timeoutMs: number) => FaultKind);

/** The plan with these faults instead of its own. */
function struck(faults: readonly (readonly [When, What])[], change: Partial<Plan> = {}) {
  return (plan: Plan): Plan => {
    const { heartbeatTimeoutMs } = plan.config;
    const its = faults.map(
      ([when, what]): Fault => ({
        trigger: when(plan),
        fault: typeof what === 'function' ? what(heartbeatTimeoutMs) : what,
      }),
    );
    return {
      ...plan,
      faults: its,
      ...{ isCutForGood: false, misdirected: 0, forces: false, cleansUp: false },
      ...{ again: null, otherWay: null },
      calmAtMs: 2 * plan.diskLagMs + plan.seedChunks * plan.chunkMs + 12 * heartbeatTimeoutMs,
      ...change,
    };
  };
}

const buffered =
  (isBuffered: boolean, tweak: (plan: Plan) => Plan) =>
  (plan: Plan): Plan =>
    tweak({ ...plan, config: { ...plan.config, buffered: isBuffered } });

const cut =
  (share: number, directions: readonly ('ab' | 'ba')[] = ['ab', 'ba']) =>
  (timeoutMs: number): FaultKind => ({ kind: 'cut', directions, forMs: share * timeoutMs });

const powerCut =
  (host: 'a' | 'b') =>
  (timeoutMs: number): FaultKind => ({
    kind: 'crash',
    host,
    rebootMs: timeoutMs,
  });

const stop: FaultKind = { kind: 'stop' };
const terminate: FaultKind = { kind: 'terminate' };
const killProtect: FaultKind = { kind: 'kill-protect' };
const killReceive: FaultKind = { kind: 'kill-receive' };
const cleansUp = { cleansUp: true };

/** The backup decides, and is long about it; meanwhile somebody sees to what protect left. */
const cleanedWhileActivating = buffered(
  true,
  struck(
    [
      [at(0), cut(1.5)],
      [at(0), killProtect],
      [at(0), (ms) => ({ kind: 'disk-slow', forMs: 30 * ms, byMs: 6 * ms })],
    ],
    cleansUp,
  ),
);

/** The decision's among the files of a record, as they are made: four are ready, one standby. */
const decisionFile = 6;

/** The outcome's: when it is made the copy stands built. */
const outcomeFile = 8;

/** Who writes the record dies before it comes to sync it; then the power fails. */
const unsyncedDecision = struck([
  [at(0), stop],
  [on('b', 'unlink', decisionFile), killReceive],
  [on('a', 'open-buffer'), powerCut('b')],
]);

/** The promise was told, and its host loses its power. */
const promisedThenPowerCut = struck([
  [at(0), stop],
  [on('a', 'open-buffer'), powerCut('b')],
]);

/** `active` is on record, and its owner dies before it unpauses the copy. */
const unfinishedActivation = struck([
  [at(0), cut(1.5)],
  [on('b', 'unpause'), killReceive],
]);

/** Protect dies while the guest obeys a request to suspend. */
const suspendedAndKilled = [
  on('a', 'suspend', 5),
  { kind: 'kill-protect', isAfter: true },
] as const;

/** Stopped for ever with the guest asked to suspend, which it does after that. */
const suspendedAndStopped: readonly (readonly [When, What])[] = [
  [on('a', 'suspend', 2), (timeoutMs: number) => ({ kind: 'late-suspend', byMs: 6 * timeoutMs })],
  [at(1), { kind: 'stop-for-good', who: 'protect', lateMs: null }],
];

/** Neither side goes on by itself. */
const manually =
  (tweak: (plan: Plan) => Plan) =>
  (plan: Plan): Plan => {
    const config = { ...plan.config, buffered: true, withoutWitness: 'manual' as const };
    return tweak({ ...plan, config, cutForGood: [] });
  };

/** The guest obeys a request of the seed's when its session has long ended. */
const obeysLate: readonly (readonly [When, What])[] = [
  [on('a', 'suspend', 1), (timeoutMs: number) => ({ kind: 'late-suspend', byMs: 6 * timeoutMs })],
  [at(0), { kind: 'terminate' }],
];

/** The same of a checkpoint's, and held meanwhile, because there is nobody to ask. */
const obeysLateHeld: readonly (readonly [When, What])[] = [
  [on('a', 'suspend', 2), { kind: 'crash', host: 'b', rebootMs: null }],
  [on('a', 'suspend', 2), { kind: 'late-suspend', byMs: 90_000 }],
];

/** The copy took over, its host is rebooted, and the guest that it left behind is cleaned up. */
const goneAfterTakeover = struck(
  [
    [at(0), cut(1.5)],
    [at(0.2), killProtect],
    [on('b', 'unpause'), powerCut('b')],
  ],
  cleansUp,
);

const leftMuteAndAlone = struck([
  [at(0), cut(0.5)],
  [at(0.05), terminate],
  [at(0.1), terminate],
]);

const store: readonly ShellMutant[] = [
  {
    name: 'the name of a new file is not synced',
    file: 'host/store.ts',
    from: `      await this.#files.unlink(temporary).catch(() => {});
    }
    await this.syncDir(dirname(path));
    return first;`,
    to: `      await this.#files.unlink(temporary).catch(() => {});
    }
    return first;`,
    by: sim(1, struck([[at(0), powerCut('b')]])),
  },
  {
    name: 'the content of a new file is not synced',
    file: 'host/store.ts',
    from: `          await file.write(content);
          await file.sync();`,
    to: '          await file.write(content);',
    by: sim(1, promisedThenPowerCut),
  },
  {
    name: 'a file gets its name before it is written',
    file: 'host/store.ts',
    from: "first = await storing('create', path, () => this.#link(temporary, path));",
    to: `const file = await this.#files.open(path, 'new').catch(() => null);
      if (file !== null) await file.write(content);
      first = file !== null;`,
    by: sim(1, promisedThenPowerCut),
  },
];

const record: readonly ShellMutant[] = [
  {
    name: 'what a dead process wrote is told before it is synced',
    file: 'permission/record.ts',
    from: 'if (decision !== null) await this.#ports.store.syncDir(this.dir);',
    to: '',
    by: sim(1, unsyncedDecision),
  },
  {
    name: 'a session id is used twice',
    file: 'permission/record.ts',
    from: "(await this.#create('standby', 'standby', facts, withoutWitness));",
    to: "(await this.#create('standby', 'standby', facts, withoutWitness)) !== null;",
    by: 'test/permission/record.test.ts',
  },
  {
    name: 'the record takes an activation that was not agreed',
    file: 'permission/record.ts',
    from: "if (to === 'activating') this.#checkAgreement(before, said);",
    to: '',
    by: 'test/permission/record.test.ts',
  },
  {
    name: 'a living owner may be passed over',
    file: 'permission/record.ts',
    from: "if (step === 'outcome') this.#checkOwner(before);",
    to: '',
    by: 'test/permission/record.test.ts',
  },
  {
    name: 'an owner is taken for dead that lives',
    file: 'permission/record.ts',
    from: "if (processes.state(owner) !== 'alive') return;",
    to: "if (processes.state(owner) !== 'other-boot') return;",
    by: 'test/permission/record.test.ts',
  },
  {
    name: 'a step reports what was wanted, not what holds',
    file: 'permission/record.ts',
    from: `await this.#createStep(step, to, facts);
    return this.#moved(await this.#mustRead(), step, to);`,
    to: `await this.#createStep(step, to, facts);
    return { permission: to, mine: true };`,
    by: 'test/permission/record.test.ts',
  },
  {
    name: 'an activation is read as standby',
    file: 'permission/record.ts',
    from: "if (outcome === null) return 'activating';",
    to: "if (outcome === null) return 'standby';",
    by: sim(15),
  },
  {
    name: 'every decision is read as a promise',
    file: 'permission/record.ts',
    from: "if (decision.says === 'promised') return 'promised';",
    to: "if (decision.says === 'promised' || outcome === null) return 'promised';",
    by: sim(15),
  },
  {
    name: 'that the copy runs is noted in any record',
    file: 'permission/record.ts',
    from: "if (state.permission !== 'active') {",
    to: "if (state.permission === 'promised') {",
    by: 'test/permission/record.test.ts',
  },
  {
    name: 'a damaged note is read all the same',
    file: 'permission/note.ts',
    from: 'if (written !== schema && written !== schemaBefore) {',
    to: 'if (written === 0) {',
    by: 'test/permission/record.test.ts',
  },
  {
    name: 'an undecided record is pruned',
    file: 'permission/prune.ts',
    from: 'if (!isFinal(state.permission)) return null;',
    to: '',
    by: 'test/permission/prune.test.ts',
  },
  {
    name: 'what makes a record one is removed last',
    file: 'permission/prune.ts',
    from: "['standby', 'decision', 'outcome', 'built', 'running', 'ended', 'lost', 'trial']",
    to: "['trial', 'lost', 'ended', 'running', 'built', 'outcome', 'decision', 'standby']",
    by: 'test/permission/prune.test.ts',
  },
];

const rules: readonly ShellMutant[] = [
  {
    name: 'no record is a promise',
    file: 'core/permission/record.ts',
    from: "if (record === null) return { kind: 'answer', answer: { kind: 'unknown' } };",
    to: "if (record === null) return { kind: 'answer', answer: { kind: 'promised' } };",
    by: 'test/core/permission/record.test.ts',
  },
  {
    name: 'the copy goes before the promise is on record',
    file: 'core/permission/record.ts',
    from: `          { do: 'record-promise', from: 'standby' },
          { do: 'destroy-copy', which: 'waiting' },`,
    to: `          { do: 'destroy-copy', which: 'waiting' },
          { do: 'record-promise', from: 'standby' },`,
    by: 'test/core/permission/record.test.ts',
  },
  {
    name: 'an activation is promised away before its copy is gone',
    file: 'core/permission/record.ts',
    from: `          { do: 'destroy-copy', which: 'waiting-or-built' },
          { do: 'record-promise', from: 'activating' },`,
    to: `          { do: 'record-promise', from: 'activating' },
          { do: 'destroy-copy', which: 'waiting-or-built' },`,
    by: 'test/core/permission/record.test.ts',
  },
  {
    name: 'only a copy that was not built is destroyed',
    file: 'core/permission/record.ts',
    from: "{ do: 'destroy-copy', which: 'waiting-or-built' },",
    to: "{ do: 'destroy-copy', which: 'waiting' },",
    by: 'test/core/permission/record.test.ts',
  },
  {
    name: 'an activation that was cut short stays so',
    file: 'core/permission/record.ts',
    from: "return { kind: 'look', unpause: !record.running };",
    to: "return { kind: 'look', unpause: false };",
    by: sim(1, unfinishedActivation),
  },
  {
    name: 'whatever became of it, it is a promise',
    file: 'core/permission/record.ts',
    from: "return permission === 'promised' ? { kind: 'promised' } : { kind: 'activating' };",
    to: "return { kind: permission === 'standby' ? 'activating' : 'promised' };",
    by: 'test/core/permission/record.test.ts',
  },
  {
    name: 'the guest goes on while the backup decides',
    file: 'core/permission/recovery.ts',
    from: `    case 'activating':
    case 'absent':
    case 'unknown':
      if (force`,
    to: `    case 'activating':
      return { kind: 'let-run', isVouched: false };
    case 'absent':
    case 'unknown':
      if (force`,
    by: sim(1, cleanedWhileActivating),
  },
  {
    name: 'the guest goes on when nobody knows the session',
    file: 'core/permission/recovery.ts',
    from: 'if (force && mayVouch(answer))',
    to: 'if (mayVouch(answer))',
    by: sim(1, struck([[at(0), killProtect]], { ...cleansUp, misdirected: 0.5 })),
  },
  {
    name: 'the guest goes on when nobody answers',
    file: 'core/permission/recovery.ts',
    from: 'if (force && mayVouch(null))',
    to: 'if (mayVouch(null))',
    by: sim(
      1,
      struck(
        [
          [at(0), cut(5)],
          [at(0.2), killProtect],
        ],
        cleansUp,
      ),
    ),
  },
  {
    name: 'a left guest is destroyed though its copy is gone',
    file: 'core/permission/recovery.ts',
    from: `    case 'running':
    case 'ended':
      return { kind: 'destroy'`,
    to: `    case 'running':
    case 'ended':
    case 'absent':
      return { kind: 'destroy'`,
    by: sim(1, goneAfterTakeover),
  },
  {
    name: 'a left guest goes on because its copy is gone',
    file: 'core/permission/recovery.ts',
    from: `    case 'absent':
    case 'unknown':
      if (force`,
    to: `    case 'absent':
      return { kind: 'let-run', isVouched: false };
    case 'unknown':
      if (force`,
    by: sim(1, goneAfterTakeover),
  },
  {
    name: 'a copy that is gone is said to run',
    file: 'core/permission/record.ts',
    from: "return { kind: ended ? 'ended' : 'absent' };",
    to: "return { kind: ended ? 'ended' : 'running' };",
    by: sim(1, goneAfterTakeover),
  },
  {
    name: 'a copy that never ran and stands paused is said to run',
    file: 'core/permission/record.ts',
    from: "return { kind: running ? 'running' : 'activating' };",
    to: "return { kind: running !== null ? 'running' : 'activating' };",
    by: 'test/core/permission/record.test.ts',
  },
  {
    name: 'what was true long ago is evidence',
    file: 'core/permission/evidence.ts',
    from: 'return nowMs - askedAtMs < Math.max(timeoutMs, presentMsMin);',
    to: 'return nowMs - askedAtMs < Math.max(timeoutMs, 1e9);',
    by: 'test/guest/recovery.test.ts',
  },
  {
    name: 'a person vouches against whoever answers',
    file: 'core/permission/evidence.ts',
    from: "return answer === null || answer.kind === 'unknown';",
    to: "return answer === null || answer.kind !== 'promised';",
    by: 'test/core/permission/recovery.test.ts',
  },
  {
    name: 'nobody asks before a left guest goes on',
    file: 'core/permission/recovery.ts',
    from: "return left.mayOpen ? { kind: 'let-run', isVouched: false } : null;",
    to: "return { kind: 'let-run', isVouched: false };",
    by: sim(32),
  },
  {
    name: 'a left guest may end here while it is held',
    file: 'core/permission/recovery.ts',
    from: "return outcome === 'held' ? 'later' : 'never';",
    to: "return outcome === 'held' ? 'now' : 'never';",
    by: 'test/core/permission/recovery.test.ts',
  },
];

const answers: readonly ShellMutant[] = [
  {
    name: 'an owner that lives is taken for gone',
    file: 'session/backup/answer.ts',
    from: "return processes.state(owner) === 'alive' ? 'lives' : 'gone';",
    to: "return processes.state(owner) === 'other-boot' ? 'lives' : 'gone';",
    by: 'test/session/backup/answer.test.ts',
  },
  {
    name: 'a living owner is not asked',
    file: 'core/permission/owner.ts',
    from: "if (!view.isDeaf) return 'ask-owner';",
    to: '',
    by: 'test/session/backup/answer.test.ts',
  },
  {
    name: 'an owner is ended for one who does not ask again',
    file: 'core/permission/owner.ts',
    from: "return view.isAskedAgain ? 'kill-owner' : 'await-question';",
    to: "return 'kill-owner';",
    by: 'test/session/backup/answer.test.ts',
  },
  {
    name: 'the end of an owner is not waited for',
    file: 'session/backup/answer.ts',
    from: "for (let waitedMs = 0; processes.state(owner) === 'alive'; waitedMs += killedPollMs) {",
    to: 'for (let waitedMs = 0; waitedMs < 0; waitedMs += killedPollMs) {',
    by: 'test/session/backup/answer.test.ts',
  },
  {
    name: 'the owner of an active copy is ended',
    file: 'core/permission/owner.ts',
    from: "if (isFinal(permission)) return 'look-up'; // W3",
    to: '',
    by: 'test/session/backup/answer.test.ts',
  },
  {
    name: 'what the owner decided before it died is not read',
    file: 'session/backup/answer.ts',
    from: `        state = await record.read();
        view`,
    to: '        view',
    by: 'test/session/backup/answer.test.ts',
  },
  {
    name: 'what was asked before the answer is a question of its own',
    file: 'session/backup/answer.ts',
    from: 'if (message.id > this.#answered) this.#next = message.id;',
    to: 'this.#next = message.id;',
    by: 'test/session/backup/answer.test.ts',
  },
  {
    name: 'a question gets the answer of the one before',
    file: 'link/connect.ts',
    from: "if (message.kind === 'answer' && message.id === id) return message.answer;",
    to: "if (message.kind === 'answer') return message.answer;",
    by: 'test/link/transport.test.ts',
  },
  {
    name: 'a copy that nobody unpaused stays paused',
    file: 'session/backup/answer.ts',
    from: "if (unpause && found === 'paused' && guest !== null) {",
    to: "if (unpause && found === 'gone' && guest !== null) {",
    by: sim(1, unfinishedActivation),
  },
];

/** Host A is off, receive dies, and a person orders failover. */
function ordered(killedOn: When): (plan: Plan) => Plan {
  return (plan) =>
    struck([
      [at(0), { kind: 'crash', host: 'a', rebootMs: null }],
      [killedOn, killReceive],
      [at(6), { kind: 'failover' }],
    ])({ ...plan, config: { ...plan.config, buffered: true, withoutWitness: 'backup' } });
}

/** It dies with the copy built. */
const builtAndOrdered = ordered(on('b', 'link', outcomeFile));

/** The same where it has its name, and is not built. */
const namedAndOrdered = ordered(on('b', 'finish'));

/** A copy that a dead process left, and orders that come too late. */
const left: readonly ShellMutant[] = [
  {
    name: 'a copy that was not built counts as whole',
    file: 'core/permission/left-copy.ts',
    from: "return { kind: 'not-built' }; // it is built only once the record says activating",
    to: "return { kind: 'whole', isActive: false };",
    by: 'test/core/permission/left-copy.test.ts',
  },
  {
    name: 'one that is cut off in its build counts as whole',
    file: 'core/permission/left-copy.ts',
    from: "      return { kind: 'not-built' };\n    case 'active': {",
    to: "      return { kind: 'whole', isActive: false };\n    case 'active': {",
    by: 'test/core/permission/left-copy.test.ts',
  },
  {
    name: 'one that has its name counts as built',
    file: 'core/permission/left-copy.ts',
    from: "      if (!record.built) return { kind: 'not-built' };\n",
    to: '',
    by: sim(1, namedAndOrdered),
  },
  {
    name: 'that it was built is not noted',
    file: 'session/backup/session.ts',
    from: '      await record.noteBuilt();\n',
    to: '',
    // The plan strikes at a count of files, which is another one without the note.
    by: 'test/session/backup/build.test.ts',
  },
  {
    name: 'what was built before the host was booted counts',
    file: 'permission/record.ts',
    from: 'return note?.by.bootId === this.#ports.processes.self.bootId;',
    to: 'return note !== null;',
    by: 'test/permission/record.test.ts',
  },
  {
    name: 'a copy is built before it has its name',
    file: 'session/backup/copy.ts',
    from: `      await this.#giveName();
      this.#restore.finish();`,
    to: `      this.#restore.finish();
      await this.#giveName();`,
    by: 'test/session/backup/copy.test.ts',
  },
  {
    name: 'a whole copy may go unasked',
    file: 'core/permission/left-copy.ts',
    from: "return left.kind !== 'whole';",
    to: "return left.kind !== 'unknown';",
    by: 'test/guest/left-copy.test.ts',
  },
  {
    name: 'a left copy runs on an order where a word is agreed',
    file: 'core/permission/left-copy.ts',
    from: '      if (mayActivate(agreed, said)) return null;',
    to: "      if (mayActivate(agreed, 'word')) return null;",
    by: 'test/guest/left-copy.test.ts',
  },
  {
    name: 'a left copy runs before that is on record',
    file: 'guest/left-copy.ts',
    from: "const moved = await record.move('activating', 'active', { epoch, why: ordered, said });",
    to: "const moved = { permission: epoch === epoch ? 'active' : said };",
    by: sim(1, builtAndOrdered),
  },
  {
    name: 'a left copy is only said to run',
    file: 'guest/left-copy.ts',
    from: '    await hypervisor.unpause(guest);\n',
    to: '',
    by: 'test/guest/left-copy.test.ts',
  },
  {
    name: 'that a left copy runs is not noted',
    file: 'guest/left-copy.ts',
    from: "  await record.noteRunning({ by: 'failover' });\n",
    to: '',
    by: 'test/guest/left-copy.test.ts',
  },
  {
    name: 'a left copy runs on what was found before a person answered',
    file: 'guest/left-copy.ts',
    from: '  const { left } = await judged(copy, ports);\n  const why',
    to: '  const { left } = copy;\n  const why',
    by: 'test/guest/left-copy.test.ts',
  },
  {
    name: 'a left copy whose owner lives is taken from it',
    file: 'guest/left-copy.ts',
    from: "    if (ports.processes.state(before.standby.by) === 'alive') continue;\n",
    to: '',
    by: 'test/guest/left-copy.test.ts',
  },
  {
    name: 'a copy is promised away under whoever lets it run',
    file: 'session/backup/answer.ts',
    from: "    if (error.code === 'already-protected') return { kind: 'activating' };\n",
    to: '',
    by: 'test/session/backup/answer.test.ts',
  },
  {
    name: 'a full run directory holds the primary',
    file: 'session/backup/answer.ts',
    from: "    if (error.code === 'already-protected') return",
    to: "    if (error.code !== 'aborted') return",
    by: 'test/session/backup/answer.test.ts',
  },
  {
    name: 'stop destroys a whole copy unasked',
    file: 'guest/recovery.ts',
    from: '    if (!mayGoUnasked(left) && !destroy) return isWhole(status);\n',
    to: '',
    by: 'test/guest/left-copy.test.ts',
  },
  {
    name: 'an active copy that is given up is not noted as lost',
    file: 'guest/left-copy.ts',
    from: '  await ports.record(name.uuid, name.session).lose({ domain: name.domain, why });\n',
    to: '  void why;\n',
    by: 'test/guest/left-copy.test.ts',
  },
  {
    name: 'a new session destroys a whole copy',
    file: 'session/backup/preflight.ts',
    from: '  if (own?.uuid === uuid || left?.uuid === uuid) await keepWholeCopy(ports, hello);\n',
    to: '',
    by: 'test/guest/left-copy.test.ts',
  },
  {
    name: 'an order is carried out however late it is',
    file: 'registry/control.ts',
    from: 'return untilMs !== null && nowMs > untilMs;',
    to: 'return untilMs !== null && nowMs > untilMs + 1e9;',
    by: 'test/registry/control.test.ts',
  },
  {
    name: 'an order does not say until when it is one',
    file: 'registry/run-directory.ts',
    from: '{ ...options, untilMs });',
    to: 'options);',
    by: 'test/registry/run-directory.test.ts',
  },
];

const backup: readonly ShellMutant[] = [
  {
    name: 'the machine goes on before the record is written',
    file: 'session/backup/session.ts',
    from: `        this.#permission = await record.move(from, to, epoch, why, said);
        this.#dispatch({ kind: 'record', permission: this.#permission, nowMs: this.#now() });`,
    to: `        const written = record.move(from, to, epoch, why, said);
        this.#permission = to;
        this.#dispatch({ kind: 'record', permission: to, nowMs: this.#now() });
        await written;`,
    by: sim(6),
  },
  {
    name: 'a write that failed is not read back',
    file: 'session/backup/session.ts',
    from: 'const holds = await this.#readBack();',
    to: 'const holds = from;',
    by: sim(
      1,
      struck([
        [at(0), stop],
        [on('b', 'link', decisionFile), { kind: 'disk-lies', times: 1 }],
      ]),
    ),
  },
  {
    name: 'the copy is built before its disks have settled',
    file: 'session/backup/session.ts',
    from: `    for (const disk of disks) await disk.settle();
    await this.#needs.untilThere();
    await copy.build();`,
    to: `    await copy.build();
    for (const disk of disks) void disk.settle();`,
    by: sim(1, (plan) => {
      const change = { diskApplyMs: 2 * plan.config.heartbeatTimeoutMs };
      return struck([[at(3), { kind: 'crash', host: 'a', rebootMs: null }]], change)(plan);
    }),
  },
  {
    name: 'what a disk did not capture counts',
    file: 'stream/disk-pump.ts',
    from: '    const why = await disk.check(epoch).then(',
    to: '    const why = await Promise.resolve().then(',
    by: sim(
      1,
      struck([
        [at(0.5), { kind: 'mirror-gone' }],
        [at(6), { kind: 'crash', host: 'a', rebootMs: null }],
      ]),
    ),
  },
  {
    name: 'a disk is asked the next question before it has answered one',
    file: 'stream/disk-questions.ts',
    from: 'this.#answered = this.#answered.then(() => this.#answer(first, count));',
    to: 'void this.#answer(first, count);',
    by: sim(1, (plan) => ({ ...plan, diskThere: 'older' })),
  },
  {
    name: 'an epoch ends before its disks have',
    file: 'stream/pump.ts',
    from: 'if (!(await parts.left(end.epoch)) || this.#stopped) return false;',
    to: 'if (this.#stopped) return false;',
    by: 'test/stream/pump.test.ts',
  },
  {
    name: 'a disk sends on of an epoch that is not begun',
    file: 'stream/disk-pump.ts',
    from: 'while (!this.#stopped && lane.epoch === this.#epoch && (await this.#move(lane)));',
    to: 'while (!this.#stopped && (await this.#move(lane)));',
    by: 'test/stream/disk-pump.test.ts',
  },
  {
    name: 'an epoch counts though a disk has not ended it',
    file: 'stream/assembler.ts',
    from: 'if (late >= 0) throw',
    to: 'if (late > 1e9) throw',
    by: 'test/stream/assembler.test.ts',
  },
  {
    name: 'a disk is written before it is marked',
    file: 'disk/mirror/backup.ts',
    from: 'for (const disk of opened) await disk.mark();',
    to: '',
    by: 'test/disk/mirror/backup.test.ts',
  },
  {
    name: 'a boot finds the volume of a torn copy',
    file: 'disk/mirror/backup.ts',
    from: 'if (mark.lvm !== null) await refuseAfterBoot(ports, mark.lvm);',
    to: '',
    by: 'test/disk/mirror/backup.test.ts',
  },
  {
    name: 'a boot finds the volume of a guest whose copy may have gone on',
    file: 'disk/mirror/primary.ts',
    from: 'if (volume.lvm !== null) await refuseAfterBoot(ports, volume.lvm);',
    to: '',
    by: 'test/disk/mirror/primary.test.ts',
  },
  {
    name: 'a guest is given a torn copy',
    file: 'disk/mirror/lvm.ts',
    from: "if (isOff && isUp && (role === 'copy' || which === 'all')) {",
    to: 'if (isOff && !isUp) {',
    by: 'test/disk/mirror/lvm.test.ts',
  },
  {
    name: 'nobody looks whether a guest was given the disk of a copy',
    file: 'disk/mirror/backup.ts',
    from: 'const isForeign = await hasGuest(ports, device);',
    to: 'const isForeign = false;',
    by: 'test/disk/mirror/backup.test.ts',
  },
  {
    name: 'nobody says that another guest was given a protected disk',
    file: 'disk/mirror/primary.ts',
    from: 'this.#shared = domids.length < 2 ? null',
    to: 'this.#shared = domids.length < 9 ? null',
    by: 'test/disk/mirror/primary.test.ts',
  },
  {
    name: 'disks are taken whose writes have no memory to wait in',
    file: 'disk/mirror/room.ts',
    from: 'if (availableBytes >= need) return [];',
    to: 'if (availableBytes >= 0) return [];',
    by: 'test/disk/mirror/room.test.ts',
  },
  {
    name: 'a resync that is dead is told of',
    file: 'registry/run-directory.ts',
    from: "if (status !== null && livenessOf(status, this.#ports.processes) === 'alive') {",
    to: 'if (status !== null) {',
    by: 'test/registry/run-directory.test.ts',
  },
  {
    name: 'a newer disk is written over',
    file: 'disk/mirror/backup.ts',
    from: 'if (isOurs(mark, path) && !isOlder(mark, facts)) {',
    to: 'if (isOurs(mark, path) && facts.generation < 0) {',
    by: 'test/disk/mirror/backup.test.ts',
  },
  {
    name: 'another guest’s disk is written over',
    file: 'disk/mirror/backup.ts',
    from: 'if (isOurs(mark, path) || found.isBlank || facts.mayOverwrite) return;',
    to: 'return;',
    by: 'test/disk/mirror/backup.test.ts',
  },
  {
    name: 'of two disks that went on from one the other one’s is written over',
    file: 'disk/mirror/backup.ts',
    from: "(mark.state === 'whole' && mark.generation > mark.parent);",
    to: 'false;',
    by: 'test/disk/mirror/backup.test.ts',
  },
  {
    name: 'a disk whose copy was given up is marked as whole',
    file: 'disk/mirror/backup.ts',
    from: "if (this.#isDone) throw this.#failed('it was given up');",
    to: '',
    by: 'test/disk/mirror/backup.test.ts',
  },
  {
    name: 'somebody else’s disk is compared, as if it had been the guest’s',
    file: 'disk/mirror/backup.ts',
    from: 'if (!this.#opened.isCompared || this.#isDone) return none;',
    to: 'if (this.#isDone) return none;',
    by: 'test/disk/mirror/backup.test.ts',
  },
  {
    name: 'a disk is whole before it has settled',
    file: 'disk/mirror/backup.ts',
    from: 'if (!this.#isRolledBack) return;',
    to: '',
    by: 'test/disk/mirror/backup.test.ts',
  },
  {
    name: 'a copy that was given up stays marked as the newer disk',
    file: 'disk/mirror/backup.ts',
    from: 'if (!this.#isMarkedWhole) return;',
    to: 'return;',
    by: 'test/disk/mirror/backup.test.ts',
  },
  {
    name: 'what waits for a disk has no bound',
    file: 'stream/disk-intake.ts',
    from: 'taken = disk.take(epoch, raw);',
    to: 'void disk.take(epoch, raw).catch(() => {});',
    by: 'test/stream/disk-pump.test.ts',
  },
  {
    name: 'the lost disk is not told to the machine',
    file: 'session/primary/session.ts',
    from: "onLost: (reason) => this.#dispatch({ kind: 'disk-lost', reason, nowMs: this.#now() }),",
    to: 'onLost: () => {},',
    by: 'test/session/primary/disks.test.ts',
  },
  {
    name: 'only the memory of an epoch is committed',
    file: 'session/backup/session.ts',
    from: `        for (const disk of disks) disk.commit(effect.epoch);
`,
    to: '',
    by: sim(32),
  },
  {
    name: 'a stall of its own is no stall',
    file: 'session/backup/session.ts',
    from: 'stalledMs: late > tickLateMs ? late : 0',
    to: 'stalledMs: late > 1e9 ? late : 0',
    by: sim(1, struck([[at(0), (ms) => ({ kind: 'stall', host: 'b', forMs: 1.5 * ms })]])),
  },
  {
    name: 'the end of the link is not told to the machine',
    file: 'session/backup/session.ts',
    from: `    this.#linkOpen = false;
    this.#dispatch({ kind: 'link-closed', reason, nowMs: this.#now() });`,
    to: '    this.#linkOpen = reason === reason;',
    by: sim(300),
  },
  {
    name: 'a receive that is told to end does not tell the primary',
    file: 'session/backup/session.ts',
    from: "return send({ kind: 'leaving', reason: effect.reason });",
    to: 'return;',
    by: sim(1, struck([[at(0), { kind: 'terminate-receive' }]])),
  },
  {
    name: 'a torn epoch is whole',
    file: 'session/backup/copy.ts',
    from: 'if (!atBoundary || epochs !== epoch + 1) {',
    to: 'if (epochs > epoch + 1) {',
    by: 'test/session/backup/copy.test.ts',
  },
  {
    name: 'an epoch counts that nobody takes any more',
    file: 'session/backup/copy.ts',
    from: 'if (this.#ended !== null || this.#isEnding) return false;',
    to: 'if (this.#ended !== null || this.#isEnding) return true;',
    by: 'test/session/backup/copy.test.ts',
  },
  {
    name: 'committed epochs are not handed on',
    file: 'session/backup/copy.ts',
    from: '    this.#restore.apply(end);\n',
    to: '',
    by: sim(15),
  },
  {
    name: 'nobody hears that the copy failed',
    file: 'session/backup/copy.ts',
    from: 'if (!this.#expected) this.#options.onFailed(event.reason);',
    to: '',
    by: sim(48),
  },
  {
    name: 'a session is accepted before it is on record',
    file: 'session/backup/reception.ts',
    from: 'await record.create({ domain: hello.domain, peer: hello.host }, withoutWitness);',
    to: `const names = { domain: hello.domain, peer: hello.host };
    void record.create(names, withoutWitness).catch(() => {});`,
    by: sim(),
  },
  {
    name: 'a session is accepted without what is prepared for a full disk',
    file: 'session/backup/reception.ts',
    from: 'await record.prepare();',
    to: '',
    by: sim(
      1,
      struck([
        [at(0), { kind: 'disk-full', forMs: null }],
        [at(0.2), { kind: 'crash', host: 'a', rebootMs: null }],
      ]),
    ),
  },
  {
    name: 'CONFIG is used unchecked',
    file: 'session/backup/reception.ts',
    from: '    checkConfig(message, this.#set.hello, spec);\n',
    to: '',
    by: sim(1, struck([[() => ({ kind: 'time', atMs: 0 }), { kind: 'config-lies' }]])),
  },
  {
    name: 'names on this host are not looked at',
    file: 'session/backup/reception.ts',
    from: '    await checkNames(ports, hello);\n',
    to: '',
    by: sim(1, struck([[at(-1.2), killReceive]], { again: { afterMs: 100, times: 1 } })),
  },
  {
    name: 'a receive waits for CONFIG for ever',
    file: 'session/backup/reception.ts',
    from: 'const first = within(this.#ports.timers, configMsMax, this.#firstMessage(), late);',
    to: 'const first = within(this.#ports.timers, 1e9, this.#firstMessage(), late);',
    by: sim(1, struck([[on('a', 'send config'), { kind: 'crash', host: 'a', rebootMs: null }]])),
  },
];

const primary: readonly ShellMutant[] = [
  {
    name: 'the guest is destroyed with its packets in the buffer',
    file: 'session/primary/session.ts',
    from: 'await output.drop().catch((error) => log.error(errorText(error)));',
    to: '',
    by: sim(1, buffered(true, struck([[at(0), cut(1.5)]]))),
  },
  {
    name: 'a pause is written down after it is made',
    file: 'session/primary/session.ts',
    from: `    onPause();
    try {
      hypervisor.pause(guest);`,
    to: `    try {
      hypervisor.pause(guest);
      onPause();`,
    by: sim(
      1,
      buffered(
        false,
        struck(
          [
            [at(0), cut(3, ['ba'])],
            [on('a', 'pause'), { kind: 'kill-protect', isAfter: true }],
          ],
          cleansUp,
        ),
      ),
    ),
  },
  {
    name: 'a guest that cannot be paused breaks a session that has lost',
    file: 'session/primary/session.ts',
    from: 'if (!config.buffered) throw error;',
    to: 'throw error;',
    by: 'test/session/primary/pause.test.ts',
  },
  {
    name: 'a guest that cannot be paused is taken for paused, with -n',
    file: 'session/primary/session.ts',
    from: 'if (!config.buffered) throw error;',
    to: '',
    by: 'test/session/primary/pause.test.ts',
  },
  {
    name: 'the guest runs on when nobody has decided',
    file: 'session/primary/session.ts',
    from: "    this.#pause('nobody has decided who goes on');\n",
    to: '',
    by: sim(
      1,
      buffered(
        false,
        struck([
          [at(0), cut(10)],
          [at(0.05), terminate],
          [at(0.1), terminate],
        ]),
      ),
    ),
  },
  {
    name: 'an unpause that fails is not tried again',
    file: 'session/primary/session.ts',
    from: 'for (let triesLeft = unpauseTriesMax - 1; triesLeft > 0; triesLeft -= 1) {',
    to: 'for (let triesLeft = 0; triesLeft > 0; triesLeft -= 1) {',
    by: sim(20_382),
  },
  {
    name: 'a failed question is taken for a promise',
    file: 'session/primary/session.ts',
    from: "{ kind: 'ask-failed', id, reason, nowMs: this.#now() }",
    to: "{ kind: 'answer', id, answer: { kind: 'promised' }, nowMs: this.#now() }",
    by: sim(3),
  },
  {
    name: 'an acknowledgement lets the next epoch go, too',
    file: 'session/primary/session.ts',
    from: 'this.#parts.output.release(epoch).catch(',
    to: 'this.#parts.output.release(epoch + 1).catch(',
    by: sim(4),
  },
  {
    name: 'a session that ran is left with its buffer open',
    file: 'output/open.ts',
    from: 'if (!sessionRan) await',
    to: 'await',
    by: sim(1, buffered(true, leftMuteAndAlone)),
  },
  {
    name: 'what got out of the buffer is not told the machine',
    file: 'session/primary/session.ts',
    from: "      this.#dispatch({ kind: 'output-lost', reason, nowMs: this.#now() });\n",
    to: '',
    by: 'test/output/plug/barrier.test.ts',
  },
  {
    name: 'what got out is covered by the epoch before it',
    file: 'core/primary/primary.ts',
    from: 'epoch: state.requested + 1 }',
    to: 'epoch: state.requested }',
    by: 'test/core/primary-pace.test.ts',
  },
  {
    name: 'what got out waits for the schedule',
    file: 'core/primary/state.ts',
    from: 'const isUrgent = diskFilling || (unheld !== null && state.requested < unheld.epoch);',
    to: 'const isUrgent = diskFilling;',
    by: 'test/core/primary-pace.test.ts',
  },
  {
    name: 'a turned redirect is said to have let nothing out',
    file: 'output/plug/mender.ts',
    from: "new Set(['no-hold', 'no-device', 'device-down'])",
    to: "new Set(['no-hold', 'no-device', 'device-down', 'turned'])",
    by: 'test/output/plug/mender.test.ts',
  },
  {
    name: 'what a running guest holds is thrown away',
    file: 'output/open.ts',
    from: '    if (!guestEnded) return errorText(error);\n',
    to: '',
    by: 'test/output/plug/barrier.test.ts',
  },
  {
    name: 'what was taken first is given back first',
    file: 'session/teardown.ts',
    from: 'for (let last = this.#taken.pop(); last !== undefined; last = this.#taken.pop()) {',
    to: 'for (let last = this.#taken.shift(); last !== undefined; last = this.#taken.shift()) {',
    by: 'test/session/teardown.test.ts',
  },
];

const guests: readonly ShellMutant[] = [
  {
    name: 'the guard resumes nobody',
    file: 'guest/late-suspend.ts',
    from: '    await hypervisor.resume(this.#guest);\n',
    to: '',
    by: sim(1, struck([[...suspendedAndKilled]])),
  },
  {
    name: 'the guard looks once',
    file: 'guest/late-suspend.ts',
    from: 'if (end !== null) return end;',
    to: "return end ?? 'stopped';",
    by: 'test/guest/late-suspend.test.ts',
  },
  {
    name: 'a suspend that comes after the session is nobodys',
    file: 'guest/session-watch.ts',
    from: "const lateSuspend = left !== 'runs';",
    to: 'const lateSuspend = false;',
    by: sim(1, struck(obeysLate)),
  },
  {
    name: 'the session does not hear that the guest may suspend yet',
    file: 'session/primary/session.ts',
    from: "if (end.kind !== 'guest-ended') this.#left = end.left;",
    to: '',
    by: sim(1, struck(obeysLate)),
  },
  {
    name: 'a guest that obeys late stays suspended while its session is held',
    file: 'session/primary/session.ts',
    from: "if (this.#left !== 'runs' && !this.#over) void this.#seeToSuspend();",
    to: '',
    by: sim(1, manually(struck(obeysLateHeld))),
  },
  {
    name: 'the guard forgets a guest that obeys late',
    file: 'guest/guard.ts',
    from: 'if (duties.lateSuspend) {',
    to: 'if (duties.lateSuspend && duties.end) {',
    by: sim(1, struck(obeysLate)),
  },
  {
    name: 'a guest that a stopped protect has suspended stays so',
    file: 'guest/stopped-protect.ts',
    from: 'if (await protect.replace(beats)) break;',
    to: '',
    by: sim(1, manually(struck(suspendedAndStopped))),
  },
  {
    name: 'a protect that is slow is ended',
    file: 'guest/stopped-protect.ts',
    from: 'if (stillLooks < stillLooksMax) continue;',
    to: 'if (stillLooks < 0) continue;',
    by: 'test/guest/stopped-protect.test.ts',
  },
  {
    name: 'a stopped protect is ended where the copy may run',
    file: 'guest/stopped-protect.ts',
    from: 'if (news !== null) {',
    to: "if (news === '') {",
    by: 'test/guest/stopped-protect.test.ts',
  },
  {
    name: 'what a protect has is settled while it lives',
    file: 'guest/stopped-protect.ts',
    from: 'if (clock.nowMs() > endMs) return false;',
    to: 'if (clock.nowMs() > endMs) return true;',
    by: 'test/guest/stopped-protect.test.ts',
  },
  {
    name: 'who saves a guest finds it resumed',
    file: 'guest/late-suspend.ts',
    from: 'if (other !== null) {',
    to: "if (other === '') {",
    by: 'test/guest/late-suspend.test.ts',
  },
  {
    name: 'time in which the guest is paused is taken for time to answer',
    file: 'guest/late-suspend.ts',
    from: 'if (!info.paused) this.#ranMs += passedMs;',
    to: 'this.#ranMs += passedMs;',
    by: 'test/guest/late-suspend.test.ts',
  },
  {
    name: 'a suspend of minutes later is undone at first sight',
    file: 'guest/late-suspend.ts',
    from: 'if (!this.isSoon && nowMs - this.#suspendedFromMs < confirmMs) return null;',
    to: '',
    by: 'test/guest/late-suspend.test.ts',
  },
  {
    name: 'a guest of another word for its end is destroyed',
    file: 'hypervisor/xen/end-words.ts',
    from: "if (event === 'unknown') return 'keep (unknown reason)';",
    to: "if (event === 'unknown') return 'destroy';",
    by: 'test/hypervisor/xen/end-words.test.ts',
  },
  {
    name: 'a guard that died is not started again',
    file: 'guest/kept-guard.ts',
    from: 'if (!this.#isOver && guard === this.#guard)',
    to: 'if (!this.#isOver && guard !== this.#guard)',
    by: 'test/guest/kept-guard.test.ts',
  },
  {
    name: 'a guest ends here without leave',
    file: 'guest/keep-watch.ts',
    from: 'permitted: async () => !orphan || (await permission(ports, watched, isStopped, notes)),',
    to: 'permitted: async () => orphan || (await permission(ports, watched, isStopped, notes)),',
    by: sim(
      1,
      buffered(
        true,
        struck([
          [at(0), cut(3)],
          [at(0), killProtect],
          [at(0.2), { kind: 'guest-ended', isReboot: true }],
        ]),
      ),
    ),
  },
  {
    name: 'a left guest is destroyed with its packets in the buffer',
    file: 'guest/recovery.ts',
    from: 'if (mayDrop) await this.#drop(status);',
    to: '',
    by: sim(
      1,
      buffered(
        true,
        struck(
          [
            [at(0), cut(1.5)],
            [at(0.2), killProtect],
          ],
          cleansUp,
        ),
      ),
    ),
  },
  {
    name: 'a left guest stays suspended',
    file: 'guest/recovery.ts',
    from: "    if (info?.state === 'suspended') await hypervisor.resume(guest);\n",
    to: '',
    by: 'test/guest/recovery.test.ts',
  },
  {
    name: 'a left guest stays paused',
    file: 'guest/recovery.ts',
    from: 'if (info?.paused && status.guest_paused) await hypervisor.unpause(guest);',
    to: '',
    by: sim(
      1,
      buffered(
        false,
        struck(
          [
            [at(0), cut(3, ['ba'])],
            [at(1.5), killProtect],
          ],
          cleansUp,
        ),
      ),
    ),
  },
  {
    name: 'a held session is forgotten',
    file: 'guest/recovery.ts',
    from: "if (outcome.kind !== 'held' && !status.buffer_only) this.#forget(status);",
    to: 'if (!status.buffer_only) this.#forget(status);',
    by: sim(
      1,
      struck(
        [
          [at(0), cut(5)],
          [at(0.2), killProtect],
        ],
        cleansUp,
      ),
    ),
  },
  {
    name: 'a running guest counts as a copy',
    file: 'guest/destroy-copy.ts',
    from: '    if (candidate === name && !info.paused) continue;\n',
    to: '',
    by: 'test/guest/destroy-copy.test.ts',
  },
];

/** Every one of these must be caught. */
export const shellMutants: readonly ShellMutant[] = [
  ...store,
  ...record,
  ...rules,
  ...answers,
  ...left,
  ...backup,
  ...primary,
  ...guests,
];
