import { expect, it } from 'vitest';
import { systemChance } from '../../src/host/clock.ts';
import {
  domainNameRule,
  isDomainName,
  newSessionId,
  sessionPattern,
} from '../../src/link/identity.ts';

const plain = ['web1', 'Domain-0', '_x', '7', 'a.b:c+d_e', 'g1--incoming', 'x'.repeat(128)];

// Proves: what Xen allows is protected, too: blanks, quotes, umlauts.
it.each([...plain, 'a b', `"it's"`, 'größe 1', '日本', 'ü'.repeat(128), '#1; $x | y'])(
  '%s is a name',
  (name) => expect(isDomainName(name)).toBe(true),
);

const wrong = ['', '.hid', '-o', 'a/b', 'a\n', 'a\u001b[2J', ' a', 'a ', 'a\u2028b', 'a\ud800'];
it.each([...wrong, 'x'.repeat(129)])('%j is no name', (name) =>
  expect(isDomainName(name)).toBe(false),
);

// Proves: what is refused is said in the rule that a person reads.
it('is no name beyond U+FFFF, and the rule says so', () => {
  expect(isDomainName('web😀')).toBe(false);
  expect(domainNameRule).toContain('up to U+FFFF (no emoji)');
});

it('session ids fit their pattern and differ', () => {
  expect(newSessionId(systemChance)).toMatch(sessionPattern);
  expect(newSessionId(systemChance)).not.toBe(newSessionId(systemChance));
});
