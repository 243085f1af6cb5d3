/**
 * The lab's two networks, in a network namespace of their own: nothing of them is to be seen from
 * the machine, and deleting the namespace deletes all of it.
 *
 *   lan    10.77.0.0/24   the guests' network; the namespace itself is 10.77.0.1 on it, and
 *          fd77::/64      fd77::1; 10.77.1.0/24 is for guests with a second interface
 *   repl   10.78.0.0/24   the replication network between the hosts
 *
 * Each host hangs on a switch of its own, and those on `lan`: so a host that dies takes no carrier
 * away from `lan`, which goes on sending its guests' frames there until somebody tells it better.
 *
 * `cut` drops what one *host* sends to the other, on both networks, silently. Guests have
 * addresses of their own (Xen's 00:16:3e), so their traffic passes, and so does the lab's: only
 * frames that are forwarded between the taps are looked at. The rules of each direction lie
 * ready in files; a change is one nft transaction, in effect for both networks at once.
 */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type CommandResult, execute, hangMs, LabError, run } from './command.ts';
import {
  beaconPort,
  type HostId,
  hostIds,
  hosts,
  namespace,
  otherHost,
  outsideIp,
  outsideIp6,
  outsideIpSecond,
  runDir,
} from './settings.ts';

export type CutDirection = 'a-b' | 'b-a' | 'both';

/** Reads a direction from a command line; nothing means both. */
export function parseDirection(text: string | undefined): CutDirection {
  const direction = text ?? 'both';
  if (direction === 'a-b' || direction === 'b-a' || direction === 'both') return direction;
  throw new LabError(`expected a-b, b-a or both, not ${direction}`);
}

/** The prefix that runs a command in the lab's namespace. */
export const inNamespace: readonly string[] = ['ip', 'netns', 'exec', namespace];

const rulesDir = join(runDir, 'net');
const rulesOf = (state: CutDirection | 'heal') => join(rulesDir, `${state}.nft`);

/** Whether the lab's namespace is there. */
export function networkExists(): boolean {
  return existsSync(`/run/netns/${namespace}`);
}

/** Makes namespace, bridges, taps and rules; a namespace left by a crashed run is made anew. */
export async function createNetwork(): Promise<void> {
  await deleteNetwork();
  // No spanning tree and no delay: a port forwards from its first moment.
  const bridge = 'type bridge forward_delay 0 stp_state 0 mcast_snooping 0';
  const commands = [
    'link set lo up',
    `link add lan ${bridge}`,
    `link add repl ${bridge}`,
    'link set lan up',
    'link set repl up',
    `addr add ${outsideIp}/24 dev lan`,
    `addr add ${outsideIpSecond}/24 dev lan`,
  ];
  for (const id of hostIds) {
    const [own, uplink] = [`switch${id}`, `uplink${id}`];
    commands.push(`link add ${own} ${bridge}`, `link set ${own} up`);
    commands.push(`link add ${uplink} type veth peer name ${uplink}-lan`);
    const ports = [
      [uplink, own],
      [`${uplink}-lan`, 'lan'],
    ];
    for (const [tap, bridge] of [
      [hosts[id].lanTap, own],
      [hosts[id].replicationTap, 'repl'],
    ] as const) {
      commands.push(`tuntap add ${tap} mode tap`);
      ports.push([tap, bridge]);
    }
    for (const [port, bridge] of ports) {
      commands.push(`link set ${port} master ${bridge}`, `link set ${port} up`);
    }
  }
  await run(['ip', 'netns', 'add', namespace]);
  // The namespace's own addresses are on lan only: the switches are none of its interfaces.
  await run([...inNamespace, 'sysctl', '-q', '-w', 'net.ipv4.conf.all.arp_ignore=1']);
  // ip -batch in one go: two dozen separate processes would take longer than the rest of `up`.
  await run([...inNamespace, 'ip', '-batch', '-'], { input: `${commands.join('\n')}\n` });
  await allowIpv6();
  await run([...inNamespace, 'sysctl', '-q', '-w', ...patience(4)]);
  writeRules();
  await run([...inNamespace, 'nft', '-f', join(rulesDir, 'base.nft')]);
}

/**
 * How often a guest's place is asked for, once a second. A held answer may come after seconds: the
 * default, three in three seconds, gives up before.
 */
const solicitsMax = 120;

function patience(version: 4 | 6): string[] {
  const neighbours = `net.ipv${version}.neigh.lan`;
  return ['mcast', 'ucast'].map((way) => `${neighbours}.${way}_solicit=${solicitsMax}`);
}

/** IPv6 on the guests' network, and nowhere else: a machine without it has no such tests. */
async function allowIpv6(): Promise<void> {
  const set = (name: string, value: number) => `net.ipv6.conf.${name}.disable_ipv6=${value}`;
  try {
    await run([...inNamespace, 'sysctl', '-q', '-w', set('all', 1)]);
    await run([...inNamespace, 'sysctl', '-q', '-w', set('lan', 0)]);
    await run([...inNamespace, 'ip', 'addr', 'add', `${outsideIp6}/64`, 'dev', 'lan', 'nodad']);
    await run([...inNamespace, 'sysctl', '-q', '-w', ...patience(6)]);
  } catch {
    // A test that needs it will say that nobody answers.
  }
}

/** Removes the namespace and with it everything in it. */
export async function deleteNetwork(): Promise<void> {
  if (networkExists()) await run(['ip', 'netns', 'delete', namespace]);
}

/** Processes in the lab's namespace; nobody but the lab starts any there. */
export async function processesInside(): Promise<number[]> {
  if (!networkExists()) return [];
  const output = await run(['ip', 'netns', 'pids', namespace]);
  return output.split('\n').filter(Boolean).map(Number);
}

function writeRules(): void {
  mkdirSync(rulesDir, { recursive: true });
  const base = [
    'add table bridge lab',
    'add chain bridge lab forward { type filter hook forward priority 0; }',
    // Beacons are captured on the taps; nobody listens, and no "port unreachable" is to answer.
    'add table ip lab',
    'add chain ip lab input { type filter hook input priority 0; }',
    `add rule ip lab input udp dport ${beaconPort} drop`,
  ];
  writeFileSync(join(rulesDir, 'base.nft'), `${base.join('\n')}\n`);
  const flush = 'flush chain bridge lab forward\n';
  writeFileSync(rulesOf('heal'), flush);
  const drops = (from: HostId) => dropRules(from).join('');
  writeFileSync(rulesOf('a-b'), flush + drops('a'));
  writeFileSync(rulesOf('b-a'), flush + drops('b'));
  writeFileSync(rulesOf('both'), flush + drops('a') + drops('b'));
}

function dropRules(from: HostId): string[] {
  const [source, target] = [hosts[from], hosts[otherHost(from)]];
  const add = 'add rule bridge lab forward';
  return [
    `${add} iifname ${source.replicationTap} oifname ${target.replicationTap} drop\n`,
    `${add} ether saddr ${source.lanMac} oifname ${target.lanTap} drop\n`,
  ];
}

async function apply(state: CutDirection | 'heal'): Promise<void> {
  requireNetwork();
  await run([...inNamespace, 'nft', '-f', rulesOf(state)]);
}

function requireNetwork(): void {
  if (!networkExists()) throw new LabError('the lab is not up', { hint: 'npm run lab -- up' });
}

/** Drops, from now on, every packet between the hosts in this direction. */
export async function cut(direction: CutDirection = 'both'): Promise<void> {
  await apply(direction);
}

/** Lets every packet pass again. */
export async function heal(): Promise<void> {
  await apply('heal');
}

/** When a timed cut began and ended, as milliseconds of Date.now(). */
export interface CutTimes {
  readonly fromMs: number;
  readonly toMs: number;
}

/**
 * Cuts for `ms` and heals. One shell does both, at a higher priority than the emulators, so that
 * neither this process nor a loaded machine stretches the cut; the answer says what it was.
 */
export async function cutFor(direction: CutDirection, ms: number): Promise<CutTimes> {
  requireNetwork();
  const script = [
    'nft -f "$1"; from=$EPOCHREALTIME',
    'read -r -t "$3" <> <(:) || :', // a sleep without a process
    'nft -f "$2"; echo "$from $EPOCHREALTIME"',
  ].join('\n');
  const argv = [
    ...inNamespace,
    'nice',
    '-n',
    '-15',
    'bash',
    '-c',
    script,
    'cut',
    rulesOf(direction),
    rulesOf('heal'),
    (ms / 1000).toFixed(3),
  ];
  let output: string;
  try {
    output = await run(argv, { timeoutMs: ms + hangMs });
  } catch (error) {
    await heal(); // a cut must never stay by accident
    throw error;
  }
  const [from, to] = output
    .trim()
    .split(' ')
    .map((seconds) => Number(seconds) * 1000);
  return { fromMs: from as number, toMs: to as number };
}

/** Runs a command in the lab's namespace. */
export function executeInside(
  argv: readonly string[],
  options: { timeoutMs?: number; input?: string } = {},
): Promise<CommandResult> {
  requireNetwork();
  return execute([...inNamespace, ...argv], options);
}
