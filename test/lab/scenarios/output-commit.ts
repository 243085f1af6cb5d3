/**
 * Output commit at the death of a host: clients outside talk TCP to the guest, and what they were
 * told stays true. Without the buffer the same checks find that it does not.
 */
import { type GuestState, guestState, sleep, verifyGuest } from '../lab.ts';
import { peek, status } from '../session.ts';
import { guestHistory, setFlow, startSink } from '../traffic.ts';
import { Clients, small } from './clients.ts';
import {
  checkLoss,
  decidedMs,
  firstAnswer,
  measureSteps,
  type Variant,
  variantOf,
} from './death.ts';
import type { Scenario } from './scenario.ts';
import type { Trial } from './trial.ts';

/** Of the trials that show what the checks find where nothing is buffered. */
const gentleRate = 200;
/** A few datagrams beside the TCP connections: said twice, they show it by themselves. */
const datagramBytesPerSecond = 64 * 1024;

interface Death {
  readonly guest: string;
  readonly clients: Clients;
  readonly before: GuestState;
  readonly killedMs: number;
  readonly stopSink: Awaited<ReturnType<typeof startSink>>;
}

/** A guest with clients, protected, and its host killed at a random moment. */
async function killUnderClients(
  trial: Trial,
  { kind: wish, rate }: Variant,
  buffered: boolean,
): Promise<Death> {
  const kind = trial.kindFor(wish);
  const guest = await trial.createGuest('a', kind, rate, undefined, small);
  const before = await guestState(guest);
  await trial.protect('a', guest, 1, { buffered });
  const stopSink = await startSink();
  trial.atEnd(async () => void (await stopSink()));
  await setFlow(guest, 'udp4', datagramBytesPerSecond);
  const clients = await Clients.connect(trial, guest);
  const waitMs = trial.random.between(0, 4000);
  trial.say(`${guest}: ${kind}, ${rate} pages/s, killed after ${Math.round(waitMs)} ms`);
  await sleep(waitMs);
  const killedMs = await trial.kill('a');
  return { guest, clients, before, killedMs, stopSink };
}

/** It can have been suspended once for the seed and once for each epoch that it is made of. */
async function checkActivation(trial: Trial, death: Death): Promise<void> {
  const { guest, before } = death;
  const copy = await peek(trial.lab, 'b', guest, 'backup');
  const most = before.suspends + (copy?.epoch ?? 0) + 1;
  const last = (await guestHistory(guest)).at(-1);
  trial.check(`${guest}: ${most} suspensions or fewer`, (last?.suspends ?? 0) <= most, last);
}

async function commitAcrossKill(trial: Trial, index: number): Promise<void> {
  const death = await killUnderClients(trial, variantOf(index), true);
  const { guest, clients, before, killedMs } = death;
  const { state } = await firstAnswer(trial, guest, killedMs);
  const first = await trial.capture.waitFor(
    (beacon) => beacon.guest === guest && beacon.host === 'b',
  );
  await clients.waitAlive(first.timeMs);
  await checkActivation(trial, death);
  // What was on its way from the dead host has come by then, and the survivor says nothing before.
  const unsaid = await clients.countUnsaid(await decidedMs(trial, guest));
  trial.checkEqual('numbers that the survivor does not know', unsaid, 0);
  trial.reviveInBackground('a');
  checkLoss(trial, guest, killedMs, { buffered: true });
  await measureSteps(trial, guest, killedMs);
  await setFlow(guest, 'udp4', 0);
  clients.checkUnbroken();
  const sunk = await death.stopSink();
  trial.check('no datagram said twice or damaged', sunk.flows[0]?.again === 0, sunk);
  trial.checkEqual('damaged datagrams', sunk.damaged, 0);
  await trial.checkContinues(guest, before, state);
  await trial.checkDomains('b', [guest]);
  const after = await status(trial.lab, 'b', guest);
  const end = after.sessions.find((entry) => entry.role === 'backup')?.state;
  trial.checkEqual('state on hostb', end, 'active');
  trial.checkEqual('exit code of status on hostb', after.code, 2);
}

/**
 * Without the buffer a client's connection may stand still for good: the survivor waits for what
 * the guest, before, had acknowledged. So what it was told is compared first.
 */
async function unbufferedKill(trial: Trial, index: number): Promise<void> {
  const { kind } = variantOf(index);
  const death = await killUnderClients(trial, { kind, rate: gentleRate }, false);
  const { guest, clients } = death;
  await trial.firstAnswer(guest);
  await checkActivation(trial, death);
  const unsaid = await clients.countUnsaid(await decidedMs(trial, guest));
  trial.measure('numbers_unsaid', unsaid);
  const alive = await clients.goOn(Date.now(), 10_000);
  trial.reviveInBackground('a');
  const breaks = clients.countBreaks() + (alive ? 0 : 1);
  trial.measure('breaks', breaks);
  const { again } = (await death.stopSink()).flows[0] ?? { again: 0 };
  trial.measure('datagrams_twice', again);
  const seen = { unsaid, breaks, again };
  trial.check('numbers that the survivor does not know', unsaid > 0, seen);
  trial.check('a connection that breaks, or datagrams twice', breaks + again > 0, seen);
  const verified = await verifyGuest(guest);
  trial.check('memory of one moment all the same', verified.ok, verified);
}

export const outputCommit: Scenario = {
  name: 'output-commit',
  proves:
    'across the death of a host the same TCP connections go on, and nothing that was said is unsaid',
  tier: 'core',
  shows: ['output-commit', 'whole-epochs', 'one-active', 'host-dies'],
  trials: { ci: 2, soak: 20, core: 1 },
  seconds: 80,
  run: commitAcrossKill,
};

export const outputUnbuffered: Scenario = {
  name: 'output-unbuffered',
  proves: 'without the buffer the same checks find numbers unsaid and connections broken',
  tier: 'turn',
  shows: [],
  trials: { ci: 1, soak: 4 },
  seconds: 70,
  run: unbufferedKill,
};
