/** What `tsremus check` found, as text with advice and as a JSON document. Pure. */
import type { ChalkInstance } from 'chalk';
import type { CheckResult } from '../../app/check.ts';
import {
  type CheckLevel,
  type CheckPlace,
  checkLevels,
  type PlacedLine,
} from '../../core/check/line.ts';
import { printable } from './table.ts';

export { worstOf } from '../../core/check/line.ts';

const places: readonly CheckPlace[] = ['here', 'there', 'between'];

function titleOf(place: CheckPlace, { host, domain, peer }: CheckResult): string {
  const there = peer ?? 'the other host';
  switch (place) {
    case 'here':
      return domain === null ? `${host} (here)` : `${domain} on ${host} (here)`;
    case 'there':
      return domain === null ? there : `${there}, for a copy of ${domain}`;
    case 'between':
      return `between ${host} and ${there}`;
  }
}

function painterOf(level: CheckLevel, paint: ChalkInstance): (text: string) => string {
  if (level === 'ok') return paint.green;
  if (level === 'fail') return paint.red;
  return level === 'warn' ? paint.yellow : (text) => text;
}

const nameWidth = 12;
const levelWidth = 4;

function lineText({ level, name, text, next }: PlacedLine, paint: ChalkInstance): string {
  const word = painterOf(level, paint)(level) + ' '.repeat(levelWidth - level.length);
  const what = `  ${word}  ${name.padEnd(nameWidth)}  ${printable(text)}\n`;
  return next === null ? what : `${what}        Try: ${printable(next)}\n`;
}

/** `2 fail, 1 warn, 20 ok`: the worst first. */
function countText(lines: readonly PlacedLine[]): string {
  return [...checkLevels]
    .reverse()
    .map((level) => [lines.filter((line) => line.level === level).length, level] as const)
    .filter(([count]) => count > 0)
    .map(([count, level]) => `${count} ${level}`)
    .join(', ');
}

/** Groups by where it was looked at, a line each, what to type below it; and how many of which. */
export function checkText(result: CheckResult, paint: ChalkInstance): string {
  const groups = places.map((place) => {
    const lines = result.lines.filter(({ where }) => where === place);
    if (lines.length === 0) return '';
    const title = printable(titleOf(place, result));
    return `${title}\n${lines.map((line) => lineText(line, paint)).join('')}\n`;
  });
  return `${groups.join('')}${countText(result.lines)}\n`;
}

/** What `tsremus check --json` prints. */
export function checkDocument(result: CheckResult, exitCode: number): object {
  return {
    host: result.host,
    domain: result.domain,
    peer: result.peer,
    exit: exitCode,
    lines: result.lines.map(({ where, name, level, text, next }) => ({
      ...{ where, name, level, text, next },
    })),
    bytes_per_second: result.bytesPerSecond === null ? null : Math.round(result.bytesPerSecond),
  };
}
