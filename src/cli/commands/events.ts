/** `tsremus events`: what happened to the guests of this host, over reboots. */
import { type Command, Option } from 'commander';
import { UsageError } from '../../config/usage-error.ts';
import { OperationError } from '../../host/errors.ts';
import type { EventRecord } from '../../registry/event-record.ts';
import { action, type Context } from '../context.ts';
import { type ExitCode, exit } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { painter } from '../output/color.ts';
import { eventJson, eventText } from '../output/events.ts';
import { readable } from '../sessions.ts';
import { addHelp, colorOption, jsonOption, type OutputOptions } from './options.ts';

interface Flags extends OutputOptions {
  readonly follow?: boolean;
}

/** Whose it is, by the name or the UUID that was typed; all of them, where none was. */
function isOf({ domain, uuid }: EventRecord, wanted: string | undefined): boolean {
  return wanted === undefined || domain === wanted || uuid === wanted.toLowerCase();
}

async function events(io: Io, domain: string | undefined, flags: Flags): Promise<ExitCode> {
  if (domain === '') throw new UsageError('the domain is empty');
  const { followEvents, pastEvents } = await import('../../app/events.ts');
  const paint = painter(flags.color, io.env, io.out);
  const tell = (event: EventRecord) => {
    if (isOf(event, domain)) io.out.write(flags.json ? eventJson(event) : eventText(event, paint));
  };
  try {
    if (flags.follow) await followEvents(io.env, tell, () => !io.out.isGone);
    else for (const event of pastEvents(io.env)) tell(event);
  } catch (error) {
    throw error instanceof OperationError ? readable(error, io) : error;
  }
  return exit.ok;
}

export function addEvents(program: Command, context: Context): void {
  const command = program
    .command('events')
    .summary('show what happened, over reboots')
    .description(
      'Shows what happened to the guests that are or were protected here, the oldest first: when ' +
        'protection began and ended, and why; holds, takeovers, trouble and its end.',
    )
    .argument('[domain]', 'name or UUID of the domain')
    .addOption(new Option('-f, --follow', 'go on with what happens, until Ctrl-C'))
    .addOption(jsonOption('print JSON lines'))
    .addOption(colorOption())
    .action(
      action(context, (domain: string | undefined, flags: Flags) =>
        events(context.io, domain, flags),
      ),
    );
  addHelp(
    command,
    'Examples:',
    '  tsremus events web1',
    '  tsremus events -f --json',
    '',
    'See tsremus-events(8).',
  );
}
