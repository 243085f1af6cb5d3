/**
 * An HVM guest with the drivers of its own hardware alone: its interface is a tap of the device
 * model's, and libxl suspends it without asking it (it has no event channel to be woken by).
 */
import { type GuestOptions, guestMac, guestState } from '../lab.ts';
import { status } from '../session.ts';
import { small } from './clients.ts';
import { acknowledgedEpoch, checkActivatedFrom, firstAnswer, measureSteps } from './death.ts';
import type { Scenario } from './scenario.ts';
import { backupOf, type Trial } from './trial.ts';

const guest = 'h1';
/** The seed, and of these the pauses are looked at. */
const epochs = 10;

/** Without PV drivers, only that of an emulated interface; and with them, by which it is asked. */
const variants: readonly { readonly name: string; readonly options: GuestOptions }[] = [
  {
    name: 'emulated',
    options: {
      ...small,
      extraLine: 'xen_nopv',
      extraConfig: `vif = ["mac=${guestMac(guest)},bridge=xenbr0,model=virtio-net-pci"]`,
    },
  },
  { name: 'pv_drivers', options: small },
];

const model = '/usr/libexec/xen-qemu-system-i386';

/** A backup that has no device model says so before there is a copy. */
async function refusedWithoutModel(trial: Trial): Promise<void> {
  const { lab } = trial;
  const aside = `${model}.aside`;
  await lab.ssh('b', `mv ${model} ${aside}`);
  try {
    const refused = await lab.ssh('a', `tsremus protect -F -n -d ${guest} ${backupOf('a')}`);
    trial.checkEqual('exit code without a device model', refused.code, 10);
    for (const words of [`the device model (${model}) is not there`, 'install qemu-system-xen']) {
      trial.check(words, refused.stderr.includes(words), refused.stderr);
    }
  } finally {
    await lab.ssh('b', `mv ${aside} ${model}`);
  }
}

async function killHvm(trial: Trial, index: number): Promise<void> {
  const { lab } = trial;
  const { name, options } = variants[index % variants.length] as (typeof variants)[number];
  await trial.createGuest('a', 'hvm', 200, guest, options);
  const before = await guestState(guest);
  const said = await lab.ssh(
    'a',
    'xenstore-read /local/domain/$(xl domid h1)/control/feature-suspend',
  );
  trial.checkEqual(
    'the guest says that it can be asked',
    said.stdout.trim() === '1',
    name === 'pv_drivers',
  );
  if (name === 'emulated') await refusedWithoutModel(trial);
  const entry = await trial.protect('a', guest, epochs, { buffered: true });
  for (const { epoch, pause_ms: pauseMs } of entry.epochs) {
    if (epoch > 0) trial.measure(`pause_${name}_ms`, pauseMs);
  }
  const least = await acknowledgedEpoch(trial, guest);
  const killedMs = await trial.kill('a');
  const { state } = await firstAnswer(trial, guest, killedMs);
  trial.reviveInBackground('a');
  await trial.checkContinues(guest, before, state);
  await checkActivatedFrom(trial, guest, least);
  await measureSteps(trial, guest, killedMs);
  await trial.checkDomains('b', [guest]);
  trial.checkEqual('exit code of status on hostb', (await status(lab, 'b', guest)).code, 2);
}

export const emulatedTest: Scenario = {
  name: 'emulated',
  proves: 'an HVM guest goes on after the death of its host, without PV drivers as with them',
  tier: 'soak',
  kind: 'hvm',
  shows: ['whole-epochs', 'host-dies'],
  trials: { ci: 0, soak: 4 },
  seconds: 120,
  run: killHvm,
};
