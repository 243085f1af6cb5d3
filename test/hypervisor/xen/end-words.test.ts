// Goal: what is done at a guest's end is what libxl itself would take the configuration to mean.
// Method: the words of a libxl that says its own, also one with other defaults and other words.
import { describe, expect, it } from 'vitest';
import { endAction, endWords, lifeEventOf } from '../../../src/hypervisor/xen/end-words.ts';
import { xlWords } from '../../fixtures/xl-words.ts';

describe('an action', () => {
  it.each([
    ['poweroff', 'on_poweroff'],
    ['reboot', 'on_reboot'],
    ['crash', 'on_crash'],
    ['watchdog', 'on_watchdog'],
    ['soft-reset', 'on_soft_reset'],
  ] as const)('that is left out for %s is the default of this libxl', (event, key) => {
    expect(endAction({}, event, xlWords)).toBe('destroy');
    const other = { ...xlWords, defaults: { ...xlWords.defaults, [key]: 'restart' } };
    expect(endAction({}, event, other)).toBe('restart');
    expect(endAction({ [key]: 'preserve' }, event, other)).toBe('keep (preserve)');
  });

  it.each(['restart_rename', 'preserve', 'coredump_destroy', 'coredump_restart', 'soft_reset'])(
    'of %s keeps the domain',
    (word) => expect(endAction({ on_crash: word }, 'crash', xlWords)).toBe(`keep (${word})`),
  );

  it('that this libxl has no word for, or no default, destroys nothing', () => {
    expect(endAction({ on_crash: 'restart' }, 'crash', { ...xlWords, actions: [] })).toBe(
      'keep (restart)',
    );
    expect(endAction({}, 'crash', { ...xlWords, defaults: {} })).toBe('keep (not said)');
    expect(endAction({ on_crash: 7 }, 'crash', xlWords)).toBe('keep (not said)');
  });
});

describe('a reason', () => {
  it('is told in our words; of one that nobody knows the guest is kept', () => {
    expect(lifeEventOf('soft_reset')).toBe('soft-reset');
    expect(lifeEventOf('watchdog')).toBe('watchdog');
    for (const odd of ['unknown', 'null', 'suspend', null, 17]) {
      expect(lifeEventOf(odd)).toBe('unknown');
    }
    const all = { on_poweroff: 'destroy', on_crash: 'destroy' };
    expect(endAction(all, 'unknown', xlWords)).toBe('keep (unknown reason)');
  });
});

it('words that are none are refused', () => {
  expect(() => endWords('{"actions":["destroy"]}')).toThrow('no words of libxl');
});
