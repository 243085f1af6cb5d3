/**
 * How a session divides the memory of its host that it may use. Pure.
 *
 *     --max-memory = pipeline + page cache + queue
 *
 *   pipeline  what is being encoded or decoded, sent or received: a fixed few megabytes
 *   cache     the codec's copies of pages last sent; no larger than the guest, at most half of the
 *             rest; both sides have the same: the smaller of what each allows
 *   queue     primary: the checkpoint stream before it is sent; a checkpoint that does not fit
 *             keeps the guest suspended until there is room. Backup: acknowledged epochs that the
 *             hypervisor has not taken yet; past it the primary gets no credit. There the epoch
 *             that is being received must fit as well, whatever its size: it counts only when it
 *             is whole
 */

import { diskEpochBytesMax, maxMemoryBytesMin } from '../core/limits.ts';

const mib = 1024 * 1024;

/** Batches between the drain and the transport, and on the other side between it and the queue. */
const pipelineBytes = 16 * mib;

/** The share of dom0's memory that a session may use without other orders. */
const defaultShare = 0.25;

/** What a session may use on a host with `hostBytes` of memory. */
export function defaultMaxMemory(hostBytes: number): number {
  return Math.max(maxMemoryBytesMin, Math.floor(hostBytes * defaultShare));
}

export interface MemoryBudget {
  readonly maxBytes: number;
  readonly queueBytes: number;
  readonly cacheBytes: number;
}

/** The largest page cache within `maxBytes`; a guest of `guestBytes` needs no larger one. */
export function cacheBytesWithin(maxBytes: number, guestBytes: number): number {
  // Beside each page the cache has its number, its hash and its place in an index.
  const wanted = guestBytes + Math.ceil(guestBytes / 64) + mib;
  return Math.min(wanted, Math.floor((maxBytes - pipelineBytes) / 2));
}

/**
 * What a backup may need of its own system's memory at the worst, bytes: all of a guest's memory in
 * one epoch, which must be here whole before any of it counts, and the most of each of its disks.
 * What waits beyond it keeps the primary waiting, and needs nothing that could not be had.
 */
export function backupNeedBytes(epochBytesMax: number, cacheBytes: number, disks = 0): number {
  return epochBytesMax + cacheBytes + pipelineBytes + disks * diskEpochBytesMax;
}

/** The budget once the size of the cache is agreed. */
export function memoryBudget(maxBytes: number, cacheBytes: number): MemoryBudget {
  return { maxBytes, cacheBytes, queueBytes: maxBytes - pipelineBytes - cacheBytes };
}
