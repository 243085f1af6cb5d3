/*
 * What the tests of the sessions share: opening the fake, reading events.
 */
#ifndef SESSION_H
#define SESSION_H

#include "../xen/xen.h"
#include "fake.h"
#include "test.h"

/* How long a test waits for what must come: only a hang takes as long. */
#define HANG_MS 300000

struct event {
    struct tsr_event e;
    char text[TSR_EVENT_TEXT_MAX + 1];
};

/* Opens the fake as libxenlight and returns its world. */
struct fake_world *open_fake(void);
/* The next event within MS; false: none. Log lines are skipped. */
bool next_event(int fd, struct event *event, int ms);
/* Skips events until KIND; fails the test if it does not come, or ENDED does. */
void wait_event(int fd, uint32_t kind, struct event *event);
/* Are there as many open descriptors as FDS? -1: just count. */
int count_fds(void);
void sleep_ms(int ms);
uint64_t now_ms(void);

#endif
