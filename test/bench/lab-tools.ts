/**
 * The two that are compared: stock `xl remus` and `tsremus protect`, with the same guest, the same
 * ssh and the same interval, started as an administrator would.
 */
import type { GuestKind } from '../lab/guest.ts';
import { guestState, type Lab, sleep, waitFor } from '../lab/lab.ts';
import { backupName, protect, waitForEpoch } from '../lab/session.ts';
import { guestName, replicationInterface, type Window } from './lab-window.ts';

export type LinkKind = 'free' | 'shaped';

export interface LabRun {
  readonly tool: string;
  readonly link: LinkKind;
  /** Arguments of protection besides -F -n -d; empty: our automatic mode. */
  readonly args: readonly string[];
  readonly seedMs: number;
  readonly windows: readonly Window[];
}

/** tc's netem in both dom0s: what each of them sends is slowed down and delayed. */
export const shaping = { rateMbit: 100, delayMs: 10 } as const;

const guestPages = 10_000;
const seedTimeoutMs = 180_000;

export interface Tool {
  readonly name: string;
  /** Starts protection; the answer is how long it took until a first whole copy was there, ms. */
  start(lab: Lab, args: readonly string[]): Promise<number>;
}

/** From the command to the end of the guest's first suspension: the pages are in ssh by then. */
async function startStock(lab: Lab, args: readonly string[]): Promise<number> {
  const { suspends } = await guestState(guestName);
  const command = `xl remus -F -n -d ${args.join(' ')} ${guestName} ${backupName('a')}`;
  const startMs = Date.now();
  await lab.ssh('a', `(setsid ${command} </dev/null >/run/stock.out 2>&1 &)`);
  return waitFor('the first checkpoint of xl remus', seedTimeoutMs, async () => {
    const state = await guestState(guestName).catch(() => null);
    return state !== null && state.suspends > suspends ? Date.now() - startMs : undefined;
  });
}

/** From the command to the backup's acknowledgement of the seed. */
async function startOurs(lab: Lab, args: readonly string[]): Promise<number> {
  const startMs = Date.now();
  await protect(lab, 'a', guestName, { args });
  await waitForEpoch(lab, 'a', guestName, 0, seedTimeoutMs);
  return Date.now() - startMs;
}

export const stock: Tool = { name: 'xl remus', start: startStock };
export const ours: Tool = { name: 'tsremus', start: startOurs };
/** The same, but libxc writes what it copies while the guest is suspended. */
export const oursStock: Tool = {
  name: 'tsremus, stock helper',
  start: (lab, args) => startOurs(lab, [...args, '--save-helper', 'stock']),
};

/** A guest as it is after its boot, alone on host A. */
export async function freshGuest(lab: Lab, kind: GuestKind): Promise<void> {
  await lab.clean();
  await lab.createGuest('a', guestName, kind, { rate: 0, pages: guestPages });
  await sleep(3000);
}

export async function setLink(lab: Lab, kind: LinkKind): Promise<void> {
  const { rateMbit, delayMs } = shaping;
  const device = `dev ${replicationInterface} root`;
  const shape = `netem rate ${rateMbit}mbit delay ${delayMs}ms limit 10000`;
  const script =
    kind === 'free'
      ? `tc qdisc del ${device} 2>/dev/null; true`
      : `modprobe sch_netem; tc qdisc replace ${device} ${shape}`;
  for (const host of ['a', 'b'] as const) {
    const { code, stderr } = await lab.ssh(host, script);
    if (code !== 0) throw new Error(`cannot shape the link of host ${host}: ${stderr.trim()}`);
  }
}
