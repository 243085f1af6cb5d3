/*
 * What this library knows about libxenlight, which is opened at run time: names,
 * prototypes and a handful of numbers. Nothing else of libxl's headers is needed
 * (one build serves every Xen version), and no struct layout of any of them is known
 * here, apart from the three callback structs that are part of libxl's stable
 * interface (below).
 *
 * Versions. The *symbols* of a library carry its newest prototypes: what libxl.h
 * does with LIBXL_API_VERSION are static inline wrappers, invisible here. So a
 * libxl_domain_pause found by dlsym takes `ao_how` since 4.13, and before that
 * it does not: there it would run libxl's own event loop in our thread. Xen
 * 4.14 is the oldest version served (the first with version 3 of the stream,
 * too); tsr_open knows the version by the file's name and refuses older ones.
 * From 4.14 to 4.22 the prototypes below did not change, nor did what
 * libxl_remus.c, libxl_save_callout.c, libxl_fork.c and libxl_event.c do.
 *
 * Structs. libxl's structs are handed over as zeroed memory of TSR_XL_CONFIG_SIZE
 * or TSR_XL_STRUCT_SIZE bytes and filled by libxl's own _init and _from_json,
 * read by its _to_json. _init clears exactly sizeof(struct), so what matters
 * is that our memory is never smaller: in 4.14 to 4.22 libxl_domain_config has
 * about 1.3 KiB and the others at most 128 bytes; the sizes below leave a
 * factor of 48 and more.
 */
#ifndef TSR_LIBXL_ABI_H
#define TSR_LIBXL_ABI_H

#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/time.h>
#include <sys/types.h>

#define TSR_XL_CONFIG_SIZE 65536
#define TSR_XL_STRUCT_SIZE 8192

#define TSR_XL_OLDEST_MAJOR 4
#define TSR_XL_OLDEST_MINOR 14

/* libxl's error numbers that mean something to us (enum libxl_error). */
enum {
    XL_FAIL = -3,
    XL_NOMEM = -5,
    XL_INVAL = -6,
    XL_GUEST_TIMEDOUT = -8,
    XL_BUFFERFULL = -13,
    XL_DOMAIN_NOTFOUND = -21,
    XL_ABORTED = -22,
    XL_NOTFOUND = -23,
};

typedef struct libxl_ctx libxl_ctx;
typedef struct xentoollog_logger xentoollog_logger;

/* xentoollog_level */
enum {
    XTL_DEBUG = 1, XTL_VERBOSE, XTL_DETAIL, XTL_PROGRESS, XTL_INFO,
    XTL_NOTICE, XTL_WARN, XTL_ERROR, XTL_CRITICAL,
};
#define XTL_HIDE_PROGRESS 4u
#define XTL_PROGRESS_NO_CR 32u

/* How an asynchronous operation reports its end (libxl_asyncop_how). */
typedef struct {
    void (*callback)(libxl_ctx *ctx, int rc, void *for_callback);
    union {
        uint64_t for_event;
        void *for_callback;
    } u;
} libxl_asyncop_how;

/* Who reaps libxl's children (libxl_childproc_hooks). */
typedef struct {
    int chldowner;
    pid_t (*fork_replacement)(void *user);
    int (*reaped_callback)(pid_t pid, int status, void *user);
} libxl_childproc_hooks;
#define XL_SIGCHLD_OWNER_MAINLOOP 1

/* Without a disaster hook libxl ends the whole process (libxl_event_hooks). */
typedef struct {
    uint64_t event_occurs_mask;
    void (*event_occurs)(void *user, void *event);
    void (*disaster)(void *user, int type, const char *msg, int errnoval);
} libxl_event_hooks;

_Static_assert(sizeof(libxl_asyncop_how) == 16, "stable since Xen 4.2");
_Static_assert(sizeof(libxl_childproc_hooks) == 24, "stable since Xen 4.3");
_Static_assert(sizeof(libxl_event_hooks) == 24, "stable since Xen 4.2");

/*
 * X(return type, name, parameters): every function that must be there.
 */
#define TSR_XL_FUNCTIONS(X) \
    X(int, libxl_ctx_alloc, (libxl_ctx **ctx_out, int version, unsigned flags, \
                             xentoollog_logger *logger)) \
    X(int, libxl_ctx_free, (libxl_ctx *ctx)) \
    X(xentoollog_logger *, xtl_createlogger_stdiostream, \
      (FILE *f, int min_level, unsigned flags)) \
    X(void, xtl_logger_destroy, (xentoollog_logger *logger)) \
    X(void, libxl_event_register_callbacks, \
      (libxl_ctx *ctx, const libxl_event_hooks *hooks, void *user)) \
    X(void, libxl_childproc_setmode, \
      (libxl_ctx *ctx, const libxl_childproc_hooks *hooks, void *user)) \
    X(void, libxl_childproc_sigchld_occurred, (libxl_ctx *ctx)) \
    X(int, libxl_osevent_beforepoll, \
      (libxl_ctx *ctx, int *nfds_io, struct pollfd *fds, int *timeout_upd, \
       struct timeval now)) \
    X(void, libxl_osevent_afterpoll, \
      (libxl_ctx *ctx, int nfds, const struct pollfd *fds, \
       struct timeval now)) \
    X(int, libxl_ao_abort, (libxl_ctx *ctx, const libxl_asyncop_how *how)) \
    X(int, libxl_name_to_domid, \
      (libxl_ctx *ctx, const char *name, uint32_t *domid_out)) \
    X(void *, libxl_list_domain, (libxl_ctx *ctx, int *count_out)) \
    X(void, libxl_dominfo_list_free, (void *list, int count)) \
    X(void, libxl_dominfo_init, (void *info)) \
    X(void, libxl_dominfo_dispose, (void *info)) \
    X(char *, libxl_dominfo_to_json, (libxl_ctx *ctx, void *info)) \
    X(int, libxl_domain_info, (libxl_ctx *ctx, void *info, uint32_t domid)) \
    X(const char *, libxl_action_on_shutdown_to_string, (int value)) \
    X(const char *, libxl_shutdown_reason_to_string, (int value)) \
    X(void, libxl_domain_config_init, (void *config)) \
    X(void, libxl_domain_config_dispose, (void *config)) \
    X(char *, libxl_domain_config_to_json, (libxl_ctx *ctx, void *config)) \
    X(int, libxl_domain_config_from_json, \
      (libxl_ctx *ctx, void *config, const char *json)) \
    X(int, libxl_retrieve_domain_configuration, \
      (libxl_ctx *ctx, uint32_t domid, void *config, \
       const libxl_asyncop_how *how)) \
    X(void, libxl_domain_remus_info_init, (void *info)) \
    X(void, libxl_domain_remus_info_dispose, (void *info)) \
    X(int, libxl_domain_remus_info_from_json, \
      (libxl_ctx *ctx, void *info, const char *json)) \
    X(int, libxl_domain_remus_start, \
      (libxl_ctx *ctx, void *info, uint32_t domid, int send_fd, int recv_fd, \
       const libxl_asyncop_how *how)) \
    X(void, libxl_domain_restore_params_init, (void *params)) \
    X(void, libxl_domain_restore_params_dispose, (void *params)) \
    X(int, libxl_domain_restore_params_from_json, \
      (libxl_ctx *ctx, void *params, const char *json)) \
    X(int, libxl_domain_create_restore, \
      (libxl_ctx *ctx, void *config, uint32_t *domid, int restore_fd, \
       int send_back_fd, const void *params, const libxl_asyncop_how *how, \
       const void *console_how)) \
    X(int, libxl_domain_create_new, \
      (libxl_ctx *ctx, void *config, uint32_t *domid, \
       const libxl_asyncop_how *how, const void *console_how)) \
    X(int, libxl_domain_pause, \
      (libxl_ctx *ctx, uint32_t domid, const libxl_asyncop_how *how)) \
    X(int, libxl_domain_unpause, \
      (libxl_ctx *ctx, uint32_t domid, const libxl_asyncop_how *how)) \
    X(int, libxl_domain_resume, \
      (libxl_ctx *ctx, uint32_t domid, int suspend_cancel, \
       const libxl_asyncop_how *how)) \
    X(int, libxl_domain_destroy, \
      (libxl_ctx *ctx, uint32_t domid, const libxl_asyncop_how *how)) \
    X(int, libxl_domain_rename, \
      (libxl_ctx *ctx, uint32_t domid, const char *from, const char *to))

/* The same for functions that tsr_host_info and tsr_pool_info use where they exist. */
#define TSR_XL_OPTIONAL(X) \
    X(const void *, libxl_get_version_info, (libxl_ctx *ctx)) \
    X(char *, libxl_version_info_to_json, (libxl_ctx *ctx, const void *info)) \
    X(int, libxl_get_free_memory, (libxl_ctx *ctx, uint64_t *memkb)) \
    X(int, libxl_cpupool_qualifier_to_cpupoolid, \
      (libxl_ctx *ctx, const char *qualifier, uint32_t *id_out, \
       int *was_name_out)) \
    X(int, libxl_cpupoolid_is_valid, (libxl_ctx *ctx, uint32_t id)) \
    X(int, libxl_cpupool_info, (libxl_ctx *ctx, void *info, uint32_t id)) \
    X(void, libxl_cpupoolinfo_init, (void *info)) \
    X(void, libxl_cpupoolinfo_dispose, (void *info)) \
    X(char *, libxl_cpupoolinfo_to_json, (libxl_ctx *ctx, void *info)) \
    X(void, libxl_physinfo_init, (void *info)) \
    X(void, libxl_physinfo_dispose, (void *info)) \
    X(char *, libxl_physinfo_to_json, (libxl_ctx *ctx, void *info)) \
    X(int, libxl_get_physinfo, (libxl_ctx *ctx, void *info))

#define TSR_XL_FIELD(type, name, args) type (*name) args;
struct tsr_xl {
    TSR_XL_FUNCTIONS(TSR_XL_FIELD)
    TSR_XL_OPTIONAL(TSR_XL_FIELD)
};
#undef TSR_XL_FIELD

/* Filled by tsr_open; valid only after it succeeded. */
extern struct tsr_xl tsr_xl;

#endif
