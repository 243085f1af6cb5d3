/**
 * The outside's part in the tests of output commit: TCP clients that hold on to their connection,
 * the sink of the guests' datagrams, and floods. See guest/talk.c, sink.c and flood.c.
 */
import { hangMs, LabError, waitFor } from './command.ts';
import { askGuest, type GuestState, guestIp, guestIp6, guestMac, labProgram } from './guest.ts';
import { startInside } from './inside.ts';
import { executeInside } from './network.ts';

/** An answer of the guest's counter over one TCP connection. */
export interface NumberAnswer {
  /** Milliseconds of Date.now() when it came, and when it was asked for. */
  readonly timeMs: number;
  readonly askedMs: number;
  readonly number: number;
  /** How often the guest had been suspended when it gave the answer. */
  readonly suspends: number;
  readonly boot: string;
}

/** A client with an open connection. */
export interface Talk {
  readonly family: 4 | 6;
  /** All answers so far, in order. */
  readonly answers: readonly NumberAnswer[];
  /** Why the connection ended; null while it has not. */
  readonly broken: string | null;
  /** Waits until so many answers came after a moment (of Date.now()). */
  waitForAnswers(count: number, afterMs: number, timeoutMs: number): Promise<void>;
  stop(): Promise<void>;
}

export interface TalkOptions {
  readonly family?: 4 | 6;
  /** A request goes out this often; 0: as soon as the window allows. */
  readonly intervalUs?: number;
  /** Requests that may be unanswered. */
  readonly window?: number;
}

function parseAnswer(line: string): NumberAnswer {
  const [time, number, suspends, asked, boot] = line.split(' ');
  return {
    timeMs: Number(time),
    askedMs: Number(asked),
    number: Number(number),
    suspends: Number(suspends),
    boot: boot ?? '',
  };
}

/** Connects to a guest's counter and asks for numbers until `stop`. */
export async function startTalk(guest: string, options: TalkOptions = {}): Promise<Talk> {
  const { family = 4, intervalUs = 4000, window = 65_000 } = options;
  const ip = family === 4 ? guestIp(guest) : guestIp6(guest);
  const answers: NumberAnswer[] = [];
  let broken: string | null = null;
  const program = await startInside(['talk', ip, String(intervalUs), String(window)], (line) => {
    if (line.startsWith('!')) broken = line.slice(2);
    else answers.push(parseAnswer(line));
  });
  const after = (ms: number) => {
    let count = 0;
    for (let i = answers.length - 1; i >= 0 && (answers[i] as NumberAnswer).timeMs > ms; i -= 1)
      count += 1;
    return count;
  };
  return {
    family,
    answers,
    get broken() {
      return broken;
    },
    waitForAnswers: async (count, afterMs, timeoutMs) => {
      const what = `${count} answers of ${guest} over IPv${family}`;
      await waitFor(what, timeoutMs, () => {
        if (broken !== null) throw new LabError(`the connection over IPv${family}: ${broken}`);
        return after(afterMs) >= count;
      });
    },
    stop: () => program.stop(),
  };
}

/** What came of one flow of a guest; see guest/sink.c. */
export interface FlowReport {
  readonly got: number;
  readonly first: number;
  readonly last: number;
  readonly again: number;
  /** Came once, but after a later one. */
  readonly late: number;
  /** Between the first and the last. */
  readonly missing: number;
}

export interface SinkReport {
  readonly damaged: number;
  readonly flows: readonly FlowReport[];
}

/** Takes the datagrams of one guest; the answer ends it and says what came. */
export async function startSink(): Promise<() => Promise<SinkReport>> {
  let report: SinkReport | undefined;
  const program = await startInside(['sink'], (line) => {
    report = JSON.parse(line) as SinkReport;
  });
  return async () => {
    await program.stop();
    if (report === undefined) throw new LabError('the sink ended without its report');
    return report;
  };
}

/** Pings and ARP requests to a guest, so many a second in turn; the answer ends it. */
export async function startFlood(guest: string, perSecond: number): Promise<() => Promise<number>> {
  let sent = 0;
  const target = [guestMac(guest), guestIp(guest), guestIp6(guest)];
  const program = await startInside(['flood', 'lan', ...target, String(perSecond)], (line) => {
    sent = (JSON.parse(line) as { sent: number }).sent;
  });
  return async () => {
    await program.stop();
    return sent;
  };
}

/** What the guest's flows are called; the numbers are those of guest/traffic.h. */
export const flowNumber = { udp4: 0, udp6: 1, vlan: 2, second: 3 } as const;
export type FlowName = keyof typeof flowNumber;

/** Sets a flow's rate in bytes a second ('max': flat out, 0: silent) and its frames' size. */
export async function setFlow(
  guest: string,
  flow: FlowName,
  rate: number | 'max',
  bytes = 1400,
): Promise<GuestState> {
  const command = `flow ${flowNumber[flow]} ${rate} ${bytes}`;
  return (await askGuest(guest, command)) as GuestState;
}

/** What a guest had said by the time it was suspended for the n-th time. */
export interface GuestMark {
  readonly suspends: number;
  readonly numbers: readonly [number, number];
  readonly frames: number;
}

/** The newest suspensions that the guest remembers, oldest first. */
export async function guestHistory(guest: string): Promise<readonly GuestMark[]> {
  return ((await askGuest(guest, 'history')) as { history: GuestMark[] }).history;
}

export interface PullReport {
  readonly bytes: number;
  readonly ms: number;
  readonly gapMaxMs: number;
  readonly broken: boolean;
}

/** Takes what the guest can send over one TCP connection for some seconds. */
export async function pullFromGuest(guest: string, seconds: number): Promise<PullReport> {
  const argv = [labProgram(), 'pull', guestIp(guest), String(seconds)];
  const result = await executeInside(argv, { timeoutMs: seconds * 1000 + hangMs });
  if (result.code !== 0) throw new LabError(`guest ${guest}: ${result.stderr.trim()}`);
  return JSON.parse(result.stdout) as PullReport;
}
