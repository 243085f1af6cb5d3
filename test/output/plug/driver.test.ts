/**
 * Who tells the kernel: netlink where that works, else a resident tc, which is never chosen
 * silently. That both do the same is shown in native/test/test_plug.c and redirect.test.ts.
 */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PlugLibrary } from '../../../src/native/plug.ts';
import { driverOf, openHandle } from '../../../src/output/plug/driver.ts';

let dir: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'tsremus-tc-'));
});

afterEach(() => rmSync(dir, { recursive: true, force: true }));

function standIn(script: string): string {
  const path = join(dir, 'tc');
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  return path;
}

const mute = () => {
  throw new Error('open the output buffer: Address family not supported by protocol');
};

describe('a host with netlink', () => {
  it('is told that way, and has no news', () => {
    const native = new PlugLibrary();
    const news: string[] = [];
    const never = { plugOpen: () => native.plugOpen(), plugOpenTc: mute };
    const driver = driverOf(
      native,
      openHandle(never, null, (text) => news.push(text)),
    );
    driver.close();
    expect(news).toEqual([]);
  });
});

describe('a host without netlink', () => {
  const openWith = (tc: string | null) => {
    const native = new PlugLibrary();
    const without = { plugOpen: mute, plugOpenTc: (path: string) => native.plugOpenTc(path) };
    const news: string[] = [];
    const handle = openHandle(without, tc, (text) => news.push(text));
    return { driver: driverOf(native, handle), native, news };
  };

  // Answers what is shown, and writes down what it is told; a plug is more than it can do.
  const answering = () => `while read -r line; do
  test -z "$line" || echo "$line" >> ${dir}/told
  case "$line" in
  *show*) echo '[{"kind":"plug","drops":3,"backlog":2000,"qlen":2}]';;
  *block) echo 'Error: Something is not there.' >&2; echo 'Command failed -:9' >&2; exit 1;;
  esac
done`;

  it('is told by a resident tc, which the log says', async () => {
    const tc = standIn(answering());
    const { driver, news } = openWith(tc);
    expect(news).toEqual([
      'no netlink socket for the output buffer (open the output buffer: Address family not ' +
        `supported by protocol): ${tc} -batch is told instead`,
    ]);
    // lo is there on every host; the stand-in changes nothing of it.
    const port = { interfaceIndex: null, action: 7, limitBytes: 4096, how: 'adopt' as const };
    driver.add({ ...port, queues: [1, 1] });
    const { packets, bytes, dropped } = await driver.look(0);
    // Of two queues; 768 bytes of each frame are not its own.
    expect({ packets, bytes, dropped }).toEqual({ packets: 4, bytes: 928, dropped: 6 });
    driver.close();
  });

  // Proves: whoever holds the kernel's RTNL lock holds up no heartbeat: the stand-in answers only
  // when this thread, which must be free for that, lets it.
  it('waits for the kernel off the main thread, to release and to open', async () => {
    const [held, go] = [join(dir, 'held'), join(dir, 'go')];
    const { driver, native } = openWith(
      standIn(`while read -r line; do
  case "$line" in
  *show*) echo '[{"kind":"plug","drops":0,"backlog":0,"qlen":0}]';;
  *release*) while test -e ${held} && ! test -e ${go}; do sleep 0.01; done;;
  esac
done`),
    );
    const port = { interfaceIndex: null, action: null, limitBytes: 4096, how: 'made' as const };
    driver.add({ ...port, queues: [1] });
    native.plugBarrier(driver.handle, 1);
    native.plugBarrier(driver.handle, 2);
    for (const work of [() => driver.release(2), async () => void (await driver.pass())]) {
      writeFileSync(held, '');
      let isDone = false;
      const done = work().finally(() => {
        isDone = true;
      });
      await new Promise((resolve) => setTimeout(resolve, 50));
      expect(isDone).toBe(false);
      writeFileSync(go, '');
      await done;
      rmSync(go);
      rmSync(held);
    }
    driver.close();
  });

  // Proves: a command of which tc says nothing is not taken for done.
  it('fails at a barrier that tc did not make', () => {
    const { driver, native } = openWith(standIn(answering()));
    const port = { interfaceIndex: null, action: null, limitBytes: 4096, how: 'adopt' as const };
    driver.add({ ...port, queues: [1] });
    expect(() => native.plugBarrier(driver.handle, 1)).toThrow(
      'cannot close the plug (network device lo): tc says: Error: Something is not there.',
    );
    driver.close();
  });

  it.each([
    ['is not installed', () => null, /not supported by protocol; and tc is not installed$/],
    ['is too old to have -json', () => standIn('exit 255'), /it ended without a word$/],
    [
      'knows why',
      () => standIn('echo "Cannot open rtnetlink" >&2; exit 1'),
      /Cannot open rtnetlink$/,
    ],
  ])('and whose tc %s is a refusal that says both', (_, tc, text) => {
    expect(() => openWith(tc())).toThrow(text);
    expect(() => openWith(tc())).toThrow('Address family not supported');
  });
});
