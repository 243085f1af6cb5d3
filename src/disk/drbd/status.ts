/**
 * What DRBD says of itself: /proc/drbd and `drbdsetup DEVICE show`, as DRBD 8.3.11 with protocol D
 * prints them (drbd_proc.c, drbd_seq_show; user/drbdsetup.c, show_scmd). Pure; unknown words are
 * kept as they are, and lead to a refusal.
 */

/** `version: 8.3.11 (api:88/proto:86-96)`. */
export interface DrbdVersion {
  readonly text: string;
  readonly major: number;
  readonly minor: number;
}

/** A device of /proc/drbd. */
export interface DrbdDevice {
  readonly minor: number;
  /** `Connected`, `WFConnection`, `SyncSource`, ..; of a device that is down `Unconfigured`. */
  readonly connection: string;
  /** Here and on the other host: `Primary`, `Secondary`, `Unknown`. */
  readonly roles: readonly [string, string];
  /** `UpToDate`, `Inconsistent`, `Outdated`, `Diskless`, `DUnknown`, .. */
  readonly disks: readonly [string, string];
  /** A to D. */
  readonly protocol: string;
  /** It is a DRBD that was built with protocol D: the line of counters has `def` and `chkpt`. */
  readonly countsCheckpoints: boolean;
}

export interface DrbdStatus {
  readonly version: DrbdVersion;
  readonly devices: readonly DrbdDevice[];
}

/** Devices that are looked at, at most: as many as DRBD has minors. */
const devicesMax = 256;

function versionIn(text: string): DrbdVersion | null {
  const [, whole, major, minor] = /^version: ((\d+)\.(\d+)[\w.-]*)/m.exec(text) ?? [];
  if (whole === undefined) return null;
  return { text: whole, major: Number(major), minor: Number(minor) };
}

const pair = (text: string | undefined): readonly [string, string] => {
  const [one = '', other = ''] = (text ?? '').split('/');
  return [one, other];
};

/** The text of one device: the line with its number, and those that follow it. */
function deviceIn(minor: number, text: string): DrbdDevice {
  const word = (name: string) => new RegExp(`\\b${name}:(\\S+)`).exec(text)?.[1];
  const [, protocol = ''] = /\bds:\S+ ([A-Z])\b/.exec(text) ?? [];
  return {
    minor,
    connection: word('cs') ?? '',
    roles: pair(word('ro')),
    disks: pair(word('ds')),
    protocol,
    countsCheckpoints: /\bdef:\d+ chkpt:\d+\b/.test(text),
  };
}

/** All of /proc/drbd; null: it has no version, so it is not DRBD's. */
export function parseProc(text: string): DrbdStatus | null {
  const version = versionIn(text);
  if (version === null) return null;
  const [, ...parts] = text.split(/^\s*(?=\d+: )/m);
  const devices = parts
    .slice(0, devicesMax)
    .map((part) => deviceIn(Number.parseInt(part, 10), part));
  return { version, devices };
}

/** What `drbdsetup DEVICE show` says of the options that count. */
export interface DrbdOptions {
  readonly protocol: string;
  /** A device without a network has none of these. */
  readonly hasNet: boolean;
  readonly allowsTwoPrimaries: boolean;
  /** `block` where this DRBD has no such option, or it was not set. */
  readonly onCongestion: string;
}

/** Comments (`# 1/10 seconds`) and the mark of a default are left out. */
export function parseShow(text: string): DrbdOptions {
  const lines = text.split('\n').map((line) => line.replace(/#.*$/, '').trim());
  const value = (name: string) => {
    const line = lines.find((one) => one.split(/[\s;]/, 1)[0] === name);
    return (
      line
        ?.slice(name.length)
        .replace(/_is_default|;/g, '')
        .trim() ?? null
    );
  };
  return {
    protocol: value('protocol') ?? '',
    hasNet: lines.some((line) => /^net\b/.test(line)),
    allowsTwoPrimaries: value('allow-two-primaries') !== null,
    onCongestion: value('on-congestion') ?? 'block',
  };
}
