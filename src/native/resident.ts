/** Typed wrapper of tsr_lock_code (native/common/tsremus.h): code that stays in memory. */
import type { CType } from './ffi.ts';
import { NativeRoom } from './loader.ts';

const signatures = {
  tsr_lock_code: ['pointer'],
} as const satisfies Record<string, readonly CType[]>;

/**
 * Locks the code of this process in memory, of every file that it has mapped by now; resolves with
 * how much that is, in bytes. `path`: of libtsremus, where it is not beside us. Off the main
 * thread: some of it may have to be read first. Rejects with a NativeError where the kernel
 * refuses.
 */
export async function lockCode(path?: string): Promise<number> {
  const room = new NativeRoom(signatures, path);
  const bytes = Buffer.alloc(8);
  room.checked('lock the code', await room.fn('tsr_lock_code').callAsync(bytes));
  return Number(bytes.readBigUInt64LE());
}
