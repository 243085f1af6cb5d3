/** The registry of a simulated host: as old as its boot, shared by its processes. */

import { OperationError } from '../../src/host/errors.ts';
import type { Log } from '../../src/host/log.ts';
import { type ControlHandler, isLapsed, lapsedError } from '../../src/registry/control.ts';
import type { Claim, Listing, Registry, SessionEntry } from '../../src/registry/port.ts';
import { isSettled } from '../../src/registry/port.ts';
import type { SessionStatus } from '../../src/registry/status.ts';
import type { SimHost } from './host.ts';
import type { SimProcess } from './process.ts';

interface Served {
  readonly process: SimProcess;
  readonly handler: ControlHandler;
  readonly log: Log;
}

export class SimRegistry {
  readonly #host: SimHost;
  readonly #status = new Map<string, SessionStatus>();
  readonly #claims = new Map<string, SimProcess>();
  readonly #sockets = new Map<string, Served>();
  #questions = 0;

  constructor(host: SimHost) {
    this.#host = host;
  }

  #entry(key: string, status: SessionStatus): SessionEntry {
    const { processes } = this.#host;
    const isAlive = processes.some(({ id }) => id.pid === status.pid);
    const liveness =
      status.boot_id !== this.#host.bootId ? 'other-boot' : isAlive ? 'alive' : 'dead';
    return { status, liveness, statusPath: key, socketPath: `${key}.sock` };
  }

  entries(): SessionEntry[] {
    return [...this.#status].map(([key, status]) => this.#entry(key, status));
  }

  #claim(key: string, process: SimProcess): boolean {
    if (this.#claims.get(key)?.isAlive) return false;
    this.#claims.set(key, process);
    return true;
  }

  /** The registry as `process` reaches it. */
  portFor(process: SimProcess): Registry {
    return {
      claimSession: ({ uuid, domain, role }) =>
        process.perform('claim', 0, () => this.#claimSession(process, `${uuid}.${role}`, domain)),
      sessions: (): Listing => ({ sessions: this.entries(), broken: [] }),
      // No resync is simulated.
      resyncs: () => [],
      socketOf: ({ uuid, role }) => `${uuid}.${role}.sock`,
      refreshed: ({ statusPath }) => {
        const status = this.#status.get(statusPath);
        return status === undefined ? null : this.#entry(statusPath, status);
      },
      forget: ({ statusPath }) => process.call('forget', () => this.#status.delete(statusPath)),
      amend: ({ uuid, session }, change) =>
        process.call('amend', () => {
          for (const role of ['primary', 'backup']) {
            const key = `${uuid}.${role}`;
            const status = this.#status.get(key);
            if (status?.session === session) this.#status.set(key, change(status));
          }
        }),
      claimWatch: ({ uuid }) =>
        process.perform('claim-watch', 0, () => {
          const key = `${uuid}.watch`;
          if (!this.#claim(key, process)) return null;
          return () => process.call('release-watch', () => this.#claims.delete(key));
        }),
      watcherOf: (uuid) => {
        const watcher = this.#claims.get(`${uuid}.watch`);
        return watcher?.isAlive ? watcher.id : null;
      },
      serve: (socketPath, handler, log) =>
        process.perform('serve', 0, () => {
          this.#sockets.set(socketPath, { process, handler, log });
          return { close: () => process.call('unserve', () => this.#sockets.delete(socketPath)) };
        }),
      request: (socketPath, request, options) =>
        this.#request(process, socketPath, request, options?.silenceMsMax ?? 60_000),
    };
  }

  #claimSession(process: SimProcess, key: string, domain: string): Claim {
    if (!this.#claim(key, process)) {
      throw new OperationError('already-protected', `${domain} is protected already`, {
        op: 'claim',
      });
    }
    const before = this.#status.get(key);
    const entry = before === undefined ? null : this.#entry(key, before);
    const isLeft = entry !== null && entry.liveness !== 'alive' && !isSettled(entry.status);
    let isReleased = false;
    return {
      socketPath: `${key}.sock`,
      unsettled: isLeft ? entry.status : null,
      publish: (status) => {
        if (isReleased) return null;
        process.call('publish', () => {
          this.#status.set(key, status);
          process.world.published(this.#host);
        });
        return null;
      },
      publishResync: () => null,
      release: (what) => {
        if (isReleased) return;
        isReleased = true;
        process.call('release-claim', () => {
          if (what === 'as-before' && before !== undefined) this.#status.set(key, before);
          else if (what !== 'keep-status') this.#status.delete(key);
          this.#claims.delete(key);
        });
      },
    };
  }

  #request<Result extends object>(
    caller: SimProcess,
    socketPath: string,
    request: Parameters<ControlHandler>[0],
    silenceMs: number,
  ): Promise<Result> {
    return new Promise<Result>((resolve, reject) => {
      let isOver = false;
      const settle = (what: () => void): void => {
        if (!isOver) what();
        isOver = true;
      };
      const fail = (text: string, code: 'command-failed' | 'no-answer' = 'command-failed') =>
        settle(() => reject(new OperationError(code, text, { op: 'await-answer' })));
      let heard = 0;
      const listen = (): void => {
        heard += 1;
        const before = heard;
        caller.later(silenceMs, () => {
          if (heard === before) fail('the session does not answer', 'no-answer');
        });
      };
      caller.call(`request ${request.verb}`, () => {
        const served = this.#sockets.get(socketPath);
        if (!served?.process.isAlive) {
          caller.later(0, () => fail('the session does not answer: nobody listens'));
          return;
        }
        const { process, handler, log } = served;
        const untilMs = this.#host.world.nowMs + silenceMs;
        process.onExit(() => caller.later(0, () => fail('the session closed the connection')));
        listen();
        const progress = () => process.call('reply', () => caller.later(0, listen));
        process.later(0, () => {
          if (isLapsed(untilMs, this.#host.world.nowMs)) {
            const { message } = lapsedError(request);
            log.warning(message);
            process.call('reply', () => caller.later(0, () => fail(message, 'no-answer')));
            return;
          }
          const { checker } = process.world;
          this.#questions += 1;
          const question = `fresh question ${this.#questions}`;
          if (request.verb === 'ask') checker.questionHeard(question, 'fresh');
          const answered = handler(request, progress).finally(() => checker.questionOver(question));
          answered.then(
            (result) =>
              process.call('reply', () =>
                caller.later(0, () => settle(() => resolve(result as Result))),
              ),
            (error) =>
              process.call('reply', () => caller.later(0, () => settle(() => reject(error)))),
          );
        });
      });
    });
  }
}
