#include "verdict.h"

#include "pace.h"

#include <inttypes.h>
#include <stdio.h>

static const char *trouble_of(const struct tsr_guard_view *view)
{
    const struct tsr_mirror_found *found = &view->found;

    if (view->told)
        return "told";
    if (view->session_gone)
        return "session-gone";
    if (view->leg_over)
        return "leg-over";
    if (view->stalled)
        return "leg-stalled";
    if (found->disk && found->disk != 'A')
        return "disk-failed";
    if (found->leg && found->leg != 'A')
        return "leg-failed";
    return NULL;
}

enum tsr_guard_verdict tsr_guard_judge(const struct tsr_guard_view *view, bool *seen,
                                       const char **reason_out)
{
    const char *trouble = trouble_of(view);

    *reason_out = trouble;
    if (view->volume_gone) {
        *reason_out = "volume-gone";
        return TSR_GUARD_END;
    }
    switch (view->found.state) {
    case TSR_MIRROR_FOREIGN:
        *reason_out = "foreign";
        return TSR_GUARD_END;
    case TSR_MIRROR_PLAIN:
        if (!trouble && *seen)
            *reason_out = "taken-away";
        return trouble || *seen ? TSR_GUARD_END : TSR_GUARD_WATCH;
    case TSR_MIRROR_LIVE:
    case TSR_MIRROR_GOING:
        *seen = true;
        break;
    case TSR_MIRROR_COMING:
    case TSR_MIRROR_CHANGING:
        break;
    }
    return trouble ? TSR_GUARD_SWAP : TSR_GUARD_WATCH;
}

bool tsr_guard_stat(const char *text, uint64_t *answered_out, uint64_t *waiting_out)
{
    uint64_t reads, writes, waiting, discards = 0, flushes = 0;
    int n = sscanf(text,
                   "%" SCNu64 " %*u %*u %*u %" SCNu64 " %*u %*u %*u %" SCNu64
                   " %*u %*u %" SCNu64 " %*u %*u %*u %" SCNu64,
                   &reads, &writes, &waiting, &discards, &flushes);

    /* Discards came with Linux 4.18, flushes with 5.5. */
    if (n < 3)
        return false;
    *answered_out = reads + writes + discards + flushes;
    *waiting_out = waiting;
    return true;
}

bool tsr_guard_is_paced(uint64_t paced_ns, uint64_t now_ns)
{
    /* Said since NOW_NS was looked at, it is newer than that. */
    return paced_ns && (paced_ns > now_ns || now_ns - paced_ns <= TSR_PACE_FRESH_MS * 1000000ull);
}

void tsr_guard_stall_look(struct tsr_guard_stall *stall, uint64_t answered, uint64_t waiting,
                          uint64_t now_ns, uint64_t step_ns)
{
    uint64_t passed = now_ns - stall->at_ns;

    if (!waiting || answered != stall->answered)
        stall->for_ns = 0;
    else
        stall->for_ns += passed < step_ns ? passed : step_ns;
    stall->answered = answered;
    stall->at_ns = now_ns;
}
