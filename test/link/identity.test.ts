import { expect, it } from 'vitest';
import { systemChance } from '../../src/host/clock.ts';
import { isDomainName, newSessionId, sessionPattern } from '../../src/link/identity.ts';

it.each(['web1', 'Domain-0', '_x', '7', 'a.b:c+d_e', 'g1--incoming', 'x'.repeat(128)])(
  '%s is a name',
  (name) => expect(isDomainName(name)).toBe(true),
);

it.each(['', '.hid', '-o', 'a/b', 'a b', 'a\n', 'é', 'x'.repeat(129)])('%j is no name', (name) =>
  expect(isDomainName(name)).toBe(false),
);

it('session ids fit their pattern and differ', () => {
  expect(newSessionId(systemChance)).toMatch(sessionPattern);
  expect(newSessionId(systemChance)).not.toBe(newSessionId(systemChance));
});
