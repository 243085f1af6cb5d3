import { describe, expect, it } from 'vitest';
import {
  exit,
  exitMeaning,
  exitOfOperation,
  exitOfProtect,
  exitOfReceive,
  exitOfStop,
} from '../../src/cli/exit-codes.ts';
import { operationCodes } from '../../src/host/errors.ts';

const reason = 'why';

describe('the table of exit codes', () => {
  it('has each number once, with its meaning', () => {
    const codes = Object.values(exit);
    expect(new Set(codes).size).toBe(codes.length);
    expect(Object.keys(exitMeaning).map(Number).sort()).toEqual([...codes].sort());
  });

  it('has a place for every error, and none among those of status', () => {
    const known = new Set<number>(Object.values(exit));
    for (const code of operationCodes) {
      const number = exitOfOperation(code);
      expect(known.has(number), code).toBe(true);
      expect(number, code).toBeGreaterThanOrEqual(10);
    }
  });

  it('is as documented', () => {
    expect(exitOfOperation('already-protected')).toBe(11);
    expect(exitOfOperation('no-such-domain')).toBe(12);
    expect(exitOfOperation('peer-unreachable')).toBe(13);
    expect(exitOfOperation('peer-without-tsremus')).toBe(13);
    expect(exitOfOperation('split-brain-risk')).toBe(14);
    expect(exitOfOperation('disk-full')).toBe(15);
    expect(exitOfOperation('no-xen')).toBe(69);
    expect(exitOfOperation('not-built')).toBe(69);
    expect(exitOfOperation('not-root')).toBe(77);
  });
});

describe('the end of protect', () => {
  it.each([
    [{ kind: 'stopped', by: 'command' }, 0],
    [{ kind: 'stopped', by: 'sigint' }, 130],
    [{ kind: 'stopped', by: 'sigterm' }, 143],
    [{ kind: 'unprotected', reason }, 16],
    [{ kind: 'never-protected', reason }, 10],
    [{ kind: 'taken-over' }, 17],
    [{ kind: 'guest-ended', reason }, 19],
    [{ kind: 'held', reason }, 18],
  ] as const)('%j exits %i', (outcome, code) => {
    expect(exitOfProtect(outcome)).toBe(code);
  });
});

describe('the end of receive', () => {
  it.each([
    [{ kind: 'activated', epoch: 3, why: reason }, 17],
    [{ kind: 'promised' }, 0],
    [{ kind: 'never-whole', reason }, 10],
    [{ kind: 'copy-lost', reason }, 10],
  ] as const)('%j exits %i', (outcome, code) => {
    expect(exitOfReceive(outcome)).toBe(code);
  });
});

describe('stop', () => {
  it.each([
    [{ kind: 'stopped', by: 'command' }, 0],
    [{ kind: 'stopped', by: 'sigint' }, 0],
    [{ kind: 'unprotected', reason }, 0],
    [{ kind: 'never-protected', reason }, 0],
    [{ kind: 'promised' }, 0],
    [{ kind: 'never-whole', reason }, 0],
    [{ kind: 'copy-lost', reason }, 0],
    [{ kind: 'taken-over' }, 17],
    [{ kind: 'activated', epoch: 3, why: reason }, 17],
    [{ kind: 'held', reason }, 18],
    [{ kind: 'guest-ended', reason }, 19],
  ] as const)('with %j exits %i', (outcome, code) => {
    expect(exitOfStop(outcome)).toBe(code);
  });
});
