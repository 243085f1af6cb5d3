/**
 * Whose a buffer is, written on its own devices as their alias (ip-link(8)): the kernel keeps that
 * where the run directory is cleared, and whoever finds the devices knows whom to ask. Pure.
 */
import type { BufferPeer, BufferState } from './state-file.ts';

export type DeviceNote = Pick<BufferState, 'domain' | 'uuid' | 'session'> & {
  readonly peer: BufferPeer;
  readonly watch: boolean;
};

const mark = 'tsremus1';
/** Linux, IFALIASZ: 256 with the zero at its end. */
const aliasBytesMax = 255;

/** Without anything that means something in a line of `ip -batch`. */
function packed(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*~]/g,
    (one) => `%${one.charCodeAt(0).toString(16)}`,
  );
}

/** The alias that says it; null: it is too long for one, or there is no peer to be named. */
export function aliasOf({ domain, uuid, session, peer, watch }: BufferState): string | null {
  if (!peer) return null;
  const { host, ssh_command: command, heartbeat_timeout_ms: timeoutMs } = peer;
  // Null and the empty command are not the same.
  const ssh = command === null ? '-' : `s${packed(command)}`;
  const fields = [uuid, session, domain, host].map(packed);
  const alias = [mark, ...fields, String(timeoutMs), watch === false ? 'e' : '-', ssh].join(',');
  return alias.length > aliasBytesMax ? null : alias;
}

/** The reverse; null for an alias that says nothing of the kind. */
export function parseAlias(alias: string): DeviceNote | null {
  const fields = alias.trim().split(',');
  if (fields.length !== 8 || fields[0] !== mark) return null;
  let texts: string[];
  try {
    texts = fields.map((field) => decodeURIComponent(field));
  } catch {
    return null;
  }
  const [, uuid = '', session = '', domain = '', host = '', timeout = '', watch, ssh = ''] = texts;
  if (uuid === '' || domain === '' || host === '' || !/^\d{1,9}$/.test(timeout)) return null;
  if (!/^(-$|s)/.test(ssh)) return null;
  const command = ssh === '-' ? null : ssh.slice(1);
  const peer = { host, ssh_command: command, heartbeat_timeout_ms: Number(timeout) };
  return { uuid, session, domain, peer, watch: watch !== 'e' };
}
