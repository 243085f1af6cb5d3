/**
 * What may follow on a command line, from the command tree alone and from names that are handed in.
 * Pure. All shells ask this: what a version of tsremus completes is what it understands.
 */
import type { Argument, Command, Option } from 'commander';

export interface Candidate {
  readonly word: string;
  readonly about: string;
}

/** Names that live on this host; asked for only where they may follow. */
export interface LiveNames {
  /** Guests that run here. */
  guests(): Promise<readonly string[]>;
  /** Guests that have a session here. */
  protectedGuests(): Promise<readonly string[]>;
  /** Guests that are declared here. */
  declaredGuests(): Promise<readonly string[]>;
  /** Hosts that ssh knows by name. */
  hosts(): Promise<readonly string[]>;
}

/** `files`: the shell's own completion of file names does better. */
export type Completion = { readonly kind: 'files' } | { readonly kind: 'words'; all: Candidate[] };

const files: Completion = { kind: 'files' };
const nothing: Completion = { kind: 'words', all: [] };

function words(all: readonly Candidate[], begun: string): Completion {
  return { kind: 'words', all: all.filter(({ word }) => word.startsWith(begun)) };
}

const named = (list: readonly string[], about: string) => list.map((word) => ({ word, about }));

function commandsOf(program: Command): Candidate[] {
  return program
    .createHelp()
    .visibleCommands(program)
    .map((one) => ({ word: one.name(), about: one.summary() || one.description() }));
}

/** Options that may still be given: what says the same twice is left out. */
function optionsOf(command: Command, given: ReadonlySet<string>): Candidate[] {
  return command
    .createHelp()
    .visibleOptions(command)
    .filter(({ long, short }) => !given.has(long ?? '') && !given.has(short ?? ''))
    .flatMap(({ long, short, description }) => {
      const word = long ?? short;
      return word == null ? [] : [{ word, about: description }];
    });
}

const fileOptions: readonly string[] = ['--metrics', '--netbuf-script', '--output'];
/** Options whose value is the guest's name. */
const guestOptions: readonly string[] = ['--vouch'];

/** The words that follow `--without-witness` are in its description: backup, primary or manual. */
function choicesOf({ argChoices, description }: Option): readonly string[] {
  if (argChoices !== undefined) return argChoices;
  const [, list] = /^((?:[a-z]+, )+[a-z]+ or [a-z]+):/.exec(description) ?? [];
  return list === undefined ? [] : list.split(/, | or /);
}

async function valuesOf(option: Option, live: LiveNames): Promise<readonly Candidate[] | null> {
  const name = option.long ?? '';
  if (fileOptions.includes(name)) return null;
  if (guestOptions.includes(name)) return named(await live.protectedGuests(), 'has a session');
  return named(choicesOf(option), option.description);
}

/** Commands that begin a session speak of guests, the others of sessions. */
const ofGuests: readonly string[] = ['check', 'protect', 'resync'];

/** Commands that speak of declared guests as well, whether they run and have a session or not. */
const ofDeclared: readonly string[] = ['check', 'protect', 'status', 'events', 'report'];

async function guestsFor(command: string, live: LiveNames): Promise<readonly Candidate[]> {
  const first = ofGuests.includes(command)
    ? named(await live.guests(), 'runs here')
    : named(await live.protectedGuests(), 'has a session');
  if (!ofDeclared.includes(command)) return first;
  const others = await live.declaredGuests();
  const isNew = (name: string) => first.every(({ word }) => word !== name);
  return [...first, ...named(others.filter(isNew), 'is declared')];
}

async function valuesOfArgument(
  command: Command,
  argument: Argument,
  live: LiveNames,
): Promise<readonly Candidate[]> {
  if (argument.argChoices !== undefined) return named(argument.argChoices, argument.description);
  switch (argument.name()) {
    case 'domain':
      return guestsFor(command.name(), live);
    case 'host':
      return named(await live.hosts(), 'of ssh_config');
    case 'command':
      return command.parent === null ? [] : commandsOf(command.parent);
    case 'setting':
      return named(['interval=', 'interval=auto', 'max-overhead='], argument.description);
    default:
      return [];
  }
}

/** What was typed of a command, up to the word that is being typed. */
interface Typed {
  readonly given: ReadonlySet<string>;
  readonly positionals: number;
  /** The option whose value is being typed. */
  readonly open: Option | null;
  /** Behind `--` nothing is an option. */
  readonly isRaw: boolean;
}

function optionCalled(command: Command, word: string): Option | undefined {
  return command.options.find(({ long, short }) => long === word || short === word);
}

function readTyped(command: Command, before: readonly string[]): Typed {
  const given = new Set<string>();
  let positionals = 0;
  let open: Option | null = null;
  let isRaw = false;
  for (const word of before) {
    if (open !== null) {
      open = null;
      continue;
    }
    if (isRaw || !word.startsWith('-') || word === '-') {
      positionals += 1;
      continue;
    }
    if (word === '--') {
      isRaw = true;
      continue;
    }
    const [name = ''] = word.split('=');
    const option = optionCalled(command, name);
    if (option === undefined) continue;
    // One that may be given more than once gathers its values.
    if (option.parseArg === undefined) given.add(option.long ?? name);
    if (option.required && !word.includes('=')) open = option;
  }
  return { given, positionals, open, isRaw };
}

/** `--color=al`: the whole word is completed. */
async function joined(command: Command, begun: string, live: LiveNames): Promise<Completion> {
  const name = begun.slice(0, begun.indexOf('='));
  const option = optionCalled(command, name);
  if (option === undefined || !option.required) return nothing;
  const values = await valuesOf(option, live);
  if (values === null) return nothing;
  return words(
    values.map(({ word, about }) => ({ word: `${name}=${word}`, about })),
    begun,
  );
}

async function inCommand(
  command: Command,
  before: readonly string[],
  begun: string,
  live: LiveNames,
): Promise<Completion> {
  const { given, positionals, open, isRaw } = readTyped(command, before);
  if (open !== null) {
    const values = await valuesOf(open, live);
    return values === null ? files : words(values, begun);
  }
  if (!isRaw && begun.startsWith('-')) {
    if (begun.includes('=')) return joined(command, begun, live);
    return words(optionsOf(command, given), begun);
  }
  const all = command.registeredArguments;
  const last = all.at(-1);
  const argument = all[positionals] ?? (last?.variadic ? last : undefined);
  if (argument === undefined) return nothing;
  return words(await valuesOfArgument(command, argument, live), begun);
}

/**
 * What may stand for the last of `typed`, which may be empty; `typed` begins behind the program's
 * name, without the quotes of a shell.
 */
export async function complete(
  program: Command,
  typed: readonly string[],
  live: LiveNames,
): Promise<Completion> {
  const begun = typed.at(-1) ?? '';
  const before = typed.slice(0, -1);
  const at = before.findIndex((word) => !word.startsWith('-'));
  if (at < 0) {
    if (begun.startsWith('-')) return words(optionsOf(program, new Set(before)), begun);
    return words(commandsOf(program), begun);
  }
  if (before[at] === 'help') return words(at + 1 < before.length ? [] : commandsOf(program), begun);
  const command = program.commands.find((one) => one.name() === before[at]);
  return command === undefined ? nothing : inCommand(command, before.slice(at + 1), begun, live);
}

/**
 * The words of a line as a shell would read it, the last one as far as it is typed; what is quoted
 * and not closed counts to the end. Of a list of commands the last one.
 */
export function wordsOfLine(line: string): string[] {
  let all: string[] = [];
  let word = '';
  let isBegun = false;
  let quote = '';
  for (let at = 0; at < line.length; at += 1) {
    const one = line.charAt(at);
    if (quote !== '') {
      if (one === quote) quote = '';
      else if (one === '\\' && quote === '"') word += line.charAt(++at);
      else word += one;
    } else if (one === '\\') {
      word += line.charAt(++at);
      isBegun = true;
    } else if (one === '"' || one === "'") {
      quote = one;
      isBegun = true;
    } else if (/[;&|()]/.test(one)) {
      all = [];
      word = '';
      isBegun = false;
    } else if (/\s/.test(one)) {
      if (isBegun) all.push(word);
      word = '';
      isBegun = false;
    } else {
      word += one;
      isBegun = true;
    }
  }
  return [...all, word];
}
