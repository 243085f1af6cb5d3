/**
 * The sessions of `tsremus resync`, over a real link in memory: what they do with disks that are
 * played here, and when they take the other host for dead. That the disks become equal is for
 * test/e2e/disks.test.ts.
 */
import { createHash } from 'node:crypto';
import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { resyncSilenceMsMax } from '../../src/core/limits.ts';
import type { ComparedDisk } from '../../src/disk/port.ts';
import { systemTimers } from '../../src/host/clock.ts';
import { silentLog } from '../../src/host/log.ts';
import type { HelloContent } from '../../src/link/connect.ts';
import { nextMessage } from '../../src/link/hello.ts';
import { Link } from '../../src/link/link.ts';
import type { BackupConnection } from '../../src/session/primary/protection.ts';
import { DisksLink } from '../../src/session/resync/link.ts';
import { Ended, type ResyncPorts, type ResyncSetting } from '../../src/session/resync/primary.ts';
import { compareDisks } from '../../src/session/resync/verify.ts';
import { DiskQuestions } from '../../src/stream/disk-questions.ts';
import { acceptedMessage, helloMessage, ManualTime, operationError } from '../link/support.ts';

const blockBytes = 65_536;

/** Both ends of a link; HELLO is exchanged. */
async function linked(time: { clock: ManualTime; timers: typeof systemTimers | ManualTime }) {
  const [there, back] = [new PassThrough(), new PassThrough()];
  const primary = new Link(back, there, { role: 'primary', ...time });
  const backup = new Link(there, back, { role: 'backup', ...time });
  primary.send(helloMessage);
  backup.send(acceptedMessage);
  const patience = { timers: systemTimers };
  await Promise.all([
    nextMessage(primary, 'hosta', patience),
    nextMessage(backup, 'hostb', patience),
  ]);
  const connection = {
    link: primary,
    reply: acceptedMessage,
    there: (line: string) => `ssh hosta ${line}`,
    close: (reason: string) => primary.close(reason),
  } as unknown as BackupConnection;
  return { primary, backup, connection };
}

/** A disk whose blocks are letters. */
class Letters implements ComparedDisk {
  readonly name: string;
  readonly facts;
  letters: string;
  asked = 0;
  isClosed = false;

  constructor(name: string, letters: string) {
    this.name = name;
    this.letters = letters;
    const sizeBytes = letters.length * blockBytes - (blockBytes - 512);
    this.facts = { name, sizeBytes, sectorBytes: 512, generation: 0 };
  }

  async digests(first: number, count: number): Promise<Buffer> {
    this.asked += 1;
    const blocks = [...this.letters.slice(first, first + count)];
    return Buffer.concat(blocks.map((one) => createHash('sha256').update(one).digest()));
  }

  async close(): Promise<void> {
    this.isClosed = true;
  }
}

async function compared(
  here: readonly Letters[],
  there: readonly Letters[],
  onAsked: (times: number) => void = () => {},
  by: { bytesPerSecond?: number; ending?: AbortController } = {},
) {
  const clock = new ManualTime();
  const { backup, connection } = await linked({ clock, timers: systemTimers });
  const said: HelloContent[] = [];
  let times = 0;
  const answers = there.map((disk, number) => {
    return new DiskQuestions({
      disk,
      onDigests: (answer) => void backup.send({ kind: 'digests', disk: number, ...answer }),
      onError: (error) => backup.fail(error),
    });
  });
  backup.listen({
    message(message) {
      if (message.kind !== 'compare') return;
      times += 1;
      onAsked(times);
      answers[message.disk]?.ask(message);
    },
    close() {},
  });
  const ports = {
    clock,
    timers: {
      ...systemTimers,
      after: (ms: number, run: () => void) => {
        // Only its order counts here.
        clock.advance(ms < 1_000 ? 0 : ms);
        return systemTimers.after(ms < 1_000 ? ms : 1, run);
      },
    },
    chance: { bytes: (count: number) => Buffer.alloc(count, 7) },
    settings: { hostName: 'hostb' },
    backup: {
      async connect(hello: HelloContent) {
        said.push(hello);
        return connection;
      },
    },
    disks: { name: 'mirror', openCompared: async () => here },
  } as unknown as ResyncPorts;
  const guest = { name: 'web1', ref: { uuid: helloMessage.uuid }, spec: {}, memoryBytes: 1 };
  const spec = {
    hypervisor: 'xen',
    name: 'web1',
    uuid: helloMessage.uuid,
    config: Buffer.alloc(1),
  };
  const set = {
    options: { host: 'hosta', compression: true, bytesPerSecond: null, argv: ['resync'], ...by },
    reporter: { seedProgress() {}, event() {} },
    guest: { ...guest, spec },
    log: silentLog,
    ending: by.ending ?? new AbortController(),
  } as unknown as ResyncSetting;
  return { run: () => compareDisks(ports, set), said };
}

describe('a comparison', () => {
  it('finds what differs, at the end of a disk and of another one', async () => {
    const here = [new Letters('xvda', 'abcdef'), new Letters('xvdb', 'abc')];
    const there = [new Letters('xvda', 'abXYeZ'), new Letters('xvdb', 'abc')];
    const { run, said } = await compared(here, there);
    expect(await run()).toMatchObject({
      bytes: 5 * blockBytes + 512 + 2 * blockBytes + 512,
      differentBytes: 2 * blockBytes + 512,
      ranges: [
        { disk: 'xvda', at: 2 * blockBytes, bytes: 2 * blockBytes },
        { disk: 'xvda', at: 5 * blockBytes, bytes: 512 },
      ],
      more: 0,
    });
    expect(said).toMatchObject([{ purpose: 'verify', domain: 'web1', cacheBytes: 0 }]);
    expect(here.every(({ isClosed }) => isClosed)).toBe(true);
  });

  it('looks again at what differed, which may have been on its way', async () => {
    const here = [new Letters('xvda', 'abcd')];
    const there = [new Letters('xvda', 'aXYd')];
    const [disk] = there;
    const { run } = await compared(here, there, (times) => {
      if (times === 2 && disk !== undefined) disk.letters = 'abYd';
    });
    const { ranges } = await run();
    expect(ranges).toEqual([{ disk: 'xvda', at: 2 * blockBytes, bytes: blockBytes }]);
  });

  it('keeps a stated number of ranges, and counts the others', async () => {
    const blocks = 10_000;
    const here = [new Letters('xvda', 'ab'.repeat(blocks / 2))];
    const there = [new Letters('xvda', 'aX'.repeat(blocks / 2))];
    const { run } = await compared(here, there);
    const found = await run();
    expect(found.ranges).toHaveLength(4_096);
    expect(found.more).toBe(blocks / 2 - 4_096);
    expect(found.differentBytes).toBeGreaterThan((blocks / 2 - 1) * blockBytes);
  });

  it('is an error where the other host answers what was not asked', async () => {
    const here = [new Letters('xvda', 'abcd')];
    const short = new Letters('xvda', 'abcd');
    short.digests = async () => Buffer.alloc(32);
    const { run } = await compared(here, [short]);
    expect(await operationError(run)).toMatchObject({ code: 'protocol' });
    expect(here[0]?.isClosed).toBe(true);
  });

  it('is ended by a signal, and says by which', async () => {
    const ending = new AbortController();
    const there = [new Letters('xvda', 'abcd')];
    const end = () => ending.abort(new Ended('sigterm'));
    const { run } = await compared([new Letters('xvda', 'abcd')], there, end, { ending });
    await expect(run()).rejects.toMatchObject({ name: 'Ended', by: 'sigterm' });
  });
});

describe('a link of disks', () => {
  async function watched() {
    const time = new ManualTime();
    const { backup, connection } = await linked({ clock: time, timers: time });
    const options = { host: 'hosta', connection, hint: 'again', onMessage() {} };
    const link = new DisksLink({ clock: time, timers: time }, options);
    const failure = operationError(() => link.failed);
    return { time, backup, link, failure };
  }
  const turn = () => new Promise((resolve) => setImmediate(resolve));

  it('is given up when nothing was heard for long', async () => {
    const { time, link, failure } = await watched();
    await turn();
    for (let ms = 0; ms <= resyncSilenceMsMax; ms += 1_000) time.advance(1_000);
    time.advance(0);
    expect(await failure).toMatchObject({ code: 'peer-unreachable', hint: 'again' });
    link.stop();
  });

  it('is not given up as long as something is heard', async () => {
    const { time, backup, link } = await watched();
    let isOver = false;
    link.failed.catch(() => {
      isOver = true;
    });
    for (let ms = 0; ms <= 3 * resyncSilenceMsMax; ms += 1_000) {
      backup.send({ kind: 'echo', seq: ms });
      await turn();
      time.advance(1_000);
      time.advance(0);
    }
    await turn();
    expect(isOver).toBe(false);
    link.stop();
  });

  it('tells what the other host says, and what to type there', async () => {
    const { backup, failure, link } = await watched();
    backup.send({ kind: 'error', code: 'storage', text: 'no space', hint: 'df -h' });
    const error = await failure;
    expect(error).toMatchObject({ code: 'storage', hint: 'ssh hosta df -h' });
    expect(error.message).toBe('hosta says: no space');
    link.stop();
  });
});
