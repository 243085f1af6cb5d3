/**
 * What the marks of a guest's disk have LVM do, in the machine of machine.ts, by the code that
 * ships. `marks.js DIR TARGET WORD`, of the guest and session of mirror.ts:
 *
 *   alone   the guest goes on here without its copy
 *   hold    a session has TARGET for a copy, until SIGTERM; DIR gets held
 *   take    the same, and the copy takes over
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { backupDisks } from '../../../src/app/backup-disks.ts';
import { goOnAlone } from '../../../src/app/disks.ts';
import { thisHost } from '../../../src/app/host.ts';
import type { GuestSpec } from '../../../src/hypervisor/port.ts';

const [dir = '', target = '', word = ''] = process.argv.slice(2);

const uuid = '11111111-2222-3333-4444-555555555555';
const session = 'a'.repeat(32);
const disks = [{ name: 'xvda', target, format: 'raw', script: null }];
const guest = { name: 'guest', uuid, writableDisks: disks } as unknown as GuestSpec;
/** As cases makes the volume; newer than whatever ran here. */
const facts = {
  ...{ name: 'xvda', sizeBytes: 64 * 1024 * 1024, sectorBytes: 512, generation: 9 },
  mayOverwrite: true,
};

const host = thisHost({ ...process.env, TSREMUS_RUN_DIR: join(dir, 'run') });
const say = (text: string) => console.log(`problem: ${text}`);

const told = new Promise<void>((resolve) => process.on('SIGTERM', () => resolve()));

async function main(): Promise<void> {
  if (word === 'alone') return goOnAlone(host, { uuid, session }, say);
  const driver = backupDisks(host, say);
  console.log(`brought out: ${await driver.bringOut(uuid)}`);
  const of = { session, domain: 'guest', host: 'hosta' };
  const [disk] = await driver.openBackup(guest, of, [facts]);
  if (disk === undefined) throw new Error('no disk was opened');
  disk.listen({ whole: () => {}, lost: say });
  writeFileSync(join(dir, 'held'), '');
  if (word === 'hold') await Promise.race([told, new Promise(() => setInterval(() => {}, 1000))]);
  disk.end(0);
  await disk.rollBack();
  if (word === 'take') await disk.settle();
  await driver.release(uuid);
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    say(error instanceof Error ? (error.stack ?? '') : String(error));
    process.exit(1);
  },
);
