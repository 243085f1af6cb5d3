/** What is kept of a trial that failed: both hosts' logs and states, in a folder that is named. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isRunning } from './host.ts';
import type { Beacon, Lab } from './lab.ts';
import { cacheDir, type HostId, hostIds, hosts } from './settings.ts';

const consoleTailBytes = 64 * 1024;
/** What beacons are kept around a change of host or a silence. */
const beaconsMax = 20_000;

const commands: Readonly<Record<string, string>> = {
  'tsremus.log': 'tail -n +1 /var/log/tsremus/*.log 2>&1',
  'protect.out': 'tail -n +1 /run/protect-* 2>&1',
  'session.json': 'tail -n +1 /run/tsremus/*.json 2>&1; ls -lR /run/tsremus /var/lib/tsremus 2>&1',
  'status.txt': 'tsremus status 2>&1; echo "exit code $?"',
  'xl.txt': 'xl list; xl dmesg | tail -40; xenstore-ls -f /local/domain | head -200',
  'processes.txt': 'ps -eo pid,ppid,stat,etime,args | grep -v "\\]$"',
  'xen-logs.txt': 'tail -n 100 /var/log/xen/*.log /var/log/xen/console/*.log 2>&1',
};

async function ofHost(lab: Lab, host: HostId, dir: string): Promise<void> {
  const { consoleLog, name } = hosts[host];
  if (existsSync(consoleLog)) {
    const tail = readFileSync(consoleLog).subarray(-consoleTailBytes);
    writeFileSync(join(dir, `${name}.console.log`), tail);
  }
  if (!isRunning(host)) return;
  for (const [file, command] of Object.entries(commands)) {
    const result = await lab.ssh(host, command, { timeoutMs: 20_000 });
    writeFileSync(join(dir, `${name}.${file}`), result.stdout + result.stderr);
  }
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
