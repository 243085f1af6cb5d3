/** What the facts of two hosts say of each other, and what a path carries. Pure. */
import { adviceLine } from '../texts/advice.ts';
import { formatBytes, formatMs } from '../units.ts';
import {
  bitsMissing,
  countBits,
  type FeatureUse,
  lostFeatures,
  othersText,
  savedText,
} from './features.ts';
import { type CheckLine, failLine, okLine, skipLine, warnLine } from './line.ts';

/** What a host says of itself so that the other one can compare; null: it is not known. */
export interface HostFacts {
  readonly host: string;
  /** Version of tsremus. */
  readonly tsremus: string;
  /** Version of the hypervisor, which begins with MAJOR.MINOR. */
  readonly hypervisor: string | null;
  /** Processors that guests can have. */
  readonly cpus: number | null;
  /** What the processor calls itself. */
  readonly processor: string | null;
  /** Words of the processor's features, 32 bits each, in the hypervisor's own order. */
  readonly features: readonly number[];
  /** The largest packet of the interface that leads to the other host, bytes. */
  readonly mtuBytes: number | null;
}

/** The two hosts of a session to be. */
export interface HostPair {
  /** Where the guest runs. */
  readonly here: HostFacts;
  readonly there: HostFacts;
}

/** [4, 17] of `4.17.5`; null: it does not begin so. */
function release(version: string | null): readonly [number, number] | null {
  const [, major, minor] = /^(\d+)\.(\d+)/.exec(version ?? '') ?? [];
  return major === undefined || minor === undefined ? null : [Number(major), Number(minor)];
}

/**
 * Whether what a hypervisor of release `from` saves cannot be restored by one of release `to`,
 * which is older; false where one of them is not known. An older one takes the stream until its
 * end, where the state of the processors is, and fails there: at the takeover
 * (xg_sr_restore_x86_hvm.c, x86_hvm_stream_complete).
 */
export function isOlder(to: string | null, from: string | null): boolean {
  const [target, source] = [release(to), release(from)];
  if (target === null || source === null) return false;
  return target[0] < source[0] || (target[0] === source[0] && target[1] < source[1]);
}

function programs({ here, there }: HostPair): CheckLine {
  if (here.tsremus === there.tsremus) return okLine('versions', `tsremus ${here.tsremus} on both`);
  return warnLine(
    'versions',
    `tsremus ${here.tsremus} here, ${there.tsremus} on ${there.host}`,
    adviceLine({ kind: 'same-version' }),
  );
}

/** A stream goes to the same release or a newer one. */
function hypervisors({ here, there }: HostPair): CheckLine {
  const [ours, theirs] = [release(here.hypervisor), release(there.hypervisor)];
  if (ours === null || theirs === null) {
    return skipLine('xen-versions', 'a host does not say which Xen it has');
  }
  const text = `${here.hypervisor} here, ${there.hypervisor} on ${there.host}`;
  if (theirs[0] === ours[0] && theirs[1] === ours[1]) return okLine('xen-versions', text);
  const page = (why: string) =>
    adviceLine({ kind: 'read-page', page: 'tsremus-requirements', why });
  if (isOlder(there.hypervisor, here.hypervisor)) {
    const why = 'XEN VERSIONS: the backup may not be the older one';
    const cannot = `${there.host} cannot run what this host saves`;
    return failLine('xen-versions', `${text}: ${cannot}`, page(why));
  }
  const why = 'XEN VERSIONS: it cannot be protected back before both have the newer one';
  return warnLine('xen-versions', `${text}: there is no way back`, page(why));
}

function processors({ here, there }: HostPair, use: FeatureUse): CheckLine {
  const lost = lostFeatures(here.features, there.features, use);
  if (lost === null) {
    return skipLine('processors', 'a host does not say what its processors can do');
  }
  const gained = countBits(bitsMissing(there.features, here.features));
  const same = here.processor === there.processor ? '' : `; here ${here.processor ?? 'unknown'}`;
  const text = `${there.host} has ${there.processor ?? 'unknown'}${same}`;
  const { saved, others } = lost;
  const isLess = saved.length > 0 || others > 0;
  if (!isLess && gained === 0) return okLine('processors', text);
  const next = adviceLine({
    kind: 'read-page',
    page: 'tsremus-requirements',
    why: 'PROCESSORS: cpuid= gives the guest what both have',
  });
  if (!isLess) {
    const back = `${gained} features are only there: of no use until the guest is booted there`;
    return okLine('processors', `${text}; ${back}`);
  }
  if (saved.length > 0) return failLine('processors', `${text}: ${savedText(saved)}`, next);
  return warnLine('processors', `${text}; ${othersText(others)}`, next);
}

/**
 * Four looks at two clocks, ms since 1970: a question left here, was heard there, was answered
 * there, and the answer was here.
 */
export interface ClockLooks {
  readonly askedMs: number;
  readonly heardMs: number;
  readonly saidMs: number;
  readonly answeredMs: number;
}

/** A guest's clock jumps by this at a failover, and logs of the two hosts are hard to compare. */
const clockMsMax = 1_000;

/**
 * How far the other clock is ahead lies between saidMs - answeredMs and heardMs - askedMs, however
 * long anything took on its way.
 */
function clock(host: string, { askedMs, heardMs, saidMs, answeredMs }: ClockLooks): CheckLine {
  const leastMs = saidMs - answeredMs;
  const mostMs = heardMs - askedMs;
  const next = adviceLine({ kind: 'see-clock' });
  if (leastMs > clockMsMax) return warnLine('clock', `${host} is ${formatMs(leastMs)} ahead`, next);
  if (mostMs < -clockMsMax)
    return warnLine('clock', `${host} is ${formatMs(-mostMs)} behind`, next);
  return okLine('clock', 'the same time of day on both');
}

function mtu({ here, there }: HostPair): CheckLine {
  if (here.mtuBytes === null || there.mtuBytes === null) {
    return skipLine('mtu', 'the transport does not say between which addresses it goes');
  }
  if (here.mtuBytes === there.mtuBytes) return okLine('mtu', `${here.mtuBytes} bytes on both`);
  const text = `${here.mtuBytes} bytes here, ${there.mtuBytes} on ${there.host}`;
  return warnLine('mtu', `${text}: large packets may be lost`, adviceLine({ kind: 'see-links' }));
}

/** What is to be the same on both hosts, or nearly, for a guest with that use of their features. */
export function compareHosts(
  pair: HostPair,
  looks: ClockLooks,
  use: FeatureUse,
): readonly CheckLine[] {
  const time = clock(pair.there.host, looks);
  return [programs(pair), hypervisors(pair), processors(pair, use), time, mtu(pair)];
}

/** More virtual processors than there are real ones make the copy slower, and nothing else. */
export function compareVcpus(vcpus: number | null, there: HostFacts): CheckLine {
  if (vcpus === null || there.cpus === null) {
    return skipLine('vcpus', 'a host does not say how many processors it has');
  }
  const text = `the guest has ${vcpus}, the host has ${there.cpus} processors`;
  if (vcpus <= there.cpus) return okLine('vcpus', text);
  return warnLine('vcpus', text, adviceLine({ kind: 'see-host' }));
}

const pageBytes = 4096;
/** A hundred megabits: below it a guest that writes much is late. Bytes a second. */
const slowBytes = 12_500_000;

/** What the path carried: how many changed pages a second that is, sent as they are. */
export function bandwidthLine(bytesPerSecond: number): CheckLine {
  const pages = Math.floor(bytesPerSecond / pageBytes).toLocaleString('en');
  const text =
    `${formatBytes(bytesPerSecond)}/s: ${pages} changed pages a second as they are, ` +
    'more where they can be compressed';
  if (bytesPerSecond >= slowBytes) return okLine('bandwidth', text);
  return warnLine('bandwidth', text, adviceLine({ kind: 'see-links' }));
}
