/**
 * Two hosts, a network, a guest, its clients: all from one seed. Runs the real machines (or
 * mutants of them) until a rule is broken or the run has come to a good end.
 */

import { InvariantError } from '../../src/core/invariant.ts';
import { BackupHost } from './backup-host.ts';
import { Checker, type Violation } from './checker.ts';
import { endingOf, type Progress, progressOf } from './ending.ts';
import { EventQueue } from './event-queue.ts';
import { FaultInjector } from './faults.ts';
import { Connection, Network, type Timeline } from './link.ts';
import type { Machines } from './machines.ts';
import type { Message } from './messages.ts';
import { type Plan, planOf } from './plan.ts';
import { PrimaryHost } from './primary-host.ts';
import { Random } from './random.ts';

export interface RunResult {
  readonly seed: number;
  readonly violation: Violation | null;
  /** Set when the violation is one that `-n` cannot prevent: its kind. */
  readonly expected: string | null;
  /** How the run ended, one of a few words. */
  readonly ending: string;
  readonly transcript: readonly string[];
  readonly steps: number;
}

/** More events than this in one run is a loop somewhere. */
const stepsMax = 200_000;

export class World implements Timeline {
  readonly plan: Plan;
  readonly machines: Machines;
  readonly random: Random;
  readonly checker: Checker;
  readonly network: Network;
  readonly connection: Connection<Message>;
  readonly a: PrimaryHost;
  readonly b: BackupHost;
  readonly faults: FaultInjector;
  readonly #queue = new EventQueue();
  readonly #transcript: string[] | null;
  nowMs = 0;
  #steps = 0;
  ending: string | null = null;

  constructor(plan: Plan, machines: Machines, isVerbose: boolean) {
    this.plan = plan;
    this.machines = machines;
    this.random = new Random(plan.seed ^ 0x5bd1e995);
    this.#transcript = isVerbose ? [] : null;
    const { heartbeatTimeoutMs, buffered, pendingMax } = this.plan.config;
    this.checker = new Checker(
      { isBuffered: buffered, timeoutMs: heartbeatTimeoutMs, pendingMax },
      () => this.nowMs,
    );
    this.network = new Network(this, this.plan.delayMsMin, this.plan.delayMsMax);
    this.a = new PrimaryHost(this);
    this.b = new BackupHost(this);
    this.connection = new Connection<Message>(this.network, { a: this.a, b: this.b }, (side) =>
      side === 'a' ? this.a.isUp : this.b.isUp,
    );
    this.faults = new FaultInjector(this);
  }

  after(delayMs: number, run: () => void): void {
    this.#queue.push(this.nowMs + delayMs, this.random.next(), run);
  }

  trace(who: string, text: () => string): void {
    this.#transcript?.push(`${this.nowMs.toFixed(1).padStart(9)} ms  ${who}  ${text()}`);
  }

  beforeEffect(host: 'a' | 'b', count: number): void {
    this.faults.beforeEffect(host, count);
  }

  run(): RunResult {
    this.b.start();
    this.after(this.network.delayMs(), () => this.a.start());
    this.faults.arm();
    this.#watch();
    try {
      this.#loop();
    } catch (error) {
      if (!(error instanceof InvariantError)) throw error;
      this.checker.fail('invariant', error.message);
    }
    const { violation } = this.checker;
    if (violation !== null) this.trace('!', () => `${violation.rule}: ${violation.text}`);
    return {
      seed: this.plan.seed,
      violation,
      expected: violation === null ? null : this.faults.excuse(violation.rule),
      ending: this.ending ?? 'broken',
      transcript: this.#transcript ?? [],
      steps: this.#steps,
    };
  }

  #loop(): void {
    while (this.checker.violation === null && this.ending === null) {
      const next = this.#queue.pop();
      if (next === undefined) throw new Error('the simulator ran dry');
      this.nowMs = Math.max(this.nowMs, next.atMs);
      this.#steps += 1;
      if (this.#steps > stepsMax) this.checker.fail('endless', 'the run does not end');
      next.run();
    }
  }

  /** From the calm on: has the run come to an end that is allowed? */
  #watch(): void {
    const { plan } = this;
    const { heartbeatTimeoutMs, holdMs } = plan.config;
    // Silence, hold, a few asks that time out, a slow disk, and then some.
    const restMs = plan.faults.some(({ fault }) => fault.kind === 'hang') ? 45_000 : 12_000;
    const patienceMs = 20 * heartbeatTimeoutMs + 4 * holdMs + 4 * plan.askTimeoutMs + restMs;
    this.after(plan.calmAtMs, () => this.faults.calm());
    const look = (before: Progress): void => {
      this.ending = endingOf(this, before);
      if (this.ending !== null) return;
      if (this.nowMs > plan.calmAtMs + patienceMs) {
        const { a, b, checker } = this;
        const sides = `A ${a.process.state.phase}, B ${b.process.state.phase}`;
        this.checker.fail('liveness', `stuck: ${sides}, record ${checker.permission}`);
        return;
      }
      const now = progressOf(this);
      this.after(2 * heartbeatTimeoutMs, () => look(now));
    };
    this.after(plan.calmAtMs, () => look(progressOf(this)));
  }
}

/** One run of a plan. */
export function runPlan(plan: Plan, machines: Machines, isVerbose = false): RunResult {
  return new World(plan, machines, isVerbose).run();
}

/** One run of the plan that a seed stands for. */
export function runWorld(seed: number, machines: Machines, isVerbose = false): RunResult {
  return runPlan(planOf(seed), machines, isVerbose);
}
