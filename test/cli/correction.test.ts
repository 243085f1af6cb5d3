// Goal: what was typed comes back with one thing put right, however that was spelled; and where it
// is not found nothing is made up.
import { expect, it } from 'vitest';
import { correctedArgv } from '../../src/cli/correction.ts';

const options = [
  { short: '-i', long: '--interval', required: true },
  { short: '-p', long: '--userspace-proxy', required: false },
];
const interval = { name: '--interval', joint: ' ', value: '200' } as const;

it.each([
  ['-i x web1', '--interval 200 web1'],
  ['web1 --interval x', 'web1 --interval 200'],
  ['web1 --interval=x hostb', 'web1 --interval 200 hostb'],
  ['-ix web1', '--interval 200 web1'],
  ['-F web1', null],
  ['-Fix web1', null],
])('%j', (typed, expected) => {
  expect(correctedArgv(typed.split(' '), interval, options)?.join(' ') ?? null).toBe(expected);
});

it('leaves out what cannot be, with its value', () => {
  const without = (name: string) => ({ name, joint: ' ', value: null }) as const;
  expect(correctedArgv(['-p', 'web1'], without('--userspace-proxy'), options)).toEqual(['web1']);
  expect(correctedArgv(['-i', '5', 'web1'], without('--interval'), options)).toEqual(['web1']);
});

it('knows settings, too', () => {
  const setting = { name: 'interval', joint: '=', value: '200' } as const;
  const argv = ['set', 'web1', 'interval=x'];
  expect(correctedArgv(argv, setting, options)).toEqual(['set', 'web1', 'interval=200']);
});
