/**
 * CONFIG is held to the HELLO before it, and the adapter's reading to what CONFIG says of itself.
 */
import { expect, it } from 'vitest';
import { checkConfig, type GuestConfig } from '../../src/link/config-message.ts';
import { sampleConfig, sampleHello } from './support.ts';

const spec = { ...sampleConfig };

it('agrees with its HELLO and its own bytes', () => {
  expect(() => checkConfig(sampleConfig, sampleHello, spec)).not.toThrow();
  // A guest that uses less than it may come to use.
  expect(() => checkConfig(sampleConfig, sampleHello, { ...spec, memoryBytes: 1 })).not.toThrow();
});

// Proves: what was announced and accepted is what is built: no other name, guest or size.
it.each<[string, Partial<GuestConfig>, Partial<GuestConfig>, RegExp]>([
  ['another hypervisor', { hypervisor: 'qemu' }, {}, /field hypervisor is qemu, here is xen/],
  ['another name', { name: 'web2' }, { name: 'web2' }, /field name is web2, HELLO said web1/],
  ['another guest', { uuid: 'x' }, { uuid: 'x' }, /field uuid is x, HELLO said/],
  ['more memory', { memoryBytes: 2 ** 40 }, {}, /field memoryBytes is 1099511627776, HELLO said/],
  ['bytes of another name', {}, { name: 'dom0' }, /field config is dom0, its facts say name web1/],
  ['bytes of another guest', {}, { uuid: 'x' }, /field config is x, its facts say uuid/],
  ['bytes of a bigger one', {}, { memoryBytes: 2 ** 41 }, /field config is 2199023255552, its/],
])('refuses %s', (_what, said, read, text) => {
  const check = () => checkConfig({ ...sampleConfig, ...said }, sampleHello, { ...spec, ...read });
  expect(check).toThrow(text);
});
