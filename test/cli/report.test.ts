/** `tsremus report`: what is written of a session, whether it runs, is over or is long gone. */
import {
  appendFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { eventLine } from '../../src/registry/event-record.ts';
import { type FiguresRecord, figuresLine } from '../../src/registry/figures-record.ts';
import { type Course, measured } from '../../src/registry/measuring.ts';
import type { SessionStatus } from '../../src/registry/status.ts';
import { deadOwner, sampleStatus } from '../registry/sample-status.ts';
import { runLine, TemporaryRun } from './fake-io.ts';

let run: TemporaryRun;

beforeEach(() => {
  run = new TemporaryRun();
  mkdirSync(join(run.dir, 'state'));
});

afterEach(() => run.remove());

const stateFile = (name: string) => join(run.dir, 'state', name);
const out = () => join(run.dir, 'report.html');
const report = (...argv: string[]) => runLine(['report', ...argv], run.io());

/** What a session that began then wrote: a minute of figures, unless it says otherwise. */
function lived(changes: Partial<SessionStatus>, began: string, seconds = 60): FiguresRecord[] {
  let course: Course | null = null;
  return Array.from({ length: seconds }, (_, at) => at).flatMap((at) => {
    const time = new Date(Date.parse(began) + 1_000 * at).toISOString();
    const recent = { pause_ms_max: 31, lag_ms_max: 140 };
    const status = sampleStatus({ started: began, updated: time, recent, ...changes });
    const by = { time, nowMs: 1_000 * at, host: 'hosta', tsremus: '0.1.0' };
    const step = measured(course, status, by);
    course = step.course;
    return step.records;
  });
}

function put(records: readonly FiguresRecord[], name = 'figures.jsonl'): void {
  appendFileSync(stateFile(name), records.map((one) => `${figuresLine(one)}\n`).join(''));
}

function note(event: string, text: string, time: string, session = 'a1b2c3'): void {
  const { domain, uuid, role, peer, epoch, pid } = sampleStatus();
  const record = { schema: 1, time, host: 'hosta', domain, uuid, session, role, peer } as const;
  appendFileSync(
    stateFile('events.jsonl'),
    `${eventLine({ ...record, event, text, epoch, pid })}\n`,
  );
}

const began = '2026-11-30T19:00:00.000Z';

// Proves: it is whole in itself, and asks a browser for nothing; the file is root's, and its name
// is what is printed.
it('writes one file that needs no other', async () => {
  put(lived({}, began));
  note('protected', 'protected by hostb', '2026-11-30T19:00:10.000Z');
  const ran = await report('-o', out(), 'web1');
  expect(ran).toMatchObject({ code: 0, err: '', out: `${out()}\n` });
  expect(statSync(out()).mode & 0o777).toBe(0o600);
  const page = readFileSync(out(), 'utf8');
  expect(page).toContain('content="default-src &#39;none&#39;; style-src &#39;unsafe-inline&#39;"');
  expect(page).not.toMatch(/<script|<link|<img|<iframe|\bsrc=|\bhref=|url\(|@import|https?:/);
  for (const part of [
    'Pause',
    'Lag',
    'Checkpoints',
    'Link',
    'protected by hostb',
    '<td>0.1.0</td>',
  ])
    expect(page).toContain(part);
});

// Proves: what is drawn is what was written: so many steps, and a gap where nothing was.
it('draws the course, with its gaps', async () => {
  put(lived({}, began, 21));
  put(lived({}, '2026-11-30T19:10:00.000Z', 21));
  const { out: page } = await report('-o', '-', 'web1');
  const [, pause = ''] = page.split('<b>Pause</b>');
  const [, line = ''] = /class="line one" d="([^"]*)"/.exec(pause) ?? [];
  expect(line.match(/M/g)).toHaveLength(2);
  expect(line.match(/H/g)).toHaveLength(20);
  expect(pause).toContain('19:00:02: longest 31 ms');
});

// Proves: after a reboot, or an end that was ordered, everything is there but the status.
it('tells of a session that is over, from what it left', async () => {
  put(lived({}, began, 10), 'figures.1.jsonl');
  put(lived({ outcome: 'stopped', state: 'ended' }, '2026-11-30T19:00:10.000Z', 1));
  const { out: page } = await report('-o', '-', '11111111-2222-3333-4444-555555555555');
  expect(page).toMatch(/<span class="state ">stopped<\/span>\nprimary of session <code>a1b2c3</);
  expect(page).toContain('auto, pauses at most 20 %');
});

// Proves: of one that died the page has what status says, and what to type.
it('tells of a session that died what status tells', async () => {
  put(lived({}, began));
  run.put(sampleStatus({ ...deadOwner(), started: began }));
  const { out: page } = await report('-o', '-', 'web1');
  expect(page).toMatch(/class="state bad">held</);
  expect(page).toContain('Try: <code>tsremus stop web1');
});

// Proves: whatever a guest or a peer is called, it is text in the page.
it('lets nobody write into the page', async () => {
  const domain = '</title><script>alert(1)</script>\u001b';
  run.put(sampleStatus({ domain, peer: `"><img src=x>`, reason: '<b>x</b>' }));
  const { out: page } = await report('-o', '-', domain);
  expect(page).not.toMatch(/<script|<img|<b>x|\u001b/);
  expect(page).toContain('&lt;script&gt;alert(1)');
});

describe('the session', () => {
  beforeEach(() => {
    put(lived({ session: 'aaaa1' }, began));
    put(lived({ session: 'bbbb2' }, '2026-11-30T20:00:00.000Z'));
  });

  const subject = async (...argv: string[]) =>
    JSON.parse((await report('--json', ...argv, 'web1')).out);

  it('is the newest, and another one where that is typed', async () => {
    expect((await subject()).session).toBe('bbbb2');
    const other = await subject('--session', 'aa');
    expect(other.session).toBe('aaaa1');
    expect(other.figures.every((one: FiguresRecord) => 'session' in one)).toBe(true);
    expect(new Set(other.figures.map((one: { session: string }) => one.session)).size).toBe(1);
    expect(other.sessions.map((one: { session: string }) => one.session)).toEqual([
      'bbbb2',
      'aaaa1',
    ]);
  });

  it('that nobody knows is refused, with those that there are', async () => {
    const ran = await report('--session', 'cc', 'web1');
    expect(ran.code).toBe(12);
    expect(ran.err).toContain(
      'no session of web1 on this host begins with cc: known are bbbb2, aaaa1',
    );
  });
});

// Proves: the documented keys, and no other.
it('is one document', async () => {
  put(lived({}, began));
  const document = JSON.parse((await report('--json', 'web1')).out);
  expect(Object.keys(document)).toEqual([
    ...['schema', 'host', 'domain', 'made', 'session', 'role', 'sessions', 'figures', 'events'],
    ...['settings', 'settings_problem', 'versions'],
  ]);
  const json = readFileSync(join(import.meta.dirname, '../../docs/JSON.md'), 'utf8');
  const [, section = ''] = json.split('## tsremus report --json\n');
  const keys = [...Object.keys(document), ...Object.keys(document.figures[0])];
  for (const key of [...keys, ...Object.keys(document.sessions[0])])
    expect(section.split('\n## ')[0], key).toContain(`\`${key}\``);
});

// Proves: a broken file of settings takes nothing else away.
it('says why the settings are not known', async () => {
  put(lived({}, began));
  mkdirSync(join(run.dir, 'etc'));
  writeFileSync(join(run.dir, 'etc/tsremus.toml'), 'hold = \n');
  const { code, out: page } = await report('-o', '-', 'web1');
  expect(code).toBe(0);
  expect(page).toContain('tsremus.toml, line 1: this is no TOML');
});

describe('what is refused', () => {
  it('is a guest that nothing is known of', async () => {
    const ran = await report('web1');
    expect(ran.code).toBe(12);
    expect(ran.err).toContain('no session of web1 is known on this host');
  });

  it('is a file that is there', async () => {
    put(lived({}, began));
    writeFileSync(out(), 'mine');
    const ran = await report('-o', out(), 'web1');
    expect(ran.code).toBe(15);
    expect(ran.err).toContain(`${out()} is there already, and is left as it is`);
    expect(readFileSync(out(), 'utf8')).toBe('mine');
  });

  it('is a folder that is not there', async () => {
    put(lived({}, began));
    const ran = await report('-o', join(run.dir, 'none/x.html'), 'web1');
    expect(ran).toMatchObject({ code: 15 });
    expect(readdirSync(run.dir)).not.toContain('none');
  });

  it.each([
    ['-o', ''],
    ['--session', ''],
  ])('is %s with nothing behind it', async (option, value) => {
    expect((await report(option, value, 'web1')).code).toBe(64);
  });

  it('is a file for JSON', async () => {
    expect((await report('--json', '-o', out(), 'web1')).code).toBe(64);
  });
});
