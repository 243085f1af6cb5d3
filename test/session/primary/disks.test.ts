/** The disks of a guest in the primary's session: copied first, and lost. */
import { describe, expect, it } from 'vitest';
import type { PrimaryOutcome } from '../../../src/core/primary/types.ts';
import type { PrimaryDisk, PrimaryDiskEvents } from '../../../src/disk/port.ts';
import { systemClock, systemTimers } from '../../../src/host/clock.ts';
import { silentLog } from '../../../src/host/log.ts';
import type { Hypervisor, SaveOptions } from '../../../src/hypervisor/port.ts';
import type { ControlMessage } from '../../../src/link/link.ts';
import { nullBuffer } from '../../../src/output/port.ts';
import { type PrimaryParts, PrimarySession } from '../../../src/session/primary/session.ts';

class PlayedDisk implements PrimaryDisk {
  readonly shared = null;
  readonly name: string;
  readonly barrier: number;
  readonly facts = { name: 'xvda', sizeBytes: 1000, sectorBytes: 512, generation: 0 };
  firstCopy = { doneBytes: 250, totalBytes: 1000, equalBytes: 50 };
  events: PrimaryDiskEvents | null = null;
  readonly told: string[] = [];
  copied: () => void = () => {};
  readonly #copied = new Promise<void>((resolve) => {
    this.copied = resolve;
  });

  constructor(name: string, barrier: number) {
    this.name = name;
    this.barrier = barrier;
  }

  listen(events: PrimaryDiskEvents): void {
    this.events = events;
  }

  read() {
    return null;
  }

  digests(first: number, digests: Buffer): void {
    this.told.push(`${first} ${digests}`);
  }

  nearlyCopied(): Promise<void> {
    return this.#copied;
  }

  endFirst(): void {}
  async check(): Promise<void> {}
  async close(): Promise<void> {}
}

function play(unbegun: { readonly guest: object } | null = null) {
  const disks = [new PlayedDisk('xvda', 11), new PlayedDisk('xvdb', 12)];
  const saves: SaveOptions[] = [];
  const said: ControlMessage[] = [];
  const hypervisor = {
    info: async () => unbegun?.guest ?? { state: 'here', paused: false, memoryBytes: 1 << 20 },
    otherSaver: () => null,
    startSave: (_guest: unknown, options: SaveOptions) => {
      if (unbegun !== null) throw new Error('cannot save domain 7');
      saves.push(options);
      return {
        checkpoint: () => true,
        read: () => 0,
        abort: () => options.onEvent({ kind: 'ended', end: { kind: 'aborted', left: 'runs' } }),
      };
    },
  };
  const link = {
    send: (message: ControlMessage) => said.push(message) > 0,
    fail() {},
    close: async () => {},
  };
  const parts = {
    config: {
      ...{ heartbeatTimeoutMs: 60_000, holdMs: 3000, buffered: true, pendingMax: 2 },
      ...{ askEveryMs: 1000, withoutWitness: 'backup' as const },
      schedule: { kind: 'fixed', intervalMs: 200 },
    },
    ...{ clock: systemClock, timers: systemTimers, guest: { uuid: 'u', id: 7 }, name: 'u' },
    ...{
      queueBytes: 1 << 20,
      saveHelper: 'own' as const,
      log: silentLog,
      pulse: null,
      output: nullBuffer,
      disks,
    },
    diskEncoders: [{}, {}] as unknown as PrimaryParts['diskEncoders'],
    spec: {} as PrimaryParts['spec'],
    hypervisor: hypervisor as unknown as Hypervisor,
    link: link as unknown as PrimaryParts['link'],
    encoder: {} as PrimaryParts['encoder'],
    askFresh: () => Promise.reject(new Error('nobody to ask')),
    onChange() {},
    onPause() {},
    onDisksCopied() {},
    onForceRefused() {},
  } satisfies PrimaryParts;
  const session = new PrimarySession(parts);
  return { session, disks, saves, said };
}

const settled = async () => {
  for (let turns = 0; turns < 8; turns += 1) await new Promise((resolve) => setImmediate(resolve));
};

describe('the disks of a guest', () => {
  it('are copied before its memory, all of them', async () => {
    const { session, disks, saves, said } = play();
    const over = session.run();
    await settled();
    expect(session.state.phase).toBe('seeding');
    expect(said.some(({ kind }) => kind === 'heartbeat')).toBe(true);
    expect(session.copyingDisks).toEqual({ doneBytes: 500, totalBytes: 2000, equalBytes: 100 });
    disks[0]?.copied();
    await settled();
    expect(saves).toEqual([]);
    disks[1]?.copied();
    await settled();
    // Before the output buffer's, which is none here.
    expect(saves.map(({ barriers }) => barriers)).toEqual([[11, 12]]);
    expect(session.copyingDisks).toBe(null);
    session.stop(false, 'command');
    expect(await over).toEqual({ kind: 'stopped', by: 'command' });
  });

  it('are compared with those of the other host', async () => {
    const { session, disks, said } = play();
    const over = session.run();
    await settled();
    disks[1]?.events?.compare(512, 256);
    expect(said.at(-1)).toEqual({ kind: 'compare', disk: 1, first: 512, count: 256 });
    const digests = Buffer.from('held');
    session.onMessage({ kind: 'digests', disk: 1, first: 512, digests });
    expect(disks.map(({ told }) => told)).toEqual([[], ['512 held']]);
    session.stop(false, 'command');
    await over;
  });

  it('end with a stop while they are copied: no save is ever begun', async () => {
    const { session, disks, saves } = play();
    const over = session.run();
    await settled();
    session.stop(false, 'sigint');
    expect(await over).toEqual({ kind: 'stopped', by: 'sigint' });
    for (const disk of disks) disk.copied();
    await settled();
    expect(saves).toEqual([]);
  });

  it('end protection when one is lost, in order', async () => {
    const { session, disks } = play();
    const over = session.run();
    await settled();
    disks[1]?.events?.lost('input/output error');
    const outcome = (await over) as Extract<PrimaryOutcome, { kind: 'never-protected' }>;
    expect(outcome.kind).toBe('never-protected');
    expect(outcome.reason).toBe('a disk was lost: disk xvdb: input/output error');
  });

  // Proves: what cannot be begun behind them ends protection in order, as what fails later does.
  it.each([
    [{ state: 'here', paused: false, memoryBytes: 1 << 20 }, 'never-protected'],
    [{ state: 'dying', paused: false, memoryBytes: 1 << 20 }, 'guest-ended'],
  ])('are copied, and then the guest (%o) cannot be saved', async (guest, kind) => {
    const { session, disks } = play({ guest });
    const over = session.run();
    await settled();
    for (const disk of disks) disk.copied();
    const outcome = (await over) as { readonly kind: string; readonly reason?: string };
    expect(outcome.kind).toBe(kind);
    if (kind === 'never-protected') expect(outcome.reason).toContain('cannot save domain 7');
  });

  it('ask for an early checkpoint', async () => {
    const { session, disks } = play();
    const over = session.run();
    await settled();
    disks[0]?.events?.filling();
    expect(session.state.diskFilling).toBe(true);
    session.stop(false, 'command');
    await over;
  });
});
