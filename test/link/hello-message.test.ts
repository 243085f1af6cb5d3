import { describe, expect, it } from 'vitest';
import { encodeHello, parseHello } from '../../src/link/hello-message.ts';
import { acceptedMessage, helloMessage, operationError } from './support.ts';

/** The sample HELLO's JSON with one field replaced (undefined: removed); `a.b` reaches inside. */
function changed(base: object, path: string, value: unknown): Buffer {
  const json = JSON.parse(Buffer.from(base as Buffer).toString()) as Record<string, unknown>;
  const keys = path.split('.');
  const last = keys.pop() ?? '';
  let at = json;
  for (const key of keys) at = at[key] as Record<string, unknown>;
  at[last] = value;
  return Buffer.from(JSON.stringify(json));
}

const hello = encodeHello(helloMessage);
const accepted = encodeHello({
  ...acceptedMessage,
  pulse: { address: '10.0.0.2', port: 4000, key: 'ab'.repeat(32) },
});

describe('parseHello', () => {
  it('reads what encodeHello wrote', () => {
    expect(parseHello(hello)).toEqual(helloMessage);
    expect(parseHello(accepted)).toMatchObject({ pulse: { address: '10.0.0.2', port: 4000 } });
  });

  it('ignores fields that a later version may add', () => {
    expect(parseHello(changed(hello, 'colour', 'green'))).toEqual(helloMessage);
  });

  it.each<[string, unknown]>([
    ['side', 'witness'],
    ['protocol', 0],
    ['protocol', 1.5],
    ['tsremus', 'x'.repeat(65)],
    ['tsremus', undefined],
    ['xen', 4],
    ['host', 'a\nb'],
    ['capabilities', null],
    ['capabilities.codecs', 'none'],
    ['capabilities.codecs', Array(17).fill('none')],
    ['capabilities.disks', ['NBD!']],
    ['purpose', 'takeover'],
    ['domain', ''],
    ['domain', '-rf'],
    ['domain', '../web1'],
    ['domain', 'web/1'],
    ['domain', 'x'.repeat(129)],
    ['uuid', '6BA7B810-9DAD-11D1-80B4-00C04FD430C8'],
    ['uuid', '../../etc/passwd'],
    ['session', '0123'],
    ['session', 'g'.repeat(32)],
    ['timing', 'fast'],
    ['timing.heartbeatTimeoutMs', 199],
    ['timing.heartbeatTimeoutMs', 60_001],
    ['timing.heartbeatTimeoutMs', '1000'],
    ['timing.holdMs', 99],
    ['timing.buffered', 'yes'],
    ['timing.withoutWitness', 'witness'],
    ['timing.withoutWitness', undefined],
    ['memoryBytes', -1],
    ['memoryBytes', Number.MAX_SAFE_INTEGER],
    ['noWait', undefined],
  ])('refuses %s = %j and names it', async (field, value) => {
    const error = await operationError(() => parseHello(changed(hello, field, value)));
    expect(error.code).toBe('protocol');
    expect(error.message).toMatch(/^HELLO: field /);
    expect(error.message).toContain(field);
    expect(error.message.length).toBeLessThan(250);
  });

  it.each<[string, unknown]>([
    ['accepted', 'yes'],
    ['pulse.address', 'host-b'],
    ['pulse.port', 0],
    ['pulse.port', 65_536],
    ['pulse.key', 'ab'],
  ])('refuses the reply with %s = %j', async (field, value) => {
    const error = await operationError(() => parseHello(changed(accepted, field, value)));
    expect(error.message).toContain(`field ${field} is`);
  });

  it('does not take inherited properties for fields', async () => {
    const error = await operationError(() =>
      parseHello(Buffer.from('{"__proto__":{"protocol":1}}')),
    );
    expect(error.message).toContain('field protocol is missing');
  });
});
