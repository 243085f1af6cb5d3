/**
 * What only Xen needs of a host and of a guest to be protected, for `tsremus check`: a line each.
 * Never rejects: what cannot be looked at is a line that says so.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type CheckLine, failLine, okLine, skipLine, warnLine } from '../../core/check/line.ts';
import { adviceLine } from '../../core/texts/advice.ts';
import { errorText, OperationError } from '../../host/errors.ts';
import type { GuestRef, GuestSpec, HostInfo } from '../port.ts';
import { configOf } from './guest-config.ts';

/** The host that is looked at. */
export interface XenPlaces {
  /** What its files are below; empty: they are at their places. */
  readonly root: string;
  readonly procDir: string;
  /** Runs a program of the host; rejects with an OperationError. */
  readonly run: (argv: readonly string[]) => Promise<{ readonly stdout: string }>;
}

type Kind = 'pv' | 'pvh' | 'hvm';

function kindOf(spec: GuestSpec): Kind {
  const { c_info: info } = configOf(spec) as { c_info?: { type?: unknown } };
  return info?.type === 'pv' || info?.type === 'hvm' ? info.type : 'pvh';
}

const kindWords: Readonly<Record<Kind, string>> = { pv: 'PV', pvh: 'PVH', hvm: 'HVM' };

/**
 * Which pages a guest writes is seen by hardware-assisted paging or by shadow paging; of a PV guest
 * by the latter alone, which Xen is built without since XSA-495 (xen/arch/x86/mm/shadow/none.c:
 * log-dirty is -EOPNOTSUPP). libxl_physinfo's cap_hap and cap_shadow say so.
 */
function logDirty(info: HostInfo, spec: GuestSpec | null): CheckLine {
  const { physinfo } = info.own as { physinfo?: Readonly<Record<string, unknown>> };
  if (physinfo === undefined) return skipLine('log-dirty', 'this Xen does not say what it can do');
  const [hap, shadow] = [physinfo['cap_hap'] === true, physinfo['cap_shadow'] === true];
  const why = 'PV GUESTS: make it PVH, or a Xen with shadow paging';
  const page = adviceLine({ kind: 'read-page', page: 'tsremus-requirements', why });
  const noPv = 'this Xen has no shadow paging, and sees no change of a PV guest (XSA-495)';
  if (spec === null) {
    if (!hap && !shadow) return failLine('log-dirty', 'changes are seen of no kind of guest', page);
    const text = 'changes are seen of';
    return okLine(
      'log-dirty',
      shadow ? `${text} every kind of guest` : `${text} PVH, HVM; ${noPv}`,
    );
  }
  const kind = kindOf(spec);
  const seen = okLine('log-dirty', `changes of a ${kindWords[kind]} guest are seen`);
  if (kind === 'pv') return shadow ? seen : failLine('log-dirty', noPv, page);
  if (hap || shadow) return seen;
  const text = `no change of a ${kindWords[kind]} guest is seen: neither hap nor shadow paging`;
  return failLine('log-dirty', text, adviceLine({ kind: 'see-host' }));
}

function read(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

const settingsPath = '/etc/xen/xl.conf';
const lockPath = '/var/lock/xl';

/** xl.conf(5): on, off or auto, which is off where the hypervisor was given dom0_mem=. */
function isBallooned(info: HostInfo, root: string): boolean {
  const settings = read(join(root, settingsPath)) ?? '';
  const [, word = 'auto'] = /^\s*autoballoon\s*=\s*["']?(\w+)/m.exec(settings) ?? [];
  if (word !== 'auto') return word === 'on' || word === '1';
  return !/(^|\s)dom0_mem=/.test(String(info.own['commandline'] ?? ''));
}

/** The process that holds xl's lock (tools/xl/xl_utils.c, acquire_lock); null: none does. */
function lockHolder({ root, procDir }: XenPlaces): number | null {
  let inode: number;
  try {
    inode = statSync(join(root, lockPath)).ino;
  } catch {
    return null;
  }
  const line = (read(join(procDir, 'locks')) ?? '')
    .split('\n')
    .find((one) => one.includes(' POSIX ') && one.includes(`:${inode} `));
  const [, pid] = /(?:READ|WRITE)\s+(\d+)/.exec(line ?? '') ?? [];
  return pid === undefined ? null : Number(pid);
}

function balloon(info: HostInfo, places: XenPlaces): CheckLine {
  const holder = lockHolder(places);
  if (holder !== null) {
    const text = `process ${holder} holds ${lockPath}: no xl create gets on before it ends`;
    return warnLine('balloon', text, adviceLine({ kind: 'see-toolstack-lock', pid: holder }));
  }
  if (!isBallooned(info, places.root)) return okLine('balloon', 'dom0 keeps its memory');
  const text = "autoballoon is on: xl create may take dom0's memory, which a copy's epochs need";
  return warnLine('balloon', text, adviceLine({ kind: 'set-autoballoon', path: settingsPath }));
}

const autostartDir = '/etc/xen/auto';
const filesMax = 1_000;

/** Files that xendomains boots guests from which have the guest's name. */
function autostart(spec: GuestSpec | null, root: string): CheckLine | null {
  if (spec === null) return null;
  let names: string[];
  try {
    names = readdirSync(join(root, autostartDir)).slice(0, filesMax);
  } catch {
    names = [];
  }
  const found = names.find((name) => {
    const text = read(join(root, autostartDir, name)) ?? '';
    const [, quoted] = /^\s*name\s*=\s*["']([^"'\n]*)["']/m.exec(text) ?? [];
    return quoted === spec.name;
  });
  if (found === undefined) return okLine('autostart', `nothing boots ${spec.name} with the host`);
  const path = `${autostartDir}/${found}`;
  return failLine(
    'autostart',
    `${path} boots ${spec.name} with the host, whoever runs it then`,
    adviceLine({ kind: 'no-autostart', path }),
  );
}

/** What Xen needs of a host, for a guest or (null) for any. */
export function hostLooks(
  info: HostInfo,
  spec: GuestSpec | null,
  places: XenPlaces,
): readonly CheckLine[] {
  const boot = autostart(spec, places.root);
  return [logDirty(info, spec), balloon(info, places), ...(boot === null ? [] : [boot])];
}

/**
 * Linux says in xenstore that it listens to an order to suspend (drivers/xen/manage.c,
 * setup_shutdown_watcher), and so do PV drivers of other systems. An HVM guest without them is
 * suspended without being asked (libxl_dom_suspend.c), and one that half listens is not at all.
 */
export async function suspendLook(
  guest: GuestRef,
  spec: GuestSpec,
  { run }: XenPlaces,
): Promise<CheckLine> {
  const key = `/local/domain/${guest.id}/control/feature-suspend`;
  try {
    const { stdout } = await run(['xenstore-read', key]);
    if (stdout.trim() === '1') return okLine('suspend', 'the guest says that it can');
  } catch (error) {
    const isMissing = error instanceof OperationError && error.code === 'command-not-found';
    if (isMissing) return skipLine('suspend', errorText(error));
  }
  const who =
    kindOf(spec) === 'hvm' ? 'it may have no PV drivers' : 'its kernel may not be able to';
  const next = adviceLine({ kind: 'see-suspend', id: guest.id });
  return warnLine('suspend', `the guest does not say that it can be suspended: ${who}`, next);
}
