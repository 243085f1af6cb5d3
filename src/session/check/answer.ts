/**
 * The backup's side of `tsremus check`, in a run of `tsremus receive` of its own: what this host is
 * like for the guest of CONFIG, then DATA that is counted and thrown away, so that the path can be
 * measured. It makes nothing, claims nothing and records nothing.
 */
import { type CheckLine, forTheWayBack } from '../../core/check/line.ts';
import { type Timers, within } from '../../host/clock.ts';
import { OperationError } from '../../host/errors.ts';
import { nextMessage } from '../../link/hello.ts';
import type { Hello } from '../../link/hello-message.ts';
import type { Link } from '../../link/link.ts';
import { copyLines } from './copy.ts';
import { hostFacts, hostLines, openLine } from './host.ts';
import type { CheckPorts } from './ports.ts';

/** Where the transport says that it comes from and where it arrived; null: it does not say. */
export interface Ends {
  readonly peer: string | null;
  readonly own: string | null;
}

export interface AnswerCheckPorts extends CheckPorts {
  readonly ends: Ends;
  /** Whether this host reaches the other one as that reached this one. Never rejects. */
  wayBackLine(hello: Hello): Promise<CheckLine>;
}

/** Whoever asks measures for a second, and may have had to wait for credit; ms. */
const measuredMsMax = 120_000;

/** What a host needs only where its guest runs. */
const ofThePrimary: readonly string[] = ['log-dirty', 'modules', 'tools'];

/** Serves one link whose HELLO was for a check. */
export async function answerCheck(
  link: Link,
  hello: Hello,
  ports: AnswerCheckPorts,
): Promise<void> {
  const config = await nextMessage(link, hello.host, { timers: ports.timers });
  // A look at the way alone.
  if (config.kind === 'goodbye') return;
  if (config.kind !== 'config') {
    const error = new OperationError('protocol', `${config.kind} instead of CONFIG`, {
      op: 'answer-check',
    });
    link.fail(error);
    throw error;
  }
  const heardMs = ports.clock.wall().getTime();
  const wayBack = ports.wayBackLine(hello);
  const { line: xen, opened } = await openLine(ports);
  const info = opened?.info ?? null;
  const copy = await copyLines(ports, opened, hello, config);
  const host = await hostLines(ports, { xen, info, spec: copy.spec, buffered: true, argv: null });
  const own = host.map((line) => (ofThePrimary.includes(line.name) ? forTheWayBack(line) : line));
  const lines = [...own, ...copy.lines, forTheWayBack(await wayBack)];
  const facts = await hostFacts(ports, info, ports.ends.peer);
  const clock = { heardMs, saidMs: ports.clock.wall().getTime() };
  link.send({ kind: 'checked', lines, facts, clock, address: ports.ends.own });
  await swallow(link, ports.timers);
}

/** Uses up whatever comes, acknowledges its end, until the other side has had enough. */
function swallow(link: Link, timers: Timers): Promise<void> {
  const ended = new Promise<void>((resolve) => {
    link.listen({
      message(message) {
        if (message.kind === 'data') link.consumed(message.chunk.length);
        else if (message.kind === 'epoch-end') link.send({ kind: 'ack', epoch: message.epoch });
      },
      close: () => resolve(),
    });
  });
  return within(timers, measuredMsMax, ended, () => link.close('it took too long'));
}
