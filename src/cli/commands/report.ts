/** `tsremus report`: what is known of a guest's sessions here, as one page to pass on. */
import { type Command, Option } from 'commander';
import { UsageError } from '../../config/usage-error.ts';
import { OperationError } from '../../host/errors.ts';
import { action, type Context } from '../context.ts';
import { type ExitCode, exit } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { writeJson } from '../output/json.ts';
import { printable } from '../output/table.ts';
import { readable } from '../sessions.ts';
import { addHelp, colorOption, jsonOption, type OutputOptions } from './options.ts';

interface Flags extends OutputOptions {
  readonly output?: string;
  readonly session?: string;
}

/** `tsremus-report-web1-20261130T191231Z.html`; a name that comes from elsewhere stays a name. */
function fileName(domain: string, made: string): string {
  const safe = domain.replace(/[^A-Za-z0-9._+-]/g, '_');
  return `tsremus-report-${safe}-${made.replace(/[-:]|\.\d+/g, '')}.html`;
}

async function report(io: Io, domain: string, flags: Flags): Promise<ExitCode> {
  const { output, session, json } = flags;
  if (domain === '') throw new UsageError('the domain is empty');
  if (output === '') throw new UsageError('--output: the name of the file is empty');
  if (session === '') throw new UsageError('--session: the session is empty');
  if (json && output !== undefined) {
    throw new UsageError('--json goes to standard output: it cannot go with --output (-o)');
  }
  const { gatherReport, writeNew } = await import('../../app/report.ts');
  try {
    const gathered = await gatherReport(domain, session, io.env);
    if (json) {
      const { reportDocument } = await import('../output/report/document.ts');
      writeJson(io.out, reportDocument(gathered));
      return exit.ok;
    }
    const { reportPage } = await import('../output/report/page.ts');
    const page = reportPage(gathered);
    const path = output ?? fileName(gathered.domain, gathered.made);
    if (path === '-') io.out.write(page);
    else {
      writeNew(path, page);
      io.out.write(`${printable(path)}\n`);
    }
    return exit.ok;
  } catch (error) {
    throw error instanceof OperationError ? readable(error, io) : error;
  }
}

export function addReport(program: Command, context: Context): void {
  const command = program
    .command('report')
    .summary('write what is known of a session into one HTML file')
    .description(
      'Writes what this host knows of a session of DOMAIN into one HTML file: pauses, lags and ' +
        'sizes over time, events, settings, versions. To attach to a report of a bug.',
    )
    .argument('<domain>', 'name or UUID of the domain')
    .option('-o, --output <file>', 'write FILE, which may not be there yet; - is standard output')
    .addOption(new Option('--session <id>', 'of the session whose id begins so, not the newest'))
    .addOption(jsonOption('print the same as one JSON document'))
    .addOption(colorOption())
    .action(action(context, (domain: string, flags: Flags) => report(context.io, domain, flags)));
  addHelp(
    command,
    'Examples:',
    '  tsremus report web1',
    '  tsremus report -o /root/web1.html web1',
    '',
    'See tsremus-report(8).',
  );
}
