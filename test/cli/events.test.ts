/** `tsremus events`: what is shown of the file of them. */
import { appendFileSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type EventRecord, eventLine } from '../../src/registry/event-record.ts';
import { until } from '../e2e/process.ts';
import { runLine, TemporaryRun } from './fake-io.ts';

let run: TemporaryRun;

beforeEach(() => {
  run = new TemporaryRun();
  mkdirSync(join(run.dir, 'state'));
});

afterEach(() => run.remove());

const path = (name = 'events.jsonl') => join(run.dir, 'state', name);

function record(event: string, text: string, more: Partial<EventRecord> = {}): EventRecord {
  return {
    ...{ schema: 1, time: '2026-11-30T19:12:31.123Z', host: 'hosta', domain: 'web1' },
    ...{ uuid: 'u1', session: 's1', role: 'primary', peer: 'hostb', epoch: 42, pid: 7 },
    ...{ event, text },
    ...more,
  };
}

const put = (...records: EventRecord[]) =>
  appendFileSync(path(), records.map((one) => `${eventLine(one)}\n`).join(''));

const events = (...argv: string[]) => runLine(['events', ...argv], run.io());

// Proves: the older file comes first; a line is one event, whatever it says.
it('shows all, the oldest first', async () => {
  put(record('protected', 'protected by hostb'));
  renameSync(path(), path('events.1.jsonl'));
  put(record('held', 'a\u001b[2J\nb', { domain: 'db\u001b1', role: 'backup' }));
  expect(await events()).toMatchObject({
    code: 0,
    err: '',
    out:
      '2026-11-30T19:12:31Z  web1          primary  protected     protected by hostb\n' +
      '2026-11-30T19:12:31Z  db\\x1b1       backup   held          a\\x1b[2J\\x0ab\n',
  });
});

it('shows nothing where nothing has happened', async () => {
  expect(await events()).toMatchObject({ code: 0, out: '', err: '' });
});

// Proves: what a power cut tore, or is of nobody's making, hides nothing else.
it('passes over what is no event', async () => {
  put(record('protected', 'first'));
  appendFileSync(path(), '{"schema":1,"time":"20\n\n[]\nnull\n\u0000\u0000\u0000\n');
  put(record('held', 'second'));
  appendFileSync(path(), JSON.stringify(record('late', 'torn')).slice(0, 40));
  const { out, code } = await events();
  expect(code).toBe(0);
  expect(out.split('\n').slice(0, -1)).toHaveLength(2);
  expect(out).toContain('second');
});

it('is of one guest, by its name or its UUID', async () => {
  put(record('protected', 'one'), record('protected', 'two', { domain: 'db1', uuid: 'u2' }));
  expect((await events('db1')).out).toMatch(/two\n$/);
  expect((await events('U1')).out).toMatch(/^\S+ {2}web1 .*one\n$/);
  expect((await events('other')).out).toBe('');
});

// Proves: the documented keys, and no other, whatever a later version wrote.
it('is JSON lines', async () => {
  put({ ...record('protected', 'x'), ...{ later: true } });
  const { out } = await events('--json');
  expect(JSON.parse(out)).toEqual({ ...record('protected', 'x'), message_type: 'event' });
});

it('colours what is bad, where that is wanted', async () => {
  put(record('held', 'x'), record('late', 'y'), record('protected', 'z'));
  expect((await events()).out).not.toContain('\u001b');
  const { out } = await events('--color=always');
  for (const [color, word] of [
    [31, 'held'],
    [33, 'late'],
    [32, 'protected'],
  ] as const) {
    expect(out).toContain(`\u001b[${color}m${word}\u001b[39m`);
  }
});

it('says why the file cannot be read', async () => {
  mkdirSync(path());
  const ran = await events();
  expect(ran.code).toBe(15);
  expect(ran.err).toContain(`cannot read ${path()}`);
});

// Proves: what comes later is shown too, also what was put by meanwhile, once each; and a reader
// that went away ends it.
it('follows', async () => {
  put(record('protected', 'one'));
  const io = run.io();
  const following = runLine(['events', '-f'], io);
  const seen = () => io.out.text.split('\n').flatMap((line) => line.split(/ {2,}/).at(-1) || []);
  await until('the first is shown', () => seen().length === 1);
  put(record('late', 'two'));
  await until('the second is shown', () => seen().length === 2);
  put(record('restored', 'three'));
  renameSync(path(), path('events.1.jsonl'));
  writeFileSync(path(), '');
  put(record('held', 'four'));
  await until('the rest is shown', () => seen().length === 4);
  expect(seen()).toEqual(['one', 'two', 'three', 'four']);
  io.out.isGone = true;
  expect((await following).code).toBe(0);
});
