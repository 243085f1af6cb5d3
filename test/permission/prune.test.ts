import { mkdtempSync, readdirSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { systemChance } from '../../src/host/clock.ts';
import { systemFiles } from '../../src/host/files.ts';
import { systemProcesses } from '../../src/host/process-id.ts';
import { Store } from '../../src/host/store.ts';
import { listRecords, pruneRecords } from '../../src/permission/prune.ts';
import { openRecord } from '../../src/permission/record.ts';
import { store } from '../fixtures/here.ts';
import { recordUuid as uuid } from '../fixtures/record-uuid.ts';

const day = 24 * 60 * 60;
const now = new Date('2026-11-22T00:00:00Z');
const clock = { nowMs: () => 0, wall: () => now };
const ports = { store, clock, processes: systemProcesses() };

function sessionName(number: number): string {
  return number.toString(16).padStart(32, '0');
}

/** Sets the age of every file whose name begins so. */
function age(dir: string, prefix: string, days: number): void {
  const seconds = now.getTime() / 1000 - days * day;
  for (const name of readdirSync(dir).filter((entry) => entry.startsWith(prefix))) {
    utimesSync(join(dir, name), seconds, seconds);
  }
}

type End = 'standby' | 'activating' | 'active' | 'promised' | 'lost';

/** A folder with one record per entry: how it ended, and how many days ago. */
async function folder(entries: readonly (readonly [End, number])[]): Promise<string> {
  const dir = mkdtempSync(join(tmpdir(), 'tsremus-prune-'));
  for (const [index, [end, days]] of entries.entries()) {
    const record = openRecord(dir, uuid, sessionName(index), ports);
    await record.prepare();
    await record.create({});
    if (end === 'promised') await record.move('standby', 'promised', {});
    const isActive = end === 'active' || end === 'lost';
    if (end === 'activating' || isActive) await record.move('standby', 'activating', {});
    if (isActive) await record.move('activating', 'active', {});
    if (end === 'lost') await record.lose({});
    age(dir, `${uuid}.${sessionName(index)}`, days);
  }
  return dir;
}

async function left(dir: string): Promise<readonly number[]> {
  return (await listRecords(dir, store)).map(({ session }) => Number.parseInt(session, 16));
}

describe('pruneRecords', () => {
  it('removes what is decided and old, and nothing else', async () => {
    const dir = await folder([
      ['promised', 31],
      ['active', 31],
      ['standby', 300],
      ['activating', 300],
      ['promised', 29],
      ['active', 0],
      ['promised', -300],
    ]);
    const removed = await pruneRecords(dir, ports, { keepMin: 0 });
    expect(removed.map(({ session }) => Number.parseInt(session, 16)).sort()).toEqual([0, 1]);
    expect(await left(dir)).toEqual([2, 3, 4, 5, 6]);
    expect(readdirSync(dir).filter((name) => name.includes(sessionName(1)))).toEqual([]);
  });

  it('keeps the newest ones however old they are', async () => {
    const dir = await folder([
      ['promised', 50],
      ['promised', 40],
      ['promised', 60],
    ]);
    await pruneRecords(dir, ports, { keepMin: 2 });
    expect(await left(dir)).toEqual([0, 1]);
  });

  it('keeps what it cannot read', async () => {
    const dir = await folder([['promised', 99]]);
    writeFileSync(join(dir, `${uuid}.${sessionName(0)}.decision`), 'damaged');
    age(dir, uuid, 99);
    expect(await pruneRecords(dir, ports, { keepMin: 0 })).toEqual([]);
  });

  it('removes what crashes left, after a day', async () => {
    const dir = await folder([]);
    const orphan = `${uuid}.${sessionName(9)}.decision`;
    const temporary = `.${uuid}.${sessionName(9)}.standby.0123456789abcdef.tmp`;
    const files = [orphan, temporary, 'README', 'notes.tmp'];
    for (const name of files) writeFileSync(join(dir, name), '');
    age(dir, '', 0.5);
    await pruneRecords(dir, ports);
    expect(readdirSync(dir).sort()).toEqual([...files].sort());
    age(dir, '', 2);
    await pruneRecords(dir, ports);
    expect(readdirSync(dir).sort()).toEqual(['README', 'notes.tmp']);
  });

  // Proves: what is left where a removal was cut short is no record, or still says what it said.
  it.each(['active', 'lost'] as const)(
    'leaves no record that says less than %s, wherever it stops',
    async (end) => {
      let isWhole = false;
      for (let steps = 0; !isWhole; steps += 1) {
        const dir = await folder([[end, 99]]);
        const gone: string[] = [];
        class Stopping extends Store {
          override async removeFile(path: string): Promise<void> {
            if (gone.length === steps) throw new Error('the power failed');
            gone.push(path);
            await super.removeFile(path);
          }
        }
        const stopping = new Stopping(systemFiles, systemChance);
        const pruned = pruneRecords(dir, { ...ports, store: stopping }, { keepMin: 0 });
        isWhole = await pruned.then(
          () => true,
          () => false,
        );
        expect(gone.length).toBeLessThanOrEqual(steps);
        const state = await openRecord(dir, uuid, sessionName(0), ports).read();
        expect(state?.permission ?? end).toBe(end);
      }
    },
  );

  it('finds nothing in a folder that is not there', async () => {
    expect(await pruneRecords('/no/such/dir', ports)).toEqual([]);
  });
});
