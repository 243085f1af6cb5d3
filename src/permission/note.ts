/** The text of one file of a permission record: JSON, strictly checked when it is read. */
import { type Agreement, agreementDefault, agreements } from '../core/permission/tie.ts';
import type { Permission } from '../core/vocabulary.ts';
import { OperationError } from '../host/errors.ts';
import type { ProcessId } from '../host/process-id.ts';

/** What is worth knowing beside the decision: epoch, why, names. Small, flat, for people. */
export type RecordFacts = Readonly<Record<string, string | number | boolean | null>>;

export interface RecordNote {
  readonly says: Permission | 'built' | 'running' | 'ended';
  /** Time of day, RFC 3339. */
  readonly at: string;
  /** The process that wrote it. */
  readonly by: ProcessId;
  readonly facts: RecordFacts;
  /** Of `standby`: who goes on when the other host cannot be asked; null in every other file. */
  readonly withoutWitness: Agreement | null;
}

const sayings: readonly RecordNote['says'][] = [
  ...([
    'standby',
    'activating',
    'active',
    'promised',
    'built',
    'running',
    'ended',
    'lost',
  ] as const),
];

/** Schema 1 knew no agreement: the backup went on by itself. */
const schema = 2;
const schemaBefore = 1;

export function serializeNote(note: RecordNote): string {
  return `${JSON.stringify({ schema, ...note })}\n`;
}

/** Throws an OperationError `storage` that names the file when the text is no note. */
export function parseNote(text: string, path: string): RecordNote {
  const damaged = (why: string, cause?: unknown) =>
    new OperationError('storage', `the record ${path} is damaged: ${why}`, {
      op: 'read-record',
      subject: path,
      cause,
    });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw damaged('not JSON', cause);
  }
  if (!isObject(value)) throw damaged('not an object');
  const written = value['schema'];
  if (written !== schema && written !== schemaBefore) {
    throw damaged(`schema ${JSON.stringify(written)}, must be ${schemaBefore} or ${schema}`);
  }
  const says = sayings.find((entry) => entry === value['says']);
  if (says === undefined) throw damaged(`says ${JSON.stringify(value['says'])}`);
  const { at, by, facts } = value;
  if (typeof at !== 'string') throw damaged('no time');
  if (!isProcessId(by)) throw damaged('no process');
  if (!isObject(facts)) throw damaged('no facts');
  const said = written === schema ? value['withoutWitness'] : agreementDefault;
  const agreed = agreements.find((entry) => entry === said) ?? null;
  if (says === 'standby' && agreed === null) {
    throw damaged(`without a witness ${JSON.stringify(said)} goes on`);
  }
  const withoutWitness = says === 'standby' ? agreed : null;
  return { says, at, by, facts: facts as RecordFacts, withoutWitness };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isProcessId(value: unknown): value is ProcessId {
  return (
    isObject(value) &&
    Number.isSafeInteger(value['pid']) &&
    Number.isSafeInteger(value['startTicks']) &&
    typeof value['bootId'] === 'string'
  );
}
