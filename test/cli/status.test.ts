import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { deadOwner, sampleResync, sampleStatus } from '../registry/sample-status.ts';
import { fakeIo, runLine, TemporaryRun } from './fake-io.ts';

let run: TemporaryRun;

beforeEach(() => {
  run = new TemporaryRun();
});

afterEach(() => run.remove());

const status = (...argv: string[]) => runLine(['status', ...argv], run.io());

describe('the table', () => {
  it('has one line per session, and nothing else while all is well', async () => {
    run.put(sampleStatus());
    run.put(sampleStatus({ domain: 'db-main', uuid: 'u2', role: 'backup', state: 'standby' }));
    const ran = await status();
    expect(ran).toMatchObject({ code: 0, err: '' });
    expect(ran.out).toBe(
      [
        'DOMAIN   ROLE     STATE      EPOCH   ACKED  PAUSE    SIZE  PEER',
        'db-main  backup   standby       42  120 ms  12 ms  1.4 MB  hostb',
        'web1     primary  protected     42  120 ms  12 ms  1.4 MB  hostb',
        '',
      ].join('\n'),
    );
  });

  it('shows how far the seed is', async () => {
    const seeding = {
      state: 'seeding',
      epoch: null,
      ack_age_ms: null,
      seed_percent: 41.7,
    } as const;
    run.put(sampleStatus({ ...seeding, epochs: [] }));
    const ran = await status();
    expect(ran.code).toBe(1);
    expect(ran.out).toMatch(/web1 {4}primary {2}seeding 41 % {6}- {6}- {6}- {5}- {2}hostb/);
  });

  // Proves: a resync is seen beside what a session before it said, and alone, by its guest, too.
  it('shows how far a resync is', async () => {
    run.putResync(sampleResync({ uuid: 'u2' }));
    const ran = await status('web1');
    expect(ran.code).toBe(1);
    expect(ran.out).toBe(
      [
        'DOMAIN  ROLE     STATE        EPOCH  ACKED  PAUSE  SIZE  PEER',
        'web1    primary  resync 50 %      -      -      -     -  hostb',
        '',
        'web1: its disks are copied to hostb: 1.1 GB of 2.1 GB, 42.0 MB/s, 25 s left',
        '',
      ].join('\n'),
    );
    const there = {
      role: 'backup',
      peer: 'hosta',
      seconds_left: null,
      compare_only: true,
    } as const;
    run.putResync(sampleResync({ ...there, uuid: 'u3', domain: 'db' }));
    expect((await status('u3')).out).toMatch(
      /db .*comparing 50 %[\s\S]*compared with those of hosta:/,
    );
    expect((await status('mail')).code).toBe(3);
    run.put(sampleStatus({ state: 'active', role: 'backup', outcome: 'activated' }));
    expect((await status()).code).toBe(2);
    const { out } = await status('--check');
    expect(out).toMatch(/^TSREMUS CRITICAL - web1 active.*; (web1 resync|db comparing) 50 %/);
    expect(JSON.parse((await status('--json')).out).resyncs).toHaveLength(2);
  });

  it('says below what happened and what to type, the worst last', async () => {
    run.put(sampleStatus({ domain: 'a', uuid: 'a', ...deadOwner() }));
    run.put(sampleStatus({ domain: 'b', uuid: 'b' }));
    const ran = await status();
    expect(ran.code).toBe(2);
    const lines = ran.out.split('\n');
    expect(lines[1]).toMatch(/^b .*protected/);
    expect(lines[2]).toMatch(/^a .*held/);
    expect(lines[4]).toMatch(/^a: its process \d+ died: what the guest sends is held since/);
    expect(lines[5]).toBe('  Try: tsremus stop a  # asks hostb, and clears what is left here');
  });

  it('colours words where that is wanted', async () => {
    run.put(sampleStatus());
    expect((await status('--color=always')).out).toContain('\u001b[32mprotected\u001b[39m');
    expect((await status()).out).not.toContain('\u001b');
    const io = run.io();
    io.out.isTty = true;
    expect((await runLine(['status'], io)).out).toContain('\u001b[32m');
  });

  it('does not let a name write to the terminal', async () => {
    run.put(sampleStatus({ domain: 'web\u001b[2J' }));
    const ran = await status();
    expect(ran.out).not.toContain('\u001b');
    expect(ran.out).toContain('web\\x1b[2J');
  });
});

describe('exit codes', () => {
  it.each([
    ['protected', 0],
    ['standby', 0],
    ['connecting', 1],
    ['seeding', 1],
    ['late', 1],
    ['ending', 1],
    ['activating', 1],
    ['unprotected', 2],
    ['held', 2],
    ['active', 2],
  ] as const)('%s is %i', async (state, code) => {
    run.put(sampleStatus({ state }));
    expect((await status()).code).toBe(code);
    expect((await status('web1')).code).toBe(code);
  });

  it('0 when every session was stopped in order', async () => {
    mkdirSync(run.dir, { recursive: true });
    expect(await status()).toMatchObject({ code: 0, out: 'no sessions\n', err: '' });
  });

  it('3 for a domain that is not there', async () => {
    run.put(sampleStatus());
    expect(await status('db1')).toMatchObject({
      code: 3,
      out: 'there is no session of db1 on this host\n',
    });
  });

  it('3 when no session ever ran', async () => {
    const ran = await runLine(['status'], fakeIo({ TSREMUS_RUN_DIR: join(run.dir, 'none') }));
    expect(ran).toMatchObject({ code: 3, out: '' });
    expect(ran.err).toMatch(/no session has run here since this host was booted/);
    expect(ran.err).toMatch(/Try: tsremus protect --help/);
  });

  it('3 for a file that cannot be read, unless something is worse', async () => {
    run.put(sampleStatus());
    writeFileSync(join(run.dir, 'x.primary.json'), '{');
    const ran = await status();
    expect(ran.code).toBe(3);
    expect(ran.out).toContain(`unknown: ${run.dir}/x.primary.json: it is not JSON`);
    run.put(sampleStatus({ domain: 'b', uuid: 'b', state: 'held' }));
    expect((await status()).code).toBe(2);
  });
});

// Proves: a buffer that no session looks after is seen by whoever looks, in every format.
it('shows an output buffer without a session as held', async () => {
  const whose = { domain: 'db1', domid: 9, uuid: 'u9', session: 'x' };
  const text = JSON.stringify({ schema: 1, ...whose, interfaces: [] });
  writeFileSync(join(run.dir, 'u9.network.json'), text);
  run.put(sampleStatus());
  const ran = await status();
  expect(ran.code).toBe(2);
  expect(ran.out).toMatch(/^db1 .*primary {2}held .* -\n/m);
  expect(ran.out).toContain('db1: nothing leaves the guest: an output buffer of domain 9 is left');
  expect(ran.out).toContain('Try: tsremus stop db1 ');
  const document = JSON.parse((await status('--json', 'db1')).out);
  expect(document).toMatchObject({ level: 'critical', exit: 2 });
  expect(document.sessions).toMatchObject([{ state: 'held', process: 'dead', buffer_only: true }]);
  const check = await status('--check');
  expect(check.code).toBe(2);
  expect(check.out).toMatch(/^TSREMUS CRITICAL - db1 held, nothing leaves the guest: an output/);
});

describe('--json', () => {
  it('has every key of the session and the judgement', async () => {
    const dead = sampleStatus({ ...deadOwner(), buffered: false });
    run.put(dead);
    const ran = await status('--json');
    const document = JSON.parse(ran.out);
    expect(ran.code).toBe(2);
    expect(document).toMatchObject({ schema: 1, level: 'critical', exit: 2, unreadable: [] });
    const [session] = document.sessions;
    for (const key of Object.keys(dead)) expect(session, key).toHaveProperty(key);
    expect(session).toMatchObject({
      state: 'unprotected',
      recorded_state: 'protected',
      level: 'critical',
      process: 'dead',
    });
    expect(session.next).toHaveLength(2);
  });

  it('tells of a failure on stderr', async () => {
    const io = fakeIo({ TSREMUS_RUN_DIR: join(run.dir, 'none') });
    const ran = await runLine(['status', '--json'], io);
    expect(ran).toMatchObject({ code: 3, out: '' });
    expect(JSON.parse(ran.err).error).toMatchObject({ code: 'storage', exit: 3 });
  });
});

describe('--check', () => {
  it('is one line with performance data', async () => {
    run.put(sampleStatus());
    const ran = await status('--check');
    expect(ran).toMatchObject({ code: 0, err: '' });
    expect(ran.out).toBe(
      'TSREMUS OK - web1 protected, epoch 42, acknowledged 120 ms ago' +
        " | 'web1_ack_age'=120ms;1000;;0 'web1_epoch'=42c" +
        " 'web1_pause'=11ms;;;0 'web1_size'=1300000B;;;0\n",
    );
  });

  it('puts the worst first and keeps names and reasons from the data', async () => {
    run.put(sampleStatus({ domain: 'ok', uuid: 'ok', epochs: [] }));
    const reason = 'cut | at 10:00';
    run.put(sampleStatus({ domain: "it's=x", uuid: 'x', state: 'held', reason, epochs: [] }));
    const { out, code } = await status('--check');
    expect(code).toBe(2);
    expect(out).toMatch(
      /^TSREMUS CRITICAL - it's=x held, nothing leaves the guest: cut \/ at 10:00; ok protected/,
    );
    expect(out).toContain(" | 'ok_");
    expect(out).toContain("'it''s_x_epoch'=42c");
    expect(out.trim().split('\n')).toHaveLength(1);
  });

  it('is a line on stdout even when it fails', async () => {
    const io = fakeIo({ TSREMUS_RUN_DIR: join(run.dir, 'none') });
    const ran = await runLine(['status', '--check'], io);
    expect(ran).toMatchObject({ code: 3, err: '' });
    expect(ran.out).toMatch(/^TSREMUS UNKNOWN - no session has run here since.*\n$/);
    expect((await status('--check', 'db1')).out).toBe(
      'TSREMUS UNKNOWN - there is no session of db1 on this host\n',
    );
  });

  it('is not JSON', async () => {
    expect((await status('--check', '--json')).code).toBe(3);
  });
});

describe('what is wrong beside the sessions', () => {
  // Proves: a monitor hears of a torn file, beside a session that is well.
  it('is named by --check, the table and --json', async () => {
    run.put(sampleStatus());
    writeFileSync(join(run.dir, 'torn.primary.json'), '{"schema": 1, "dom');
    const check = await status('--check');
    expect(check.code).toBe(3);
    expect(check.out).toMatch(
      /^TSREMUS UNKNOWN - web1 protected, .*torn\.primary\.json: it is not/,
    );
    expect((await status()).out).toMatch(
      /unknown: .*torn\.primary\.json: it is not JSON.*\n {2}Try: ls -ld .*torn\.primary\.json\n/,
    );
    expect(JSON.parse((await status('--json')).out)).toMatchObject({ problems: [] });
  });

  // Proves: after a boot nobody is left to wonder why the guest's disk has no path.
  it('is a disk that waits for an answer of the other host', async () => {
    run.mark();
    const text =
      '/dev/vg0/web1 of web1 is refused to everybody here: it was protected to hostb, ' +
      'which may have taken over since, and was not asked';
    const shown = await status();
    expect(shown.code).toBe(1);
    expect(shown.out).toContain(`warning: ${text}\n  Try: tsremus stop web1  # asks hostb`);
    expect(JSON.parse((await status('--json')).out)).toMatchObject({ problems: [text] });
    // Whoever shows its session shows that.
    run.put(sampleStatus({ session: 's1' }));
    expect((await status()).out).not.toContain('is refused to everybody');
  });

  it('is no copy, which is told to whoever asks for its guest', async () => {
    run.mark({ role: 'copy', state: 'copying', parent: 1 });
    expect((await status()).out).toBe('no sessions\n');
    const copy =
      'there is no session of web1 on this host; /dev/vg0/web1 is a copy of its disk on hostb';
    const { code, out } = await status('web1');
    expect([code, out]).toEqual([3, expect.stringContaining(copy)]);
  });

  it('is a full disk, too', async () => {
    run.put(sampleStatus());
    const problems = [{ text: '/var/log/tsremus is full: logs have gaps', next: 'df -h /var/log' }];
    const full = vi.spyOn(await import('../../src/app/listing.ts'), 'fullDisks');
    full.mockReturnValue(problems);
    const check = await status('--check');
    const shown = await status();
    full.mockRestore();
    expect(shown.out).toContain('warning: /var/log/tsremus is full: logs have gaps\n  Try: df -h');
    expect(check.code).toBe(1);
    expect(check.out).toMatch(/^TSREMUS WARNING - web1 .*; \/var\/log\/tsremus is full/);
  });

  it('is what a dead session left of its disks, and nothing of one that lives', async () => {
    const { session } = sampleStatus();
    const note = { schema: 1, uuid: sampleStatus().uuid, domain: 'web1', volumes: [] as object[] };
    const volume = { name: 'vg-web1', under: 'tsremus-vg-web1', lock: '', vgLock: '' };
    mkdirSync(join(run.dir, 'disks'));
    const path = join(run.dir, 'disks', `${note.uuid}.volumes.json`);
    run.put(sampleStatus());
    writeFileSync(path, JSON.stringify({ ...note, session, volumes: [volume] }));
    expect((await status('--check')).code).toBe(0);
    writeFileSync(path, JSON.stringify({ ...note, session: 'f'.repeat(32), volumes: [volume] }));
    const check = await status('--check');
    expect(check.code).toBe(1);
    expect(check.out).toContain('web1 died and left devices under vg-web1');
    // A resync is no session, and its mirrors are nothing that was left.
    run.putResync(sampleResync({ uuid: note.uuid }));
    expect((await status('--check')).out).not.toContain('died');
    run.putResync(sampleResync({ uuid: note.uuid, role: 'backup' }));
    run.putResync(sampleResync({ uuid: note.uuid, ...deadOwner() }));
    expect((await status('--check')).out).toContain('web1 died and left');
  });
});
