/** What a hypervisor logs of an operation, and what of it everybody sees. */
import { expect, it } from 'vitest';
import { type Log, silentLog } from '../../src/host/log.ts';
import { HypervisorLog } from '../../src/session/hypervisor-log.ts';

function kept() {
  const lines: string[] = [];
  const log: Log = {
    ...silentLog,
    debug: (text) => lines.push(`debug ${text}`),
    warning: (text) => lines.push(`warning ${text}`),
  };
  return { lines, log: new HypervisorLog(log) };
}

// Proves: an error shows at the level that every log has; what is none, and what an operation says
// that was told to end, does not.
it('warns of errors that nobody asked for', () => {
  const { lines, log } = kept();
  log.take({ isError: false, text: 'a page' }, false);
  log.take({ isError: true, text: 'no answer' }, false);
  log.take({ isError: true, text: 'aborted' }, true);
  const expected = ['debug hypervisor: a page', 'warning hypervisor: no answer'];
  expect(lines).toEqual([...expected, 'debug hypervisor: aborted']);
});

// Proves: a library that repeats itself does not fill the log.
it('warns of twenty errors of an operation', () => {
  const { lines, log } = kept();
  for (let number = 1; number <= 1000; number += 1) log.take({ isError: true, text: 'x' }, false);
  expect(lines.filter((line) => line === 'warning hypervisor: x')).toHaveLength(20);
  expect(lines[20]).toBe('warning hypervisor: further errors as debug only');
  expect(lines).toHaveLength(1001);
});
