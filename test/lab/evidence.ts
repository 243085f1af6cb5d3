/** What is kept of a trial that failed: both hosts' logs and states, in a folder that is named. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isRunning, quote } from './host.ts';
import type { Beacon, Lab } from './lab.ts';
import { cacheDir, type HostId, hostIds, hosts } from './settings.ts';

const consoleTailBytes = 64 * 1024;
/** What beacons are kept around a change of host or a silence. */
const beaconsMax = 20_000;

/** One command for all: a host that is in trouble may be slow, too. */
const collection = [
  'head -n -0 /var/log/tsremus/*.log',
  'head -n -0 /run/protect-*',
  'head -n -0 /run/tsremus/*.json; echo; ls -lR /run/tsremus /var/lib/tsremus',
  'xl list',
  'ps -eo pid,ppid,ni,stat,time,args --sort=-time | grep -v "\\]$" | head -40',
  'tail -n 60 /var/log/xen/guest-*.log',
  'tsremus status; echo "exit code $?"',
  'xl dmesg | tail -40',
  'xenstore-ls -f /local/domain | head -200',
];
const collectionTimeoutMs = 180_000;

async function ofHost(lab: Lab, host: HostId, dir: string): Promise<void> {
  const { consoleLog, name } = hosts[host];
  if (existsSync(consoleLog)) {
    const tail = readFileSync(consoleLog).subarray(-consoleTailBytes);
    writeFileSync(join(dir, `${name}.console.log`), tail);
  }
  if (!isRunning(host)) return;
  const script = collection.map((line) => `echo; echo ${quote(`==== ${line}`)}; ${line}`);
  const shell = `{ ${script.join('\n')}\n} 2>&1`;
  const result = await lab.ssh(host, shell, { timeoutMs: collectionTimeoutMs });
  const cut = result.timedOut ? `\n==== cut off after ${collectionTimeoutMs} ms\n` : '';
  writeFileSync(join(dir, `${name}.txt`), result.stdout + result.stderr + cut);
}

/** Collects what can be collected; never fails, the trial's own failure is the news. */
export async function collectEvidence(
  lab: Lab,
  name: string,
  beacons: readonly Beacon[],
  problems: readonly string[],
): Promise<string> {
  const stamp = new Date().toISOString().replace(/\..*|[-:]/g, '');
  const dir = join(cacheDir, 'failures', `${stamp}-${name}`);
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, 'problems.txt'), `${problems.join('\n')}\n`);
  const lines = beacons.slice(-beaconsMax).map((beacon) => JSON.stringify(beacon));
  writeFileSync(join(dir, 'beacons.jsonl'), `${lines.join('\n')}\n`);
  const collected = hostIds.map((host) => ofHost(lab, host, dir));
  for (const one of await Promise.allSettled(collected)) {
    if (one.status === 'rejected') {
      writeFileSync(join(dir, 'incomplete.txt'), `${String(one.reason)}\n`, { flag: 'a' });
    }
  }
  return dir;
}
