/** -N: an administrator's script makes the output buffer, and tsremus drives what it made. */
import { readFileSync } from 'node:fs';
import { guestState } from '../lab.ts';
import { peek, protectExit, waitForEpoch } from '../session.ts';
import { setFlow } from '../traffic.ts';
import { Clients, small } from './clients.ts';
import { checkNothingLeft } from './flood.ts';
import type { Scenario } from './scenario.ts';
import type { Trial } from './trial.ts';
import { Watched } from './watched.ts';

const script = '/run/netbuf';
const epochs = 6;

/** The script's own notes: what it was called with, in this order and no more. */
async function checkCalls(trial: Trial, expected: readonly string[]): Promise<void> {
  const { stdout } = await trial.lab.ssh('a', `cat ${script}.log`);
  trial.checkEqual('calls of the script', stdout.trim(), expected.join('\n'));
}

async function scriptedBuffer(trial: Trial): Promise<void> {
  const guest = await trial.createGuest('a', 'pv', 200, undefined, small);
  const input = readFileSync(new URL('../host/netbuf', import.meta.url), 'utf8');
  const put = `rm -f ${script}.log; cat >${script} && chmod 755 ${script}`;
  await trial.lab.ssh('a', put, { input });
  const options = { buffered: true, args: ['-N', script] };
  const watched = await Watched.protect(trial, 'a', [guest], options);
  const domid = (await trial.lab.ssh('a', `xl domid ${guest}`)).stdout.trim();
  const given = `vifname=vif${domid}.0 XENBUS_PATH=/libxl/${domid}/remus/netbuf/0 REMUS_IFB=`;
  await checkCalls(trial, [`setup ${given}`]);
  await setFlow(guest, 'udp4', 128 * 1024);
  const clients = await Clients.connect(trial, guest);
  const now = await peek(trial.lab, 'a', guest, 'primary');
  await waitForEpoch(trial.lab, 'a', guest, (now?.epoch ?? 0) + epochs);
  const stopMs = Date.now();
  const stopped = await trial.lab.ssh('a', `tsremus stop ${guest}`);
  trial.check('exit code 0 of stop', stopped.code === 0, stopped);
  trial.checkEqual('exit code of protect', await protectExit(trial.lab, 'a', guest), 0);
  await clients.waitAlive(stopMs);
  clients.checkUnbroken();
  const records = await watched.fetch();
  watched.checkVerdict(guest, await watched.judge(guest, records), ['flow']);
  await checkCalls(trial, [`setup ${given}`, `teardown ${given}nb${domid}.0`]);
  await trial.checkContinues(guest, watched.stateBefore(guest), await guestState(guest));
  await checkNothingLeft(trial);
}

export const netbufScript: Scenario = {
  name: 'netbuf-script',
  proves: 'with -N a script of the administrator makes the buffer, and its teardown is called',
  tier: 'turn',
  shows: ['output-commit'],
  trials: { ci: 1, soak: 1 },
  seconds: 60,
  run: scriptedBuffer,
};
