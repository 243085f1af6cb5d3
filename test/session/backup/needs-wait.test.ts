// Goal: a copy is not built while something that it needs is lacking, is built when that is there,
// and is given up for a primary that asks meanwhile, as it was before there was any waiting.
import { expect, it } from 'vitest';
import { silentLog } from '../../../src/host/log.ts';
import { NeedsWait } from '../../../src/session/backup/needs-wait.ts';
import { ManualTime } from '../../link/support.ts';

const bridge = { what: 'the bridge xenbr1 is not there', advice: 'ip link add' };

function waiting() {
  const time = new ManualTime();
  let lacks = [bridge];
  let changes = 0;
  const wait = new NeedsWait({
    timers: time,
    log: silentLog,
    lacks: async () => lacks,
    onChange: () => {
      changes += 1;
    },
  });
  const step = async () => {
    await new Promise((resolve) => setImmediate(resolve));
    time.advance(1_000);
    await new Promise((resolve) => setImmediate(resolve));
  };
  return {
    wait,
    step,
    make: () => {
      lacks = [];
    },
    changes: () => changes,
  };
}

it('waits as long as something is lacking, and says so once', async () => {
  const { wait, step, make, changes } = waiting();
  let isThere = false;
  const done = wait.untilThere().then(() => {
    isThere = true;
  });
  for (let at = 0; at < 5; at += 1) await step();
  expect(isThere).toBe(false);
  expect(wait.lacks).toEqual([bridge]);
  expect(changes()).toBe(1);
  make();
  await step();
  await done;
  expect(wait.lacks).toEqual([]);
  expect(changes()).toBe(2);
});

it('fails when a primary asks meanwhile, and not for one that asked before', async () => {
  const { wait, step } = waiting();
  wait.asked();
  let why = '';
  const done = wait.untilThere().catch((error: Error) => {
    why = error.message;
  });
  for (let at = 0; at < 3; at += 1) await step();
  expect(why).toBe('');
  wait.asked();
  await step();
  await done;
  expect(why).toContain('the bridge xenbr1 is not there, and the primary asks');
});
