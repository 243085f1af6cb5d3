/**
 * CONFIG: what the guest is made of. The facts that the other side checks stand beside the bytes
 * that only its hypervisor's adapter understands; nothing acts on either before they agree.
 *
 *     u32 length of the head, the head (JSON), the adapter's own bytes
 */
import { diskBytesMax, disksMax, guestBytesMax } from '../core/limits.ts';
import type { AnnouncedDisk } from '../core/vocabulary.ts';
import { OperationError } from '../host/errors.ts';
import { Fields, parseJson } from './checks.ts';
import { domainNamePattern, domainNameRule, uuidPattern, uuidRule } from './identity.ts';

/** The version of the head; a later one is refused. */
const configVersion = 1;
const headBytesMax = 64 * 1024;
const prefixBytes = 4;
/** As a hypervisor calls one; it is a part's name, and goes into the name of a file. */
const diskSectors = [512, 4096] as const;
const diskNamePattern = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$/;

export interface GuestConfig {
  readonly kind: 'config';
  /** Whose adapter understands `config`: `xen`. */
  readonly hypervisor: string;
  readonly name: string;
  readonly uuid: string;
  /** Memory that the guest can come to occupy, bytes. */
  readonly memoryBytes: number;
  /** The disks that are parts of every epoch, in the order in which frames count them. */
  readonly disks: readonly AnnouncedDisk[];
  readonly config: Buffer;
}

/** What a guest is made of, as far as CONFIG is concerned: a hypervisor's GuestSpec is one. */
export type Described = Omit<GuestConfig, 'kind' | 'memoryBytes' | 'disks'>;

/** The message for a guest that can come to occupy `memoryBytes`. */
export function guestConfig(
  spec: Described,
  memoryBytes: number,
  disks: readonly AnnouncedDisk[],
): GuestConfig {
  const { hypervisor, name, uuid, config } = spec;
  return { kind: 'config', hypervisor, name, uuid, memoryBytes, disks, config };
}

export function encodeConfig(message: GuestConfig): Buffer {
  const { hypervisor, name, uuid, memoryBytes, disks, config } = message;
  const facts = { name, uuid, memoryBytes, disks };
  const head = Buffer.from(JSON.stringify({ version: configVersion, hypervisor, facts }));
  const prefix = Buffer.alloc(prefixBytes);
  prefix.writeUInt32LE(head.length);
  return Buffer.concat([prefix, head, config]);
}

/** Throws an OperationError `protocol` that names the field. */
export function parseConfig(body: Buffer): GuestConfig {
  const length = body.length < prefixBytes ? body.length : body.readUInt32LE(0);
  const end = prefixBytes + length;
  if (length > headBytesMax || end > body.length) throw wrong('head', length, 'too long');
  const fields = new Fields('CONFIG', parseJson('CONFIG', body.subarray(prefixBytes, end)));
  fields.integer('version', configVersion, configVersion);
  const facts = fields.object('facts');
  return {
    kind: 'config',
    hypervisor: fields.matching('hypervisor', /^[a-z0-9-]{1,32}$/, 'must name a hypervisor'),
    name: facts.matching('name', domainNamePattern, domainNameRule),
    uuid: facts.matching('uuid', uuidPattern, uuidRule),
    memoryBytes: facts.integer('memoryBytes', 0, guestBytesMax),
    disks: facts.objects('disks', disksMax).map(parseDisk),
    config: Buffer.from(body.subarray(end)),
  };
}

function parseDisk(fields: Fields): AnnouncedDisk {
  const sectorBytes = fields.oneOf('sectorBytes', diskSectors);
  const sizeBytes = fields.integer('sizeBytes', 4096, diskBytesMax);
  if (sizeBytes % sectorBytes !== 0) throw wrong('sizeBytes', sizeBytes, 'must be whole sectors');
  return {
    name: fields.matching('name', diskNamePattern, 'must name a disk'),
    sizeBytes,
    sectorBytes,
    generation: fields.integer('generation', 0, Number.MAX_SAFE_INTEGER),
    mayOverwrite: fields.boolean('mayOverwrite'),
  };
}

/**
 * The disks of a session are those that the copy writes to, in the order of its configuration; none
 * where HELLO named no driver. Throws an OperationError `protocol`.
 */
export function checkConfigDisks(
  { disks }: GuestConfig,
  hello: { readonly capabilities: { readonly disks: readonly string[] } },
  writable: readonly { readonly name: string }[],
): void {
  const said = disks.map(({ name }) => name).join(' ');
  const isCarried = hello.capabilities.disks.length > 0;
  const expected = isCarried ? writable.map(({ name }) => name).join(' ') : '';
  if (said !== expected) throw wrong('disks', said || 'none', `must be ${expected || 'none'}`);
}

/**
 * Holds a CONFIG to the HELLO that announced it, and the adapter's reading of it to what it says of
 * itself. Throws an OperationError `protocol` that names the field.
 */
export function checkConfig(
  message: GuestConfig,
  hello: { readonly domain: string; readonly uuid: string; readonly memoryBytes: number },
  spec: Described & { readonly memoryBytes: number },
): void {
  const { name, uuid, memoryBytes } = message;
  if (message.hypervisor !== spec.hypervisor) {
    throw wrong('hypervisor', message.hypervisor, `here is ${spec.hypervisor}`);
  }
  if (name !== hello.domain) throw wrong('name', name, `HELLO said ${hello.domain}`);
  if (uuid !== hello.uuid) throw wrong('uuid', uuid, `HELLO said ${hello.uuid}`);
  if (memoryBytes !== hello.memoryBytes) {
    throw wrong('memoryBytes', memoryBytes, `HELLO said ${hello.memoryBytes}`);
  }
  if (spec.name !== name) throw wrong('config', spec.name, `its facts say name ${name}`);
  if (spec.uuid !== uuid) throw wrong('config', spec.uuid, `its facts say uuid ${uuid}`);
  if (spec.memoryBytes > memoryBytes) {
    throw wrong('config', spec.memoryBytes, `its facts say ${memoryBytes} bytes of memory`);
  }
}

function wrong(field: string, value: unknown, rule: string): OperationError {
  return new OperationError(
    'protocol',
    `protocol error in CONFIG: field ${field} is ${String(value)}, ${rule}`,
    { op: 'read-message', subject: field },
  );
}
