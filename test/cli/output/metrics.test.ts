/** `tsremus status --metrics`, read by the rules of the format and held to its page. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Histogram } from '../../../src/core/histogram.ts';
import type { Histograms, SessionStatus } from '../../../src/registry/status.ts';
import { deadOwner, sampleStatus } from '../../registry/sample-status.ts';
import { runLine, TemporaryRun } from '../fake-io.ts';

let run: TemporaryRun;

beforeEach(() => {
  run = new TemporaryRun();
});

afterEach(() => run.remove());

/** The moment of the tests: how old a status is must not depend on how busy the machine is. */
const now = new Date();

/** A command line at that moment. */
function at(...argv: string[]) {
  const clock = { nowMs: () => 0, wall: () => now };
  return runLine(['status', ...argv], { ...run.io(), clock });
}

const metrics = (...more: string[]) => at('--metrics', '-', ...more);
const put = (status: SessionStatus) => run.put({ ...status, updated: now.toISOString() });

interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

interface Family {
  readonly type: string;
  readonly help: string;
  readonly samples: Sample[];
}

const unescaped: Readonly<Record<string, string>> = { n: '\n', '\\': '\\', '"': '"' };

function labelsIn(text: string): Record<string, string> {
  const labels: Record<string, string> = {};
  let rest = text;
  while (rest !== '') {
    const found = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,|$)/.exec(rest);
    if (found === null) throw new Error(`no label: ${rest}`);
    const [whole, name = '', value = ''] = found;
    if (Object.hasOwn(labels, name)) throw new Error(`the label ${name} twice`);
    labels[name] = value.replace(/\\(.)/g, (_, letter: string) => unescaped[letter] ?? '');
    rest = rest.slice(whole.length);
  }
  return labels;
}

/**
 * The text format, strictly: HELP, TYPE and all samples of a family in one piece and once, names
 * and labels by their rules, no sample twice, a number in each, a newline at the end.
 */
function parse(text: string): Map<string, Family> {
  if (!text.endsWith('\n')) throw new Error('no newline at the end');
  const families = new Map<string, Family>();
  const seen = new Set<string>();
  let name = '';
  for (const line of text.slice(0, -1).split('\n')) {
    const help = /^# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) (\S.*)$/.exec(line);
    if (help !== null) {
      name = help[1] ?? '';
      if (families.has(name)) throw new Error(`${name} twice`);
      families.set(name, { type: '', help: help[2] ?? '', samples: [] });
      continue;
    }
    const family = families.get(name);
    if (family === undefined) throw new Error(`before any HELP: ${line}`);
    const type = /^# TYPE (\S+) (gauge|counter|summary)$/.exec(line);
    if (type !== null) {
      if (type[1] !== name || family.type !== '') throw new Error(`a stray TYPE: ${line}`);
      families.set(name, { ...family, type: type[2] ?? '' });
      continue;
    }
    const sample = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.+)\})? (-?[0-9.]+(?:e[+-]?\d+)?)$/.exec(line);
    if (sample === null) throw new Error(`no sample: ${line}`);
    const [, full = '', labels = '', value = ''] = sample;
    const suffix = full.slice(name.length);
    const suffixes = family.type === 'summary' ? ['', '_sum', '_count'] : [''];
    if (!full.startsWith(name) || !suffixes.includes(suffix))
      throw new Error(`of no family: ${line}`);
    const key = `${full}{${labels}}`;
    if (seen.has(key)) throw new Error(`twice: ${key}`);
    seen.add(key);
    family.samples.push({ name: full, labels: labelsIn(labels), value: Number(value) });
  }
  for (const [one, { type, samples }] of families) {
    if (type === '' || samples.length === 0) throw new Error(`${one} is empty`);
  }
  return families;
}

function measured(...values: number[]) {
  const histogram = new Histogram();
  for (const value of values) histogram.add(value);
  return histogram.summary();
}

const times = measured(2, 4, 8);
const histograms: Histograms = {
  ...{ pause_ms: times, encode_ms: times, transfer_ms: times, acknowledge_ms: times },
  ...{ period_ms: times, raw_bytes: measured(4096), sent_bytes: measured() },
};

/** A session that has something to say of everything. */
function full(changes: Partial<SessionStatus> = {}): SessionStatus {
  const one = { packets: 3, bytes: 900, dropped: 1, near_limit: false } as const;
  const output = {
    ...{ packets: 3, bytes: 900, dropped: 1 },
    interfaces: [
      { ...one, name: 'vif7.0', state: 'protected' as const },
      { ...one, name: 'vif7.1', state: 'blocked' as const },
    ],
  };
  return sampleStatus({ histograms, output, seed_percent: 50, ...changes });
}

const valuesOf = (families: Map<string, Family>, name: string, labels = {}) =>
  families
    .get(name)
    ?.samples.filter((one) => Object.entries(labels).every(([key, is]) => one.labels[key] === is))
    .map(({ value }) => value);

describe('what is printed', () => {
  // Proves: it is what Prometheus reads, with base units, whatever a guest is called.
  it('is of the text format', async () => {
    put(full({ domain: 'we"b\\1\n' }));
    put(sampleStatus({ uuid: 'u2', role: 'backup', state: 'standby', pages: null }));
    const ran = await metrics();
    expect(ran).toMatchObject({ code: 0, err: '' });
    const families = parse(ran.out);
    for (const [name, { type }] of families) {
      expect(name).toMatch(/^tsremus_/);
      expect(name.endsWith('_total')).toBe(type === 'counter');
      expect(name).not.toMatch(/_(ms|kb|percent|milliseconds)(_|$)/);
    }
    const primary = { role: 'primary' };
    expect(families.get('tsremus_session_state')?.samples[0]?.labels['domain']).toBe('we"b\\1\n');
    expect(valuesOf(families, 'tsremus_session_state', { ...primary, state: 'protected' })).toEqual(
      [1],
    );
    expect(valuesOf(families, 'tsremus_session_state', { ...primary, state: 'held' })).toEqual([0]);
    expect(valuesOf(families, 'tsremus_session_epochs_acknowledged_total', primary)).toEqual([42]);
    expect(valuesOf(families, 'tsremus_session_late_after_seconds', primary)).toEqual([1]);
    expect(valuesOf(families, 'tsremus_session_seed_ratio', primary)).toEqual([0.5]);
    const pause = families.get('tsremus_session_pause_seconds');
    expect(pause?.samples.map(({ name, labels }) => `${name} ${labels['quantile'] ?? ''}`)).toEqual(
      [
        ...['0.5', '0.9', '0.99'].map((quantile) => `tsremus_session_pause_seconds ${quantile}`),
        ...['sum', 'count'].map((suffix) => `tsremus_session_pause_seconds_${suffix} `),
      ],
    );
    expect(pause?.samples.map(({ value }) => value).slice(3)).toEqual([0.014, 3]);
    expect(valuesOf(families, 'tsremus_interface_protected', { interface: 'vif7.1' })).toEqual([0]);
  });

  // Proves: promtool, where there is one, has nothing against it either.
  it('is what promtool accepts', async (context) => {
    put(full());
    put(sampleStatus({ uuid: 'u2', role: 'backup', state: 'standby', pages: null }));
    const { out } = await metrics();
    const checked = spawnSync('promtool', ['check', 'metrics'], { input: out, encoding: 'utf8' });
    if (checked.error) return context.skip('promtool is not installed; the rules above are ours');
    expect(`${checked.stdout}${checked.stderr}`).toBe('');
    expect(checked.status).toBe(0);
  });

  // Proves: how bad things are is in the metrics, by the numbers of the exit code, which is 0 then.
  it('has how bad things are', async () => {
    put(full());
    put(sampleStatus({ domain: 'b', uuid: 'b', ...deadOwner() }));
    const ran = await metrics();
    expect(ran.code).toBe(0);
    const families = parse(ran.out);
    expect(valuesOf(families, 'tsremus_status_code')).toEqual([2]);
    expect(valuesOf(families, 'tsremus_session_code', { domain: 'web1' })).toEqual([0]);
    expect(valuesOf(families, 'tsremus_session_code', { domain: 'b' })).toEqual([2]);
    expect(valuesOf(families, 'tsremus_session_process_alive', { domain: 'b' })).toEqual([0]);
  });

  // Proves: of one domain alone, where it was named; and of a file that nobody can read.
  it('is of what was asked for', async () => {
    put(full());
    put(sampleStatus({ domain: 'b', uuid: 'b' }));
    writeFileSync(join(run.dir, 'x.primary.json'), '{');
    const families = parse((await metrics('b')).out);
    expect(valuesOf(families, 'tsremus_sessions')).toEqual([1]);
    expect(valuesOf(families, 'tsremus_unreadable_files')).toEqual([1]);
    expect(valuesOf(families, 'tsremus_status_code')).toEqual([3]);
  });
});

describe('the file', () => {
  // Proves: it is replaced as a whole, can be read by the exporter, and nothing else is left there.
  it('is replaced as a whole', async () => {
    put(full());
    const dir = join(run.dir, 'textfile');
    const path = join(dir, 'tsremus.prom');
    mkdirSync(dir);
    writeFileSync(path, 'old\n');
    const { ino } = statSync(path);
    const ran = await at('--metrics', path);
    expect(ran).toMatchObject({ code: 0, out: '', err: '' });
    expect(statSync(path).ino).not.toBe(ino);
    expect(statSync(path).mode & 0o777).toBe(0o644);
    expect(parse(readFileSync(path, 'utf8')).size).toBeGreaterThan(20);
    expect(readdirSync(dir)).toEqual(['tsremus.prom']);
  });

  // Proves: a host on which nothing can be found out says so there, and does not keep what was.
  it('says that nothing is known', async () => {
    const path = join(run.dir, 'tsremus.prom');
    const io = run.io();
    io.env['TSREMUS_RUN_DIR'] = join(run.dir, 'none');
    const ran = await runLine(['status', '--metrics', path], io);
    expect(ran.code).toBe(3);
    expect(ran.err).toContain('no session has run here');
    expect(valuesOf(parse(readFileSync(path, 'utf8')), 'tsremus_status_code')).toEqual([3]);
  });

  // Proves: one that cannot be written is an error with its name, and exit code 3.
  it('cannot be written', async () => {
    put(full());
    const ran = await at('--metrics', '/dev/null/x.prom');
    expect(ran.code).toBe(3);
    expect(ran.err).toContain('cannot write /dev/null/x.prom');
  });

  it.each([
    [['--metrics', '-', '--json'], '--json and --metrics are two formats'],
    [['--check', '--metrics', 'x'], '--check and --metrics are two formats'],
    [['--metrics', ''], 'the name of the file is empty'],
  ])('%j is refused', async (argv, why) => {
    const ran = await at(...argv);
    expect(ran.code).toBe(3);
    expect(ran.err).toContain(why);
  });
});

// Proves: the page has every metric with its type, and no other.
it('tsremus-status.8 has every metric', async () => {
  put(full());
  mkdirSync(join(run.dir, 'etc/guests.d'), { recursive: true });
  writeFileSync(join(run.dir, 'etc/guests.d/web1.toml'), '');
  const page = readFileSync(join(import.meta.dirname, '../../../man/tsremus-status.8'), 'utf8');
  const items = [...page.matchAll(/^\.It Li (tsremus_\w+) Pq (\w+)$/gm)];
  const said = items.map(([, name, type]) => `${name} ${type}`);
  const known = [...parse((await metrics()).out)].map(([name, { type }]) => `${name} ${type}`);
  expect(said.sort()).toEqual(known.sort());
});
