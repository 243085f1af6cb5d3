/**
 * Every kind of advice with its line, as people see it; and that a shell and the program understand
 * each of them, whatever the guest is called, also behind the ssh that carries it to another host.
 * The tables are total: a kind without a line here does not compile.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { newContext } from '../../../src/cli/context.ts';
import { buildProgram } from '../../../src/cli/program.ts';
import {
  type Advice,
  type AdviceKind,
  adviceCommand,
  adviceLine,
  askClause,
  lineThere,
  neverRan,
  vouchClause,
} from '../../../src/core/texts/advice.ts';
import { fakeIo } from '../../cli/fake-io.ts';

const settings = ['interval=auto', 'max-overhead=10'];
const remote = 'ssh -p 22 hostb';

/** One piece of advice of each kind, on a guest. */
function adviceOn(domain: string, peer: string): readonly Advice[] {
  const all: { readonly [Kind in AdviceKind]: Omit<Extract<Advice, { kind: Kind }>, 'kind'> } = {
    again: { argv: ['protect', '-s', 'ssh -p 22', domain, 'hostb'] },
    'again-of': { argv: ['stop', domain], who: 'web1, number 2' },
    protect: { domain, peer },
    'protect-declared': { domain, peer },
    resync: { domain, peer },
    'show-all': {},
    'show-events': { domain },
    show: { domain },
    'show-there': { domain, peer },
    'show-if-there': { domain, peer },
    stop: { domain },
    'stop-retry': { domain },
    'stop-ask-again': { domain, peer },
    'stop-ask-and-clear': { domain, peer },
    'stop-clear': { domain },
    'stop-find-out': { domain },
    'stop-vouch': { domain, peer },
    'stop-vouch-name': { domain },
    'stop-lost-here': { domain, peer },
    'stop-lost-there': { domain, peer },
    'stop-lost-name': { domain },
    'stop-destroy': { domain },
    'stop-destroy-copy': { domain, peer },
    'stop-destroy-copy-there': { domain },
    'stop-seen': { domain },
    'stop-leave-so': { domain },
    'stop-to-plug-in': { domain },
    'stop-here': { domain },
    'stop-there': { domain, peer },
    'stop-if-there': { domain, peer },
    'drill-yes': { domain },
    'failover-yes': { domain },
    'failover-here': { domain },
    'failover-there': { domain, peer },
    'failover-if-dead': { domain, peer },
    'failover-look': { domain, peer },
    'failover-vouch': { domain, peer },
    'protect-there': { domain, peer },
    set: { domain, settings },
    'set-there': { domain, peer, settings },
    'list-guests': {},
    'list-uuids': {},
    'list-guest': { domain },
    'unpause-guest': { domain },
    'see-process': { pid: 42 },
    'end-process': { pid: 42 },
    'free-record': { dir: '/var/lib/tsremus' },
    corrected: { argv: ['stop', domain], environment: ['TSREMUS_RUN_DIR=/run/my dir'] },
    'debug-again': { argv: ['stop', domain] },
    'as-root': { argv: ['stop', domain] },
    'see-help': { command: 'tsremus protect' },
    'read-page': { page: 'tsremus-protect', why: 'LIMITS: what can be protected' },
    'same-version': {},
    'build-native': {},
    'install-packages': { packages: ['iproute2', 'kmod'], why: null },
    'look-up-host': { host: 'root@hostb' },
    'ping-host': { host: 'root@hostb' },
    'forget-key': { host: 'root@hostb' },
    'copy-key': { host: 'root@hostb' },
    'accept-key': { remote },
    'try-remote': { remote },
    'try-remote-verbosely': { remote: 'ssh -v hostb' },
    'try-greeting': { remote },
    'try-terminal': { remote },
    'try-program': { remote },
    'try-node': { remote },
    'try-versions': { remote },
    'try-command': { command: 'nc hostb 7000 | cat' },
    'see-host': {},
    'see-namesake': { domain },
    'free-memory': { mib: 12 },
    'make-bridge': { name: 'xenbr1' },
    'make-switch': { name: 'ovsbr0' },
    'see-interface': { name: 'web1-lan' },
    'make-pool': { name: 'fast' },
    'fill-pool': { name: 'fast' },
    'see-missing': { path: '/dev/vg0/web1' },
    'make-executable': { path: '/etc/xen/scripts/vif-own' },
    'grow-own-memory': { mib: 1024 },
    'free-space': { dir: '/var/log' },
    'see-file': { path: '/etc/tsremus/allow' },
    'see-disk': { path: '/dev/vg0/web1' },
    'empty-disk': { path: '/dev/vg0/web1' },
    'forget-disk': { path: '/dev/vg0/web1', mark: '/var/lib/tsremus/disks/u.xvda' },
    'move-to-volume': { path: '/images/web1.qcow2', format: 'qcow2' },
    'use-block-script': { path: '/srv/web1.img' },
    'see-snapshots': { group: 'vg0' },
    'allow-line': { line: 'nics.script /etc/xen/x', path: '/etc/tsremus/allow' },
    'allow-example': { path: '/etc/tsremus/allow' },
    'close-directory': { path: '/run/tsremus' },
    'drbd-adjust': { resource: 'web1', what: 'protocol D' },
    'drbd-connect': { resource: 'web1' },
    'drbd-up': { resource: 'web1' },
    'drbd-primary': { resource: 'web1' },
    'drbd-secondary': { resource: 'web1' },
    'drbd-watch': {},
    'load-drbd': {},
    'see-clock': {},
    'see-links': {},
    'no-autostart': { path: '/etc/xen/auto/web1.cfg' },
    'set-autoballoon': { path: '/etc/xen/xl.conf' },
    'see-toolstack-lock': { pid: 42 },
    'see-suspend': { id: 3 },
    'see-modules': {},
    'see-tc-version': {},
    'see-interfaces': {},
    'see-ingress': { name: 'vif1.0' },
    'see-actions': {},
    'see-waiting': {},
    'see-left-queues': { path: '/run/tsremus/x' },
    'remove-filters': { names: ['vif1.0', 'vif1.1'] },
    'remove-hold': { names: ['tsr1.0'] },
    'remove-queues': { names: ['tsr1', 'tsr2'] },
    'run-script': { path: '/etc/xen/scripts/remus-netbuf-setup' },
  };
  return Object.entries(all).map(([kind, about]) => ({ kind, ...about }) as Advice);
}

const lines: Readonly<Record<AdviceKind, string>> = {
  again: "tsremus protect -s 'ssh -p 22' web1 hostb",
  'again-of': 'tsremus stop web1  # web1, number 2',
  protect: 'tsremus protect web1 hostb',
  'protect-declared': 'tsremus protect web1  # here, if it runs here',
  resync: 'tsremus resync web1 hostb  # sends what differs',
  'show-all': 'tsremus status',
  'show-events': 'tsremus events web1  # what is known of its sessions',
  show: 'tsremus status web1',
  'show-there': 'ssh hostb tsremus status web1',
  'show-if-there': 'ssh hostb tsremus status web1  # if it runs there',
  stop: 'tsremus stop web1',
  'stop-retry': 'tsremus stop web1  # tries again; it may go on here',
  'stop-ask-again': 'tsremus stop web1  # asks hostb once more',
  'stop-ask-and-clear': 'tsremus stop web1  # asks hostb, and clears what is left here',
  'stop-clear': 'tsremus stop web1  # clears what is left here',
  'stop-find-out':
    'tsremus stop web1  # clears it if the guest is gone; else says what may be done',
  'stop-vouch':
    'tsremus stop --force-unsafe web1  # only if the copy on hostb never ran and never will',
  'stop-vouch-name': 'tsremus stop --force-unsafe --vouch web1 web1',
  'stop-lost-here': 'tsremus stop --lost web1  # here: hostb may go on with what it has',
  'stop-lost-there': 'ssh -t hostb tsremus stop --lost web1  # if it will not run there again',
  'stop-lost-name': 'tsremus stop --lost --vouch web1 web1',
  'stop-destroy': 'tsremus stop --destroy web1  # drops what is held, destroys the guest',
  'stop-destroy-copy': 'tsremus stop --destroy web1  # here: give it up, if hostb goes on',
  'stop-destroy-copy-there':
    'tsremus stop --destroy web1  # if the guest that is to be protected is the one',
  'stop-seen': 'tsremus stop web1  # here: seen',
  'stop-leave-so': 'tsremus stop web1  # seen, leave it so',
  'stop-to-plug-in': 'tsremus stop web1  # then protect it again, with all its interfaces',
  'stop-here': 'tsremus stop web1  # here: end protection',
  'stop-there': 'ssh hostb tsremus stop web1  # end protection there',
  'stop-if-there': 'ssh hostb tsremus stop web1  # if the guest runs there',
  'drill-yes': 'tsremus drill --yes web1',
  'failover-yes': 'tsremus failover --yes web1',
  'failover-here': 'tsremus failover web1  # here: run the copy',
  'failover-there': 'ssh -t hostb tsremus failover web1',
  'failover-if-dead': 'tsremus failover web1  # here, if hostb is dead',
  'failover-look': 'tsremus failover web1  # here, if hostb is dead: looks, and runs it if whole',
  'failover-vouch':
    'tsremus failover --force-unsafe web1  # on your word that hostb does not run it',
  'protect-there': 'ssh hostb tsremus protect web1 "$(hostname)"  # if the guest runs there',
  set: 'tsremus set web1 interval=auto max-overhead=10',
  'set-there': 'ssh hostb tsremus set web1 interval=auto max-overhead=10',
  'list-guests': 'xl list',
  'list-uuids': 'xl vm-list  # shows the UUID of each: type that',
  'list-guest': 'xl list web1',
  'unpause-guest': 'xl unpause web1',
  'see-process': 'ps -o pid,stat,wchan:20,cmd -p 42',
  'end-process': 'kill 42  # then again; a second time if it stays held',
  'free-record': 'df -h /var/lib/tsremus  # the decision is recorded there',
  corrected: "env 'TSREMUS_RUN_DIR=/run/my dir' tsremus stop web1",
  'debug-again': 'env TSREMUS_DEBUG=1 tsremus stop web1  # shows where',
  'as-root': 'sudo tsremus stop web1',
  'see-help': 'tsremus protect --help',
  'read-page': 'man tsremus-protect  # LIMITS: what can be protected',
  'same-version': 'tsremus --version  # install the same version on both hosts',
  'build-native': 'npm run build  # in the sources of tsremus',
  'install-packages': 'apt-get install iproute2 kmod',
  'look-up-host': 'getent hosts hostb  # nothing: this host does not know the name',
  'ping-host': 'ping -c 3 hostb  # is it up, and reachable?',
  'forget-key': 'ssh-keygen -R hostb  # only if you know why its key has changed',
  'copy-key': 'ssh-copy-id root@hostb  # lets root log in without a password',
  'accept-key': 'ssh -p 22 hostb true  # as root, to accept its key once',
  'try-remote': 'ssh -p 22 hostb true  # must end at once, without a question',
  'try-remote-verbosely': 'ssh -v hostb true  # says where it ends',
  'try-greeting':
    'ssh -p 22 hostb true  # must print nothing: silence the start-up files of its shell',
  'try-terminal': 'ssh -p 22 hostb tty  # must print: not a tty',
  'try-program': 'ssh -p 22 hostb tsremus --version  # must print a version',
  'try-node':
    'ssh -p 22 hostb node --version  # install it there, or a link to it in /usr/local/bin',
  'try-versions': 'ssh -p 22 hostb tsremus --version  # install the same version on both hosts',
  'try-command': '(nc hostb 7000 | cat) </dev/null  # must lead to tsremus receive',
  'see-host': 'xl info  # fails where the host was not booted with Xen',
  'see-namesake': 'xl list -v web1  # another guest of that name? xl rename gives it another',
  'free-memory': 'xl list  # 12 MiB more are to be free: see which can give some (xl mem-set)',
  'make-bridge': 'ip link add name xenbr1 type bridge  # then up, with a network card in it',
  'make-switch': 'ovs-vsctl add-br ovsbr0',
  'see-interface': 'ip -d link show web1-lan  # whose is it? The guest needs that name',
  'make-pool': 'xl cpupool-create \'name="fast"\'  # then give it processors',
  'fill-pool': 'xl cpupool-cpu-add fast 1  # a free one: first xl cpupool-cpu-remove Pool-0 1',
  'see-missing': 'ls -l /dev/vg0/web1  # to be there, as on the host of the guest',
  'make-executable': 'chmod +x /etc/xen/scripts/vif-own',
  'grow-own-memory': 'xl mem-set Domain-0 1024m',
  'free-space': 'df -h /var/log  # free some',
  'see-file': 'ls -ld /etc/tsremus/allow',
  'see-disk': 'lsblk -b -o NAME,SIZE,LOG-SEC,TYPE,MOUNTPOINTS /dev/vg0/web1  # as it is there',
  'empty-disk':
    'blkdiscard -z /dev/vg0/web1  # only if nobody needs what is on this disk: all of it goes',
  'forget-disk':
    'rm /var/lib/tsremus/disks/u.xvda  ' +
    '# only if what the guest wrote to /dev/vg0/web1 there may be lost',
  'move-to-volume':
    'qemu-img convert -p -n -f qcow2 -O raw /images/web1.qcow2 /dev/VG/LV' +
    "  # with the guest off, onto a volume as large; then that is its disk, by 'raw'",
  'use-block-script':
    'man tsremus-protect' +
    '  # DISKS: script=block-tsremus,target=/srv/web1.img puts a volume under it, from its next boot on',
  'see-snapshots': 'lvs -o lv_name,origin vg0  # lvremove those of it, or merge them',
  'allow-line':
    "mkdir -p /etc/tsremus && echo 'nics.script /etc/xen/x' >> /etc/tsremus/allow" +
    '  # only if a guest from another host may have it',
  'allow-example':
    'less /etc/tsremus/allow  # a line is a key and a value: nics.script /etc/xen/scripts/vif-own',
  'close-directory': 'chown root: /run/tsremus && chmod 700 /run/tsremus',
  'drbd-adjust': 'drbdadm adjust web1  # on both hosts, with protocol D in its configuration',
  'drbd-connect': 'drbdadm connect web1  # on both hosts',
  'drbd-up': 'drbdadm up web1  # on both hosts',
  'drbd-primary': 'drbdadm primary web1',
  'drbd-secondary': 'drbdadm secondary web1  # on the backup host, once nobody uses it there',
  'drbd-watch': 'cat /proc/drbd  # Connected, UpToDate/UpToDate: then again',
  'load-drbd': 'modprobe drbd  # its kernel module is not loaded',
  'see-clock': 'timedatectl  # keep both hosts in time, by chrony say',
  'see-links': 'ip -s link  # what it is, and whether packets are lost',
  'no-autostart':
    'mv /etc/xen/auto/web1.cfg /etc/xen/' +
    '  # else this host boots it after a power cut, beside the copy',
  'set-autoballoon':
    'less /etc/xen/xl.conf' +
    '  # autoballoon="off", and dom0_mem= on the command line of the hypervisor',
  'see-toolstack-lock': 'ps -o pid,etime,cmd -p 42  # xl waits for it',
  'see-suspend':
    'xenstore-ls /local/domain/3/control' +
    '  # feature-suspend 1 is there where the guest has drivers that can',
  'see-modules':
    'sysctl kernel.modules_disabled  # 1, or a line in /etc/modprobe.d: none is loaded',
  'see-tc-version': 'tc -V  # iproute2 5.0 or newer is needed',
  'see-interfaces': 'ls /sys/class/net  # vifDOMID.N; they come when the guest has started',
  'see-ingress': 'tc filter show dev vif1.0 ingress  # whose is it? Or a script of yours, -N',
  'see-actions': 'tc actions list action mirred  # whose is it?',
  'see-waiting': 'tc -s qdisc show  # what waits there',
  'see-left-queues': 'ip link show type ifb  # which are left; then remove /run/tsremus/x',
  'remove-filters': 'tc qdisc del dev vif1.0 clsact; tc qdisc del dev vif1.1 clsact',
  'remove-hold': 'nft delete table netdev tsr1.0',
  'remove-queues': 'ip link del tsr1; ip link del tsr2',
  'run-script':
    'env vifname=VIF XENBUS_PATH=PATH /etc/xen/scripts/remus-netbuf-setup setup' +
    '  # with what the log has of both',
};

it.each(adviceOn('web1', 'hostb'))('$kind', (advice) => {
  expect(adviceLine(advice)).toBe(lines[advice.kind]);
  expect(adviceCommand(advice)).toBe(lines[advice.kind].replace(/ {2}# .*$/, ''));
});

/** The words that a shell makes of a line. */
function wordsOf(line: string): string[] {
  const script = `set -- ${line}\nprintf '%s\\0' "$@"`;
  const { stdout, stderr } = spawnSync('sh', ['-c', script], { encoding: 'utf8' });
  expect(stderr).toBe('');
  return stdout.split('\0').slice(0, -1);
}

/** What the program's own parser makes of `argv`; throws what it has against it. */
async function parsed(argv: readonly string[]) {
  const program = buildProgram(newContext(fakeIo()));
  let found: { name: string; args: readonly string[] } | null = null;
  for (const command of program.commands) {
    command.action(() => {
      found = { name: command.name(), args: command.args };
    });
  }
  await program.parseAsync(argv, { from: 'user' });
  return found;
}

/** What is left of a line behind what carries it: `env`, `sudo`, or ssh and the other host. */
function carried(words: readonly string[]): readonly string[] {
  const [tool = '', ...rest] = words;
  if (tool === 'sudo') return rest;
  if (tool === 'env') return rest.slice(rest.findIndex((word) => !word.includes('=')));
  if (tool !== 'ssh') return words;
  // The shell there takes what ssh is given once more.
  return wordsOf(words.slice(words.indexOf('hostb') + 1).join(' '));
}

/** Other programs' own, which a parser of ours does not know. */
const tools = [
  ...['lvs', 'qemu-img'],
  ...[
    'xl',
    'ps',
    'kill',
    'ovs-vsctl',
    'df',
    'npm',
    'apt-get',
    'getent',
    'ping',
    'ssh-keygen',
    'ssh-copy-id',
  ],
  ...['timedatectl', 'mv', 'xenstore-ls'],
  ...['xl', 'ps', 'kill', 'df', 'npm', 'apt-get', 'getent', 'ping', 'ssh-keygen', 'ssh-copy-id'],
  ...['true', 'tty', 'node', 'ls', 'less', 'sysctl', 'tc', 'ip', 'nft', 'chmod'],
  ...['drbdadm', 'cat', 'modprobe', 'lsblk', 'blkdiscard', 'rm'],
];
/** More than one command, or one with a redirection: that a shell can read it has to do. */
const compound: readonly AdviceKind[] = [
  ...(['try-command', 'allow-line', 'close-directory', 'remove-filters'] as const),
  ...(['remove-queues', 'run-script'] as const),
];

const manPages = readdirSync(join(import.meta.dirname, '../../../man'));

/** Help and version are errors to commander, of exit code 0. */
async function expectInformation(argv: readonly string[]): Promise<void> {
  const error = await parsed(argv).then(
    () => null,
    (thrown: { readonly exitCode?: number }) => thrown,
  );
  expect(error?.exitCode).toBe(0);
}

/** The arguments that a line of the program has to have. */
function argsOf(advice: Advice, domain: string): readonly string[] {
  if (!('domain' in advice) && !('argv' in advice)) return [];
  const ofKind: Partial<Record<AdviceKind, readonly string[]>> = {
    protect: ['hostb'],
    resync: ['hostb'],
    again: ['hostb'],
    'protect-there': [hostname()],
  };
  return [domain, ...(ofKind[advice.kind] ?? []), ...('settings' in advice ? settings : [])];
}

/** Names are tried where there is one. */
function namedOn(domain: string): readonly Advice[] {
  return adviceOn(domain, 'hostb').filter((one) => 'domain' in one || 'argv' in one);
}

describe.each(['web1', 'a guest', "it's", 'grün', '$HOME', '#1', '`id`; "x"\\'])(
  'on %j',
  (domain) => {
    it.each(domain === 'web1' ? adviceOn(domain, 'hostb') : namedOn(domain))(
      '$kind is understood',
      async (advice) => {
        if (compound.includes(advice.kind)) {
          return expect(spawnSync('sh', ['-n', '-c', adviceLine(advice)]).status).toBe(0);
        }
        const [tool = '', ...argv] = carried(wordsOf(adviceLine(advice)));
        // Nothing of the comment is left, and the name is one word.
        expect(argv).not.toContain('#');
        if ('domain' in advice) expect(argv).toContain(domain);
        if (tool === 'man') return expect(manPages).toContain(`${argv[0]}.8`);
        if (tool !== 'tsremus') return expect(tools).toContain(tool);
        if (/^--(help|version)$/.test(argv.at(-1) ?? '')) return expectInformation(argv);
        expect(await parsed(argv)).toEqual({ name: argv[0], args: argsOf(advice, domain) });
      },
    );
  },
);

it.each(['ssh hostb\nreboot', '', '-oProxyCommand=id', '$(reboot)', '-t'])(
  'goes to no host that is called %j',
  (peer) => {
    for (const advice of adviceOn('web1', peer)) {
      if (!('peer' in advice)) continue;
      const [tool = '', ...argv] = wordsOf(adviceLine(advice));
      expect(tool).toBe('tsremus');
      expect(argv).not.toContain(peer);
    }
  },
);

it('says where a line belongs whose host has no name', () => {
  const peer = 'ssh hostb';
  const line = (kind: 'show-there' | 'stop-there') => adviceLine({ kind, domain: 'web1', peer });
  expect(line('show-there')).toBe('tsremus status web1  # on the other host');
  expect(line('stop-there')).toBe('tsremus stop web1  # on the other host: end protection there');
});

describe('a line that the other host offers for itself', () => {
  it.each([
    ['df -h /var  # free some', 'ssh hostb df -h /var  # free some'],
    ['xl list; reboot', "ssh hostb 'xl list; reboot'"],
    ['$(reboot)', "ssh hostb '$(reboot)'"],
  ])('%j is typed %j', (said, typed) => {
    expect(lineThere('ssh hostb', said)).toBe(typed);
  });

  it('is there what it was, with names that need quotes', () => {
    const said = adviceLine({ kind: 'see-namesake', domain: "it's #1" });
    expect(carried(wordsOf(lineThere('ssh hostb', said)))).toEqual(['xl', 'list', '-v', "it's #1"]);
  });

  it('is no command here where nobody knows the way', () => {
    expect(lineThere(null, 'xl destroy web1')).toBe('# on the other host: xl destroy web1');
  });
});

it('says in a sentence what one vouches for', () => {
  expect(neverRan()).toBe('the copy never ran and never will');
  expect(askClause('a b')).toBe("to ask once more, type: tsremus stop 'a b'");
  expect(vouchClause('a b', 'hostb')).toBe(
    "if the copy on hostb never ran and never will, type: tsremus stop --force-unsafe 'a b'",
  );
});
