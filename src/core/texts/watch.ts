/** The first line of `tsremus status --watch`. Pure. */

/** `time`: RFC 3339 in UTC. */
export function watchTitle(host: string, time: string, seconds: number, hasKeys: boolean): string {
  const at = time.replace('T', ' ').replace(/\.\d+Z$/, 'Z');
  const keys = hasKeys ? '  q: quit' : '';
  return `${host}  ${at}  every ${seconds} s${keys}`;
}
