/**
 * The last epoch of a handover: the guest here stands where the copy there begins. It is paused
 * while it is suspended, before the resume, so not one tick of it lies behind the epoch.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { XenLibrary } from '../../src/native/xen.ts';
import { type SimDomain, simPair } from './sim-host.ts';

let pair: ReturnType<typeof simPair>;

/** This process belongs to host a: the library keeps the host that it was opened for. */
beforeAll(() => {
  pair = simPair();
  Object.assign(process.env, pair.a.env);
});

afterAll(() => pair.close());

/** Takes the stream on stdin and builds the copy, which stays paused. */
function restore(guest: string): ChildProcess {
  const file = join(pair.b.dir, `${guest}.json`);
  writeFileSync(file, JSON.stringify(pair.a.config(guest)));
  const script = join(import.meta.dirname, 'side.ts');
  return spawn(process.execPath, ['--import', 'tsx', script, 'restore', file, 'finish'], {
    env: { ...process.env, ...pair.b.env },
    stdio: ['pipe', 'ignore', 'ignore'],
  });
}

/** Copies some epochs to `out`, the last of them with or without the flag. */
async function save(domid: number, last: boolean, out: NodeJS.WritableStream): Promise<void> {
  const xen = new XenLibrary();
  await xen.openXen(process.env['TSREMUS_LIBXL'] ?? '');
  const buffer = Buffer.alloc(1 << 20);
  let epochs = 0;
  await new Promise<void>((resolve, reject) => {
    const handle = xen.saveStart(domid, 1 << 28, [], (event) => {
      for (let n = xen.saveRead(handle, buffer); n > 0; n = xen.saveRead(handle, buffer)) {
        out.write(Buffer.from(buffer.subarray(0, n)));
      }
      if (event.kind === 'failed') reject(new Error(event.text));
      if (event.kind === 'ended') resolve(xen.saveFree(handle));
      if (event.kind !== 'epoch-end') return;
      epochs += 1;
      if (epochs < 5) expect(xen.saveCheckpoint(handle, last && epochs === 4)).toBe(true);
      else {
        if (last) expect(() => xen.saveCheckpoint(handle)).toThrow();
        xen.saveAbort(handle);
      }
    });
  });
  out.end();
}

const standing = ({ guest, state }: SimDomain) => ({
  state,
  ticks: guest?.ticks,
  writes: guest?.writes,
  sum: guest?.sum,
});

it.each(['pv', 'pvh', 'hvm'] as const)('of a %s guest is where both stand', async (type) => {
  const domid = pair.a.create(type, { type, rate: 20_000, more: ['--burst', '100'] });
  const backup = restore(type);
  const built = new Promise((resolve) => backup.on('close', resolve));
  if (backup.stdin === null) throw new Error('no way to the backup');
  await save(domid, true, backup.stdin);
  await built;
  const [here, there] = [pair.a.find(type), pair.b.find(`${type}--incoming`)];
  if (here === null || there === null) throw new Error('a guest is gone');
  expect(here.state).toBe('paused');
  expect(standing(there)).toEqual(standing(here));
  // What only the one that hands over gives back.
  pair.a.run('unpause', type);
  expect(pair.a.wrong(type)).toBeNull();
});

it('is run past by a guest that was not paused', async () => {
  const domid = pair.a.create('guest', { rate: 20_000, more: ['--burst', '100'] });
  const backup = restore('guest');
  const built = new Promise((resolve) => backup.on('close', resolve));
  if (backup.stdin === null) throw new Error('no way to the backup');
  await save(domid, false, backup.stdin);
  await built;
  expect(pair.a.find('guest')?.state).toBe('running');
  const ticks = pair.b.find('guest--incoming')?.guest?.ticks ?? Number.POSITIVE_INFINITY;
  expect(pair.a.find('guest')?.guest?.ticks).toBeGreaterThan(ticks);
});
