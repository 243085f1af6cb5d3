/** The result of `tsremus resync`, for a person or as a JSON line. */
import { adviceLine } from '../../core/texts/advice.ts';
import {
  comparedText,
  copiedData,
  rangeText,
  resyncEndedText,
  resyncedText,
} from '../../core/texts/resync.ts';
import type { ResyncResult } from '../../session/resync/options.ts';
import { type ExitCode, exit, exitOfResync } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { CommandFailure } from './errors.ts';
import { writeJsonLine } from './json.ts';
import { printable } from './table.ts';

/** The keys of the result that belong to its kind. */
function dataOf(result: ResyncResult): Readonly<Record<string, unknown>> {
  switch (result.kind) {
    case 'copied':
      return { as_of: result.asOf.toISOString(), ...copiedData(result.copied) };
    case 'compared': {
      const { bytes, differentBytes, ranges, more, ms } = result.difference;
      return { bytes, different_bytes: differentBytes, ranges, more, ms: Math.round(ms) };
    }
    case 'stopped':
      return { by: result.by };
  }
}

function linesOf(result: ResyncResult, peer: string): readonly string[] {
  const { domain } = result;
  switch (result.kind) {
    case 'copied': {
      const asOf = result.asOf.toISOString();
      return resyncedText({ domain, peer, asOf }, result.copied);
    }
    case 'compared': {
      const { ranges, more } = result.difference;
      const beyond = more === 0 ? [] : [`and ${more} more`];
      const parts = [...ranges.map(rangeText), ...beyond];
      return [comparedText(domain, peer, result.difference), ...parts];
    }
    case 'stopped':
      return [resyncEndedText(domain, peer)];
  }
}

/**
 * Prints it; gives its exit code. Throws CommandFailure where the disks differ. `peer`: whose disks
 * they are.
 */
export function printResync(
  io: Io,
  result: ResyncResult,
  peer: string,
  flags: { readonly json?: boolean; readonly quiet?: boolean },
): ExitCode {
  const code = exitOfResync(result);
  const [text = '', ...more] = linesOf(result, peer);
  if (flags.json) {
    const { domain, kind: outcome } = result;
    const data = { domain, outcome, text, ...dataOf(result), exit: code };
    writeJsonLine(io.out, 'result', io.clock.wall(), data);
  } else if (result.kind === 'compared' || !flags.quiet) {
    for (const line of [text, ...more]) io.out.write(`${printable(line)}\n`);
  }
  if (code !== exit.different) return code;
  const hints = [adviceLine({ kind: 'resync', domain: result.domain, peer })];
  throw new CommandFailure({ code: 'different', message: text, hints, exit: code });
}
