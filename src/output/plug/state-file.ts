/**
 * What the output buffer of a session consists of, written down before it is made: whoever finds
 * it after a crash knows whose the devices are and how to remove them.
 */
import { adviceLine } from '../../core/texts/advice.ts';
import { OperationError } from '../../host/errors.ts';
import type { Store } from '../../host/store.ts';
import { isInterfaceName } from './interfaces.ts';

export interface BufferedInterface {
  /** vif3.0 */
  readonly name: string;
  readonly devid: number;
  readonly emulated: boolean;
  /** The devices that hold; one where a script made it, else two. */
  readonly queues: readonly string[];
  /** The mirred action that points to one of two queues; null with a script. */
  readonly action: number | null;
  /** What made it instead of us (-N). */
  readonly script: string | null;
}

/** A network device: its name may change, the kernel's number of it does not. */
export interface NamedDevice {
  readonly name: string;
  readonly index: number;
}

/** How the backup of the session is asked for its promise, by whoever finds the buffer. */
export interface BufferPeer {
  readonly host: string;
  readonly ssh_command: string | null;
  readonly heartbeat_timeout_ms: number;
}

export interface BufferState {
  readonly schema: 1;
  readonly domain: string;
  readonly domid: number;
  readonly uuid: string;
  readonly session: string;
  readonly interfaces: readonly BufferedInterface[];
  /** Interfaces that came later and let nothing through; absent: none. */
  readonly blocked?: readonly NamedDevice[];
  /** Interfaces that are down because what holds them was lost; absent: none. */
  readonly down?: readonly string[];
  /** Null or absent: not known. */
  readonly peer?: BufferPeer | null;
  /** False with -e: nobody carries out what the guest's own end asks for. */
  readonly watch?: boolean;
  /** The permission was given, and only the removal failed. */
  readonly may_open?: boolean;
}

const bytesMax = 256 * 1024;

export async function writeState(store: Store, path: string, state: BufferState): Promise<void> {
  await store.writeDurably(path, `${JSON.stringify(state)}\n`);
}

export async function removeState(store: Store, path: string): Promise<void> {
  await store.removeFile(path);
}

/** The state that a session left; null: none. Throws `storage` for one that makes no sense. */
export async function readState(store: Store, path: string): Promise<BufferState | null> {
  const text = await store.readText(path, bytesMax);
  if (text === null) return null;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = null;
  }
  if (isState(value)) return value;
  throw new OperationError('storage', `${path} is not the state of an output buffer`, {
    op: 'read-buffer-state',
    subject: path,
    hint: adviceLine({ kind: 'see-left-queues', path }),
  });
}

type Json = { readonly [key: string]: unknown };

function isState(value: unknown): value is BufferState {
  if (typeof value !== 'object' || value === null) return false;
  const state = value as Json;
  const texts = ['domain', 'uuid', 'session'].every((key) => typeof state[key] === 'string');
  if (state['schema'] !== 1 || !texts || !Number.isSafeInteger(state['domid'])) return false;
  const isFlag = (value: unknown) => value === undefined || typeof value === 'boolean';
  if (!isFlag(state['watch']) || !isFlag(state['may_open']) || !isPeer(state['peer'])) return false;
  const { blocked = [], down = [] } = state;
  const isName = (one: unknown) => typeof one === 'string' && isInterfaceName(one);
  if (!Array.isArray(down) || !down.every(isName)) return false;
  if (!Array.isArray(blocked) || !blocked.every(isNamedDevice)) return false;
  return Array.isArray(state['interfaces']) && state['interfaces'].every(isInterface);
}

function isNamedDevice(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { name, index } = value as Json;
  return typeof name === 'string' && isInterfaceName(name) && Number.isSafeInteger(index);
}

function isPeer(value: unknown): boolean {
  if (value === undefined || value === null) return true;
  if (typeof value !== 'object') return false;
  const { host, ssh_command: command, heartbeat_timeout_ms: timeoutMs } = value as Json;
  const isCommand = command === null || typeof command === 'string';
  return typeof host === 'string' && isCommand && Number.isSafeInteger(timeoutMs);
}

function isInterface(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { name, queues, action, script, devid, emulated } = value as Json;
  const isName = (text: unknown) => typeof text === 'string' && isInterfaceName(text);
  if (!isName(name) || !Number.isSafeInteger(devid) || typeof emulated !== 'boolean') return false;
  if (!Array.isArray(queues) || queues.length < 1 || queues.length > 2) return false;
  if (!queues.every(isName)) return false;
  if (script !== null && typeof script !== 'string') return false;
  return action === null ? queues.length === 1 : Number.isSafeInteger(action);
}
