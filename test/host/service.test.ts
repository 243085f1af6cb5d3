import { describe, expect, it } from 'vitest';
import type { Timers } from '../../src/host/clock.ts';
import { NotifiedService, watchdogMsOf } from '../../src/host/service.ts';

/** Timers that fire when they are told to. */
function driven() {
  const waiting: { delayMs: number; run: () => void }[] = [];
  const timers: Timers = {
    after(delayMs, run) {
      const one = { delayMs, run };
      waiting.push(one);
      return () => {
        const at = waiting.indexOf(one);
        if (at >= 0) waiting.splice(at, 1);
      };
    },
    soon: () => () => {},
  };
  return { timers, waiting, fire: () => waiting.shift()?.run() };
}

function service(watchdogMs: number | null, fails = false) {
  const clock = driven();
  const sent: string[] = [];
  const said: string[] = [];
  const send = (lines: string) => {
    if (fails) throw new Error('nobody reads');
    sent.push(lines);
  };
  const { timers } = clock;
  const made = new NotifiedService({ timers, send, watchdogMs, say: (text) => said.push(text) });
  return { ...clock, sent, said, service: made };
}

describe('what the service manager hears', () => {
  // Proves: a datagram that was lost is no loss: ready and status are said again with each beat.
  it('is all that there is to say, with each beat', () => {
    const { service: it, sent, fire } = service(30_000);
    it.status('connected');
    it.ready();
    fire();
    expect(sent).toEqual([
      'WATCHDOG=1\n',
      'STATUS=connected\nWATCHDOG=1\n',
      'READY=1\nSTATUS=connected\nWATCHDOG=1\n',
      'READY=1\nSTATUS=connected\nWATCHDOG=1\n',
    ]);
  });

  // Proves: several beats fit into the watchdog's time, and none comes after the end.
  it('comes well within the watchdog, and ends with the session', () => {
    const { service: it, sent, waiting } = service(8_000);
    expect(waiting.map(({ delayMs }) => delayMs)).toEqual([2_000]);
    it.stopping();
    expect(sent.at(-1)).toBe('WATCHDOG=1\nSTOPPING=1\n');
    expect(waiting).toEqual([]);
    it.status('late');
    expect(sent).toHaveLength(2);
  });

  it('has one line, of a bounded length', () => {
    const { service: it, sent } = service(null);
    it.status(`a\nREADY=1 ${'x'.repeat(1_000)}`);
    expect(sent).toHaveLength(1);
    expect(sent[0]).toMatch(/^STATUS=a READY=1 x+\.\.\.\n$/);
    expect(sent[0]?.length).toBeLessThan(420);
  });

  // Proves: a manager that is gone costs nothing, and is said once.
  it('costs nothing where nobody takes it', () => {
    const { service: it, said, fire } = service(30_000, true);
    it.ready();
    fire();
    expect(said).toEqual(['the service manager is not told: nobody reads']);
  });
});

it('takes a watchdog that is meant for this process, and no other', () => {
  expect(watchdogMsOf({ WATCHDOG_USEC: '30000000', WATCHDOG_PID: '7' }, 7)).toBe(30_000);
  expect(watchdogMsOf({ WATCHDOG_USEC: '30000000' }, 7)).toBe(30_000);
  expect(watchdogMsOf({ WATCHDOG_USEC: '30000000', WATCHDOG_PID: '8' }, 7)).toBeNull();
  for (const micros of [undefined, '', '0', '-1', '1e9', 'x']) {
    expect(watchdogMsOf({ WATCHDOG_USEC: micros }, 7)).toBeNull();
  }
});
