/**
 * Deliberate bugs in the output buffer's driver and around it. As in mutants.ts each must be caught
 * by the checker: that the model of the kernel is literal is what makes them visible.
 */
import type { Answered } from '../../src/core/vocabulary.ts';
import type { Packet } from './guest.ts';
import { type Machines, realMachines } from './machines.ts';
import {
  type Emit,
  OneQueue,
  OutputBuffer,
  type Port,
  type PortKind,
  TwoQueues,
} from './output-buffer.ts';
import type { Plan, Trigger } from './plan.ts';

export interface BufferMutant {
  readonly name: string;
  readonly machines: Machines;
  readonly tweak: (plan: Plan) => Plan;
  /** As in Mutant. */
  readonly fromSeed?: number;
  readonly rule?: string;
}

/** Asked just now: `promised` is final, however old it is. */
const promised: Answered = { answer: { kind: 'promised' }, askedAtMs: 0 };

const isBuffered = (plan: Plan): Plan => ({
  ...plan,
  config: { ...plan.config, buffered: true },
});

/** More epochs in flight: in order to show, a seal has to meet another barrier. */
const isDeep = (plan: Plan): Plan => ({
  ...isBuffered(plan),
  config: { ...plan.config, buffered: true, pendingMax: 3 },
});

type PortClass = new (limitBytes: number, emit: Emit) => Port;

function withPorts(
  name: string,
  one: PortClass,
  two: PortClass,
  tweak: (plan: Plan) => Plan = isBuffered,
): BufferMutant {
  class Mutant extends OutputBuffer {
    protected override makePort(kind: PortKind, limitBytes: number, emit: Emit): Port {
      return kind === 'one' ? new one(limitBytes, emit) : new two(limitBytes, emit);
    }
  }
  return { name, machines: { ...realMachines, OutputBuffer: Mutant }, tweak };
}

function withBuffer(name: string, Mutant: typeof OutputBuffer): BufferMutant {
  return { name, machines: { ...realMachines, OutputBuffer: Mutant }, tweak: isBuffered };
}

/** Takes every epoch for one that the plug remembers. */
class SecondBarrier extends OneQueue {
  #seals: number[] = [];

  override barrier(epoch: number): void {
    if (!this.plug.isPassingThrough) this.#seals.push(epoch);
    this.plug.change('buffer');
  }

  override release(epoch: number): void {
    for (const seal of this.#seals) if (seal <= epoch) this.plug.change('release-one');
    this.#seals = this.#seals.filter((seal) => seal > epoch);
  }
}

/** Turns back to the queue that is sealed. */
class SecondTurn extends TwoQueues {
  override barrier(epoch: number): void {
    if (this.sealed === null) super.barrier(epoch);
    else this.turn();
  }
}

class ReleaseAllOne extends OneQueue {
  override release(epoch: number): void {
    if (this.sealed !== null && this.sealed <= epoch) this.pass();
    super.release(epoch);
  }
}

class ReleaseAllTwo extends TwoQueues {
  override release(epoch: number): void {
    if (this.sealed !== null && this.sealed <= epoch) this.pass();
    super.release(epoch);
  }
}

/** Takes any acknowledgement for that of the seal. */
class AnyAckOne extends OneQueue {
  override release(): void {
    super.release(Number.POSITIVE_INFINITY);
  }
}

class AnyAckTwo extends TwoQueues {
  override release(): void {
    super.release(Number.POSITIVE_INFINITY);
  }
}

/** Makes room at the limit by letting go what is oldest. */
class MakeRoomOne extends OneQueue {
  override accept(packet: Packet): boolean {
    if (super.accept(packet)) return true;
    this.pass();
    return super.accept(packet);
  }
}

class MakeRoomTwo extends TwoQueues {
  override accept(packet: Packet): boolean {
    if (super.accept(packet)) return true;
    this.pass();
    return super.accept(packet);
  }
}

/** Opens the newer queue first. */
class NewestFirst extends TwoQueues {
  override pass(): void {
    this.queues[this.current].change('release-indefinite');
    super.pass();
  }
}

/** Does not close the queue again that it has emptied. */
class LeaveOpen extends TwoQueues {
  override barrier(epoch: number): void {
    if (this.sealed !== null) return;
    this.turn();
    this.sealed = epoch;
  }
}

/** Forgets to release. */
class KeepOne extends OneQueue {
  override release(): void {}
}

class KeepTwo extends TwoQueues {
  override release(): void {}
}

class DropAtTeardown extends OutputBuffer {
  override open(): void {
    for (const { port } of this.interfaces) port.drop();
    super.open();
  }
}

class OpenAtTakeover extends OutputBuffer {
  override drop(): void {
    this.open();
    super.drop();
  }
}

class LetLateInterfaceIn extends OutputBuffer {
  override plugIn(kind: PortKind): void {
    super.plugIn(kind);
    this.interfaces.at(-1)?.port.begin();
  }
}

class LetUnpluggedOut extends OutputBuffer {
  override unplug(at: number): void {
    this.interfaces[at]?.port.pass();
    super.unplug(at);
  }
}

/** Closes with the first epoch instead of at its beginning. */
class OpenUntilSecondBarrier extends OutputBuffer {
  #barriers = 0;

  override barrier(epoch: number): void {
    this.#barriers += 1;
    if (this.#barriers > 1) super.barrier(epoch);
  }
}

const struckBy =
  (kind: 'plug-in' | 'unplug') =>
  (plan: Plan): Plan => ({
    ...isBuffered(plan),
    faults: plan.faults.map(({ trigger }) => ({
      trigger,
      fault: kind === 'unplug' ? { kind } : { kind, port: 'two' },
    })),
  });

const killedAndCleanedUp = (plan: Plan): Plan => ({
  ...isBuffered(plan),
  cleansUp: true,
  faults: plan.faults.map(({ trigger }) => ({ trigger, fault: { kind: 'kill-protect' } })),
});

/** Just before some early call of the backup, which may be the acknowledgement of the seed. */
const killedAtTheSeedsEnd = (plan: Plan): Plan => {
  const trigger: Trigger = { kind: 'call', host: 'b', what: '', count: 20 + (plan.seed % 80) };
  const forMs = 5 * plan.config.heartbeatTimeoutMs;
  return {
    ...isBuffered(plan),
    cleansUp: true,
    faults: [
      { trigger, fault: { kind: 'cut', directions: ['ab', 'ba'], forMs } },
      { trigger, fault: { kind: 'kill-protect' } },
    ],
  };
};

/** Every one of these must be caught. */
export const bufferMutants: readonly BufferMutant[] = [
  {
    // Also: what the plug has forgotten waits too long.
    ...withPorts('second barrier while one is sealed', SecondBarrier, TwoQueues, isDeep),
    rule: 'output-commit',
  },
  withPorts('second turn while one is sealed', OneQueue, SecondTurn, isDeep),
  withPorts('release all instead of one, one queue', ReleaseAllOne, TwoQueues),
  withPorts('release all instead of one, two queues', OneQueue, ReleaseAllTwo),
  withPorts('release on any acknowledgement, one queue', AnyAckOne, TwoQueues, isDeep),
  withPorts('release on any acknowledgement, two queues', OneQueue, AnyAckTwo, isDeep),
  withPorts('make room at the limit, one queue', MakeRoomOne, TwoQueues),
  withPorts('make room at the limit, two queues', OneQueue, MakeRoomTwo),
  withPorts('open the newer queue first', OneQueue, NewestFirst),
  withPorts('leave an emptied queue open', OneQueue, LeaveOpen),
  withPorts('never release, one queue', KeepOne, TwoQueues),
  withPorts('never release, two queues', OneQueue, KeepTwo),
  withBuffer('drop what is held at an ordered end', DropAtTeardown),
  withBuffer('open at a takeover', OpenAtTakeover),
  withBuffer('close at the second barrier only', OpenUntilSecondBarrier),
  { ...withBuffer('let a late interface through', LetLateInterfaceIn), tweak: struckBy('plug-in') },
  {
    ...withBuffer('let out what an unplugged interface held', LetUnpluggedOut),
    tweak: struckBy('unplug'),
  },
  {
    name: 'barrier after the resume',
    machines: { ...realMachines, barrierAt: 'resumed' },
    tweak: isBuffered,
  },
  {
    name: 'clean up without asking',
    machines: { ...realMachines, askBackup: async () => promised },
    tweak: killedAndCleanedUp,
  },
  {
    name: 'clean up when nobody answers',
    machines: {
      ...realMachines,
      askBackup: (ask) => ask().catch(() => promised),
    },
    tweak: killedAndCleanedUp,
    fromSeed: 3_800,
  },
  {
    // The seed may be whole over there although its acknowledgement was never heard of.
    name: 'clean up a seed when nobody answers',
    machines: {
      ...realMachines,
      askBackup: (ask, { epoch }) =>
        ask().catch((error) => {
          if (epoch === null) return promised;
          throw error;
        }),
    },
    tweak: killedAtTheSeedsEnd,
  },
  {
    name: 'destroy what was left before the copy runs',
    machines: {
      ...realMachines,
      askBackup: async (ask) => {
        const asked = await ask();
        if (asked.answer.kind === 'promised') return asked;
        return { ...asked, answer: { kind: 'running' } };
      },
    },
    tweak: killedAndCleanedUp,
  },
];
