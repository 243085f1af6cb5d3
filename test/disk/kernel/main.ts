/**
 * `npm run test:disk [-- CASE ...] [--runs N] [--loud]`: what the native half of the mirror driver
 * does on Debian's stock kernel, with its own device mapper, NBD, udev and LVM, in one emulated
 * machine.
 *
 * Prints a line per case and `N passed, N failed` last. Without root or a needed tool everything
 * is skipped with the reason.
 */
import { parseArgs } from 'node:util';
import { LabError } from '../../lab/command.ts';
import { cases } from './cases.ts';
import { ensureMachine, runMachine } from './machine.ts';

/** Only a hang takes as long: what one case has, and a boot. */
const caseMs = 600_000;

/** What a case printed, and how it ended. */
interface Outcome {
  readonly name: string;
  readonly lines: readonly string[];
  readonly code: number;
  readonly seconds: number;
}

/** What the cases said, cut at the lines that end one; the rest is of one that did not. */
function outcomesOf(said: string): { outcomes: Outcome[]; rest: string[] } {
  const outcomes: Outcome[] = [];
  let rest: string[] = [];
  for (const line of said.split(/\r?\n/)) {
    const end = /^CASE (\S+) code=(\d+) seconds=(\d+)$/.exec(line);
    if (end === null) {
      rest.push(line);
      continue;
    }
    const [, name = '', code, seconds] = end;
    outcomes.push({ name, lines: rest, code: Number(code), seconds: Number(seconds) });
    rest = [];
  }
  return { outcomes, rest };
}

function report({ name, lines, code, seconds }: Outcome): void {
  if (code !== 0) {
    console.log(`FAILED ${name} (${seconds} s):\n  ${lines.slice(-400).join('\n  ')}`);
    return;
  }
  console.log(`ok ${name} (${seconds} s): ${cases.get(name)}`);
  for (const line of lines) {
    const figure = /^figure: (.*)/.exec(line)?.[1];
    if (figure !== undefined) console.log(`   ${figure}`);
  }
}

async function main(): Promise<boolean> {
  const { values, positionals: names } = parseArgs({
    options: { runs: { type: 'string', default: '1' }, loud: { type: 'boolean', default: false } },
    allowPositionals: true,
  });
  const unknown = names.find((name) => !cases.has(name));
  const runs = Number(values.runs);
  if (unknown !== undefined || !Number.isInteger(runs) || runs < 1) {
    const known = [...cases.keys()].join(', ');
    console.error(`no disk test is called ${unknown ?? `--runs ${values.runs}`}; ${known}`);
    return false;
  }
  const chosen = names.length > 0 ? names : [...cases.keys()];
  const wanted = Array.from({ length: runs }, () => chosen).flat();
  const machine = await ensureMachine((line) => console.log(line));
  console.log(`kernel ${machine.kernel.release}, ${wanted.length} cases`);
  const timeoutMs = (wanted.length + 1) * caseMs;
  const ended = await runMachine(machine, wanted, { timeoutMs });
  if (values.loud) console.log(ended.console, ended.said);
  const { outcomes, rest } = outcomesOf(ended.said);
  for (const outcome of outcomes) report(outcome);
  if (outcomes.length < wanted.length) {
    console.log(
      `the machine ended in ${wanted[outcomes.length]}:\n  ${rest.slice(-60).join('\n  ')}`,
    );
  }
  const passed = outcomes.filter(({ code }) => code === 0).length;
  const seconds = ended.seconds.toFixed(0);
  console.log(`\n${passed} passed, ${wanted.length - passed} failed (${seconds} s)`);
  return passed === wanted.length;
}

try {
  process.exitCode = (await main()) ? 0 : 1;
} catch (error) {
  if (!(error instanceof LabError)) throw error;
  console.log(`skipped: ${error.message}${error.hint ? `; try: ${error.hint}` : ''}`);
  process.exitCode = process.env['CI'] ? 1 : 0;
}
