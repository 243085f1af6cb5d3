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
    const seedMs = plan.seedChunks * plan.chunkMs + heartbeatTimeoutMs;
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
      calmAtMs: plan.seedChunks * plan.chunkMs + 12 * heartbeatTimeoutMs,
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
const killGuard: FaultKind = { kind: 'kill-guard' };
const cleansUp = { cleansUp: true };

/** Who writes the record dies before it comes to sync it; then the power fails. */
const unsyncedDecision = struck([
  [at(0), stop],
  [on('b', 'unlink', 2), killReceive],
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
    by: sim(44),
  },
  {
    name: 'a file gets its name before it is written',
    file: 'host/store.ts',
    from: 'await this.#files.link(temporary, path);',
    to: "await (await this.#files.open(path, 'new')).write(content);",
    by: sim(44),
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
    from: `await this.#create(step, to, facts);
    return this.#moved(await this.#mustRead(), step, to);`,
    to: `await this.#create(step, to, facts);
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
    from: "if (state.permission !== 'active' && state.permission !== 'promised') return null;",
    to: '',
    by: 'test/permission/prune.test.ts',
  },
  {
    name: 'what makes a record one is removed last',
    file: 'permission/prune.ts',
    from: "const parts = ['standby', 'decision', 'outcome', 'running'] as const;",
    to: "const parts = ['running', 'outcome', 'decision', 'standby'] as const;",
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
    from: "if (!record.running) return { kind: 'finish-activation' };",
    to: '',
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
    from: "return { kind: 'hold', reason: 'the backup has not decided yet' };",
    to: "return { kind: 'let-run', isVouched: false };",
    by: sim(32),
  },
  {
    name: 'the guest goes on when nobody knows the session',
    file: 'core/permission/recovery.ts',
    from: "return { kind: 'hold', reason };\n    }\n  }",
    to: "return { kind: 'let-run', isVouched: false };\n    }\n  }",
    by: sim(1, struck([[at(0), killProtect]], { ...cleansUp, misdirected: 0.5 })),
  },
  {
    name: 'the guest goes on when nobody answers',
    file: 'core/permission/recovery.ts',
    from: `  return { kind: 'hold', reason };
}

/**
 * A guest whose`,
    to: `  return { kind: 'let-run', isVouched: reason === '' };
}

/**
 * A guest whose`,
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
    name: 'the guest is destroyed though its copy was not seen to run',
    file: 'core/permission/recovery.ts',
    from: "if (answer.running) return { kind: 'destroy', because: 'taken-over' };",
    to: "return { kind: 'destroy', because: 'taken-over' };",
    by: sim(
      1,
      struck(
        [
          [at(0), cut(1.5)],
          [at(0.2), killProtect],
          [on('b', 'unpause'), powerCut('b')],
        ],
        cleansUp,
      ),
    ),
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
    name: 'a living owner is not asked',
    file: 'session/backup/answer.ts',
    from: "if (owner === undefined || owner.liveness !== 'alive') return null;",
    to: "if (owner === undefined || owner.liveness === 'alive') return null;",
    by: sim(3),
  },
  {
    name: 'a copy counts as running that stands paused',
    file: 'session/backup/answer.ts',
    from: 'if (info.paused) await hypervisor.unpause(copy);',
    to: 'return true;',
    by: sim(1, unfinishedActivation),
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
        [on('b', 'link', 2), { kind: 'disk-lies', times: 1 }],
      ]),
    ),
  },
  {
    name: 'the copy is built before its disks have settled',
    file: 'session/backup/session.ts',
    from: `    for (const disk of disks) await disk.settle();
    await copy.build();`,
    to: `    await copy.build();
    for (const disk of disks) void disk.settle();`,
    by: sim(13),
  },
  {
    name: 'only the memory of an epoch is committed',
    file: 'session/backup/session.ts',
    from: `        for (const disk of disks) disk.commit(effect.epoch);
`,
    to: '',
    by: sim(13),
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
    by: sim(27),
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
    name: 'CONFIG is used unchecked',
    file: 'session/backup/reception.ts',
    from: '    checkConfig(message, this.#set.hello, spec);\n',
    to: '',
    by: sim(1, struck([[() => ({ kind: 'time', atMs: 0 }), { kind: 'config-lies' }]])),
  },
  {
    name: 'names on this host are not looked at',
    file: 'session/backup/reception.ts',
    from: '    await checkNames(hypervisor, hello);\n',
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
    from: `          await this.#parts.output.drop().catch((error) => log.error(errorText(error)));
          await hypervisor.destroy(guest);`,
    to: '          await hypervisor.destroy(guest);',
    by: sim(1, buffered(true, struck([[at(0), cut(1.5)]]))),
  },
  {
    name: 'a pause is written down after it is made',
    file: 'session/primary/session.ts',
    from: `    onPause();
    hypervisor.pause(guest);`,
    to: `    hypervisor.pause(guest);
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
    from: 'this.#parts.output.release(epoch);',
    to: 'this.#parts.output.release(epoch + 1);',
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
    file: 'guest/guard.ts',
    from: "if (info.state === 'suspended') await hypervisor.resume(guest);",
    to: '',
    by: sim(1, struck([[...suspendedAndKilled]])),
  },
  {
    name: 'the guard looks once',
    file: 'guest/guard.ts',
    from: `    if (await rescueOnce(hypervisor, guest).catch(() => false)) return;
`,
    to: `    await rescueOnce(hypervisor, guest).catch(() => false);
    return;
`,
    by: sim(1, struck([[...suspendedAndKilled]])),
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
    from: `        await this.#drop(status);
        await hypervisor.destroy(guest);
        return { outcome`,
    to: `        await hypervisor.destroy(guest);
        return { outcome`,
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
    by: sim(1, struck([[...suspendedAndKilled], [on('a', 'suspend', 5), killGuard]], cleansUp)),
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
  ...backup,
  ...primary,
  ...guests,
];
