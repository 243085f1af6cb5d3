/**
 * What it costs a process that holds epoch buffers to start another one, as a process of its own:
 * saves one simxl guest through libtsremus, reads nothing, so that the whole seed stays in the
 * session's buffers, and starts the transport's command again and again, as a session does that
 * asks the backup for its promise over a fresh run.
 *
 *     spawner.ts '{"guest":"g1","spawns":20,"bytes":1073741824}'
 *
 * `bytes` of ordinary buffers are held last, instead: what the session's own would cost if a
 * child got a copy of their page tables. One line of JSON on stdout is the result.
 */
import { systemTimers } from '../../src/host/clock.ts';
import { openTransport } from '../../src/link/transport.ts';
import { transportCommand } from '../../src/link/transport-command.ts';
import { XenLibrary } from '../../src/native/xen.ts';

export interface SpawnerPlan {
  readonly guest: string;
  readonly spawns: number;
  readonly bytes: number;
}

/** For how long each spawn kept the event loop, ns. */
export interface SpawnerResult {
  readonly nothing: readonly number[];
  readonly epochs: readonly number[];
  readonly ordinary: readonly number[];
  /** What the session held while `epochs` was measured. */
  readonly epochBytes: number;
  readonly ordinaryBytes: number;
}

/** Bigger than the seed: nothing of it is read. */
const limitBytes = 16 * 2 ** 30;
const blockBytes = 16 * 2 ** 20;

async function spawns(count: number): Promise<number[]> {
  const ns: number[] = [];
  for (let n = 0; n < count; n++) {
    const command = transportCommand('true', '');
    const startNs = process.hrtime.bigint();
    const transport = openTransport(command, { timers: systemTimers, env: process.env });
    ns.push(Number(process.hrtime.bigint() - startNs));
    await transport.exited;
  }
  return ns;
}

/** A session whose seed was drained and is read by nobody. */
async function heldSeed(library: XenLibrary, domid: number) {
  let onSeed: (bytes: number) => void = () => {};
  let onEnded: () => void = () => {};
  const seed = new Promise<number>((resolve) => {
    onSeed = resolve;
  });
  const ended = new Promise<void>((resolve) => {
    onEnded = resolve;
  });
  const handle = library.saveStart(domid, limitBytes, [], (event) => {
    if (event.kind === 'failed') throw new Error(event.text);
    if (event.kind === 'epoch-end') onSeed(event.b);
    if (event.kind === 'ended') onEnded();
  });
  return {
    bytes: await seed,
    async end() {
      library.saveAbort(handle);
      await ended;
      await library.saveFree(handle);
    },
  };
}

const sizeOf = (held: readonly Buffer[]) => held.reduce((sum, { length }) => sum + length, 0);

async function run(plan: SpawnerPlan): Promise<SpawnerResult> {
  const library = new XenLibrary();
  await library.openXen(process.env['TSREMUS_LIBXL'] ?? '');
  await spawns(3); // what Node loads for the first one
  const nothing = await spawns(plan.spawns);
  const session = await heldSeed(library, await library.domainId(plan.guest));
  const epochs = await spawns(plan.spawns);
  await session.end();
  const held: Buffer[] = [];
  for (let n = 0; n < plan.bytes; n += blockBytes) held.push(Buffer.alloc(blockBytes, 1));
  const ordinary = await spawns(plan.spawns);
  return { nothing, epochs, ordinary, epochBytes: session.bytes, ordinaryBytes: sizeOf(held) };
}

process.stdout.write(
  `${JSON.stringify(await run(JSON.parse(process.argv[2] ?? '{}') as SpawnerPlan))}\n`,
);
