/** What `tsremus drill` refuses, asks and reports; what it does to real sessions the lab shows. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { DrillEnd } from '../../src/core/drill.ts';
import type { SessionStatus } from '../../src/registry/status.ts';
import { sampleStatus } from '../registry/sample-status.ts';
import { runLine, TemporaryRun } from './fake-io.ts';

const app = vi.hoisted(() => ({
  checkBothWays: vi.fn<() => Promise<{ text: string; next: string | null }[]>>(),
  runDrill: vi.fn<() => Promise<DrillEnd>>(),
  protectBack: vi.fn<() => Promise<boolean>>(),
  awaitBack: vi.fn<() => Promise<boolean>>(),
}));
vi.mock('../../src/app/drill.ts', () => app);

let run: TemporaryRun;

beforeEach(() => {
  run = new TemporaryRun();
  app.checkBothWays.mockReset().mockResolvedValue([]);
  app.runDrill.mockReset().mockResolvedValue({ kind: 'took-over', afterMs: 3_000 });
  app.protectBack.mockReset().mockResolvedValue(true);
  app.awaitBack.mockReset().mockResolvedValue(true);
});

afterEach(() => run.remove());

const drill = (...argv: string[]) => runLine(['drill', ...argv], run.io());
const put = (changes: Partial<SessionStatus> = {}) => {
  run.put(sampleStatus({ state: 'protected', buffered: true, ...changes }));
};

describe('a drill is refused', () => {
  it('without a terminal, where nobody said --yes', async () => {
    put();
    const { code, err } = await drill('web1');
    expect(code).toBe(64);
    expect(err).toContain('Try: tsremus drill --yes web1');
  });

  it('of a guest that no session protects: 12', async () => {
    put();
    expect((await drill('--yes', 'web2')).code).toBe(12);
  });

  it('where the copy is: 14, and the host that it runs on is named', async () => {
    put({ role: 'backup', state: 'standby', peer: 'hosta' });
    const { code, err } = await drill('--yes', 'web1');
    expect(code).toBe(14);
    expect(err).toContain('it is drilled where it runs');
    expect(err).toContain('Try: ssh hosta tsremus status web1');
  });

  it('where it is not safe: 14', async () => {
    put({ buffered: false });
    const { code, err } = await drill('--yes', 'web1');
    expect(code).toBe(14);
    expect(err).toContain('a drill of web1 is refused: its output is not buffered (-n)');
    expect(app.runDrill).not.toHaveBeenCalled();
  });

  it('where it could not come back, with the cure: 14', async () => {
    put();
    const next = 'ssh hostb ssh-copy-id hosta';
    app.checkBothWays.mockResolvedValue([{ text: 'hostb does not reach this host', next }]);
    const { code, err } = await drill('--yes', 'web1');
    expect(code).toBe(14);
    expect(err).toContain(`Try: ${next}`);
    expect(app.runDrill).not.toHaveBeenCalled();
  });

  it('with a limit that is none: 64', async () => {
    put();
    expect((await drill('--yes', '--limit', 'soon', 'web1')).code).toBe(64);
  });
});

describe('a drill', () => {
  it('says with --dry-run what it would do', async () => {
    put();
    const { code, err } = await drill('--dry-run', 'web1');
    expect(code).toBe(0);
    expect(err).toContain('drill of web1: as if this host died now');
    expect(app.runDrill).not.toHaveBeenCalled();
  });

  it('passes where it took over in time, and is protected back', async () => {
    put();
    const { code, out } = await drill('--yes', 'web1');
    expect(code).toBe(0);
    expect(out).toBe(
      'drill passed: web1 ran on hostb after 3000 ms at most, within the limit of 10.0 s\n',
    );
  });

  it('fails past its limit: 10', async () => {
    put();
    const { code, err } = await drill('--yes', '--limit', '2', 'web1');
    expect(code).toBe(10);
    expect(err).toContain('drill failed: web1 ran on hostb after 3000 ms at most, past the limit');
  });

  it('fails where it is not protected back, and says what to type', async () => {
    put();
    app.protectBack.mockResolvedValue(false);
    const { code, err } = await drill('--yes', 'web1');
    expect(code).toBe(10);
    expect(err).toContain('web1 is not protected back yet');
    expect(err).toContain('Try: ssh hostb tsremus protect web1 "$(hostname)"');
  });

  it('fails where the backup did nothing', async () => {
    put();
    app.runDrill.mockResolvedValue({ kind: 'goes-on' });
    const { code, err } = await drill('--yes', 'web1');
    expect(code).toBe(10);
    expect(err).toContain('hostb did not take over: web1 is protected as before');
    expect(app.protectBack).not.toHaveBeenCalled();
  });

  it('reports as one document', async () => {
    put();
    const { code, out } = await drill('--yes', '--json', '--no-back', 'web1');
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ domain: 'web1', passed: true, exit: 0 });
    expect(JSON.parse(out).timeline).toMatchObject([{ text: expect.stringMatching(/3000 ms/) }]);
  });
});
