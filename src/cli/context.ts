/** What every command gets, and how it gives back its exit code. */
import type { Command } from 'commander';
import { type ExitCode, exit } from './exit-codes.ts';
import type { Io } from './io.ts';

export interface Context {
  readonly io: Io;
  /** Set by the command that ran. */
  code: ExitCode;
}

export function newContext(io: Io): Context {
  return { io, code: exit.ok };
}

/** An action that returns its exit code, in the form that commander wants. */
export function action<Args extends unknown[]>(
  context: Context,
  run: (...args: Args) => Promise<ExitCode>,
): (...args: Args) => Promise<void> {
  return async (...args) => {
    context.code = await run(...args);
  };
}

/** `tsremus protect`: the command with its ancestors, as it is typed. */
export function commandPath(command: Command): string {
  const names: string[] = [];
  for (let at: Command | null = command; at !== null; at = at.parent) names.unshift(at.name());
  return names.join(' ');
}
