/**
 * Goal: no door of a session lets in what the core dies of. Method: whatever a door accepts (the
 * command line with its environment, HELLO as bytes, a request to `set`) goes through the way that
 * the product has for it into the machines, which run a while with it; their invariants are on.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ProtectFlags, protectOptions } from '../../../src/cli/protect-arguments.ts';
import { heartbeatTimeoutSetting, numberSettings } from '../../../src/config/settings.ts';
import { UsageError } from '../../../src/config/usage-error.ts';
import { backupWakeAtMs, initialBackup, stepBackup } from '../../../src/core/backup/backup.ts';
import * as limits from '../../../src/core/limits.ts';
import { agreements } from '../../../src/core/permission/tie.ts';
import { initialPrimary, stepPrimary } from '../../../src/core/primary/primary.ts';
import { primaryWakeAtMs } from '../../../src/core/primary/state.ts';
import type { PrimaryConfig } from '../../../src/core/primary/types.ts';
import { OperationError } from '../../../src/host/errors.ts';
import { encodeHello, type Hello, parseHello } from '../../../src/link/hello-message.ts';
import { parseRequest } from '../../../src/registry/control.ts';
import type { ProtectOptions } from '../../../src/session/options.ts';
import { primaryConfigOf, timingOf } from '../../../src/session/primary/config.ts';
import { changedSchedule } from '../../../src/session/primary/schedule-change.ts';
import { chooseStream } from '../../../src/stream/agreement.ts';
import { epochLimits, wireLimits } from '../../../src/stream/assembler.ts';
import { cacheBytesWithin, defaultMaxMemory, memoryBudget } from '../../../src/stream/budget.ts';
import { helloMessage } from '../../link/support.ts';

/** Numbers at, beside and far from everything that is a bound of something. */
const edges = [
  ...new Set([
    ...numberSettings.flatMap(({ min, max }) => [min, max]),
    ...Object.values(limits).filter((value): value is number => typeof value === 'number'),
    ...[0, 50, 3_600_000, 2 ** 31, Number.MAX_SAFE_INTEGER],
  ]),
].flatMap((edge) => [edge - 1, edge, edge + 1]);

const numbers = fc.oneof(
  fc.constantFrom(...edges),
  fc.integer({ min: 0, max: 700_000 }),
  fc.double({ min: 0, max: 100, noNaN: true }),
);
const typed = fc.oneof(numbers.map(String), fc.constantFrom('auto', '', '64M', '2G', '16T', '1e3'));

const runs = { numRuns: 3_000 };

/** Whatever the door says to it: the value, or null where it was refused in order. */
function accepted<T>(door: () => T): T | null {
  try {
    return door();
  } catch (error) {
    if (error instanceof OperationError || error instanceof UsageError) return null;
    throw error;
  }
}

/** The primary's machine with these settings: connected, its seed over there, then left alone. */
function playPrimary(config: PrimaryConfig): void {
  let state = initialPrimary(config);
  const feed = (event: Parameters<typeof stepPrimary>[1]) => {
    state = stepPrimary(state, event).state;
  };
  feed({ kind: 'link-open', nowMs: 0 });
  feed({ kind: 'checkpoint', epoch: 0, nowMs: 10 });
  feed({ kind: 'drained', epoch: 0, pauseMs: 1, pages: 1, nowMs: 11 });
  feed({ kind: 'sent', epoch: 0, nowMs: 12 });
  feed({ kind: 'echo', seq: 1, nowMs: 13 });
  feed({ kind: 'ack', epoch: 0, nowMs: 14 });
  for (let tick = 0; tick < 100; tick += 1) {
    const nowMs = primaryWakeAtMs(state);
    if (nowMs === null) return;
    expect(nowMs).toBeGreaterThan(state.nowMs);
    feed({ kind: 'tick', nowMs });
  }
}

/** The backup's machine with the timing of a HELLO: a whole seed, then silence. */
function playBackup({ timing }: Pick<Hello, 'timing'>): void {
  let state = initialBackup({ ...timing, parts: ['memory'] });
  const feed = (event: Parameters<typeof stepBackup>[1]) => {
    state = stepBackup(state, event).state;
  };
  feed({ kind: 'link-open', nowMs: 0 });
  feed({ kind: 'heartbeat', seq: 1, heldMs: 0, nowMs: 5 });
  feed({ kind: 'epoch-whole', part: 'memory', epoch: 0, nowMs: 10 });
  for (let tick = 0; tick < 100 && state.writing === null; tick += 1) {
    const nowMs = backupWakeAtMs(state);
    if (nowMs === null) return;
    expect(nowMs).toBeGreaterThan(state.nowMs);
    feed({ kind: 'tick', nowMs, stalledMs: 0 });
  }
  expect(state.writing).toBe(timing.withoutWitness === 'backup' ? 'activating' : null);
}

const given: Pick<ProtectFlags, 'compression' | 'wait' | 'network' | 'disk'> = {
  ...{ compression: true, wait: true, network: true, disk: true },
};

const names = [
  ...['interval', 'maxOverhead', 'maxPending', 'maxMemory'],
  ...['heartbeatTimeout', 'hold', 'bufferLimit'],
];
/** Few at a time: one that is refused hides all others. */
const flags: fc.Arbitrary<Partial<ProtectFlags>> = fc.dictionary(fc.constantFrom(...names), typed, {
  maxKeys: 2,
});
const variables = [...numberSettings.map(({ variable }) => variable), 'TSREMUS_MAX_MEMORY'];
const environments = fc.dictionary(fc.constantFrom(...variables), typed, { maxKeys: 1 });

function helloOf(options: ProtectOptions): Hello {
  const maxBytes = options.maxMemoryBytes ?? defaultMaxMemory(2 ** 40);
  const cacheBytes = cacheBytesWithin(maxBytes, helloMessage.memoryBytes);
  return { ...helloMessage, timing: timingOf(options), cacheBytes };
}

describe('what is accepted keeps every invariant of the core', () => {
  it('from the command line and the environment; and the backup accepts its HELLO', () => {
    let taken = 0;
    const property = fc.property(flags, environments, fc.boolean(), (said, env, network) => {
      const all = { ...given, ...said, network, forceUnsafe: !network };
      const options = accepted(() => protectOptions('web1', 'hostb', all, env));
      if (options === null) return;
      taken += 1;
      playPrimary(primaryConfigOf(options));
      const hello = helloOf(options);
      expect(parseHello(encodeHello(hello))).toEqual(hello);
      playBackup(hello);
    });
    fc.assert(property, runs);
    expect(taken).toBeGreaterThan(100);
  });

  it('takes every bound of the command line into the core, on both sides', () => {
    for (const setting of numberSettings) {
      for (const edge of [setting.min, setting.max]) {
        const env = { [setting.variable]: String(edge) };
        const options = protectOptions('web1', 'hostb', given, env);
        playPrimary(primaryConfigOf(options));
        playBackup(parseHello(encodeHello(helloOf(options))) as Hello);
      }
    }
  });

  it('from HELLO', () => {
    let taken = 0;
    const timings = fc.record({
      heartbeatTimeoutMs: fc.oneof(numbers, fc.constant(heartbeatTimeoutSetting.min)),
      holdMs: numbers,
      buffered: fc.boolean(),
      withoutWitness: fc.constantFrom(...agreements),
    });
    const sizes = fc.record({ memoryBytes: numbers, cacheBytes: numbers });
    const property = fc.property(timings, sizes, (timing, { memoryBytes, cacheBytes }) => {
      const codecs = ['zstd'];
      const capabilities = { codecs, disks: [] };
      const bytes = encodeHello({ ...helloMessage, timing, memoryBytes, cacheBytes, capabilities });
      const hello = accepted(() => parseHello(bytes) as Hello);
      if (hello === null) return;
      taken += 1;
      playBackup(hello);
      const maxBytes = defaultMaxMemory(2 ** 34);
      const stream = chooseStream(hello, cacheBytesWithin(maxBytes, hello.memoryBytes));
      const { queueBytes } = memoryBudget(maxBytes, stream.cacheBytes);
      expect(queueBytes).toBeGreaterThan(0);
      for (const bound of Object.values(wireLimits(epochLimits(hello.memoryBytes)))) {
        expect(Number.isSafeInteger(bound)).toBe(true);
      }
    });
    fc.assert(property, runs);
    expect(taken).toBeGreaterThan(100);
  });

  it('from a request to set', () => {
    let taken = 0;
    const value = fc.oneof(numbers, fc.constant('auto'), fc.constant(-1), fc.constant(null));
    const changes = fc.record({ interval: value, maxOverhead: value }, { requiredKeys: [] });
    const property = fc.property(changes, fc.boolean(), (change, isAuto) => {
      const request = parseRequest(JSON.stringify({ verb: 'set', ...change }));
      if (request?.verb !== 'set') return;
      const before = isAuto
        ? limits.defaultSchedule
        : ({ kind: 'fixed', intervalMs: 200 } as const);
      const schedule = accepted(() => changedSchedule(before, request, 'web1'));
      if (schedule === null) return;
      taken += 1;
      playPrimary({ ...primaryConfigOf(protectOptions('web1', 'b', given, {})), schedule });
    });
    fc.assert(property, runs);
    expect(taken).toBeGreaterThan(100);
  });
});

describe('bounds', () => {
  it('are those of the core, wherever they are asked for', () => {
    expect(
      Object.fromEntries(numberSettings.map(({ flag, min, max }) => [flag, [min, max]])),
    ).toEqual({
      '--interval': [limits.intervalMsMin, limits.intervalMsMax],
      '--max-overhead': [limits.overheadPercentMin, limits.overheadPercentMax],
      '--max-pending': [1, limits.pendingMaxMax],
      '--heartbeat-timeout': [limits.heartbeatTimeoutMsMin, limits.heartbeatTimeoutMsMax],
      '--hold': [limits.holdMsMin, limits.holdMsMax],
    });
  });
});
