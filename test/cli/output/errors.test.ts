import { expect, it } from 'vitest';
import { describeFailure } from '../../../src/cli/output/errors.ts';
import { OperationError, operationCodes } from '../../../src/host/errors.ts';

const typed = { command: 'tsremus protect', argv: ['protect', 'web1', 'hostb'], options: [] };

// Proves: whatever is refused, and by whatever part of the program, there is a line to type.
it.each(operationCodes)('%s has something to type where nobody had better advice', (code) => {
  const { hints } = describeFailure(new OperationError(code, 'it failed', { op: 'try' }), typed);
  expect(hints).toHaveLength(1);
  expect(hints[0]).toMatch(/^(tsremus|xl|man|sudo) /);
});

it('leaves better advice alone', () => {
  const error = new OperationError('storage', 'it failed', { op: 'try', hint: 'df -h /' });
  expect(describeFailure(error, typed).hints).toEqual(['df -h /']);
});

it('looks at the file that could not be read', () => {
  const error = new OperationError('storage', 'it failed', { op: 'try', subject: '/var/lib/x' });
  expect(describeFailure(error, typed).hints).toEqual(['ls -ld /var/lib/x']);
});
