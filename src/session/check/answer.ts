/**
 * The backup's side of `tsremus check`, in a run of `tsremus receive` of its own: what this host is
 * like for the guest of CONFIG, then DATA that is counted and thrown away, so that the path can be
 * measured. It makes nothing, claims nothing and records nothing. A session's primary is told the
 * same before it begins (lookForSession), as far as nobody refuses it anyhow.
 */
import { type CheckLine, forTheWayBack } from '../../core/check/line.ts';
import { type Timers, within } from '../../host/clock.ts';
import { OperationError } from '../../host/errors.ts';
import type { GuestSpec } from '../../hypervisor/port.ts';
import type { GuestConfig } from '../../link/config-message.ts';
import { nextMessage } from '../../link/hello.ts';
import type { Hello } from '../../link/hello-message.ts';
import type { Link } from '../../link/link.ts';
import { copyLines, diskLines } from './copy.ts';
import { type HostLook, hostFacts, hostLines, openLine } from './host.ts';
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
  const own = await backupLines(ports, { xen, info, spec: copy.spec }, true);
  const lines = [...own, ...copy.lines, forTheWayBack(await wayBack)];
  const facts = await hostFacts(ports, info, ports.ends.peer);
  const clock = { heardMs, saidMs: ports.clock.wall().getTime() };
  link.send({ kind: 'checked', lines, facts, clock, address: ports.ends.own });
  await swallow(link, ports.timers);
}

/** Of this host alone, for a copy of the guest; `buffered`: false with -n. */
async function backupLines(
  ports: CheckPorts,
  found: Pick<Parameters<typeof hostLines>[1], 'xen' | 'info' | 'spec'>,
  buffered: boolean,
): Promise<readonly CheckLine[]> {
  const lines = await hostLines(ports, { ...found, buffered, argv: null });
  return lines.map((line) => (ofThePrimary.includes(line.name) ? forTheWayBack(line) : line));
}

/**
 * What a session's primary is told before it begins. What the backup refuses by itself (its needs,
 * its name, its room) is not among it; nor the way back, which takes a connection of its own.
 */
export async function lookForSession(
  ports: CheckPorts & { readonly ends: Ends },
  spec: GuestSpec,
  config: GuestConfig,
  buffered: boolean,
): Promise<HostLook> {
  const { line: xen, opened } = await openLine(ports);
  const info = opened?.info ?? null;
  const [own, disks, facts] = await Promise.all([
    backupLines(ports, { xen, info, spec }, buffered),
    diskLines(ports, spec, config),
    hostFacts(ports, info, ports.ends.peer),
  ]);
  return { lines: [...own, ...disks], facts, address: ports.ends.own };
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
