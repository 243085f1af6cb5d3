/**
 * What is written down of the sessions of this host: events (`tsremus events`) and figures
 * (`tsremus report`), each lines of a file below the state directory, so that they are there after
 * a reboot.
 */
import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type Environment, stateDirectory } from '../config/settings.ts';
import { lostEventsText } from '../core/texts/events.ts';
import { sleep, systemTimers, within } from '../host/clock.ts';
import { errnoCode, storageError } from '../host/errors.ts';
import { LineFile } from '../host/line-file.ts';
import {
  type EventRecord,
  eventLine,
  eventLineBytesMax,
  parseEvent,
} from '../registry/event-record.ts';
import {
  type FiguresRecord,
  figuresLine,
  figuresLineBytesMax,
  parseFigures,
} from '../registry/figures-record.ts';
import { LineReader } from '../registry/line-reader.ts';

/** Of each of the two files of events: years of an ordinary host, days of one that flickers. */
const fileBytesMax = 2 * 1024 ** 2;
/** Of each of the two of figures: two days of a session, less of each where there are several. */
const figuresFileBytesMax = 8 * 1024 ** 2;
const queueMax = 256;
/** A process that ends waits so long, at most, for the last of it to be written, ms. */
const lastEventsMsMax = 1_000;
/** A follower looks this often, ms. */
const followEveryMs = 500;

function pathsIn(dir: string, name: 'events' | 'figures') {
  return { path: join(dir, `${name}.jsonl`), olderPath: join(dir, `${name}.1.jsonl`) };
}

/** Where a process notes what happens, and what it measured. */
export interface EventSink {
  /** Neither throws nor waits. */
  note(record: EventRecord): void;
  /** Neither throws nor waits. */
  measure(record: FiguresRecord): void;
  /** Before the process ends; resolves soon, whatever the disk does. */
  settled(): Promise<void>;
}

/** `onLost` hears once of each gap why there is one, and in what. */
export function openEvents(
  stateDir: string,
  onLost: (error: Error, what: 'events' | 'figures') => void,
): EventSink {
  let last: EventRecord | null = null;
  const file = new LineFile({
    ...pathsIn(stateDir, 'events'),
    bytesMax: fileBytesMax,
    queueMax,
    lost: (count) => {
      const gap = { event: 'gap', text: lostEventsText(count) };
      return last === null ? '' : eventLine({ ...last, ...gap });
    },
    onLost: (error) => onLost(error, 'events'),
  });
  const figures = new LineFile({
    ...pathsIn(stateDir, 'figures'),
    bytesMax: figuresFileBytesMax,
    queueMax,
    // Where none are there is a gap in what is drawn of them.
    lost: () => '',
    onLost: (error) => onLost(error, 'figures'),
  });
  const written = async () => void (await Promise.all([file.settled(), figures.settled()]));
  return {
    note(record) {
      last = record;
      file.add(eventLine(record));
    },
    measure(record) {
      const line = figuresLine(record);
      if (line !== null) figures.add(line);
    },
    settled: () => within(systemTimers, lastEventsMsMax, written(), () => {}),
  };
}

/** A file, from somewhere on; it is another one when its number has changed. */
interface Place {
  readonly ino: number;
  readonly at: number;
}

const pieceBytes = 256 * 1024;

/** What stands at `path` from `from` on, if it is still that file. Null: there is none. */
function readOn(path: string, from: Place | null, take: (bytes: Buffer) => void): Place | null {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (error) {
    if (errnoCode(error) === 'ENOENT') return null;
    throw storageError(error, 'read', path);
  }
  try {
    const { ino } = fstatSync(fd);
    const piece = Buffer.alloc(pieceBytes);
    let at = from?.ino === ino ? from.at : 0;
    for (let got = readSync(fd, piece, 0, pieceBytes, at); got > 0; ) {
      take(Buffer.from(piece.subarray(0, got)));
      at += got;
      got = readSync(fd, piece, 0, pieceBytes, at);
    }
    return { ino, at };
  } catch (error) {
    throw storageError(error, 'read', path);
  } finally {
    closeSync(fd);
  }
}

/** Lines that are no event are passed over: a power cut may have torn one. */
function eventsIn(lines: LineReader, bytes: Buffer): EventRecord[] {
  return lines.push(bytes).flatMap((line) => parseEvent(line) ?? []);
}

/** Gives `take` each line of the two files, the oldest first. Throws OperationError. */
function readBoth(
  { path, olderPath }: ReturnType<typeof pathsIn>,
  lineBytesMax: number,
  take: (line: string) => void,
): void {
  for (const one of [olderPath, path]) {
    const lines = new LineReader(lineBytesMax);
    readOn(one, null, (bytes) => lines.push(bytes).forEach(take));
  }
}

/** Everything that was noted on this host, the oldest first. Throws OperationError. */
export function pastEvents(env: Environment): readonly EventRecord[] {
  const found: EventRecord[] = [];
  readBoth(pathsIn(stateDirectory(env), 'events'), eventLineBytesMax, (line) => {
    const event = parseEvent(line);
    if (event !== null) found.push(event);
  });
  return found;
}

/** What was measured on this host and is wanted, the oldest first. Throws OperationError. */
export function pastFigures(
  env: Environment,
  isWanted: (record: FiguresRecord) => boolean,
): readonly FiguresRecord[] {
  const found: FiguresRecord[] = [];
  readBoth(pathsIn(stateDirectory(env), 'figures'), figuresLineBytesMax, (line) => {
    const record = parseFigures(line);
    if (record !== null && isWanted(record)) found.push(record);
  });
  return found;
}

function isAt(path: string, { ino }: Place): boolean {
  try {
    return statSync(path).ino === ino;
  } catch {
    return false;
  }
}

/**
 * Gives `take` everything that was noted and what is noted from now on, as long as `isWanted`.
 * Throws OperationError.
 */
export async function followEvents(
  env: Environment,
  take: (event: EventRecord) => void,
  isWanted: () => boolean,
): Promise<void> {
  const { path, olderPath } = pathsIn(stateDirectory(env), 'events');
  let lines = new LineReader(eventLineBytesMax);
  const tell = (bytes: Buffer) => {
    for (const event of eventsIn(lines, bytes)) take(event);
  };
  readOn(olderPath, null, tell);
  lines = new LineReader(eventLineBytesMax);
  let place: Place | null = null;
  while (isWanted()) {
    // Put by since the last look: the rest of it first.
    if (place !== null && !isAt(path, place) && isAt(olderPath, place)) {
      readOn(olderPath, place, tell);
      lines = new LineReader(eventLineBytesMax);
    }
    place = readOn(path, place, tell);
    await sleep(systemTimers, followEveryMs);
  }
}
