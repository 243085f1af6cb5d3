/*
 * The self-test's own little tsremus: two hosts, one poll loop, a relay in
 * between that looks at every record. Written against xl.h alone, as a user
 * of libxl would be.
 */
#ifndef PAIR_H
#define PAIR_H

#include "xl.h"
#include "guest.h"

/* libsimxl.so hides its inside, so the check uses libxl's functions for
 * domains and the tool for everything else. */
int libxl_ctx_alloc(libxl_ctx **, int, unsigned, xentoollog_logger *);
int libxl_ctx_free(libxl_ctx *);
xentoollog_logger *xtl_createlogger_stdiostream(FILE *, int, unsigned);
void xtl_logger_destroy(xentoollog_logger *);
int libxl_name_to_domid(libxl_ctx *, const char *, uint32_t *);
int libxl_domain_info(libxl_ctx *, libxl_dominfo *, uint32_t);
void libxl_dominfo_init(libxl_dominfo *);
void libxl_dominfo_dispose(libxl_dominfo *);
char *libxl_dominfo_to_json(libxl_ctx *, libxl_dominfo *);
void libxl_domain_config_init(libxl_domain_config *);
void libxl_domain_config_dispose(libxl_domain_config *);
char *libxl_domain_config_to_json(libxl_ctx *, libxl_domain_config *);
int libxl_domain_config_from_json(libxl_ctx *, libxl_domain_config *,
                                  const char *);
int libxl_retrieve_domain_configuration(libxl_ctx *, uint32_t,
                                        libxl_domain_config *,
                                        const libxl_asyncop_how *);
void libxl_domain_remus_info_init(libxl_domain_remus_info *);
void libxl_domain_remus_info_dispose(libxl_domain_remus_info *);
int libxl_domain_remus_info_from_json(libxl_ctx *, libxl_domain_remus_info *,
                                      const char *);
char *libxl_domain_remus_info_to_json(libxl_ctx *, libxl_domain_remus_info *);
void libxl_domain_restore_params_init(libxl_domain_restore_params *);
int libxl_domain_restore_params_from_json(libxl_ctx *,
                                          libxl_domain_restore_params *,
                                          const char *);
int libxl_domain_remus_start(libxl_ctx *, libxl_domain_remus_info *, uint32_t,
                             int, int, const libxl_asyncop_how *);
int libxl_domain_create_restore(libxl_ctx *, libxl_domain_config *, uint32_t *,
                                int, int, const libxl_domain_restore_params *,
                                const libxl_asyncop_how *, const void *);
int libxl_domain_create_new(libxl_ctx *, libxl_domain_config *, uint32_t *,
                            const libxl_asyncop_how *, const void *);
int libxl_ao_abort(libxl_ctx *, const libxl_asyncop_how *);
int libxl_domain_resume(libxl_ctx *, uint32_t, int, const libxl_asyncop_how *);
int libxl_domain_pause(libxl_ctx *, uint32_t, const libxl_asyncop_how *);
int libxl_domain_unpause(libxl_ctx *, uint32_t, const libxl_asyncop_how *);
int libxl_domain_rename(libxl_ctx *, uint32_t, const char *, const char *);
int libxl_domain_destroy(libxl_ctx *, uint32_t, const libxl_asyncop_how *);
int libxl_osevent_beforepoll(libxl_ctx *, int *, struct pollfd *, int *,
                             struct timeval);
void libxl_osevent_afterpoll(libxl_ctx *, int, const struct pollfd *,
                             struct timeval);

struct pair {
    /* wishes */
    const char *guest;
    int interval_ms;
    long epochs;             /* abort the save after so many */
    bool own_sigchld;        /* and forward it only after 50 ms */
    bool restore;            /* the other side takes part */
    uint64_t cut_at;         /* the relay ends the stream at this offset */
    bool abort_restore;      /* instead of ending the stream */
    long hold_ms;            /* freeze `now` so long after epoch 1 */
    void (*at_checkpoint)(struct pair *p);
    void (*each_turn)(struct pair *p);

    /* what came of it */
    libxl_ctx *save_ctx, *info_ctx, *restore_ctx;
    uint32_t domid, copy;
    bool save_done, restore_done;
    int save_rc, restore_rc;
    long seen_checkpoints, seen_epochs, pages;
    long not_suspended;      /* CHECKPOINT records with a guest that ran */
    double held_ms;
    uint8_t *snapshot;       /* the memory at the last CHECKPOINT record */
    size_t snapshot_size;
    uint64_t bytes;
    libxl_asyncop_how save_how, restore_how;

    /* inside */
    int save_pipe[2], restore_pipe[2];
    uint8_t *queue;
    size_t queue_used, queue_done, queue_room;
    uint8_t head[64];
    size_t have, need, skip;
    int state, after;
    bool aborted, ended;
    uint64_t hold_until, epoch1_at, reap_at;
    struct timeval frozen;
};

extern const char *host_a, *host_b;

void libxl_childproc_setmode(libxl_ctx *, const libxl_childproc_hooks *,
                             void *);
void libxl_childproc_sigchld_occurred(libxl_ctx *);

libxl_ctx *open_ctx(const char *host);
void run_pair(struct pair *p);      /* until everything asked for is over */
void free_pair(struct pair *p);     /* contexts and buffers */
uint64_t now_ns(void);
char *tool(const char *host, const char *format, ...)
    __attribute__((format(printf, 2, 3))); /* output; exit code: tool_exit */
extern int tool_exit;
bool in_state(const char *host, const char *name, const char *state);
/* Waits up to five seconds for it: other work may be slower than ours. */
bool comes_to(const char *host, const char *name, const char *state);
bool says(const char *host, const char *name, const char *text); /* info */

#define CHECK(x) check(x, #x, __FILE__, __LINE__)
void check(bool ok, const char *what, const char *file, int line);

#endif
