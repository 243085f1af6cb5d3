/**
 * CONFIG is held to the HELLO before it, and the adapter's reading to what CONFIG says of itself.
 */
import { expect, it } from 'vitest';
import { checkConfig, checkConfigDisks, type GuestConfig } from '../../src/link/config-message.ts';
import { sampleConfig, sampleDisk, sampleHello } from './support.ts';

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

// Proves: what is kept of the disks is what the copy will write to: none of them is forgotten,
// and none is another's.
it.each<[string, readonly string[], readonly string[], readonly string[], string | null]>([
  ['all of them', ['mirror'], ['xvda', 'xvdb'], ['xvda', 'xvdb'], null],
  ['none, left alone', [], [], ['xvda', 'xvdb'], null],
  ['none, where there is none', ['mirror'], [], [], null],
  ['one too few', ['mirror'], ['xvda'], ['xvda', 'xvdb'], 'disks is xvda, must be xvda xvdb'],
  ['one too many', ['mirror'], ['xvda', 'xvdb'], ['xvda'], 'must be xvda$'],
  ['another order', ['mirror'], ['xvdb', 'xvda'], ['xvda', 'xvdb'], 'must be xvda xvdb'],
  ['another one', ['mirror'], ['xvdc'], ['xvda'], 'disks is xvdc'],
  ['one that nobody announced', [], ['xvda'], ['xvda'], 'disks is xvda, must be none'],
  ['none of one', ['mirror'], [], ['xvda'], 'disks is none, must be xvda'],
])('takes of disks %s', (_what, drivers, said, writable, text) => {
  const disks = said.map((name) => ({ ...sampleDisk, name }));
  const hello = { capabilities: { ...sampleHello.capabilities, disks: drivers } };
  const writes = writable.map((name) => ({ name }));
  const check = () => checkConfigDisks({ ...sampleConfig, disks }, hello, writes);
  if (text === null) expect(check).not.toThrow();
  else expect(check).toThrow(new RegExp(text));
});
