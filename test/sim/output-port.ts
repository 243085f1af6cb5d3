/** The output buffer port over the model of the kernel's queues, as a process of host A has it. */
import { OperationError } from '../../src/host/errors.ts';
import type {
  HeldOutput,
  LossListener,
  OutputBuffer as OutputPort,
} from '../../src/output/port.ts';
import type { OutputBuffer } from './output-buffer.ts';
import type { SimProcess } from './process.ts';
import type { World } from './world.ts';

/** The barrier of the output buffer, as the save knows it. */
export const outputBarrier = 1;

const whatWasTaken = 'its filter was removed';

const nameOf = (at: number) => `vif1.${at}`;

/** `world`: of the session whose buffer it is. */
export function outputPort(world: World, buffer: OutputBuffer, process: SimProcess): OutputPort {
  const { plan } = world;
  let listener: (held: HeldOutput) => void = () => {};
  let onLoss: LossListener = () => {};
  let isClosed = false;
  buffer.onLoss = ({ at, escaped, forMs }) => {
    const name = nameOf(at);
    process.later(0, () => {
      if (isClosed) return;
      if (escaped) world.checker.toldOfEscape();
      onLoss({ kind: 'lost', name, reason: whatWasTaken, escaped });
    });
    process.later(forMs, () => {
      if (isClosed) return;
      buffer.mend(at);
      onLoss({ kind: 'mended', name });
    });
  };
  const held = (): HeldOutput => ({ dropped: 0, ...buffer.look() });
  const look = (): void => {
    if (!isClosed) listener(held());
  };
  const lookLater = (): void => {
    process.later(plan.packetMs, () => {
      if (isClosed) return;
      look();
      lookLater();
    });
  };
  const end = (what: string, work: () => void): Promise<void> =>
    process.perform(what, plan.delayMsMin, () => {
      if (world.outputEndsLeftToFail > 0) {
        world.outputEndsLeftToFail -= 1;
        throw new OperationError('no-buffer', 'the kernel refuses', { op: what });
      }
      isClosed = true;
      work();
    });
  return {
    get interfaces() {
      return buffer.interfaces.map(({ port, state }, at) => ({
        name: nameOf(at),
        ...(state === 'lost' ? { state, reason: whatWasTaken } : { state }),
        packets: port.held.length,
        bytes: port.heldBytes,
        dropped: port.drops,
        nearLimit: false,
      }));
    },
    barrier: outputBarrier,
    async release(epoch) {
      // Decided now; a process that is stopped here does it later, and that is safe.
      const decidedMs = process.host.nowMs();
      process.call('release', () => {
        world.checker.acted('release');
        world.checker.releases(epoch, decidedMs);
        buffer.release(epoch);
        world.checker.released(epoch);
        process.later(0, look);
      });
    },
    open: () =>
      end('open-buffer', () => {
        world.openBuffer();
      }),
    drop: () => end('drop-buffer', () => buffer.drop()),
    look: () => process.later(0, look),
    held,
    listen(to) {
      listener = to;
      lookLater();
    },
    onLoss(to) {
      onLoss = to;
    },
    close() {
      isClosed = true;
    },
  };
}
