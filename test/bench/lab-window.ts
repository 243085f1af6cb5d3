/**
 * One measurement in the lab: a guest that rewrites pages at a set rate, watched for some seconds
 * from inside (its time-stamp counter), from outside (its beacons) and in both dom0s (interface
 * counters, /proc/stat). Whether and by what it is protected is the caller's business.
 */
import {
  captureBeacons,
  findGaps,
  type GuestState,
  guestState,
  type HostId,
  type Lab,
  resetGuestPauses,
  setGuestRate,
  sleep,
} from '../lab/lab.ts';
import { mean, quantile } from './figures.ts';

export const guestName = 'g1';
/** The replication network's interface in a host. */
export const replicationInterface = 'eth1';
/** Without protection no gap is longer (measured). */
const gapOverMs = 40;
const settleMs = 4000;

export interface Spread {
  readonly count: number;
  readonly mean: number;
  readonly p50: number;
  readonly p90: number;
  readonly max: number;
}

export interface Window {
  readonly rate: number;
  /** By the guest's time-stamp counter. */
  readonly seconds: number;
  /** How often the guest was suspended, by its own count. */
  readonly epochs: number;
  /** Pauses by the guest's time-stamp counter, ms; shorter ones than 25 ms are not seen. */
  readonly pauses: Spread;
  /** Silences of its beacon, ms, seen on the host's wire. */
  readonly gaps: Spread;
  /** Of the time, 0..1: how long the guest stood still. */
  readonly stood: number;
  readonly rewritesPerSecond: number;
  /** Both directions, a second of dom0's time. */
  readonly wireBytesPerSecond: number;
  /** Of dom0's one processor, 0..1. */
  readonly cpu: Readonly<Record<HostId, number>>;
}

interface Counters {
  readonly uptimeS: number;
  readonly busyTicks: number;
  readonly wireBytes: number;
}

const counterFiles = [
  '/proc/uptime',
  `/sys/class/net/${replicationInterface}/statistics/tx_bytes`,
  `/sys/class/net/${replicationInterface}/statistics/rx_bytes`,
  '/proc/stat',
].join(' ');

async function counters(lab: Lab, host: HostId): Promise<Counters> {
  const { stdout, code, stderr } = await lab.ssh(host, `cat ${counterFiles}`);
  if (code !== 0) throw new Error(`counters of host ${host}: ${stderr}`);
  const [uptime = '', sent, received, cpu = ''] = stdout.split('\n');
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = cpu
    .split(/\s+/)
    .slice(1)
    .map(Number);
  return {
    uptimeS: Number(uptime.split(' ')[0]),
    busyTicks: user + nice + system + irq + softirq,
    wireBytes: Number(sent) + Number(received),
  };
}

function spread(values: readonly number[]): Spread {
  if (values.length === 0) return { count: 0, mean: 0, p50: 0, p90: 0, max: 0 };
  return {
    count: values.length,
    mean: mean(values),
    p50: quantile(values, 0.5),
    p90: quantile(values, 0.9),
    max: quantile(values, 1),
  };
}

function insideOf({ pauses }: GuestState): Spread {
  const { count, meanMs, p50Ms, p90Ms, maxMs } = pauses;
  return { count, mean: meanMs, p50: p50Ms, p90: p90Ms, max: maxMs };
}

export async function measureWindow(lab: Lab, rate: number, seconds: number): Promise<Window> {
  await setGuestRate(guestName, rate);
  await sleep(settleMs);
  const capture = await captureBeacons();
  try {
    const before = await Promise.all([counters(lab, 'a'), counters(lab, 'b')]);
    await resetGuestPauses(guestName);
    const from = await guestState(guestName);
    await sleep(seconds * 1000);
    const to = await guestState(guestName);
    const after = await Promise.all([counters(lab, 'a'), counters(lab, 'b')]);
    const beacons = await capture.stop();
    const lengths = findGaps(beacons, guestName, gapOverMs).map(({ lengthMs }) => lengthMs);
    const guestSeconds = (to.pauses.observedMs - from.pauses.observedMs) / 1000;
    const hostSeconds = after[0].uptimeS - before[0].uptimeS || 1;
    const cpu = (at: 0 | 1) =>
      (after[at].busyTicks - before[at].busyTicks) / 100 / (after[at].uptimeS - before[at].uptimeS);
    return {
      rate,
      seconds: guestSeconds,
      epochs: to.suspends - from.suspends,
      pauses: insideOf(to),
      gaps: spread(lengths),
      stood: to.pauses.totalMs / to.pauses.observedMs,
      rewritesPerSecond: (to.rewrites - from.rewrites) / guestSeconds,
      wireBytesPerSecond: (after[0].wireBytes - before[0].wireBytes) / hostSeconds,
      cpu: { a: cpu(0), b: cpu(1) },
    };
  } finally {
    await capture.stop();
  }
}
