/**
 * Every line that is offered to a person after `Try:`, as data: a caller names a kind of advice and
 * what it speaks of, and never builds a line by hand (test/tidy.test.ts). Pure.
 *
 * A line can be pasted as it is where it is read: its words are quoted for a shell, what is to be
 * done on another host goes there by ssh, and why one would type it follows as a comment. None
 * destroys what runs unless the program asks first. What `--help` shows as examples stays with the
 * command.
 */
import { hostWord, isHostName, quoteWord, quoteWords } from './quote.ts';

interface OfGuest {
  /** Name, UUID or number, unquoted. */
  readonly domain: string;
}

interface OfPair extends OfGuest {
  /** The other host as it is known; empty where it is not. */
  readonly peer: string;
}

interface OfProcess {
  readonly pid: number;
}

/** What runs a command on the other host, as a shell would have to be given it: `ssh hostb`. */
interface OfRemote {
  readonly remote: string;
}

interface OfHost {
  readonly host: string;
}

interface OfFile {
  readonly path: string;
}

interface OfResource {
  readonly resource: string;
}

interface OfDevices {
  readonly names: readonly string[];
}

/** What each kind of advice speaks of. */
interface Abouts {
  /** What `protect` was told, once more. */
  again: { readonly argv: readonly string[] };
  /** The same, of the one guest that is named. */
  'again-of': { readonly argv: readonly string[]; readonly who: string };
  /** Again, or for the first time; to the same host where there was one. */
  protect: OfPair;
  /** A declared guest: its file says the rest, unless that names no peer. */
  'protect-declared': OfGuest & { readonly peer: string | null };
  /** What differs there goes. */
  resync: OfPair;

  'show-all': object;
  'show-events': OfGuest;
  show: OfGuest;
  'show-there': OfPair;
  'show-if-there': OfPair;

  stop: OfGuest;
  /** It may go on here, and its output buffer could not be removed. */
  'stop-retry': OfGuest;
  'stop-ask-again': OfPair;
  /** The same where the session's process is dead. */
  'stop-ask-and-clear': OfPair;
  'stop-clear': OfGuest;
  /** Of a buffer that nothing is known of. */
  'stop-find-out': OfGuest;
  /** On the word of a person (DESIGN.md, "Who may go on"). */
  'stop-vouch': OfPair;
  /** The same where there is no terminal to ask on. */
  'stop-vouch-name': OfGuest;
  'stop-destroy': OfGuest;
  /** A whole copy whose process died, on its own host; and named on the other one. */
  'stop-destroy-copy': OfPair;
  /** In a refusal of the backup: whoever reads it types it there. */
  'stop-destroy-copy-there': OfGuest;
  /** On the host where the copy took over. */
  'stop-lost-there': OfPair;
  'stop-lost-here': OfPair;
  'stop-lost-name': OfGuest;
  'stop-seen': OfGuest;
  'stop-leave-so': OfGuest;
  /** An interface that came later is protected by a seed of its own: from the beginning. */
  'stop-to-plug-in': OfGuest;
  'stop-here': OfGuest;
  'stop-there': OfPair;
  'stop-if-there': OfPair;

  'drill-yes': OfGuest;
  'failover-yes': OfGuest;
  'failover-here': OfGuest;
  'failover-there': OfPair;
  'failover-if-dead': OfPair;
  /** Of a copy that may be whole or not. */
  'failover-look': OfPair;
  /** Where the primary goes on by itself: on the word of a person. */
  'failover-vouch': OfPair;
  /** A copy that is left held goes when its guest is protected anew. */
  'protect-there': OfPair;

  set: OfGuest & { readonly settings: readonly string[] };
  'set-there': OfPair & { readonly settings: readonly string[] };

  'list-guests': object;
  'list-uuids': object;
  'list-guest': OfGuest;
  'unpause-guest': OfGuest;
  'see-process': OfProcess;
  'end-process': OfProcess;
  /** The directory of the permission's records. */
  'free-record': { readonly dir: string };

  /** What was typed, with what was wrong in it put right. */
  corrected: { readonly argv: readonly string[]; readonly environment: readonly string[] };
  /** The same line once more, with what it needs to say more. */
  'debug-again': { readonly argv: readonly string[] };
  'as-root': { readonly argv: readonly string[] };
  /** Of a command line that could not be read, or of the program: the words before it. */
  'see-help': { readonly command: string };
  'read-page': { readonly page: string; readonly why: string };
  'same-version': object;
  'build-native': object;
  'install-packages': { readonly packages: readonly string[]; readonly why: string | null };

  /** The ways to the other host, each as it was tried: what is typed shows the same fault. */
  'look-up-host': OfHost;
  'ping-host': OfHost;
  'forget-key': OfHost;
  'copy-key': OfHost;
  'accept-key': OfRemote;
  'try-remote': OfRemote;
  /** It ended without a word: what it does on its way. */
  'try-remote-verbosely': OfRemote;
  'try-greeting': OfRemote;
  'try-terminal': OfRemote;
  'try-program': OfRemote;
  'try-node': OfRemote;
  'try-versions': OfRemote;
  /** A whole command that leads to `receive`. */
  'try-command': { readonly command: string };

  'see-host': object;
  /** A guest of that name is here, and another one of that name is to come. */
  'see-namesake': OfGuest;
  'free-memory': { readonly mib: number };
  'make-bridge': { readonly name: string };
  /** A bridge of Open vSwitch. */
  'make-switch': { readonly name: string };
  'see-interface': { readonly name: string };
  /** A CPU pool. */
  'make-pool': { readonly name: string };
  'fill-pool': { readonly name: string };
  'see-missing': OfFile;
  'make-executable': OfFile;
  'grow-own-memory': { readonly mib: number };
  'free-space': { readonly dir: string };
  'see-file': OfFile;
  'see-disk': OfFile;
  /** What is on a disk may go. */
  'empty-disk': OfFile;
  /** The same of one that is marked as the newer one. */
  'forget-disk': OfFile & { readonly mark: string };
  /** Of a disk that no driver takes as it is. */
  'move-to-volume': OfFile & { readonly format: string };
  /** Of a raw file, or a partition: it can have a volume put under it. */
  'use-block-script': OfFile;
  /** What of a volume has to go first. */
  'see-snapshots': { readonly group: string };
  'allow-line': { readonly line: string; readonly path: string };
  'allow-example': OfFile;
  'close-directory': OfFile;

  /** Of a DRBD resource, which both hosts call the same. */
  'drbd-adjust': OfResource & { readonly what: string };
  'drbd-connect': OfResource;
  'drbd-up': OfResource;
  'drbd-primary': OfResource;
  'drbd-secondary': OfResource;
  'drbd-watch': object;
  'load-drbd': object;

  /** Of `tsremus check`. */
  'see-clock': object;
  'see-links': object;
  'no-autostart': OfFile;
  'set-autoballoon': OfFile;
  'see-toolstack-lock': OfProcess;
  'see-suspend': { readonly id: number };

  'see-modules': object;
  'see-tc-version': object;
  'see-interfaces': object;
  'see-ingress': { readonly name: string };
  'see-actions': object;
  'see-waiting': object;
  'see-left-queues': OfFile;
  'remove-filters': OfDevices;
  'remove-queues': OfDevices;
  /** Tables of nftables, by their names. */
  'remove-hold': OfDevices;
  'run-script': OfFile;
}

export type AdviceKind = keyof Abouts;

export type Advice = {
  readonly [Kind in AdviceKind]: { readonly kind: Kind } & Abouts[Kind];
}[AdviceKind];

/** A command line as a shell takes it; and why one would type it, as it follows in a comment. */
interface Line {
  readonly command: string;
  readonly why: string | null;
}

function line(words: readonly string[], why: string | null = null): Line {
  return { command: quoteWords(words), why };
}

function tsremus(words: readonly string[], why: string | null = null): Line {
  return line(['tsremus', ...words], why);
}

/** Whether the program asks for something on the other host: ssh has to give it a terminal. */
type Manner = 'asks' | 'asks nothing';

/**
 * To be typed on the other host: by ssh where it has a name, else as it is, and the comment says
 * where.
 */
function there(
  peer: string,
  words: readonly string[],
  why: string | null = null,
  manner: Manner = 'asks nothing',
): Line {
  if (!isHostName(peer)) {
    const where = `on ${hostWord(peer)}`;
    return tsremus(words, why === null ? where : `${where}: ${why}`);
  }
  const shell = ['ssh', ...(manner === 'asks' ? ['-t'] : []), peer];
  const command = remoteCommand(quoteWords(shell), quoteWords(['tsremus', ...words]));
  return { command, why };
}

/** A command line behind what runs one on another host, whose shell takes the words once more. */
function remoteCommand(remote: string, command: string): string {
  const isPlain = /^[A-Za-z0-9_./:@%+=, -]+$/.test(command);
  return `${remote} ${isPlain ? command : quoteWord(command)}`;
}

/** A remote command that shows a fault, or that it is gone. */
function tried(remote: string, command: string, why: string): Line {
  return { command: remoteCommand(remote, command), why };
}

/** Also for texts that say it in other ways: what a person vouches for, who goes on unasked. */
export function neverRan(peer: string | null = null): string {
  const copy = peer === null ? 'the copy' : `the copy on ${hostWord(peer)}`;
  return `${copy} never ran and never will`;
}

/** A login of ours at another host may name a user. */
function hostOf(login: string): string {
  return login.slice(login.lastIndexOf('@') + 1);
}

const lines: { readonly [Kind in AdviceKind]: (about: Abouts[Kind]) => Line } = {
  again: ({ argv }) => tsremus(argv),
  'again-of': ({ argv, who }) => tsremus(argv, who),
  protect: ({ domain, peer }) => tsremus(['protect', domain, isHostName(peer) ? peer : 'HOST']),
  'protect-declared': ({ domain, peer }) =>
    tsremus(['protect', domain, ...(peer === null ? ['HOST'] : [])], 'here, if it runs here'),

  resync: ({ domain, peer }) =>
    tsremus(['resync', domain, isHostName(peer) ? peer : 'HOST'], 'sends what differs'),

  'show-all': () => tsremus(['status']),
  'show-events': ({ domain }) => tsremus(['events', domain], 'what is known of its sessions'),
  show: ({ domain }) => tsremus(['status', domain]),
  'show-there': ({ domain, peer }) => there(peer, ['status', domain]),
  'show-if-there': ({ domain, peer }) => there(peer, ['status', domain], 'if it runs there'),

  stop: ({ domain }) => tsremus(['stop', domain]),
  'stop-retry': ({ domain }) => tsremus(['stop', domain], 'tries again; it may go on here'),
  'stop-ask-again': ({ domain, peer }) =>
    tsremus(['stop', domain], `asks ${hostWord(peer)} once more`),
  'stop-ask-and-clear': ({ domain, peer }) =>
    tsremus(['stop', domain], `asks ${hostWord(peer)}, and clears what is left here`),
  'stop-clear': ({ domain }) => tsremus(['stop', domain], 'clears what is left here'),
  'stop-find-out': ({ domain }) =>
    tsremus(['stop', domain], 'clears it if the guest is gone; else says what may be done'),
  'stop-vouch': ({ domain, peer }) =>
    tsremus(['stop', '--force-unsafe', domain], `only if ${neverRan(peer)}`),
  'stop-vouch-name': ({ domain }) => tsremus(['stop', '--force-unsafe', '--vouch', domain, domain]),
  'stop-lost-there': ({ domain, peer }) =>
    there(peer, ['stop', '--lost', domain], 'if it will not run there again', 'asks'),
  'stop-lost-here': ({ domain, peer }) =>
    tsremus(['stop', '--lost', domain], `here: ${hostWord(peer)} may go on with what it has`),
  'stop-lost-name': ({ domain }) => tsremus(['stop', '--lost', '--vouch', domain, domain]),
  'stop-destroy': ({ domain }) =>
    tsremus(['stop', '--destroy', domain], 'drops what is held, destroys the guest'),
  'stop-destroy-copy': ({ domain, peer }) =>
    tsremus(['stop', '--destroy', domain], `here: give it up, if ${hostWord(peer)} goes on`),
  'stop-destroy-copy-there': ({ domain }) =>
    tsremus(['stop', '--destroy', domain], 'if the guest that is to be protected is the one'),
  'stop-seen': ({ domain }) => tsremus(['stop', domain], 'here: seen'),
  'stop-leave-so': ({ domain }) => tsremus(['stop', domain], 'seen, leave it so'),
  'stop-to-plug-in': ({ domain }) =>
    tsremus(['stop', domain], 'then protect it again, with all its interfaces'),
  'stop-here': ({ domain }) => tsremus(['stop', domain], 'here: end protection'),
  'stop-there': ({ domain, peer }) => there(peer, ['stop', domain], 'end protection there'),
  'stop-if-there': ({ domain, peer }) => there(peer, ['stop', domain], 'if the guest runs there'),

  'drill-yes': ({ domain }) => tsremus(['drill', '--yes', domain]),
  'failover-yes': ({ domain }) => tsremus(['failover', '--yes', domain]),
  'failover-here': ({ domain }) => tsremus(['failover', domain], 'here: run the copy'),
  'failover-there': ({ domain, peer }) => there(peer, ['failover', domain], null, 'asks'),
  'failover-if-dead': ({ domain, peer }) =>
    tsremus(['failover', domain], `here, if ${hostWord(peer)} is dead`),

  'failover-look': ({ domain, peer }) =>
    tsremus(
      ['failover', domain],
      `here, if ${hostWord(peer)} is dead: looks, and runs it if whole`,
    ),
  'failover-vouch': ({ domain, peer }) =>
    tsremus(
      ['failover', '--force-unsafe', domain],
      `on your word that ${hostWord(peer)} does not run it`,
    ),
  'protect-there': ({ domain, peer }) => {
    const why = 'if the guest runs there';
    if (!isHostName(peer)) return there(peer, ['protect', domain, 'HOST'], why);
    // This host is the backup then; its own name is known to the shell here.
    const { command } = there(peer, ['protect', domain]);
    return { command: `${command} "$(hostname)"`, why };
  },

  set: ({ domain, settings }) => tsremus(['set', domain, ...settings]),
  'set-there': ({ domain, settings, peer }) => there(peer, ['set', domain, ...settings]),

  'list-guests': () => line(['xl', 'list']),
  'list-uuids': () => line(['xl', 'vm-list'], 'shows the UUID of each: type that'),
  'list-guest': ({ domain }) => line(['xl', 'list', domain]),
  'unpause-guest': ({ domain }) => line(['xl', 'unpause', domain]),
  'see-process': ({ pid }) => line(['ps', '-o', 'pid,stat,wchan:20,cmd', '-p', String(pid)]),
  'end-process': ({ pid }) =>
    line(['kill', String(pid)], 'then again; a second time if it stays held'),
  'free-record': ({ dir }) => line(['df', '-h', dir], 'the decision is recorded there'),

  corrected: ({ argv, environment }) =>
    environment.length === 0 ? tsremus(argv) : line(['env', ...environment, 'tsremus', ...argv]),
  'debug-again': ({ argv }) => line(['env', 'TSREMUS_DEBUG=1', 'tsremus', ...argv], 'shows where'),
  'as-root': ({ argv }) => line(['sudo', 'tsremus', ...argv]),
  'see-help': ({ command }) => ({ command: `${command} --help`, why: null }),
  'read-page': ({ page, why }) => line(['man', page], why),
  'same-version': () => tsremus(['--version'], 'install the same version on both hosts'),
  'build-native': () => line(['npm', 'run', 'build'], 'in the sources of tsremus'),
  'install-packages': ({ packages, why }) => line(['apt-get', 'install', ...packages], why),

  'look-up-host': ({ host }) =>
    line(['getent', 'hosts', hostOf(host)], 'nothing: this host does not know the name'),
  'ping-host': ({ host }) => line(['ping', '-c', '3', hostOf(host)], 'is it up, and reachable?'),
  'forget-key': ({ host }) =>
    line(['ssh-keygen', '-R', hostOf(host)], 'only if you know why its key has changed'),
  'copy-key': ({ host }) => line(['ssh-copy-id', host], 'lets root log in without a password'),
  'accept-key': ({ remote }) => tried(remote, 'true', 'as root, to accept its key once'),
  'try-remote': ({ remote }) => tried(remote, 'true', 'must end at once, without a question'),
  'try-remote-verbosely': ({ remote }) => tried(remote, 'true', 'says where it ends'),
  'try-greeting': ({ remote }) =>
    tried(remote, 'true', 'must print nothing: silence the start-up files of its shell'),
  'try-terminal': ({ remote }) => tried(remote, 'tty', 'must print: not a tty'),
  'try-program': ({ remote }) => tried(remote, 'tsremus --version', 'must print a version'),
  'try-node': ({ remote }) =>
    tried(remote, 'node --version', 'install it there, or a link to it in /usr/local/bin'),
  'try-versions': ({ remote }) =>
    tried(remote, 'tsremus --version', 'install the same version on both hosts'),
  'try-command': ({ command }) => ({
    command: `(${command}) </dev/null`,
    why: 'must lead to tsremus receive',
  }),

  'see-host': () => line(['xl', 'info'], 'fails where the host was not booted with Xen'),
  'see-namesake': ({ domain }) =>
    line(['xl', 'list', '-v', domain], 'another guest of that name? xl rename gives it another'),
  'free-memory': ({ mib }) =>
    line(['xl', 'list'], `${mib} MiB more are to be free: see which can give some (xl mem-set)`),
  'make-bridge': ({ name }) =>
    line(
      ['ip', 'link', 'add', 'name', name, 'type', 'bridge'],
      'then up, with a network card in it',
    ),
  'make-switch': ({ name }) => line(['ovs-vsctl', 'add-br', name]),
  'see-interface': ({ name }) =>
    line(['ip', '-d', 'link', 'show', name], 'whose is it? The guest needs that name'),
  'make-pool': ({ name }) =>
    line(['xl', 'cpupool-create', `name="${name}"`], 'then give it processors'),
  'fill-pool': ({ name }) =>
    line(['xl', 'cpupool-cpu-add', name, '1'], 'a free one: first xl cpupool-cpu-remove Pool-0 1'),
  'see-missing': ({ path }) => line(['ls', '-l', path], 'to be there, as on the host of the guest'),
  'make-executable': ({ path }) => line(['chmod', '+x', path]),
  'grow-own-memory': ({ mib }) => line(['xl', 'mem-set', 'Domain-0', `${mib}m`]),
  'free-space': ({ dir }) => line(['df', '-h', dir], 'free some'),
  'see-file': ({ path }) => line(['ls', '-ld', path]),
  'see-disk': ({ path }) =>
    line(['lsblk', '-b', '-o', 'NAME,SIZE,LOG-SEC,TYPE,MOUNTPOINTS', path], 'as it is there'),
  'empty-disk': ({ path }) =>
    line(['blkdiscard', '-z', path], 'only if nobody needs what is on this disk: all of it goes'),
  'forget-disk': ({ path, mark }) =>
    line(['rm', mark], `only if what the guest wrote to ${path} there may be lost`),
  'move-to-volume': ({ path, format }) =>
    line(
      ['qemu-img', 'convert', '-p', '-n', '-f', format, '-O', 'raw', path, '/dev/VG/LV'],
      "with the guest off, onto a volume as large; then that is its disk, by 'raw'",
    ),
  'use-block-script': ({ path }) =>
    line(
      ['man', 'tsremus-protect'],
      `DISKS: script=block-tsremus,target=${path} puts a volume under it, from its next boot on`,
    ),
  'see-snapshots': ({ group }) =>
    line(['lvs', '-o', 'lv_name,origin', group], 'lvremove those of it, or merge them'),
  // Its folder is only there where somebody had something to say before.
  'allow-line': ({ line: allowed, path }) => ({
    command:
      `mkdir -p ${quoteWord(path.slice(0, path.lastIndexOf('/')))} && ` +
      `echo ${quoteWord(allowed)} >> ${quoteWord(path)}`,
    why: 'only if a guest from another host may have it',
  }),
  'allow-example': ({ path }) =>
    line(['less', path], 'a line is a key and a value: nics.script /etc/xen/scripts/vif-own'),
  'close-directory': ({ path }) => ({
    command: `chown root: ${quoteWord(path)} && chmod 700 ${quoteWord(path)}`,
    why: null,
  }),

  'drbd-adjust': ({ resource, what }) =>
    line(['drbdadm', 'adjust', resource], `on both hosts, with ${what} in its configuration`),
  'drbd-connect': ({ resource }) => line(['drbdadm', 'connect', resource], 'on both hosts'),
  'drbd-up': ({ resource }) => line(['drbdadm', 'up', resource], 'on both hosts'),
  'drbd-primary': ({ resource }) => line(['drbdadm', 'primary', resource]),
  'drbd-secondary': ({ resource }) =>
    line(['drbdadm', 'secondary', resource], 'on the backup host, once nobody uses it there'),
  'drbd-watch': () => line(['cat', '/proc/drbd'], 'Connected, UpToDate/UpToDate: then again'),
  'load-drbd': () => line(['modprobe', 'drbd'], 'its kernel module is not loaded'),

  'see-clock': () => line(['timedatectl'], 'keep both hosts in time, by chrony say'),
  'see-links': () => line(['ip', '-s', 'link'], 'what it is, and whether packets are lost'),
  'no-autostart': ({ path }) =>
    line(['mv', path, '/etc/xen/'], 'else this host boots it after a power cut, beside the copy'),
  'set-autoballoon': ({ path }) =>
    line(['less', path], 'autoballoon="off", and dom0_mem= on the command line of the hypervisor'),
  'see-toolstack-lock': ({ pid }) =>
    line(['ps', '-o', 'pid,etime,cmd', '-p', String(pid)], 'xl waits for it'),
  'see-suspend': ({ id }) =>
    line(
      ['xenstore-ls', `/local/domain/${id}/control`],
      'feature-suspend 1 is there where the guest has drivers that can',
    ),

  'see-modules': () =>
    line(['sysctl', 'kernel.modules_disabled'], '1, or a line in /etc/modprobe.d: none is loaded'),
  'see-tc-version': () => line(['tc', '-V'], 'iproute2 5.0 or newer is needed'),
  'see-interfaces': () =>
    line(['ls', '/sys/class/net'], 'vifDOMID.N; they come when the guest has started'),
  'see-ingress': ({ name }) =>
    line(['tc', 'filter', 'show', 'dev', name, 'ingress'], 'whose is it? Or a script of yours, -N'),
  'see-actions': () => line(['tc', 'actions', 'list', 'action', 'mirred'], 'whose is it?'),
  'see-waiting': () => line(['tc', '-s', 'qdisc', 'show'], 'what waits there'),
  'see-left-queues': ({ path }) =>
    line(['ip', 'link', 'show', 'type', 'ifb'], `which are left; then remove ${path}`),
  'remove-filters': ({ names }) => ({
    command: names.map((name) => `tc qdisc del dev ${quoteWord(name)} clsact`).join('; '),
    why: null,
  }),
  'remove-hold': ({ names }) => ({
    command: names.map((name) => `nft delete table netdev ${quoteWord(name)}`).join('; '),
    why: null,
  }),
  'remove-queues': ({ names }) => ({
    command: names.map((name) => `ip link del ${quoteWord(name)}`).join('; '),
    why: null,
  }),
  'run-script': ({ path }) =>
    line(
      ['env', 'vifname=VIF', 'XENBUS_PATH=PATH', path, 'setup'],
      'with what the log has of both',
    ),
};

function lineOf<Kind extends AdviceKind>(advice: { readonly kind: Kind } & Abouts[Kind]): Line {
  return lines[advice.kind](advice);
}

const commentMark = '  # ';

/** The complete line: `tsremus stop web1  # why`. The comment can be pasted along. */
export function adviceLine(advice: Advice): string {
  const { command, why } = lineOf(advice);
  return why === null ? command : `${command}${commentMark}${why}`;
}

export function adviceLines(list: readonly Advice[]): string[] {
  return list.map(adviceLine);
}

/** For whoever types what only the other host is to start. */
export const notTyped = adviceLine({
  kind: 'read-page',
  page: 'tsremus-receive',
  why: 'tsremus protect on the other host starts it',
});

/** For whoever has written what cannot be into a file of settings. */
export const readSettings = adviceLine({
  kind: 'read-page',
  page: 'tsremus.toml',
  why: 'what may stand there',
});

/** The line without its comment, for a sentence that says the rest. */
export function adviceCommand(advice: Advice): string {
  return lineOf(advice).command;
}

/**
 * A line that the other host offers for itself, as it is to be typed here; `remote` runs a command
 * there, null: nobody knows what would. Whatever it says, it is carried out there or not at all.
 */
export function lineThere(remote: string | null, said: string): string {
  if (remote === null) return `# on the other host: ${said}`;
  const at = said.indexOf(commentMark);
  if (at < 0) return remoteCommand(remote, said);
  return `${remoteCommand(remote, said.slice(0, at))}${said.slice(at)}`;
}

/** What a person who watches `protect` is told of a held guest, a clause. */
export function askClause(domain: string): string {
  return `to ask once more, type: ${adviceCommand({ kind: 'stop', domain })}`;
}

/** What a person is told once the backup was asked in vain, a clause. */
export function vouchClause(domain: string, peer: string): string {
  const command = adviceCommand({ kind: 'stop-vouch', domain, peer });
  return `if ${neverRan(peer)}, type: ${command}`;
}
