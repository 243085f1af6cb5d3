/** An Io that keeps what was written, and a run directory to put sessions in. */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Io, Stream } from '../../src/cli/io.ts';
import { buildProgram } from '../../src/cli/program.ts';
import { runCli } from '../../src/cli/run.ts';
import { systemBootClock, systemClock } from '../../src/host/clock.ts';
import type { ResyncStatus } from '../../src/registry/resync-status.ts';
import type { SessionStatus } from '../../src/registry/status.ts';

export class FakeStream implements Stream {
  text = '';
  isTty = false;
  isJournal = false;
  isBehind = false;
  isGone = false;
  columns = 80;
  failure: string | null = null;

  write(text: string): void {
    this.text += text;
  }

  async flush(): Promise<void> {}
}

export interface FakeIo extends Io {
  readonly out: FakeStream;
  readonly err: FakeStream;
  env: Record<string, string | undefined>;
  stdinIsTty: boolean;
  /** What is typed at the next question; null is end of file. */
  answer: string | null;
  questions: string[];
  argv: readonly string[];
}

export function fakeIo(env: Record<string, string | undefined> = {}): FakeIo {
  const io: FakeIo = {
    out: new FakeStream(),
    err: new FakeStream(),
    env,
    stdinIsTty: false,
    answer: null,
    questions: [],
    argv: [],
    clock: systemClock,
    bootClock: systemBootClock,
    ask: async (question) => {
      io.questions.push(question);
      return io.answer;
    },
  };
  return io;
}

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  readonly io: FakeIo;
}

/** Runs one command line in this process. */
export async function runLine(argv: readonly string[], io: FakeIo = fakeIo()): Promise<Ran> {
  io.argv = argv;
  const code = await runCli(argv, io, buildProgram);
  return { code, out: io.out.text, err: io.err.text, io };
}

/** A run directory for one test. */
export class TemporaryRun {
  readonly dir = mkdtempSync(join(tmpdir(), 'tsremus-cli-'));

  put(status: SessionStatus): void {
    mkdirSync(this.dir, { recursive: true });
    const name = `${status.uuid}.${status.role}.json`;
    writeFileSync(join(this.dir, name), JSON.stringify(status));
  }

  /** What a resync says of itself. */
  putResync(status: ResyncStatus): void {
    writeFileSync(join(this.dir, `${status.uuid}.${status.role}.resync`), JSON.stringify(status));
  }

  /** A mark of a guest's disk (src/disk/mirror/mark.ts), as a session with hostb left it. */
  mark(changes: object = {}): void {
    const uuid = '6ba7b810-9dad-11d1-80b4-00c04fd430c8';
    const dir = join(this.dir, 'state/disks');
    mkdirSync(dir, { recursive: true });
    const mark = {
      ...{ version: 1, uuid, disk: 'xvda', path: '/dev/vg0/web1', role: 'source', state: 'whole' },
      ...{ generation: 1, parent: 0, session: 's1', lvm: null, domain: 'web1' },
      peer: { host: 'hostb', sshCommand: null, heartbeatTimeoutMs: 1000 },
      ...changes,
    };
    writeFileSync(join(dir, `${uuid}.xvda`), JSON.stringify(mark));
  }

  socketPath(status: SessionStatus): string {
    return join(this.dir, `${status.uuid}.${status.role}.sock`);
  }

  io(): FakeIo {
    return fakeIo({
      TSREMUS_RUN_DIR: this.dir,
      TSREMUS_STATE_DIR: join(this.dir, 'state'),
      TSREMUS_CONFIG_DIR: join(this.dir, 'etc'),
    });
  }

  remove(): void {
    rmSync(this.dir, { recursive: true, force: true });
  }
}
