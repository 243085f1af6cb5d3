/*
 * libxl-save-helper's stand-in: a thread that does the bulk reading and
 * writing, and asks the libxl side for everything else. Its questions are
 * seen by beforepoll and answered inside afterpoll only; that is what lets an
 * application act between the helper's last byte and libxl's next step.
 *
 *     helper thread                        libxl side (afterpoll)
 *     writes the stream ...
 *     SX_ASK_x  ────────── pipe ─────────► answers when it is served
 *     waits     ◄───────── pipe ────────── answer
 *     ...
 *     SX_ASK_DONE rc ─────────────────────► joins the thread, completes
 */
#ifndef SX_HELPER_H
#define SX_HELPER_H

#include "xl.h"

#include <sys/uio.h>

enum { SX_ASK_SUSPEND = 1, SX_ASK_SUSPENDED, SX_ASK_POSTCOPY,
       SX_ASK_CHECKPOINT, SX_ASK_SAY, SX_ASK_DONE };

struct sx_question {
    int32_t what, arg;
};

struct sx_helper {
    pthread_t thread;
    bool started;
    int questions[2], answers[2], stop[2];
    _Atomic bool stopping;
};

int sx_helper_init(struct sx_helper *h);
int sx_helper_start(struct sx_helper *h, void *(*run)(void *), void *arg);
void sx_helper_stop(struct sx_helper *h);   /* it soon says DONE */
void sx_helper_join(struct sx_helper *h);   /* and frees everything */

/* For the libxl side. */
bool sx_helper_question(struct sx_helper *h, struct sx_question *out);
void sx_helper_answer(struct sx_helper *h, int32_t value);

/* For the thread. */
int32_t sx_helper_ask(struct sx_helper *h, int32_t what, int32_t arg);
void sx_helper_done(struct sx_helper *h, int rc);
bool sx_helper_wait(struct sx_helper *h, int fd, short events); /* !stopping */
bool sx_helper_sleep(struct sx_helper *h, long ms);             /* !stopping */

/*
 * Bulk writing that can be stopped at any moment without a signal: pipes are
 * opened anew so that they can be non-blocking for us alone.
 */
struct sx_buffer;
struct sx_writer {
    struct sx_helper *h;
    int fd, own_fd;
    bool socket;
    uint64_t written;       /* of this epoch */
    struct sx_buffer *hold; /* not NULL: it goes there, and is written later */
    struct sx_fault fault;  /* corrupt or cut at an offset of this epoch */
};
int sx_writer_open(struct sx_writer *w, struct sx_helper *h, int fd);
void sx_writer_close(struct sx_writer *w);
int sx_writer_write(struct sx_writer *w, const void *data, size_t size);
int sx_writer_writev(struct sx_writer *w, struct iovec *iov, int count);

#endif
