/* One libxl_domain_create_restore, seen from both of its sides. */
#ifndef SX_RESTORE_H
#define SX_RESTORE_H

#include "helper.h"
#include "json.h"
#include "stream.h"

struct sx_restore {
    struct sx_op op;              /* first: the operation's base */
    struct sx_helper helper;
    struct sx_domain d;
    char name[SX_NAME_MAX];
    int fd;
    bool checkpointed;            /* Remus: end-of-file activates */
    uint32_t *domid_out;
    char why[256];                /* of the thread, for the log */
    int64_t epoch;                /* whole epochs applied so far */
    struct json *config;
};

void *sx_restore_thread(void *arg); /* restore.c */

/* apply.c: one record into the domain. 0, or rc with WHY filled. */
struct sx_apply {
    struct sx_domain *d;
    bool pv_info, static_end, checkpoint_state;
    uint64_t p2m_end;     /* PV: the first page number outside */
    struct sx_vcpu vcpu, shared_info;
    char *why;
    size_t why_size;
};
int sx_apply(struct sx_apply *a, const struct record *r, const uint8_t *body);
void sx_apply_epoch_end(struct sx_apply *a, uint64_t epoch);

#endif
