import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const room = join(import.meta.dirname, '../../src/native/resident.ts');

/** In a process of its own: this one's memory is to stay as it is. */
function locked(by: string): { locked: number | string; status: number } {
  const script = `
    import { readFileSync } from 'node:fs';
    import { lockCode } from ${JSON.stringify(room)};
    const locked = await lockCode().catch((error) => error.message);
    const kib = /VmLck:\\s+(\\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))[1];
    console.log(JSON.stringify({ locked, status: 1024 * Number(kib) }));
  `;
  const words = `ulimit -l 64; exec ${by} "$0" --import tsx --input-type=module -e "$1"`;
  const out = execFileSync('sh', ['-c', words, process.execPath, script], { encoding: 'utf8' });
  return JSON.parse(out);
}

const isRoot = process.getuid?.() === 0;

// Proves: what is executed is locked, as the kernel itself counts it, and nothing else, least of
// all V8's heap: locked, that would end the process at a big collection.
it('locks the code of a process', ({ skip }) => {
  skip(!isRoot, 'needs root, or room for it in RLIMIT_MEMLOCK');
  const { locked: bytes, status } = locked('');
  expect(status).toBe(bytes);
  expect(bytes).toBeGreaterThan(20 * 2 ** 20);
});

it('says what the kernel refuses', ({ skip }) => {
  skip(!isRoot, 'only root can give up the right to lock memory');
  const { locked: said, status } = locked('setpriv --bounding-set=-ipc_lock');
  expect(said).toMatch(/^mlock: Cannot allocate memory$/);
  expect(status).toBeLessThanOrEqual(64 * 1024);
});
