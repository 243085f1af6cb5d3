/*
 * What the disk guard makes of what it sees; pure, for its tests.
 */
#ifndef TSR_VERDICT_H
#define TSR_VERDICT_H

#include "mirror.h"

/* What the guard has seen in one turn. */
struct tsr_guard_view {
    bool told;                          /* to end */
    bool session_gone;
    bool leg_over;                      /* the kernel has no leg any more */
    bool stalled;                       /* the leg answers nothing */
    bool volume_gone;                   /* no device of that name */
    struct tsr_mirror_found found;      /* if it is not gone */
};

enum tsr_guard_verdict {
    TSR_GUARD_WATCH,
    TSR_GUARD_SWAP,                     /* take the mirror away; then look again */
    TSR_GUARD_END,                      /* there is nothing to take away */
};

/*
 * REASON_OUT: a word for the log, of whatever is not WATCH. SEEN: whether the mirror has
 * ever been live; noted here.
 */
enum tsr_guard_verdict tsr_guard_judge(const struct tsr_guard_view *view, bool *seen,
                                       const char **reason_out);

/* How long a device has answered nothing although it was asked. */
struct tsr_guard_stall {
    uint64_t answered;                  /* requests, as last seen */
    uint64_t at_ns, for_ns;
};

/*
 * The figures of /sys/block/NAME/stat (Documentation/block/stat.rst): requests answered
 * and under way. false: it is no such text.
 */
bool tsr_guard_stat(const char *text, uint64_t *answered_out, uint64_t *waiting_out);

/* Whether a write that is not answered waits for room, as the capture said at PACED_NS (pace.h). */
bool tsr_guard_is_paced(uint64_t paced_ns, uint64_t now_ns);

/*
 * Takes in one look at NOW_NS. A look that comes late counts STEP_NS at most: then this
 * process or its machine stood still, and the leg had no time either.
 */
void tsr_guard_stall_look(struct tsr_guard_stall *stall, uint64_t answered, uint64_t waiting,
                          uint64_t now_ns, uint64_t step_ns);

#endif
