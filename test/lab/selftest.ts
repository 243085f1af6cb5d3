/**
 * The lab's own checks, in a second and without hosts: a check that cannot fail proves nothing, so
 * each of them is shown a case that it must find.
 */
import { type Beacon, findGaps, findTwoSpeakers } from './beacons.ts';
import { ensureProgram } from './build.ts';
import { openCache } from './cache.ts';
import { execute } from './command.ts';
import { guestIp } from './guest.ts';
import type { HostId } from './settings.ts';

/** Runs all of them; the answer is the number of failures. */
export async function selftest(report: (line: string) => void): Promise<number> {
  let failures = 0;
  const expect = (what: string, holds: boolean) => {
    report(`${holds ? 'ok  ' : 'FAIL'} ${what}`);
    if (!holds) failures += 1;
  };
  openCache();
  const pattern = await execute([await ensureProgram(), 'selftest'], { timeoutMs: 60_000 });
  for (const line of pattern.stdout.trim().split('\n')) {
    expect(`pattern: ${line.slice(5)}`, line.startsWith('ok'));
  }
  expect('pattern: exit code', pattern.code === 0);
  expect('one failover is no conflict', findTwoSpeakers(speak('aaabbb')).length === 0);
  expect('a late packet of the loser is', findTwoSpeakers(speak('aabba')).length === 1);
  expect('two alternating hosts are', findTwoSpeakers(speak('ababab')).length === 4);
  const rebooted = [...speak('aab'), ...speak('aa', 'other boot')];
  expect('a guest that was created anew is not', findTwoSpeakers(rebooted).length === 0);
  const gaps = findGaps([...speak('aa'), ...speak('a').map(later(500))], 'g1', 100);
  expect('a gap is found', gaps.length === 1 && gaps[0]?.lengthMs === 490);
  const names = ['g1', 'g2', 'h1', 'h2'];
  const ips = new Set(names.map(guestIp));
  expect('guests have addresses of their own', ips.size === names.length);
  return failures;
}

/** One beacon every 10 ms, from these hosts in turn. */
function speak(order: string, boot = 'boot'): Beacon[] {
  return [...order].map((host, i) => ({
    timeMs: i * 10,
    host: host as HostId,
    guest: 'g1',
    boot,
    sequence: i,
    counter: i,
  }));
}

function later(byMs: number): (beacon: Beacon) => Beacon {
  return (beacon) => ({ ...beacon, timeMs: beacon.timeMs + byMs });
}
