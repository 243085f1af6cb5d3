/**
 * CI: the README's own commands (`npm test`, `npm run demo`), the tests with an administrator's own
 * tools, then the lab tests: the core and those whose turn it is. Nothing private.
 * Prints what failed, by name and with the head of its reason, and `N passed, N failed` last: of a
 * long log the end is what is kept. A lab test that is skipped counts as failed here, and so does
 * a command that ends badly without a failed test of its own.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const reports = mkdtempSync(join(tmpdir(), 'tsremus-ci-'));
const begunMs = Date.now();
let passed = 0;
let failed = 0;
/** What failed, in words, to be said again at the end. */
const failures = [];

/** Runs an npm script; returns whether it ended well. */
function npm(script, args, env) {
  const began = Date.now();
  console.log(`\n== npm ${script} ${args.join(' ')}`);
  const done = spawnSync('npm', [...script.split(' '), ...args], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, ...env },
  });
  console.log(
    `== npm ${script}: exit ${done.status}, ${Math.round((Date.now() - began) / 1000)} s`,
  );
  return done.status === 0;
}

function readReport(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return null;
  }
}

/** Runs an npm script that writes vitest's report, and counts what it says. */
function tests(script) {
  const path = join(reports, `${script.replaceAll(/\W/g, '-')}.json`);
  const isOk = npm(script, [], { TSREMUS_TEST_REPORT: path });
  const report = readReport(path);
  passed += report?.numPassedTests ?? 0;
  failed += report?.numFailedTests ?? 0;
  for (const file of report?.testResults ?? []) {
    for (const test of file.assertionResults ?? []) {
      if (test.status !== 'failed') continue;
      const why = String(test.failureMessages?.[0] ?? '')
        .split('\n')
        .slice(0, 12);
      const name = `${relative(root, file.name)}: ${test.fullName}`;
      failures.push([name, ...why.map((line) => `    ${line}`)].join('\n'));
    }
  }
  if (isOk || (report?.numFailedTests ?? 0) > 0) return;
  failed += 1;
  failures.push(`npm ${script} ended badly, and none of its tests says why: see above`);
}

tests('test');
tests('run test:habits');

const demoOk = npm('run demo', [], {});
if (demoOk) passed += 1;
else {
  failed += 1;
  failures.push('npm run demo');
}

/** Whatever the day is like: all of CI takes so long, and a trial that hangs a little longer. */
const minutesMax = 66;
const minutesLeft = Math.max(1, Math.floor(minutesMax - (Date.now() - begunMs) / 60_000));
const labReport = join(reports, 'lab.json');
const labOk = npm('run test:lab', ['--', '--ci', '--minutes', String(minutesLeft)], {
  TSREMUS_LAB_REPORT: labReport,
});
const lab = readReport(labReport);
passed += lab?.passed ?? 0;
failed += (lab?.failed ?? 0) + (lab?.skipped ?? 0);
if (!labOk) failures.push('npm run test:lab: see its table above');
if (!labOk && (lab?.failed ?? 0) + (lab?.skipped ?? 0) === 0) failed += 1;

rmSync(reports, { recursive: true, force: true });
for (const failure of failures) console.log(`\nfailed: ${failure}`);
console.log(`\n${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
