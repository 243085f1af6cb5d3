/**
 * CHECKED: what the backup's host is like for the guest of CONFIG, as a list of lines, and the
 * facts that the primary compares with its own. JSON; a session never sees it.
 */
import type { ClockLooks, HostFacts } from '../core/check/compare.ts';
import { type CheckLine, checkLevels } from '../core/check/line.ts';
import { cleanText } from '../host/text.ts';
import { Fields, parseJson } from './checks.ts';
import { featuresMax } from './hello-message.ts';

const textChars = 400;
const nextChars = 400;
/** A guest has devices by the dozen, at most; each may lack something. */
const linesMax = 64;

export interface Checked {
  readonly kind: 'checked';
  readonly lines: readonly CheckLine[];
  readonly facts: HostFacts;
  /** Time of day there when CONFIG was heard and when this was said, ms since 1970. */
  readonly clock: Pick<ClockLooks, 'heardMs' | 'saidMs'>;
  /** The backup's address as the transport reached it; null: the transport does not say. */
  readonly address: string | null;
}

/** What is too long is cut, what is too much is left out. */
export function encodeChecked({ lines, facts, clock, address }: Checked): Buffer {
  const shown = lines.slice(0, linesMax).map(({ name, level, text, next }) => {
    const line = next === null ? null : cleanText(next, nextChars);
    return { name, level, text: cleanText(text, textChars), next: line };
  });
  return Buffer.from(JSON.stringify({ lines: shown, facts, clock, address }));
}

function parseLine(fields: Fields): CheckLine {
  return {
    name: fields.matching('name', /^[a-z][a-z-]{0,31}$/, 'must name a requirement'),
    level: fields.oneOf('level', checkLevels),
    text: fields.text('text', textChars),
    next: fields.textOrNull('next', nextChars),
  };
}

function parseFacts(fields: Fields): HostFacts {
  const integerOrNull = (key: string, max: number) =>
    fields.has(key) ? fields.integer(key, 0, max) : null;
  return {
    host: fields.text('host', 255),
    tsremus: fields.text('tsremus', 64),
    hypervisor: fields.textOrNull('hypervisor', 64),
    cpus: integerOrNull('cpus', 65_535),
    processor: fields.textOrNull('processor', 128),
    features: fields.integers('features', featuresMax, 0xffff_ffff),
    mtuBytes: integerOrNull('mtuBytes', 1 << 20),
  };
}

/** Throws an OperationError `protocol` that names the field. */
export function parseChecked(body: Uint8Array): Checked {
  const fields = new Fields('CHECKED', parseJson('CHECKED', body));
  const clock = fields.object('clock');
  const ms = (key: string) => clock.integer(key, 0, Number.MAX_SAFE_INTEGER);
  return {
    kind: 'checked',
    lines: fields.objects('lines', linesMax).map(parseLine),
    facts: parseFacts(fields.object('facts')),
    clock: { heardMs: ms('heardMs'), saidMs: ms('saidMs') },
    address: fields.has('address')
      ? fields.matching('address', /^[0-9a-fA-F.:]{2,45}$/, 'must be an IP address')
      : null,
  };
}
