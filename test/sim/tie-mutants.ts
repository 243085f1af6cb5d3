/**
 * Deliberate bugs in who goes on when the other host cannot be asked, of both machines and of what
 * HELLO agrees. As in mutants.ts each must be caught by the checker.
 */
import { stepBackup } from '../../src/core/backup/backup.ts';
import { stepPrimary } from '../../src/core/primary/primary.ts';
import { type Machines, realMachines } from './machines.ts';
import type { FaultKind, Plan } from './plan.ts';

export interface TieMutant {
  readonly name: string;
  readonly machines: Machines;
  readonly tweak: (plan: Plan) => Plan;
  readonly rule: string;
}

type Agreed = Plan['config']['withoutWitness'];

/** The plan with that agreement; with faults that all strike at once, where there are any. */
const agreeing =
  (withoutWitness: Agreed, ...kinds: ((timeoutMs: number) => FaultKind)[]) =>
  (plan: Plan): Plan => {
    const config = { ...plan.config, withoutWitness };
    if (kinds.length === 0) return { ...plan, config };
    const trigger = { kind: 'time', atMs: 0.5 * plan.calmAtMs } as const;
    const faults = kinds.map((kind) => ({ trigger, fault: kind(config.heartbeatTimeoutMs) }));
    return { ...plan, config: { ...config, buffered: true }, faults };
  };

const cut = (timeoutMs: number): FaultKind => ({
  kind: 'cut',
  directions: ['ab', 'ba'],
  forMs: 30 * timeoutMs,
});

const hostDies = (host: 'a' | 'b') => (): FaultKind => ({ kind: 'crash', host, rebootMs: null });

/** Its machine takes itself for the one that goes on, and the record for told by a person. */
const activatesByItself = (agreed: Agreed): TieMutant => ({
  name: `activate unasked, agreed ${agreed}`,
  machines: {
    ...realMachines,
    stepBackup(state, event) {
      const config = { ...state.config, withoutWitness: 'backup' as const };
      const step = stepBackup({ ...state, config }, event);
      const effects = step.effects.map((effect) =>
        effect.kind === 'write-record' ? { ...effect, said: 'word' as const } : effect,
      );
      return { state: step.state, effects };
    },
  },
  tweak: agreeing(agreed),
  rule: 'tie',
});

const opensByItself = (agreed: Agreed): TieMutant => ({
  name: `open unanswered, agreed ${agreed}`,
  machines: {
    ...realMachines,
    stepPrimary: (state, event) =>
      stepPrimary({ ...state, config: { ...state.config, withoutWitness: 'primary' } }, event),
  },
  tweak: agreeing(agreed, hostDies('b')),
  rule: 'permission',
});

const takesAnOrderForAWord: TieMutant = {
  name: 'take an order for a word',
  machines: {
    ...realMachines,
    stepBackup: (state, event) =>
      stepBackup(state, event.kind === 'failover' ? { ...event, vouched: true } : event),
  },
  tweak: (plan) => {
    const struck = agreeing('primary', cut)(plan);
    const atMs = 0.5 * plan.calmAtMs + 1.5 * plan.config.heartbeatTimeoutMs;
    const order = { trigger: { kind: 'time', atMs }, fault: { kind: 'failover' } } as const;
    return { ...struck, faults: [...struck.faults, order] };
  },
  rule: 'tie',
};

const opensAtOnce: TieMutant = {
  name: 'open unanswered before timeout and hold are over',
  machines: {
    ...realMachines,
    stepPrimary: (state, event) => {
      const { link, aloneFromMs, nowMs } = state;
      const { heartbeatTimeoutMs, holdMs } = state.config;
      const early = Math.min(aloneFromMs, nowMs - heartbeatTimeoutMs - holdMs);
      return stepPrimary(link === 'closed' ? { ...state, aloneFromMs: early } : state, event);
    },
  },
  // No answer comes sooner.
  tweak: agreeing('primary', cut, () => ({ kind: 'reset', sides: ['a'] })),
  rule: 'permission',
};

const takesItsStallForSilence: TieMutant = {
  name: 'open unanswered after a stall of its own',
  machines: {
    ...realMachines,
    stepPrimary: (state, event) =>
      stepPrimary({ ...state, nowMs: Math.max(state.nowMs, event.nowMs) }, event),
  },
  tweak: agreeing('primary', (timeoutMs) => ({ kind: 'stop-protect', forMs: 8 * timeoutMs })),
  rule: 'permission',
};

const neverGoesOn: TieMutant = {
  name: 'hold the guest although its promise was given in advance',
  machines: {
    ...realMachines,
    stepPrimary: (state, event) => stepPrimary({ ...state, aloneFromMs: event.nowMs }, event),
  },
  tweak: agreeing('primary', hostDies('b')),
  rule: 'tie',
};

const deafToHello: TieMutant = {
  name: 'ignore what HELLO agrees',
  machines: {
    ...realMachines,
    hears: (hello) => ({ ...hello, timing: { ...hello.timing, withoutWitness: 'backup' } }),
  },
  tweak: agreeing('primary'),
  rule: 'tie',
};

export const tieMutants: readonly TieMutant[] = [
  activatesByItself('primary'),
  activatesByItself('manual'),
  opensByItself('backup'),
  opensByItself('manual'),
  takesAnOrderForAWord,
  opensAtOnce,
  takesItsStallForSilence,
  neverGoesOn,
  deafToHello,
];
