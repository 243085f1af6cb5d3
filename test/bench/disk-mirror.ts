/**
 * What a guest's reads and writes cost under the mirror, on Debian's stock kernel: the case `speed`
 * of `npm run test:disk`, in its emulated machine. What is below the mirror is measured in turns
 * with it, so ratios hold where times do not.
 */
import { ensureMachine, type MachineRun, runMachine } from '../disk/kernel/machine.ts';
import { LabError } from '../lab/command.ts';
import type { Scale } from './options.ts';
import { atLeast, rounded, type Section, type Table, type Target } from './report.ts';

/** Only a hang takes as long. */
const timeoutMs = 1_800_000;
const mib = 2 ** 20;

type Where = 'bare' | 'mirror' | 'hop';

/** What was done in a second or so. */
export interface Turn {
  readonly where: Where;
  readonly what: 'read' | 'write';
  readonly length: number;
  readonly depth: number;
  readonly operations: number;
  readonly ms: number;
}

/** The figures in what the case `speed` printed (test/disk/kernel/cases). */
export function turnsIn(said: string): Turn[] {
  const lines = said.matchAll(
    /figure: speed: where=(\w+) what=(\w+) length=(\d+) depth=(\d+) operations=(\d+) ms=(\d+)/g,
  );
  return [...lines].map(([, where, what, ...numbers]) => {
    const [length = 0, depth = 0, operations = 0, ms = 0] = numbers.map(Number);
    return { where: where as Where, what: what as Turn['what'], length, depth, operations, ms };
  });
}

/** Turns of one kind, wherever they were. */
type Load = Pick<Turn, 'what' | 'length' | 'depth'>;

const isSame = (one: Load, other: Load) =>
  one.what === other.what && one.length === other.length && one.depth === other.depth;

const nameOf = ({ what, length, depth }: Load) =>
  `${what} ${length === mib ? '1 MiB' : `${length / 1024} KiB`}, ${depth} under way`;

/** Operations a second, of the best turn: whatever else runs only takes away. */
function rateOf(turns: readonly Turn[], load: Load, where: Where): number {
  const its = turns.filter((turn) => turn.where === where && isSame(turn, load));
  return Math.max(0, ...its.map(({ operations, ms }) => (operations / ms) * 1e3));
}

function loadsIn(turns: readonly Turn[]): Load[] {
  return turns.filter((turn, at) => turns.findIndex((one) => isSame(one, turn)) === at);
}

function rateTable(turns: readonly Turn[]): Table {
  return {
    title: 'Operations a second of a guest, the disk of the machine is in memory',
    columns: ['', 'bare volume', 'with the mirror', 'of bare'],
    rows: loadsIn(turns).map((load) => {
      const [bare, mirror] = [rateOf(turns, load, 'bare'), rateOf(turns, load, 'mirror')];
      return [nameOf(load), rounded(bare), rounded(mirror), rounded(mirror / bare)];
    }),
  };
}

/** Of a write: what each leg takes by itself, and what both take behind the mirror. */
function hopTable(turns: readonly Turn[]): Table {
  return {
    title: 'A write, ms from its beginning to its end',
    columns: ['', 'own disk', 'NBD to a process and back', 'mirror', 'share of NBD'],
    rows: loadsIn(turns)
      .filter(({ what }) => what === 'write')
      .map((load) => {
        const msOf = (where: Where) => (load.depth * 1e3) / rateOf(turns, load, where);
        const [bare, hop, mirror] = [msOf('bare'), msOf('hop'), msOf('mirror')];
        const share = `${Math.round((100 * hop) / mirror)} %`;
        return [nameOf(load), rounded(bare), rounded(hop), rounded(mirror), share];
      }),
  };
}

/** A disk that is faster than this is no disk to compare the writes with. */
const bareWritesMax = 5_000;

function targetsOf(turns: readonly Turn[]): Target[] {
  return loadsIn(turns).flatMap((load) => {
    const bare = rateOf(turns, load, 'bare');
    const ratio = rateOf(turns, load, 'mirror') / bare;
    if (load.what === 'read') return [atLeast(`${nameOf(load)}, of bare`, ratio, 'x', 0.9)];
    if (load.depth === 1 || bare > bareWritesMax) return [];
    return [atLeast(`${nameOf(load)}, of bare`, ratio, 'x', 0.7)];
  });
}

/** The section of what the machine said. */
export function sectionOf(turns: readonly Turn[], kernel: string): Section {
  const isFast = loadsIn(turns).some(
    (load) =>
      load.what === 'write' && load.depth > 1 && rateOf(turns, load, 'bare') > bareWritesMax,
  );
  return {
    name: 'disk-mirror',
    tables: [rateTable(turns), hopTable(turns)],
    limits: [
      `Linux ${kernel} in QEMU: where it is emulated, a change of process costs milliseconds, ` +
        'and the way to the capture and back consists of them. Both legs are written at once.',
      ...(isFast
        ? [`A bare disk of more than ${bareWritesMax} writes a second has no target for them.`]
        : []),
    ],
    targets: targetsOf(turns),
    skipped: [],
    raw: { turns },
  };
}

async function runCase(): Promise<MachineRun & { readonly kernel: string }> {
  const machine = await ensureMachine(() => {});
  const run = await runMachine(machine, ['speed'], { timeoutMs });
  return { ...run, kernel: machine.kernel.release };
}

/** Needs root and the lab's tools, as `npm run test:disk` does. */
export async function diskMirror(_scale: Scale): Promise<Section> {
  try {
    const { said, kernel } = await runCase();
    if (/^CASE speed code=0 /m.test(said)) return sectionOf(turnsIn(said), kernel);
    throw new Error(`the case speed failed:\n${said.slice(-4_000)}`);
  } catch (error) {
    if (!(error instanceof LabError)) throw error;
    const skipped = [`the mirror on a kernel of its own: ${error.message}`];
    return { name: 'disk-mirror', tables: [], limits: [], targets: [], skipped, raw: {} };
  }
}
