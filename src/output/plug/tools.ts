/**
 * `ip`, `tc` and `modprobe` of the host: argv only, several commands in one process where that is
 * possible (-batch), JSON where something is read. Refusals say which package or module is missing.
 */

import { accessSync, constants } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import type { Environment } from '../../config/settings.ts';
import { adviceLine } from '../../core/texts/advice.ts';
import { OperationError } from '../../host/errors.ts';
import { type RunOptions, run } from '../../host/runner.ts';

const timeoutMs = 20_000;

/** Runs programs; tests hand in another one. */
export type Run = (
  argv: readonly string[],
  options?: Partial<RunOptions>,
) => Promise<{ readonly stdout: string; readonly code: number }>;

/** Where programs of the administrator's lie; PATH of a service may be short. */
export function searchPath(env: Environment): string {
  return [env['PATH'], '/usr/sbin', '/sbin', '/usr/bin', '/bin'].filter(Boolean).join(':');
}

/** Where a program of this host lies; null: nowhere. */
export function findTool(name: string, env: Environment): string | null {
  for (const dir of searchPath(env).split(':').filter(isAbsolute)) {
    const file = join(dir, name);
    try {
      accessSync(file, constants.X_OK);
      return file;
    } catch {
      // Not here.
    }
  }
  return null;
}

/** Runs programs of this host, in its environment. */
export function toolRunner(env: Environment): Run {
  const path = searchPath(env);
  return (argv, options = {}) =>
    run(argv, { timeoutMs, ...options, env: { ...env, ...options.env, PATH: path } });
}

/** The last line on stderr of a batch says where it ended; the one before it, why. */
function lastWords({ detail, message }: OperationError): string {
  const said = detail.cause instanceof Error ? detail.cause.message.trim().split('\n') : [];
  const why = said.filter((line) => !/^(Command failed|We have an error|Usage)/.test(line));
  return why.at(-1)?.trim() ?? message;
}

/** What a failure of `ip` or `tc` means, in our words. */
function explain(error: unknown, doing: string): OperationError {
  if (!(error instanceof OperationError)) throw error;
  const subject = error.detail.subject ?? 'a command';
  const detail = { op: 'set-up-buffer', subject, cause: error };
  if (error.code === 'command-not-found') {
    return new OperationError('no-buffer', `${doing}: ${subject} is not installed`, {
      ...detail,
      hint: adviceLine({ kind: 'install-packages', packages: ['iproute2', 'kmod'], why: null }),
    });
  }
  if (/not permitted|permission denied/i.test(error.message)) {
    return new OperationError('not-root', `${doing}: only root may`, detail);
  }
  const why = error.code === 'command-failed' ? lastWords(error) : error.message;
  return new OperationError('no-buffer', `${doing}: ${subject} says: ${why}`, detail);
}

/** Several commands for `ip` or `tc`, in one process; the first that fails ends it. */
export async function batch(
  runs: Run,
  program: 'ip' | 'tc',
  lines: readonly (readonly string[])[],
  doing: string,
): Promise<void> {
  if (lines.length === 0) return;
  const input = `${lines.map((words) => words.join(' ')).join('\n')}\n`;
  try {
    await runs([program, '-batch', '-'], { input });
  } catch (error) {
    throw explain(error, doing);
  }
}

/** The same, but every command is tried: what is to be removed may be gone already. */
export async function batchAll(
  runs: Run,
  program: 'ip' | 'tc',
  lines: readonly (readonly string[])[],
): Promise<void> {
  if (lines.length === 0) return;
  const input = `${lines.map((words) => words.join(' ')).join('\n')}\n`;
  await runs([program, '-force', '-batch', '-'], { input, okCodes: [1, 2] });
}

/** What `tc -json WORDS` prints. */
export async function tcJson(
  runs: Run,
  words: readonly string[],
  doing: string,
): Promise<readonly Readonly<Record<string, unknown>>[]> {
  let text: string;
  try {
    text = (await runs(['tc', '-json', ...words])).stdout;
  } catch (error) {
    throw explain(error, doing);
  }
  try {
    const value: unknown = JSON.parse(text.trim() === '' ? '[]' : text);
    return Array.isArray(value) ? value.filter((item) => typeof item === 'object' && item) : [];
  } catch (cause) {
    const said = JSON.stringify(text.slice(0, 80));
    throw new OperationError('no-buffer', `${doing}: tc answers ${said}, which is not JSON`, {
      op: 'set-up-buffer',
      subject: 'tc',
      hint: adviceLine({ kind: 'see-tc-version' }),
      cause,
    });
  }
}

/** Where each mirred action of this host points to, by its number. */
export async function actionTargets(runs: Run): Promise<Map<number, string>> {
  const words = ['actions', 'list', 'action', 'mirred'];
  const targets = new Map<number, string>();
  for (const { actions } of await tcJson(runs, words, 'cannot list the mirred actions')) {
    for (const one of Array.isArray(actions) ? actions : []) {
      targets.set(Number(one?.index), String(one?.to_dev));
    }
  }
  return targets;
}

/** What picks the frames that are redirected: every-frame.ts. */
export type Classifier = 'matchall' | 'u32';

interface Module {
  readonly name: string;
  readonly parameters?: readonly string[];
}

const modules: readonly Module[] = [
  // By default it makes two devices of its own, ifb0 and ifb1, that nobody asked for.
  { name: 'ifb', parameters: ['numifbs=0'] },
  { name: 'sch_plug' },
  { name: 'sch_ingress' },
  { name: 'act_mirred' },
  // `action drop`: an interface that comes later is blocked with it.
  { name: 'act_gact' },
];

/** `look`: as `load`, but nothing is loaded: it is only said whether that could be done. */
export type LoadHow = 'load' | 'look';

/** With `--dry-run --verbose`: an administrator has something else done in its place. */
const forbidden = /^install \S*\/(?:false|true)\b/m;

/**
 * Loads a module; what is built in counts as loaded. null: done; `absent`: this kernel has none of
 * that name; else why the kernel does not take it, in modprobe's words.
 */
async function load(
  runs: Run,
  { name, parameters = [] }: Module,
  how: LoadHow,
): Promise<string | null> {
  try {
    // Quiet about a module that is not there, and about nothing else (modprobe(8)).
    const words = how === 'look' ? ['--dry-run', '--verbose'] : [];
    const { stdout } = await runs(['modprobe', '--quiet', ...words, name, ...parameters]);
    return how === 'look' && forbidden.test(stdout) ? stdout.trim() : null;
  } catch (error) {
    const isRefusal = error instanceof OperationError && error.code === 'command-failed';
    if (!isRefusal) throw explain(error, 'cannot load the modules of the output buffer');
    return error.detail.cause === undefined ? absent : lastWords(error);
  }
}

const absent = 'absent';

/** Everything that is loaded, for a file that does it at every boot. */
export function moduleNames(classifier: Classifier): readonly string[] {
  return [...modules.map(({ name }) => name), `cls_${classifier}`];
}

/**
 * Loads the kernel's modules; what every frame can be picked with. Throws `no-buffer` that names
 * what the kernel does not have or does not take.
 */
export async function loadModules(runs: Run, how: LoadHow = 'load'): Promise<Classifier> {
  const refused: [name: string, why: string][] = [];
  for (const module of modules) {
    const why = await load(runs, module, how);
    if (why !== null) refused.push([module.name, why]);
  }
  let classifier: Classifier = 'matchall';
  if ((await load(runs, { name: 'cls_matchall' }, how)) !== null) {
    classifier = 'u32';
    const why = await load(runs, { name: 'cls_u32' }, how);
    if (why !== null) refused.push(['cls_matchall (or cls_u32)', why]);
  }
  if (refused.length > 0) throw modulesError(refused);
  return classifier;
}

function modulesError(refused: readonly [name: string, why: string][]): OperationError {
  if (process.geteuid?.() !== 0) {
    return new OperationError('not-root', 'only root may buffer the output of a guest', {
      op: 'load-modules',
    });
  }
  const subject = refused.map(([name]) => name).join(', ');
  const detail = { op: 'load-modules', subject };
  const said = refused.find(([, why]) => why !== absent);
  if (said !== undefined) {
    const [name, why] = said;
    const text = `this kernel does not take ${name}: output cannot be held; modprobe says: ${why}`;
    return new OperationError('no-buffer', text, {
      ...detail,
      hint: adviceLine({ kind: 'see-modules' }),
    });
  }
  return new OperationError('no-buffer', `this kernel has no ${subject}: output cannot be held`, {
    ...detail,
    hint: adviceLine({
      kind: 'install-packages',
      packages: ['linux-image-amd64'],
      why: 'and boot it: cloud kernels lack them (Ubuntu: linux-modules-extra-$(uname -r))',
    }),
  });
}
