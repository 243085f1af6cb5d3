/**
 * Somebody takes apart what holds a guest's output, on a real dom0: how many frames get out, for
 * every kind; and that a guest under protection stays protected.
 */
import { runInHost } from '../host-program.ts';
import { guestState, hangMs, sleep, waitFor } from '../lab.ts';
import { peek, protectExit, sessionLog, status, waitForEpoch } from '../session.ts';
import { setFlow } from '../traffic.ts';
import { small } from './clients.ts';
import { checkNothingLeft } from './flood.ts';
import type { Scenario } from './scenario.ts';
import type { Trial } from './trial.ts';
import { Watched } from './watched.ts';

/** A line of test/output/plug/lost-main.ts. */
interface Lost {
  readonly kind: string;
  readonly sent: number;
  readonly escaped: number;
  readonly escapedLate: number;
  readonly said: boolean;
  readonly mendedMs: number;
  readonly missing: number;
  readonly news: readonly string[];
}

/** By these the kernel drops, or the second hold does: not one frame gets out. */
const tight = ['ingress-qdisc', 'filter', 'device', 'both-devices', 'device-down', 'second-hold'];

async function countEscaped(trial: Trial, args: readonly string[]): Promise<void> {
  const program = 'test/output/plug/lost-main.ts';
  const ran = await runInHost<Lost>(trial.lab, 'a', program, args, 600_000);
  trial.check('every kind was tried', ran.code === 0 && ran.lines.length > 0, ran.stderr);
  const isAlone = args.includes('--alone');
  for (const { kind, escaped, escapedLate, said, sent, mendedMs, missing, news } of ran.lines) {
    const name = `${isAlone ? 'alone_' : ''}${kind.replaceAll('-', '_')}`;
    trial.say(`${name}: ${escaped} of ${sent} frames got out, mended in ${mendedMs} ms`);
    trial.measure(`${name}_escaped`, escaped);
    trial.measure(`${name}_mended_ms`, mendedMs);
    const details = { escaped, news };
    if (!isAlone && tight.includes(kind))
      trial.check(`${name}: none got out`, escaped === 0, details);
    trial.check(`${name}: none got out once it was told`, escapedLate === 0, details);
    trial.check(`${name}: said what got out`, said || escaped === 0, details);
    trial.checkEqual(`${name}: frames lost that were sent after it`, missing, 0);
  }
}

/** How often the session's log says it. */
async function said(trial: Trial, guest: string, what: string): Promise<number> {
  const log = await sessionLog(trial.lab, 'a', guest, 'primary');
  return log.filter(({ text }) => text.includes(what)).length;
}

/** What an administrator, or a daemon of his, may do to a protected guest. */
async function takeApart(trial: Trial): Promise<void> {
  const guest = await trial.createGuest('a', 'pv', 0, undefined, small);
  const watched = await Watched.protect(trial, 'a', [guest], { buffered: true });
  await setFlow(guest, 'udp4', 64 * 1024, 200);
  const domid = (await trial.lab.ssh('a', `xl domid ${guest}`)).stdout.trim();
  const vif = (await trial.lab.ssh('a', `ls /sys/class/net | grep '^vif${domid}\\.'`)).stdout;
  const name = vif.trim().split('\n')[0] ?? '';
  const acts = [`tc qdisc del dev ${name} clsact`, `ip link del tsr${domid}.0a`];
  for (const [at, act] of acts.entries()) {
    const done = at + 1;
    const { epoch = 0 } = (await peek(trial.lab, 'a', guest, 'primary')) ?? {};
    trial.checkEqual(`exit code of ${act}`, (await trial.lab.ssh('a', act)).code, 0);
    const isSaid = async () => (await said(trial, guest, `${name} is held again`)) >= done;
    await waitFor(`${name} to be held again`, hangMs, isSaid, { everyMs: 500 });
    await waitForEpoch(trial.lab, 'a', guest, (epoch ?? 0) + 3);
  }
  const times = await said(trial, guest, 'by somebody else');
  trial.check('the log says each', times >= acts.length, times);
  const [session] = (await status(trial.lab, 'a', guest)).sessions;
  trial.check('protected again', session?.state === 'protected', session);
  trial.checkEqual(
    'exit code of stop',
    (await trial.lab.ssh('a', `tsremus stop ${guest}`)).code,
    0,
  );
  trial.checkEqual('exit code of protect', await protectExit(trial.lab, 'a', guest), 0);
  await setFlow(guest, 'udp4', 0);
  await sleep(1000);
  watched.checkVerdict(guest, await watched.judge(guest, await watched.fetch()), ['flow']);
  await trial.checkContinues(guest, watched.stateBefore(guest), await guestState(guest));
  await checkNothingLeft(trial);
}

export const bufferLost: Scenario = {
  name: 'buffer-lost',
  proves: 'what somebody takes of the output buffer is blocked, said, and made anew',
  tier: 'turn',
  shows: ['output-commit', 'nothing-silent'],
  trials: { ci: 1, soak: 2 },
  seconds: 150,
  async run(trial) {
    await countEscaped(trial, []);
    await countEscaped(trial, ['--alone', '--kind', 'ingress-qdisc']);
    await takeApart(trial);
  },
};
