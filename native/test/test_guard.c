/*
 * What the disk guard makes of what it sees.
 */
#include "test.h"

#include "../disk/verdict.h"

#include <string.h>

static struct tsr_guard_view view_of(enum tsr_mirror_state state)
{
    struct tsr_guard_view view = { .found = { .state = state } };

    if (state == TSR_MIRROR_LIVE || state == TSR_MIRROR_GOING)
        view.found.disk = view.found.leg = 'A';
    return view;
}

/* Proves: what the guard does, for each thing that it can see. */
TEST(guard_judges)
{
    struct tsr_guard_view view = view_of(TSR_MIRROR_PLAIN);
    const char *reason;
    bool seen = false;

    CHECK(tsr_guard_judge(&view, &seen, &reason) == TSR_GUARD_WATCH && !seen);
    view = view_of(TSR_MIRROR_LIVE);
    CHECK(tsr_guard_judge(&view, &seen, &reason) == TSR_GUARD_WATCH && seen);
    view.found.disk = 'D';
    CHECK(tsr_guard_judge(&view, &seen, &reason) == TSR_GUARD_SWAP);
    CHECK(!strcmp(reason, "disk-failed"));
    view = view_of(TSR_MIRROR_LIVE);
    view.found.leg = 'F';
    CHECK(tsr_guard_judge(&view, &seen, &reason) == TSR_GUARD_SWAP);
    CHECK(!strcmp(reason, "leg-failed"));
    view = view_of(TSR_MIRROR_CHANGING);
    CHECK(tsr_guard_judge(&view, &seen, &reason) == TSR_GUARD_WATCH);
    view = view_of(TSR_MIRROR_PLAIN);
    CHECK(tsr_guard_judge(&view, &seen, &reason) == TSR_GUARD_END);
    CHECK(!strcmp(reason, "taken-away"));
    view = view_of(TSR_MIRROR_FOREIGN);
    view.leg_over = true;
    CHECK(tsr_guard_judge(&view, &seen, &reason) == TSR_GUARD_END);
    CHECK(!strcmp(reason, "foreign"));
    view.volume_gone = true;
    CHECK(tsr_guard_judge(&view, &seen, &reason) == TSR_GUARD_END);
}

/* Proves: each kind of trouble takes the mirror away wherever it may still be or come. */
TEST(guard_judges_trouble)
{
    static const enum tsr_mirror_state states[] = {
        TSR_MIRROR_LIVE, TSR_MIRROR_GOING, TSR_MIRROR_COMING, TSR_MIRROR_CHANGING,
    };
    const char *reason;

    for (unsigned i = 0; i < 4 * 4; i++) {
        struct tsr_guard_view view = view_of(states[i / 4]);
        bool seen = false, *kinds[] = { &view.told, &view.session_gone, &view.leg_over,
                                        &view.stalled };

        *kinds[i % 4] = true;
        CHECK(tsr_guard_judge(&view, &seen, &reason) == TSR_GUARD_SWAP);
        view.found.state = TSR_MIRROR_PLAIN;
        CHECK(tsr_guard_judge(&view, &seen, &reason) == TSR_GUARD_END);
    }
}

TEST(guard_reads_the_figures_of_a_device)
{
    uint64_t answered, waiting;

    CHECK(tsr_guard_stat(" 10 0 80 3 20 1 160 5 7 8 9 30 0 240 4 40 6\n", &answered, &waiting));
    CHECK(answered == 100 && waiting == 7);
    CHECK(tsr_guard_stat("10 0 80 3 20 1 160 5 7 8 9\n", &answered, &waiting));
    CHECK(answered == 30 && waiting == 7);
    CHECK(!tsr_guard_stat("", &answered, &waiting) && !tsr_guard_stat("1 2", &answered, &waiting));
}

/* Proves: only a leg that was asked and answered nothing is stalled, and only by time in which
 * this process ran. */
TEST(guard_counts_a_stall)
{
    struct tsr_guard_stall stall = { 0 };
    uint64_t ms = 1000000, now = 5000 * ms;

    tsr_guard_stall_look(&stall, 5, 0, now, 200 * ms);
    CHECK(!stall.for_ns);
    for (int i = 0; i < 5; i++)
        tsr_guard_stall_look(&stall, 5, 1, now += 100 * ms, 200 * ms);
    CHECK(stall.for_ns == 500 * ms);
    tsr_guard_stall_look(&stall, 5, 1, now += 60000 * ms, 200 * ms);
    CHECK(stall.for_ns == 700 * ms);
    tsr_guard_stall_look(&stall, 6, 1, now += 100 * ms, 200 * ms);
    CHECK(!stall.for_ns);
}

/* Proves: what the capture said a moment ago counts, and nothing older: it may be stopped. */
TEST(guard_believes_fresh_words_of_waiting)
{
    uint64_t ms = 1000000, now = 9000 * ms;

    CHECK(!tsr_guard_is_paced(0, 100 * ms));
    CHECK(tsr_guard_is_paced(now, now) && tsr_guard_is_paced(now + ms, now));
    CHECK(tsr_guard_is_paced(now - 500 * ms, now) && !tsr_guard_is_paced(now - 501 * ms, now));
}
