/**
 * What protection needs of two hosts and a guest, as `tsremus check` tells it: a line for each
 * requirement, with how it is met. Pure.
 */
import { adviceLine } from '../texts/advice.ts';

/** `skip`: it could not be looked at, and the line says why. The worst last. */
export const checkLevels = ['ok', 'skip', 'warn', 'fail'] as const;
export type CheckLevel = (typeof checkLevels)[number];

/**
 * Every requirement that there is a line for: of a host, of the guest where it runs, of the backup
 * for this guest, and of what lies between the hosts. tsremus-requirements(7) says what each means.
 */
export const checkNames = [
  ...(['root', 'xen', 'log-dirty', 'modules', 'tools', 'directories'] as const),
  ...(['memory', 'balloon', 'autostart'] as const),
  ...(['guest', 'session', 'devices', 'disks', 'suspend', 'interfaces'] as const),
  ...(['room', 'vcpus', 'confinement', 'needs', 'name', 'copy-disks'] as const),
  ...(['connection', 'login', 'way-back', 'versions', 'xen-versions', 'processors'] as const),
  ...(['clock', 'mtu', 'bandwidth'] as const),
] as const;
export type CheckName = (typeof checkNames)[number];

/** One requirement, looked at. */
export interface CheckLine {
  /** Of `checkNames`; another version of tsremus on the other host may have more. */
  readonly name: string;
  readonly level: CheckLevel;
  /** What was found, a clause. */
  readonly text: string;
  /** What to type on the host that was looked at; null: nothing. */
  readonly next: string | null;
}

/** Where a requirement was looked at. `between`: it is of both, or of the path. */
export type CheckPlace = 'here' | 'there' | 'between';

export interface PlacedLine extends CheckLine {
  readonly where: CheckPlace;
}

export function okLine(name: CheckName, text: string): CheckLine {
  return { name, level: 'ok', text, next: null };
}

export function skipLine(name: CheckName, why: string): CheckLine {
  return { name, level: 'skip', text: `not looked at: ${why}`, next: null };
}

/** What is not well always has something to type. */
export function warnLine(name: CheckName, text: string, next: string): CheckLine {
  return { name, level: 'warn', text, next };
}

export function failLine(name: CheckName, text: string, next: string): CheckLine {
  return { name, level: 'fail', text, next };
}

/** What a requirement takes, where nobody has a better line to type. */
export function readOn(name: CheckName): string {
  return adviceLine({
    kind: 'read-page',
    page: 'tsremus-requirements',
    why: `${name}: what it is`,
  });
}

export function placed(where: CheckPlace, lines: readonly CheckLine[]): PlacedLine[] {
  return lines.map((line) => ({ ...line, where }));
}

/** How the hosts are called. */
export type HostNames = Readonly<Record<'here' | 'there', string>>;

/** A line by itself: where that was looked at, and what was found, a clause. */
export function placedText({ where, text }: PlacedLine, hosts: HostNames): string {
  return where === 'between' ? text : `on ${hosts[where]}: ${text}`;
}

/** The worst of some lines; `ok` of none. */
export function worstOf(lines: readonly CheckLine[]): CheckLevel {
  return lines.reduce<CheckLevel>(
    (bad, { level }) => (checkLevels.indexOf(level) > checkLevels.indexOf(bad) ? level : bad),
    'ok',
  );
}

/**
 * A requirement that only counts once the guest has changed hosts and is to be protected back: what
 * fails there is no reason against protection now.
 */
export function forTheWayBack(line: CheckLine): CheckLine {
  if (line.level !== 'fail') return line;
  return { ...line, level: 'warn', text: `${line.text} ${whenItCounts}` };
}

const whenItCounts = '(counts when it is protected back)';

/** True for one that fails then. */
export function failsOnTheWayBack({ level, text }: CheckLine): boolean {
  return level === 'warn' && text.endsWith(whenItCounts);
}
