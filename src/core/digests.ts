/** Disks are compared by digests of blocks (native/disk/digest.h). */

/** Of a block; the last one of a disk may be shorter. */
export const digestBlockBytes = 64 * 1024;
export const digestBytes = 32;
/** Blocks that are asked for at once. */
export const digestBlocksMax = 256;
