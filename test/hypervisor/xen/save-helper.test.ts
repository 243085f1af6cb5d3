/** Which program libxl is told to save with. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { helperEventIn, SaveHelpers } from '../../../src/hypervisor/xen/save-helper.ts';

const mib = 1 << 20;
let dir: string;
let ours: string;
let native: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'tsremus-helper-'));
  mkdirSync(join(dir, 'build'));
  native = join(dir, 'build/libtsremus.so');
  ours = join(dir, 'build/libxl-save-helper');
  writeFileSync(ours, '');
});
afterEach(() => rmSync(dir, { recursive: true }));

/** A library with these bytes in it. */
function library(text: string): string {
  const path = join(dir, 'libxenlight.so');
  writeFileSync(path, Buffer.from(text, 'latin1'));
  return path;
}

const debian = 'x\0/usr/lib/xen-4.17/bin/libxl-save-helper\0y';

describe('the helper of a save', () => {
  // Proves: libxl finds ours, ours finds the one that libxl would have run, and its memory is of
  // what may wait.
  it('is ours in front of what is compiled into libxl', () => {
    const env: NodeJS.ProcessEnv = {};
    const helpers = new SaveHelpers(env, library(debian), native);
    expect(helpers.choose('own', 100 * mib)).toEqual({ ownBytes: 25 * mib, event: null });
    expect(env).toEqual({
      LIBXL_SAVE_HELPER: ours,
      _TSREMUS_STOCK_HELPER: '/usr/lib/xen-4.17/bin/libxl-save-helper',
      _TSREMUS_PAUSE_BYTES: `${25 * mib}`,
    });
    expect(helpers.choose('own', 1000 * mib).ownBytes).toBe(64 * mib);
  });

  it("is ours in front of an administrator's own", () => {
    const env: NodeJS.ProcessEnv = { LIBXL_SAVE_HELPER: '/opt/helper' };
    const helpers = new SaveHelpers(env, library('nothing in it'), native);
    expect(helpers.choose('own', mib).event).toBeNull();
    expect(helpers.choose('own', mib).event).toBeNull();
    expect(env).toMatchObject({ LIBXL_SAVE_HELPER: ours, _TSREMUS_STOCK_HELPER: '/opt/helper' });
  });

  // Proves: nothing of ours is left in the environment of a save that is to be libxl's own.
  it.each([[undefined], ['/opt/helper']])('is the stock one again, where %s was', (before) => {
    const env: NodeJS.ProcessEnv = before === undefined ? {} : { LIBXL_SAVE_HELPER: before };
    const helpers = new SaveHelpers(env, library(debian), native);
    helpers.choose('own', mib);
    expect(helpers.choose('stock', mib)).toEqual({
      ownBytes: 0,
      event: { kind: 'save-helper', helper: 'stock', reason: null },
    });
    expect(env['LIBXL_SAVE_HELPER']).toBe(before);
  });

  it.each([
    ['has no path in it', () => library('x\0libxl-save-helper\0'), 'does not say where'],
    ['has one that is none', () => library('\0/usr/a b/libxl-save-helper\0'), 'does not say'],
    ['cannot be read', () => join(dir, 'none.so'), 'cannot be read: ENOENT'],
  ])('is the stock one where the library %s', (_what, made, reason) => {
    const env: NodeJS.ProcessEnv = {};
    const { ownBytes, event } = new SaveHelpers(env, made(), native).choose('own', mib);
    expect(ownBytes).toBe(0);
    expect(event).toMatchObject({ helper: 'stock', reason: expect.stringContaining(reason) });
    expect(env['LIBXL_SAVE_HELPER']).toBeUndefined();
  });

  it('is the stock one where ours is not there', () => {
    rmSync(ours);
    const { event } = new SaveHelpers({}, library(debian), native).choose('own', mib);
    expect(event).toMatchObject({ helper: 'stock', reason: `${ours} is missing` });
  });
});

// The lines are native/pause/pause.c's, as libxl's logger writes them.
it.each([
  [
    'tsremus: notice: checkpoints are written after the guest was resumed',
    { helper: 'own', reason: null },
  ],
  [
    "tsremus: warning: checkpoints are libxc's own: Bad address",
    { helper: 'stock', reason: 'Bad address' },
  ],
  ["libxl: error: x: checkpoints are libxc's own: y", null],
  ['tsremus: notice: checkpoints', null],
])('hears in "%s" what makes the checkpoints', (line, expected) => {
  const found = helperEventIn(line);
  if (expected === null) expect(found).toBeNull();
  else expect(found).toEqual({ kind: 'save-helper', ...expected });
});
