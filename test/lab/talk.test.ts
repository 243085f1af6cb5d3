/** The lab's client of a guest, `labguest talk`, against a server of ours. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const guestDir = join(import.meta.dirname, 'guest');
const requestBytes = 16;
const requestMagic = 0x5452424c;
const numberPort = 5003;

const asked = 3_000;

/** As a socket that fills up does: takes half of every third request, and nothing of the next. */
const fullSocket = `
#include <errno.h>
#include <sys/socket.h>

ssize_t __real_send(int fd, const void *data, size_t size, int flags);
ssize_t __wrap_send(int fd, const void *data, size_t size, int flags)
{
    static unsigned calls;

    if (++calls % 3 == 1) {
        errno = EAGAIN;
        return -1;
    }
    return __real_send(fd, data, calls % 3 == 0 && size > 1 ? size / 2 : size, flags);
}
`;

/** What a client says that asks all at once and whose socket is full every now and then. */
async function saidByAnImpatientClient(program: string): Promise<Buffer> {
  const server = createServer();
  // An address that nobody uses: the port is the lab's.
  server.listen(numberPort, '127.77.0.3');
  await once(server, 'listening');
  const client = spawn(program, ['talk', '127.77.0.3', '0', String(asked)], { stdio: 'pipe' });
  const ended = once(client, 'close');
  try {
    const [socket] = (await once(server, 'connection')) as [Socket];
    const chunks: Buffer[] = [];
    let bytes = 0;
    const all = new Promise<void>((resolve, reject) => {
      socket.on('error', reject);
      socket.on('data', (chunk) => {
        chunks.push(chunk);
        bytes += chunk.length;
        if (bytes >= asked * requestBytes) resolve();
      });
    });
    await all;
    socket.destroy();
    return Buffer.concat(chunks);
  } finally {
    client.kill('SIGKILL');
    await ended;
    server.close();
  }
}

// Proves: a request that a full socket took half of is completed, not begun again. It was, and a
// guest that read garbage closed a connection that had survived the death of its host.
it('completes what a full socket took half of', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'tsremus-talk-'));
  try {
    const program = join(dir, 'labguest');
    const sources = readdirSync(guestDir).filter((name) => name.endsWith('.c'));
    const files = sources.map((name) => join(guestDir, name));
    writeFileSync(join(dir, 'full.c'), fullSocket);
    const flags = ['-std=gnu11', '-Wl,--wrap=send', '-o', program];
    execFileSync('gcc', [...flags, ...files, join(dir, 'full.c')]);
    const said = await saidByAnImpatientClient(program);
    const wrong: number[] = [];
    for (let number = 1; number <= asked; number++) {
      const at = (number - 1) * requestBytes;
      const id = Number(said.readBigUInt64LE(at + 8));
      if (said.readUInt32LE(at) !== requestMagic || id !== number) wrong.push(number);
    }
    expect(wrong).toEqual([]);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});
