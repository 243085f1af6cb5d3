/*
 * The buffer of a session without one (-n).
 */
#include "buffer.h"

static int null_barrier(void *state_in, uint64_t epoch,
                        struct tsr_barrier *found_out)
{
    struct tsr_buffer_null_state *state = state_in;

    (void)epoch;
    *found_out = (struct tsr_barrier){ 0 };
    state->barriers++;
    return 0;
}

static int null_sent_fd(void *state)
{
    (void)state;
    return -1;
}

static void null_close(void *state)
{
    (void)state;
}

const struct tsr_buffer_ops tsr_buffer_null = {
    .barrier = null_barrier,
    .sent_fd = null_sent_fd,
    .close = null_close,
};
