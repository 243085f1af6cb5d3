/*
 * A restore session of the tests.
 */
#ifndef RESTORE_SESSION_H
#define RESTORE_SESSION_H

#include "session.h"

#define RESTORE_LIMIT (64u << 20)
#define CONFIG "{\"c_info\":{\"type\":\"pv\",\"name\":\"guest--incoming\"}}"

struct restore_session {
    int handle, fd, fds_before;
};

/* Starts it on the fake, whose world it returns. */
struct fake_world *restore_begin(struct restore_session *s);
/* Feeds, as soon as there is room, and applies the epochs that are whole. */
void restore_feed(struct restore_session *s, const uint8_t *data, size_t size);
/* Waits for ENDED and checks that nothing is left. */
void restore_finish(struct restore_session *s, struct event *ended);
/* Waits until the first BYTES of the stream are with libxl. */
void restore_wait_fed(struct restore_session *s, uint64_t bytes);
/* An epoch of COUNT pages; the sum of the bytes that the fake will apply. */
uint64_t put_summed_epoch(struct bytes *bytes, uint32_t count);

#endif
