/**
 * Deliberate bugs, as wrappers around the real machines. Each must be caught by the checker: a
 * mutant that survives means that the simulator does not look there.
 *
 * A wrapper changes the event before, or the effects after the real step. The machines' own
 * assertions see nothing of that, so it is the checker that has to find it.
 */
import type { BackupState, BackupStep } from '../../src/core/backup/backup.ts';
import { stepBackup } from '../../src/core/backup/backup.ts';
import type { BackupEffect, BackupEvent } from '../../src/core/backup/types.ts';
import type { PrimaryState, PrimaryStep } from '../../src/core/primary/primary.ts';
import { stepPrimary } from '../../src/core/primary/primary.ts';
import type { PrimaryEffect, PrimaryEvent } from '../../src/core/primary/types.ts';
import { bufferMutants } from './buffer-mutants.ts';
import { diskName } from './disk-part.ts';
import { type Machines, realMachines } from './machines.ts';
import type { Fault, FaultKind, Plan } from './plan.ts';
import { tieMutants } from './tie-mutants.ts';

export interface Mutant {
  readonly name: string;
  readonly machines: Machines;
  /** For a bug that only one rare coincidence shows: plans in which it is less rare. */
  readonly tweak?: (plan: Plan) => Plan;
  /** Where the hunt begins: no seed before it leads to the coincidence that shows this bug. */
  readonly fromSeed?: number;
  /** The rule that must catch it, where another one sees it, too. */
  readonly rule?: string;
}

type PrimaryBug = (state: PrimaryState, event: PrimaryEvent) => PrimaryStep;
type BackupBug = (state: BackupState, event: BackupEvent) => BackupStep;

const primary = (name: string, bug: PrimaryBug): Mutant => ({
  name,
  machines: { ...realMachines, stepPrimary: bug },
});

const backup = (name: string, bug: BackupBug): Mutant => ({
  name,
  machines: { ...realMachines, stepBackup: bug },
});

/** The real step, with more effects after it. */
function andPrimary(
  state: PrimaryState,
  event: PrimaryEvent,
  more: (step: PrimaryStep) => readonly PrimaryEffect[],
): PrimaryStep {
  const step = stepPrimary(state, event);
  return { state: step.state, effects: [...step.effects, ...more(step)] };
}

/** The real step, with its effects changed. */
function mapBackup(
  state: BackupState,
  event: BackupEvent,
  change: (effect: BackupEffect, state: BackupState) => readonly BackupEffect[],
): BackupStep {
  const step = stepBackup(state, event);
  const effects = step.effects.flatMap((effect) => change(effect, step.state));
  return { state: step.state, effects };
}

const releaseBeforeAck: Mutant = {
  ...primary('release before acknowledgement', (state, event) =>
    andPrimary(state, event, () =>
      event.kind === 'drained' ? [{ kind: 'release', epoch: event.epoch }] : [],
    ),
  ),
  rule: 'output-commit',
};

const trustStaleAck = primary('trust a stale acknowledgement', (state, event) =>
  andPrimary(state, event, ({ state: after }) =>
    // Whatever it acknowledges, it is taken for the newest.
    event.kind === 'ack' && after.drained > after.acked
      ? [{ kind: 'release', epoch: after.drained }]
      : [],
  ),
);

const ignoreLeaseAtRelease = primary('ignore the lease at release', (state, event) =>
  andPrimary(state, event, ({ state: after }) =>
    event.kind === 'ack' && after.released < after.acked
      ? [{ kind: 'release', epoch: after.acked }]
      : [],
  ),
);

const primaryIgnoresHeartbeat = primary('primary ignores the heartbeat', (state, event) =>
  stepPrimary({ ...state, leaseFromMs: state.leaseFromMs && event.nowMs }, event),
);

const actAfterStop = primary('act after stop', (state, event) =>
  andPrimary(state, event, ({ state: after }) =>
    after.phase === 'leaving' && event.kind === 'tick'
      ? [{ kind: 'release', epoch: after.drained }]
      : [],
  ),
);

const checkpointAfterStop = primary('checkpoint after stop', (state, event) =>
  andPrimary(state, event, ({ state: after }) =>
    after.phase === 'leaving' && event.kind === 'tick' && after.requested === after.drained
      ? [{ kind: 'take-checkpoint', epoch: after.requested + 1 }]
      : [],
  ),
);

const openOnUnknown = primary('open the buffer on unknown', (state, event) =>
  event.kind === 'answer' && event.answer.kind === 'unknown'
    ? stepPrimary(state, { ...event, answer: { kind: 'promised' } })
    : stepPrimary(state, event),
);

const openAtLinkEnd = primary('open the buffer at the end of the link', (state, event) =>
  stepPrimary(
    event.kind === 'link-closed'
      ? {
          ...state,
          suspended: -1,
          drained: -1,
          sent: -1,
          acked: -1,
          released: -1,
          requested: 0,
          paused: false,
        }
      : state,
    event,
  ),
);

const openOnFailedAsk = primary('open the buffer when nobody answers', (state, event) =>
  event.kind === 'ask-failed'
    ? stepPrimary(state, { ...event, kind: 'answer', answer: { kind: 'promised' } })
    : stepPrimary(state, event),
);

/** Shows when the first that a host hears after a standstill is that the copy runs. */
const runOnWhenTakenOver: Mutant = {
  ...primary('let the guest run when the copy runs', (state, event) => {
    const step = stepPrimary(state, event);
    if (!step.state.activeSeen) return step;
    const effects = step.effects.filter((effect) => effect.kind !== 'pause-guest');
    return { state: step.state, effects };
  }),
  tweak: (plan) => {
    const { heartbeatTimeoutMs } = plan.config;
    return {
      ...plan,
      config: { ...plan.config, buffered: false },
      faults: plan.faults.map(({ trigger }) => ({
        trigger,
        fault: { kind: 'stall', host: 'a', forMs: 3 * heartbeatTimeoutMs },
      })),
    };
  },
};

/** The plan with these faults, all at once, where its own first one strikes. */
function struckBy(plan: Plan, ...faults: FaultKind[]): Plan {
  const trigger = { kind: 'time', atMs: 0.5 * plan.calmAtMs } as const;
  return { ...plan, faults: faults.map((fault) => ({ trigger, fault })) };
}

/** Shows when the primary asks while the copy is built and not unpaused yet. */
const destroyWhenActive: Mutant = {
  ...primary('destroy before the copy runs', (state, event) =>
    event.kind === 'answer' && event.answer.kind === 'activating'
      ? stepPrimary(state, { ...event, answer: { kind: 'running' } })
      : stepPrimary(state, event),
  ),
  tweak: (plan) => {
    const forMs = 1.5 * plan.config.heartbeatTimeoutMs;
    return struckBy(
      plan,
      { kind: 'cut', directions: ['ab', 'ba'], forMs },
      { kind: 'unpause-fails', times: 2 },
    );
  },
  rule: 'last-guest',
};

/** The other host took over, loses its power and comes back while nobody can ask it. */
function rebootedOnceActive(plan: Plan): Plan {
  const { heartbeatTimeoutMs } = plan.config;
  const cut: Fault = {
    trigger: { kind: 'time', atMs: 0.5 * plan.calmAtMs },
    fault: { kind: 'cut', directions: ['ab', 'ba'], forMs: 10 * heartbeatTimeoutMs },
  };
  const crash: Fault = {
    trigger: { kind: 'call', host: 'b', what: 'send activated', count: 1 },
    fault: { kind: 'crash', host: 'b', rebootMs: heartbeatTimeoutMs },
  };
  const calmAtMs = plan.calmAtMs + 12 * heartbeatTimeoutMs;
  return { ...plan, faults: [cut, crash], calmAtMs, cutForGood: [] };
}

/** What the record says is taken for what is there. */
const destroyOnTheRecord: Mutant = {
  ...primary('destroy because the record says active', (state, event) =>
    event.kind === 'answer' && event.answer.kind === 'absent'
      ? stepPrimary(state, { ...event, answer: { kind: 'running' } })
      : stepPrimary(state, event),
  ),
  tweak: rebootedOnceActive,
  rule: 'last-guest',
};

/** A guest that has lost works on until somebody is sure that the other one is there. */
const runOnBesideTheCopy: Mutant = {
  ...primary('let the loser run on', (state, event) => {
    const step = stepPrimary(state, event);
    const effects = step.effects.filter(
      ({ kind }) => !state.config.buffered || kind !== 'pause-guest',
    );
    return { ...step, effects };
  }),
  tweak: rebootedOnceActive,
  rule: 'loser-runs',
};

const activateTorn = backup('activate a torn epoch', (state, event) =>
  mapBackup(state, event, (effect) =>
    effect.kind === 'build-copy'
      ? [
          { kind: 'commit', epoch: effect.epoch + 1 },
          { kind: 'build-copy', epoch: effect.epoch + 1 },
        ]
      : [effect],
  ),
);

const ackTorn = backup('acknowledge a torn epoch', (state, event) =>
  mapBackup(state, event, (effect) =>
    effect.kind === 'send-ack' ? [effect, { kind: 'send-ack', epoch: effect.epoch + 1 }] : [effect],
  ),
);

const feedBeforeAck = backup('feed before the acknowledgement', (state, event) => {
  const step = stepBackup(state, event);
  const feeds = step.effects.filter((effect) => effect.kind === 'commit');
  const others = step.effects.filter((effect) => effect.kind !== 'commit');
  return { state: step.state, effects: [...feeds, ...others] };
});

const backupIgnoresHeartbeat = backup('backup ignores the silence', (state, event) =>
  stepBackup({ ...state, heardAtMs: event.nowMs, echoedAtMs: event.nowMs }, event),
);

/** Without a buffer the guest runs as long as it has a lease: here longer than its copy waits. */
const echoAlways: Mutant = {
  ...backup('echo after the decision', (state, event) => {
    const step = stepBackup(state, event);
    const isEchoed = step.effects.some((effect) => effect.kind === 'send-echo');
    if (event.kind !== 'heartbeat' || isEchoed) return step;
    return { state: step.state, effects: [{ kind: 'send-echo', seq: event.seq }, ...step.effects] };
  }),
  tweak: (plan) => {
    const { heartbeatTimeoutMs } = plan.config;
    const struck = struckBy(
      plan,
      { kind: 'disk-slow', forMs: 10 * heartbeatTimeoutMs, byMs: heartbeatTimeoutMs },
      { kind: 'cut', directions: ['ab', 'ba'], forMs: 1.05 * heartbeatTimeoutMs },
    );
    const forMs = 5 * heartbeatTimeoutMs;
    const cut: Fault = {
      trigger: { kind: 'call', host: 'b', what: 'unpause', count: 1 },
      fault: { kind: 'cut', directions: ['ab', 'ba'], forMs },
    };
    const config = { ...plan.config, buffered: false };
    return { ...struck, config, faults: [...struck.faults, cut] };
  },
  rule: 'one-active',
};

const promiseWithoutRecord = backup('promise without a record', (state, event) => {
  if (event.kind !== 'ask') return stepBackup(state, event);
  const { way, token } = event;
  return { state, effects: [{ kind: 'answer', way, token, answer: { kind: 'promised' } }] };
});

/** Forgets its promise, and takes its own wish for what the record says. */
const activateAfterPromise = backup('activate after a promise', (state, event) => {
  if (event.kind !== 'record' || event.permission !== 'promised' || state.acked < 0) {
    return stepBackup(state, event);
  }
  if (state.writing !== 'promised') {
    return stepBackup(state, { ...event, permission: state.writing ?? 'active' });
  }
  const step = stepBackup(state, event);
  const effects = step.effects.filter((effect) => effect.kind === 'answer');
  return { state: { ...state, writing: null, goal: null, asks: [] }, effects };
});

const unpauseBeforeActive = backup('unpause before the record says active', (state, event) =>
  mapBackup(state, event, (effect) =>
    effect.kind === 'write-record' && effect.to === 'active'
      ? [{ kind: 'unpause-copy' }, effect]
      : [effect],
  ),
);

const activateAtLinkEnd = backup(
  'without a buffer, activate at the end of the link',
  (state, event) => stepBackup({ ...state, config: { ...state.config, buffered: true } }, event),
);

const countOwnStall = backup('count an own stall as silence', (state, event) =>
  stepBackup(state, event.kind === 'tick' ? { ...event, stalledMs: 0 } : event),
);

const promiseBeforeDiscard = backup('answer promised while activating', (state, event) =>
  mapBackup(state, event, (effect) =>
    effect.kind === 'answer' && effect.answer.kind === 'activating'
      ? [{ ...effect, answer: { kind: 'promised' } }]
      : [effect],
  ),
);

const giveUpOnUnpause: Mutant = {
  ...backup('forget the copy when it cannot be unpaused', (state, event) =>
    mapBackup(state, event, (effect) =>
      effect.kind === 'unpause-copy' && state.nextUnpauseAtMs > 0 && state.copyProblem !== null
        ? []
        : [effect],
    ),
  ),
  tweak: (plan) =>
    struckBy(
      plan,
      { kind: 'unpause-fails', times: 1 },
      { kind: 'crash', host: 'a', rebootMs: null },
    ),
  rule: 'liveness',
};

/** A backup that hangs is waited for, however long. */
const neverGiveUp: Mutant = {
  ...primary('wait for a backup that hangs', (state, event) =>
    stepPrimary({ ...state, progressAtMs: event.nowMs }, event),
  ),
  tweak: (plan) => ({
    ...plan,
    faults: plan.faults.map(({ trigger }, index) => ({
      trigger,
      fault: { kind: 'hang', isStream: index % 2 === 0, forMs: null },
    })),
  }),
};

/** The memory of an epoch is taken for all of it. */
const forgetTheDisk: Mutant = {
  ...backup('acknowledge without the disk', (state, event) => {
    if (event.kind !== 'epoch-whole') return stepBackup(state, event);
    if (event.part === diskName) return { state, effects: [] };
    const memory = stepBackup(state, event);
    const disk = stepBackup(memory.state, { ...event, part: diskName });
    return { state: disk.state, effects: [...memory.effects, ...disk.effects] };
  }),
  rule: 'one-commit',
};

/** Without a buffer nobody is held, and one that goes on alone does not listen any more. */
const deafToTheHeld: Mutant = {
  ...backup('not hear that the primary is held', (state, event) =>
    stepBackup(state, event.kind === 'heartbeat' ? { ...event, heldMs: 0 } : event),
  ),
  tweak: (plan) => {
    const cut = { kind: 'cut', directions: ['ba'], forMs: 1_000_000 } as const;
    const config = { ...plan.config, buffered: true };
    return { ...struckBy(plan, cut), config, cutForGood: ['ba'] };
  },
};

/** The end of the link is taken for a question. */
const promiseUnasked: Mutant = {
  ...backup('promise to nobody', (state, event) =>
    event.kind === 'link-closed' && state.asks.length === 0
      ? stepBackup(
          { ...state, asks: [{ way: 'fresh', token: -1, atMs: event.nowMs }] },
          { ...event, reason: 'the primary is gone' },
        )
      : stepBackup(state, event),
  ),
  rule: 'promise-unasked',
};

/** Nobody answers, and after the hold the copy is activated. */
const deafToQuestions: Mutant = {
  ...backup('activate though the primary asks', (state, event) =>
    event.kind === 'ask' && state.record === 'standby'
      ? { state, effects: [] }
      : stepBackup(state, event),
  ),
  rule: 'asked-first',
};

const leavePaused: Mutant = {
  ...primary('leave the guest paused that may go on', (state, event) => {
    const step = stepPrimary(state, event);
    const effects = step.effects.filter(({ kind }) => kind !== 'unpause-guest');
    return { state: step.state, effects };
  }),
  rule: 'liveness',
};

const diskAtArrival: Mutant = {
  name: 'apply writes of the disk before the epoch counts',
  machines: { ...realMachines, diskAppliesAt: 'arrival' },
  rule: 'one-commit',
};

const diskUnsettled: Mutant = {
  name: 'let the copy run before its disk has settled',
  machines: { ...realMachines, diskSettles: false },
  rule: 'one-commit',
};

/** Host B's disk was a copy of the guest's before, and is compared. */
const olderDisk = (plan: Plan): Plan => ({ ...plan, diskThere: 'older' });

const leaveOutWhatDiffers: Mutant = {
  name: 'leave out of the first copy a block that differs',
  machines: { ...realMachines, diskLeavesOut: 'asked' },
  tweak: olderDisk,
  rule: 'one-commit',
};

const admitOverTheGuest: Mutant = {
  name: 'let a block of the first copy in over what the guest wrote meanwhile',
  machines: { ...realMachines, diskAdmits: 'all' },
  // A later epoch has the block once more.
  tweak: (plan) => ({
    ...struckBy(olderDisk(plan), { kind: 'crash', host: 'a', rebootMs: null }),
    diskLagMs: plan.config.heartbeatTimeoutMs,
    config: { ...plan.config, withoutWitness: 'backup' },
  }),
  rule: 'one-commit',
};

/** Every one of these must be caught. */
export const mutants: readonly Mutant[] = [
  releaseBeforeAck,
  activateTorn,
  primaryIgnoresHeartbeat,
  backupIgnoresHeartbeat,
  actAfterStop,
  checkpointAfterStop,
  trustStaleAck,
  promiseWithoutRecord,
  activateAfterPromise,
  openOnUnknown,
  openAtLinkEnd,
  openOnFailedAsk,
  destroyWhenActive,
  destroyOnTheRecord,
  runOnBesideTheCopy,
  runOnWhenTakenOver,
  ackTorn,
  feedBeforeAck,
  ignoreLeaseAtRelease,
  unpauseBeforeActive,
  echoAlways,
  activateAtLinkEnd,
  countOwnStall,
  promiseBeforeDiscard,
  giveUpOnUnpause,
  neverGiveUp,
  forgetTheDisk,
  deafToTheHeld,
  diskAtArrival,
  diskUnsettled,
  leaveOutWhatDiffers,
  admitOverTheGuest,
  promiseUnasked,
  deafToQuestions,
  leavePaused,
  ...bufferMutants,
  ...tieMutants,
];
