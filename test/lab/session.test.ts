/** What is read from the logs of sessions in the lab, on made-up logs. */
import { expect, it } from 'vitest';
import type { Lab } from './lab.ts';
import { silences } from './session.ts';

/** A host whose clock is one hour ahead of the lab's. */
const aheadMs = 3_600_000;
const takenAtMs = Date.parse('2026-11-29T12:00:01.000Z');

const logs: Readonly<Record<string, string>> = {
  'g1.backup.log': `INFO 2026-11-29T13:00:00.000Z acknowledged epoch 7
INFO 2026-11-29T13:00:01.000Z   -> record standby -> activating, epoch 7 (silence of 3004 ms)
`,
  'g2.backup.log':
    'INFO 2026-11-29T13:00:02.000Z   -> record standby -> activating, epoch 3 (the link ended)\n',
  'g3.primary.log': `INFO 2026-11-29T13:00:03.000Z link-open
INFO 2026-11-29T13:00:04.000Z   -> end: never protected: the backup was silent for 8528.1 ms
`,
};

function host(): Lab {
  const answers = (command: string): string => {
    if (command.startsWith('date')) return `${Date.now() + aheadMs}\n`;
    const name = /cat \/var\/log\/tsremus\/(.*)$/.exec(command)?.[1];
    return name === undefined ? Object.keys(logs).join('\n') : (logs[name] ?? '');
  };
  return { ssh: async (_host: string, command: string) => ({ stdout: answers(command) }) } as never;
}

// Proves: only what was decided because of silence makes a trial void, and it is known when, by the
// lab's own clock: what was done to the other host before is its reason.
it('finds what silence decided, and when', async () => {
  const found = await silences(host(), 'b');
  expect(found.map(({ text }) => text)).toEqual([
    'g1: -> record standby -> activating, epoch 7 (silence of 3004 ms)',
    'g3: -> end: never protected: the backup was silent for 8528.1 ms',
  ]);
  // The lab's clock is read around the question: as exact as a minute at any speed.
  expect(Math.abs((found[0]?.timeMs ?? 0) - takenAtMs)).toBeLessThan(60_000);
});
