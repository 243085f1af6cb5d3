// Goal: a transport that takes nothing must not stop the receiving process. Method: the flags of
// its stdout, and a command that is given no peer.
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { beforeAll, expect, it } from 'vitest';
import { systemClock as clock, systemTimers as timers } from '../../src/host/clock.ts';
import { Link } from '../../src/link/link.ts';
import { bundleFixture } from '../fixtures/bundle.ts';
import { Heard, helloMessage } from './support.ts';

let receiver = '';
beforeAll(async () => {
  receiver = await bundleFixture('receiver');
});

it('stdin and stdout do not block', async () => {
  const child = spawn(process.execPath, [receiver], { stdio: ['pipe', 'pipe', 'inherit'] });
  const link = new Link(child.stdout, child.stdin, { role: 'primary', clock, timers });
  link.send(helloMessage);
  const heard = new Heard(link);
  await heard.untilKind('hello-accepted');
  for (const fd of [0, 1]) {
    const info = readFileSync(`/proc/${child.pid}/fdinfo/${fd}`, 'latin1');
    const flags = Number.parseInt(/flags:\s*(\d+)/.exec(info)?.[1] ?? '', 8);
    // O_NONBLOCK on Linux.
    expect(flags & 0o4000).toBe(0o4000);
  }
  await link.close('done');
});

it('a file is no peer', () => {
  const result = spawnSync(process.execPath, [receiver], { stdio: ['ignore', 'pipe', 'pipe'] });
  expect(result.stderr.toString()).toContain('stdin or stdout is no pipe or socket');
});
