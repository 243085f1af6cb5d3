/**
 * `ip`, `tc` and `modprobe` of the host: argv only, several commands in one process where that is
 * possible (-batch), JSON where something is read. Refusals say which package or module is missing.
 */
import { OperationError } from '../host/errors.ts';
import { type RunOptions, run } from '../host/runner.ts';

const timeoutMs = 20_000;

/** Runs programs; tests hand in another one. */
export type Run = (
  argv: readonly string[],
  options?: Partial<RunOptions>,
) => Promise<{ readonly stdout: string; readonly code: number }>;

/** Where programs of the administrator's lie; PATH of a service may be short. */
const path = [process.env['PATH'], '/usr/sbin', '/sbin', '/usr/bin', '/bin']
  .filter(Boolean)
  .join(':');

export const runTool: Run = (argv, options = {}) =>
  run(argv, { timeoutMs, ...options, env: { ...process.env, ...options.env, PATH: path } });

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
      hint: 'apt install iproute2 kmod',
    });
  }
  if (/not permitted|permission denied/i.test(error.message)) {
    return new OperationError('not-root', `${doing}: only root may`, {
      ...detail,
      hint: 'run it as root',
    });
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
      hint: 'tsremus needs iproute2 5.0 or newer',
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

interface Module {
  readonly name: string;
  readonly parameters?: readonly string[];
}

const modules: readonly Module[] = [
  // By default it makes two devices of its own, ifb0 and ifb1, that nobody asked for.
  { name: 'ifb', parameters: ['numifbs=0'] },
  { name: 'sch_plug' },
  { name: 'sch_ingress' },
  { name: 'cls_matchall' },
  { name: 'act_mirred' },
];

/**
 * Loads the kernel's modules. Throws `no-buffer` that names what the kernel does not have; what is
 * built in counts as loaded.
 */
export async function loadModules(runs: Run): Promise<void> {
  const missing: string[] = [];
  for (const { name, parameters = [] } of modules) {
    try {
      await runs(['modprobe', '--quiet', name, ...parameters]);
    } catch (error) {
      const isRefusal = error instanceof OperationError && error.code === 'command-failed';
      if (!isRefusal) throw explain(error, 'cannot load the modules of the output buffer');
      missing.push(name);
    }
  }
  if (missing.length === 0) return;
  if (process.geteuid?.() !== 0) {
    throw new OperationError('not-root', 'only root may buffer the output of a guest', {
      op: 'load-modules',
      hint: 'run it as root',
    });
  }
  const list = missing.join(', ');
  throw new OperationError('no-buffer', `this kernel has no ${list}: output cannot be held`, {
    op: 'load-modules',
    subject: list,
    hint:
      'boot the distribution kernel (Debian: apt install linux-image-amd64; its cloud kernel ' +
      'lacks them), or give the guarantee up with -F -n',
  });
}
