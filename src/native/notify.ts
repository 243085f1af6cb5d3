/** Typed wrapper of tsr_notify (native/common/tsremus.h): words to the service manager. */
import { type CType, cString } from './ffi.ts';
import { NativeRoom } from './loader.ts';

const signatures = {
  tsr_notify: ['pointer', 'pointer'],
} as const satisfies Record<string, readonly CType[]>;

/**
 * What sends lines of sd_notify(3) to `address`, which is what NOTIFY_SOCKET says. `path`: of
 * libtsremus, where it is not beside us. It waits for nothing, and throws a NativeError where
 * nobody takes them.
 */
export function openNotify(address: string, path?: string): (lines: string) => void {
  const room = new NativeRoom(signatures, path);
  const to = cString(address);
  return (lines) => {
    room.checked('notify', room.fn('tsr_notify').call(to, cString(lines)));
  };
}
