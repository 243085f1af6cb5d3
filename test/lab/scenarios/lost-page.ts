/** A check that cannot fail proves nothing: a build that loses a page must fail the checksum. */
import { installFault } from '../faults/build.ts';
import { hangMs, verifyGuest, waitFor } from '../lab.ts';
import { protectOutput, waitForEpoch } from '../session.ts';
import type { Scenario } from './scenario.ts';
import type { Trial } from './trial.ts';

/** One dirty page per hundred epochs; short epochs, so that the hundredth comes soon. */
const loseEvery = 100;

async function losesPage(trial: Trial): Promise<void> {
  const library = await installFault(trial.lab, 'a', 'lose-page');
  // A page lost is seen until it is rewritten and copied again: after 4,096 / 400 seconds.
  const guest = await trial.createGuest('a', 'pv', 400);
  const env = { TSREMUS_NATIVE: library, TSREMUS_LAB_LOSE_EVERY: String(loseEvery) };
  await trial.protect('a', guest, loseEvery, { args: ['-i', '20'], env });
  const [lost, epoch] = await waitFor('a page to be lost', hangMs, async () => {
    const said = await protectOutput(trial.lab, 'a', guest);
    return /deliberate bug: .* of epoch (\d+) is lost/.exec(said) ?? undefined;
  });
  const last = await waitForEpoch(trial.lab, 'a', guest, Number(epoch));
  await trial.kill('a');
  trial.say(`killed after epoch ${last.epoch}; ${lost}`);
  await trial.firstAnswer(guest);
  const verified = await verifyGuest(guest);
  trial.check('the checksum to find the lost page', !verified.ok && verified.bad === 1, verified);
  trial.measure('bad_pages', verified.bad);
}

export const lostPage: Scenario = {
  name: 'lost-page',
  proves: 'a build that loses one dirty page per hundred epochs fails the checksum',
  tier: 'soak',
  shows: [],
  trials: { ci: 0, soak: 1 },
  seconds: 60,
  run: losesPage,
};
