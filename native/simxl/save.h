/* One libxl_domain_remus_start, seen from both of its sides. */
#ifndef SX_SAVE_H
#define SX_SAVE_H

#include "helper.h"
#include "stream.h"

struct sx_save {
    struct sx_op op;              /* first: the operation's base */
    struct sx_helper helper;
    struct sx_domain d;
    char name[SX_NAME_MAX];
    int fd;
    int interval_ms;
    int64_t epoch;                /* of the thread; read after its questions */
    long suspend_timeout_ms;

    /* The libxl side's own writing: headers and CHECKPOINT_END. */
    struct sx_buffer out;
    size_t out_done;
    bool started;                 /* the headers went out, the thread runs */
    bool waits;                   /* for the guest to suspend */
    bool own;                     /* LIBXL_SAVE_HELPER names tsremus's */
    size_t own_bytes;             /* and what may wait in it */
    int rc;                       /* why it ends, before Remus' tear-down */
};

void *sx_save_thread(void *arg);  /* save.c */

#endif
