import { describe, expect, it } from 'vitest';
import {
  errnoCode,
  errorText,
  isOperationCode,
  OperationError,
  operationCodes,
  storageError,
} from '../../src/host/errors.ts';

function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: something long, open '/x'`), { code });
}

describe('operation codes', () => {
  it('are kebab-case and distinct', () => {
    for (const code of operationCodes) expect(code).toMatch(/^[a-z]+(-[a-z]+)*$/);
    expect(new Set(operationCodes).size).toBe(operationCodes.length);
    expect(isOperationCode('disk-full')).toBe(true);
    expect(isOperationCode('disk-empty')).toBe(false);
  });
});

describe('storageError', () => {
  it.each([
    ['ENOSPC', 'disk-full', 'no space left on the device'],
    ['EDQUOT', 'disk-full', 'the disk quota is used up'],
    ['EIO', 'storage', 'input/output error'],
    ['EACCES', 'storage', 'permission denied'],
    ['EROFS', 'storage', 'the file system is read-only'],
  ])('%s is %s', (errno, code, why) => {
    const error = storageError(systemError(errno), 'write-record', '/var/lib/tsremus/x');
    expect(error.code).toBe(code);
    expect(error.message).toBe(`cannot write record /var/lib/tsremus/x: ${why}`);
    expect(error.detail).toMatchObject({ op: 'write-record', subject: '/var/lib/tsremus/x' });
    if (code === 'disk-full') expect(error.hint).toBe('df -h /var/lib/tsremus  # free some');
  });

  it('keeps the text of what it does not know, and an OperationError whole', () => {
    expect(storageError(new Error('odd'), 'read', '/x').message).toBe('cannot read /x: odd');
    const error = new OperationError('limit', 'too big', { op: 'read' });
    expect(storageError(error, 'write', '/y')).toBe(error);
  });
});

it('errnoCode and errorText take any thrown value', () => {
  expect(errnoCode(systemError('EPIPE'))).toBe('EPIPE');
  for (const value of [null, undefined, 'x', 7, {}, { code: 5 }]) {
    expect(errnoCode(value)).toBeUndefined();
  }
  expect(errorText('plain')).toBe('plain');
  expect(errorText(new Error('kept'))).toBe('kept');
});
