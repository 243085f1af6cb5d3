/** `tsremus set DOMAIN KEY=VALUE ...`: changes a session that runs, without ending it. */
import type { Command } from 'commander';
import {
  maxOverheadSetting,
  parseInterval,
  parseNumber,
  type Said,
} from '../../config/settings.ts';
import { UsageError } from '../../config/usage-error.ts';
import { adviceLine } from '../../core/texts/advice.ts';
import { hostWord } from '../../core/texts/quote.ts';
import type { ControlRequest, SetResult } from '../../registry/control.ts';
import { action, type Context } from '../context.ts';
import { type ExitCode, exit } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { CommandFailure } from '../output/errors.ts';
import { writeJson } from '../output/json.ts';
import { printable } from '../output/table.ts';
import { order, sessionsOf } from '../sessions.ts';
import { addHelp, colorOption, jsonOption, type OutputOptions } from './options.ts';

type Change = Omit<Extract<ControlRequest, { verb: 'set' }>, 'verb'>;

const keys = ['interval', 'max-overhead'] as const;

function split(setting: string): Said {
  const at = setting.indexOf('=');
  const name = at < 0 ? setting : setting.slice(0, at);
  if (at < 0 || !(keys as readonly string[]).includes(name)) {
    const shown = JSON.stringify(setting.slice(0, 60));
    throw new UsageError(`${shown} is nothing that can be set; known are: ${keys.join(', ')}`);
  }
  return { text: setting.slice(at + 1), name, origin: 'arguments', joint: '=' };
}

/** What is to be changed; throws UsageError. */
export function changeOf(settings: readonly string[]): Change {
  let change: Change = {};
  for (const setting of settings) {
    const value = split(setting);
    if (value.name === 'interval') {
      if (change.interval !== undefined) throw new UsageError('interval is set twice');
      change = { ...change, interval: parseInterval(value) };
    } else {
      if (change.maxOverhead !== undefined) throw new UsageError('max-overhead is set twice');
      change = { ...change, maxOverhead: parseNumber(value, maxOverheadSetting) };
    }
  }
  if (typeof change.interval === 'number' && change.maxOverhead !== undefined) {
    throw new UsageError(
      `max-overhead is for interval=auto: with ${change.interval} ms nothing is left to choose`,
      { name: 'max-overhead', joint: '=', value: null },
    );
  }
  return change;
}

async function set(
  io: Io,
  domain: string,
  settings: readonly string[],
  flags: OutputOptions,
): Promise<ExitCode> {
  const change = changeOf(settings);
  const entries = await sessionsOf(io, domain);
  const entry = entries.find(({ status }) => status.role === 'primary') ?? entries[0];
  if (entry === undefined || entry.status.role === 'backup') {
    const peer = entry?.status.peer ?? '';
    const where = `it is set where the guest runs, on ${hostWord(peer)}`;
    throw new CommandFailure({
      code: 'wrong-host',
      message: `this host holds the copy of ${domain}; ${where}`,
      hints: [adviceLine({ kind: 'set-there', domain, settings, peer })],
      exit: exit.failed,
    });
  }
  const request = { verb: 'set', ...change } as const;
  const { text } = await order<SetResult>(io, entry, request);
  if (flags.json) writeJson(io.out, { domain: entry.status.domain, text, exit: exit.ok });
  else io.out.write(`${printable(`${entry.status.domain}: ${text}`)}\n`);
  return exit.ok;
}

export function addSet(program: Command, context: Context): void {
  const command = program
    .command('set')
    .summary('change the interval of a session that runs')
    .description('Changes how the session of DOMAIN checkpoints, at once and without ending it.')
    .argument('<domain>', 'name, UUID or number of the domain')
    .argument('<setting...>', 'interval=MS, interval=auto, max-overhead=PERCENT')
    .addOption(jsonOption('report as one JSON document on stdout'))
    .addOption(colorOption())
    .action(
      action(context, (domain: string, settings: string[], flags: OutputOptions) =>
        set(context.io, domain, settings, flags),
      ),
    );
  addHelp(
    command,
    'Examples:',
    '  tsremus set web1 interval=50',
    '  tsremus set web1 interval=auto max-overhead=10',
    '',
    'See tsremus-set(8).',
  );
}
