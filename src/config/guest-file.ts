/**
 * A declared guest: its file guests.d/NAME.toml says what `tsremus protect NAME` would have to be
 * told (tsremus.toml(5)). Pure: how the file's values come under what was typed, and what was typed
 * comes into the file.
 */
import type { Environment } from './settings.ts';
import { sshCommandVariable } from './settings.ts';
import { type FileValue, type SettingsFile, valuesOf, wrong } from './settings-file.ts';

/** Of the flags of `tsremus protect` those that a guest's file may say, as commander has them. */
export interface GuestFlags {
  readonly interval?: string;
  readonly maxOverhead?: string;
  readonly maxPending?: string;
  readonly maxMemory?: string;
  readonly heartbeatTimeout?: string;
  readonly hold?: string;
  readonly withoutWitness?: string;
  readonly saveHelper?: string;
  readonly compression: boolean;
  readonly sshCommand?: string;
  readonly wait: boolean;
  readonly check?: boolean;
  readonly netbufScript?: string;
  readonly bufferLimit?: string;
  readonly forceUnsafe?: boolean;
  readonly allow?: readonly string[];
  readonly network: boolean;
  /** False with -d; a list: where disks are on the other host; true: not said. */
  readonly disk: boolean | readonly string[];
  readonly resyncRate?: string;
  readonly blackhole?: boolean;
}

type FileTable = Readonly<Record<string, unknown>>;

/** What gives up a guarantee needs the word for it beside it, in the same file. */
const unsafeKeys = ['no-network', 'no-disk', 'allow'] as const;

/** The values of a guest's file alone. Throws UsageError with file and line. */
export function guestValues(file: SettingsFile): readonly FileValue[] {
  const values = valuesOf([{ ...file, isOfGuest: true }]);
  const isSaid = (key: string) => values.some((one) => one.key === key && one.value !== false);
  const unsafe = unsafeKeys.find(isSaid);
  if (unsafe !== undefined && !isSaid('force-unsafe')) {
    throw wrong(file, unsafe, `${unsafe} needs force-unsafe = true beside it`);
  }
  return values;
}

/** What was typed, with what the guest's file says where nothing was. */
export function underTyped<Flags extends GuestFlags>(
  values: readonly FileValue[],
  host: string | undefined,
  flags: Flags,
  env: Environment,
): { readonly host: string | undefined; readonly flags: Flags } {
  const said = (key: string) => values.find((one) => one.key === key)?.value;
  const isSet = (key: string) => said(key) === true;
  const typed = Object.fromEntries(
    Object.entries(flags).filter(([, value]) => value !== undefined),
  ) as Flags;
  // Its peer is a whole command then; not one that was typed. An empty variable is an unset one.
  const isPeer = host === undefined && !flags.blackhole;
  const isCommand = said('ssh-command') === '' && isPeer && !env[sshCommandVariable];
  const network = flags.network && !isSet('no-network');
  const disk = flags.disk === true ? (said('disk') ?? true) : flags.disk;
  const script = network ? said('netbuf-script') : undefined;
  return {
    host: host ?? (said('peer') as string | undefined),
    flags: {
      ...(isCommand ? { sshCommand: '' } : {}),
      ...(script === undefined ? {} : { netbufScript: script }),
      ...(said('allow') === undefined ? {} : { allow: said('allow') }),
      ...(said('resync-rate') === undefined ? {} : { resyncRate: said('resync-rate') }),
      ...typed,
      forceUnsafe: flags.forceUnsafe || isSet('force-unsafe'),
      compression: flags.compression && !isSet('no-compression'),
      wait: flags.wait && !isSet('no-wait'),
      check: flags.check !== false && !isSet('no-check'),
      network,
      disk: isSet('no-disk') ? false : disk,
    },
  };
}

function numberOrText(text: string | undefined): number | string | undefined {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : text;
}

/** What was typed, as the keys of a guest's file; only what was. */
export function typedTable(host: string | undefined, flags: GuestFlags): FileTable {
  const all: FileTable = {
    peer: host,
    interval: numberOrText(flags.interval),
    'max-overhead': numberOrText(flags.maxOverhead),
    'max-pending': numberOrText(flags.maxPending),
    'max-memory': flags.maxMemory,
    'buffer-limit': flags.bufferLimit,
    'heartbeat-timeout': numberOrText(flags.heartbeatTimeout),
    hold: numberOrText(flags.hold),
    'without-witness': flags.withoutWitness,
    'save-helper': flags.saveHelper,
    'ssh-command': flags.sshCommand,
    'netbuf-script': flags.netbufScript,
    'no-compression': !flags.compression || undefined,
    'no-wait': !flags.wait || undefined,
    'no-check': flags.check === false || undefined,
    'force-unsafe': flags.forceUnsafe || undefined,
    'no-network': !flags.network || undefined,
    'no-disk': !flags.disk || undefined,
    allow: flags.allow,
    disk: Array.isArray(flags.disk) ? flags.disk : undefined,
    'resync-rate': flags.resyncRate,
  };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

/** One key that a saved file has otherwise than before, or not at all before. */
export interface FileChange {
  readonly key: string;
  /** Null: it was not there. */
  readonly before: unknown;
  readonly now: unknown;
}

const isSame = (one: unknown, other: unknown) => JSON.stringify(one) === JSON.stringify(other);

/** What `typed` changes of a file that says `before`; what it does not speak of stays. */
export function changesOf(before: FileTable, typed: FileTable): readonly FileChange[] {
  return Object.entries(typed)
    .filter(([key, now]) => !isSame(before[key], now))
    .map(([key, now]) => ({ key, before: before[key] ?? null, now }));
}

/**
 * The text of a guest's file with changes made, line by line, so that the comments in it stay.
 * `line` writes a key with its value. Null where a value takes more than its line: then the file
 * cannot be changed so.
 */
export function changedText(
  text: string,
  changes: readonly FileChange[],
  line: (key: string, value: unknown) => string,
): string | null {
  const lines = text === '' ? [] : text.replace(/\n$/, '').split('\n');
  for (const { key, before, now } of changes) {
    const at = lines.findIndex((one) => new RegExp(`^\\s*["']?${key}["']?\\s*=`).test(one));
    if (before === null) lines.push(line(key, now));
    else if (at < 0 || Array.isArray(before)) return null;
    else lines[at] = line(key, now);
  }
  return `${lines.join('\n')}\n`;
}
