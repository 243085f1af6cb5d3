/*
 * What a save and a restore report beside what every session does (tsremus.h): the
 * kinds of struct tsr_event and what a to f and the text mean.
 */
#ifndef TSR_XEN_EVENTS_H
#define TSR_XEN_EVENTS_H

/*
 * TSR_EV_ENDED. a = libxl's rc (-22 aborted); -3 also where it never started (FAILED
 * says why). A save that ended by itself may well have 0 (libxl then says how its own
 * cleaning up went): what matters is the text.
 * save: b = 1 if the guest was found suspended and resumed; c = 1 if it may have been
 * asked to suspend and has not done it: it will when it gets to it, and somebody has to
 * resume it then. text = a JSON object:
 * "gone":true, or "shutdown":true with "reason" ("poweroff", "reboot", "crash", .. of
 * libxl), and "error" with libxl's last error lines.
 * restore: b = domid when a == 0. text = libxl's last error lines.
 */

enum tsr_xen_event_kind {
    /* save: b bytes wait for tsr_save_read. At most one between two reads, so read
     * until 0. May come late, when the bytes have been read already. */
    TSR_EV_DATA = 3,
    /* save: the guest is suspended at the end of epoch a, all barriers are set.
     * b = bytes of the epoch so far, c = interfaces whose packets wait for a later
     * epoch (tsr_plug_barrier), d = nanoseconds that the barriers took,
     * e = 1: it was the last one, the guest is paused and stays so. */
    TSR_EV_CHECKPOINT = 4,
    /*
     * save: epoch a has ended, the guest was resumed, the timer is held.
     * b = bytes, c = pages, d = nanoseconds from the epoch's first byte until the guest
     * had been resumed, e = of these until its CHECKPOINT record; 0: the pages were
     * written after the resume (pause/),
     * f = nanoseconds of d in which LIMIT bytes waited and no more was taken.
     */
    TSR_EV_EPOCH_END = 5,
    /*
     * restore: the first a bytes of the stream have gone into libxl's pipe. Sent
     * when nothing more can be written, and every 4 MiB. A record of libxl's own
     * that is not all there waits for its rest.
     */
    TSR_EV_FED = 7,
    /*
     * save: LIMIT bytes wait, no more of epoch a is taken until tsr_save_read has
     * made room: the seed is slowed down, a checkpoint keeps the guest suspended
     * (so not once it was resumed).
     * b = bytes that wait. Once per epoch.
     */
    TSR_EV_STALLED = 8,
    /* save: the guest has sent something since the barrier. Once per epoch, from the
     * end of the seed on; where a barrier tells (common/barrier.h). */
    TSR_EV_OUTPUT = 9,
};

#endif
