/*
 * The part of libxl's binary interface (Xen 4.17) that simxl offers, and the
 * inside of its context. Written from the public headers' facts; the structs
 * have libxl's layout, so that programs built against the real headers work,
 * except libxl_domain_config, which nobody may look into.
 */
#ifndef SX_XL_H
#define SX_XL_H

#include "json.h"
#include "sx.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/time.h>

#define SX_API __attribute__((visibility("default")))

typedef struct libxl__ctx libxl_ctx;
typedef struct { int val; } libxl_defbool;

typedef struct {
    void (*callback)(libxl_ctx *ctx, int rc, void *for_callback);
    union {
        uint64_t for_event;
        void *for_callback;
    } u;
} libxl_asyncop_how;

typedef struct {
    int chldowner;
    pid_t (*fork_replacement)(void *user);
    int (*reaped_callback)(pid_t pid, int status, void *user);
} libxl_childproc_hooks;
enum { SIGCHLD_OWNER_LIBXL = 0, SIGCHLD_OWNER_MAINLOOP = 1 };

typedef struct {
    uint64_t event_occurs_mask;
    void (*event_occurs)(void *user, void *event);
    void (*disaster)(void *user, int type, const char *msg, int errnoval);
} libxl_event_hooks;

/* xentoollog */
enum { XTL_NONE, XTL_DEBUG, XTL_VERBOSE, XTL_DETAIL, XTL_PROGRESS, XTL_INFO,
       XTL_NOTICE, XTL_WARN, XTL_ERROR, XTL_CRITICAL };
typedef struct xentoollog_logger xentoollog_logger;
struct xentoollog_logger {
    void (*vmessage)(xentoollog_logger *logger, int level, int errnoval,
                     const char *context, const char *format, va_list al);
    void (*progress)(xentoollog_logger *logger, const char *context,
                     const char *doing_what, int percent, unsigned long done,
                     unsigned long total);
    void (*destroy)(xentoollog_logger *logger);
};
#define XTL_STDIOSTREAM_HIDE_PROGRESS 4u

typedef struct {
    uint8_t uuid[16];
    uint32_t domid, ssidref;
    char *ssid_label;
    bool running, blocked, paused, shutdown, dying, never_stop;
    int shutdown_reason;
    uint64_t outstanding_memkb, current_memkb, shared_memkb, paged_memkb;
    uint64_t max_memkb, cpu_time;
    uint32_t vcpu_max_id, vcpu_online, cpupool;
    uint8_t gpaddr_bits;
    int domain_type;
} libxl_dominfo;

typedef struct {
    int interval;
    libxl_defbool allow_unsafe, blackhole, compression, netbuf;
    char *netbufscript;
    libxl_defbool diskbuf, colo, userspace_colo_proxy;
} libxl_domain_remus_info;

typedef struct {
    int checkpointed_stream;
    uint32_t stream_version;
    char *colo_proxy_script;
    libxl_defbool userspace_colo_proxy;
} libxl_domain_restore_params;

typedef struct {
    int xen_version_major, xen_version_minor;
    char *xen_version_extra, *compiler, *compile_by, *compile_domain;
    char *compile_date, *capabilities, *changeset;
    uint64_t virt_start;
    int pagesize;
    char *commandline, *build_id;
} libxl_version_info;

typedef struct {
    uint32_t poolid;
    char *pool_name;
    int sched;
    uint32_t n_dom;
    struct { uint32_t size; uint8_t *map; } cpumap;
} libxl_cpupoolinfo;

typedef struct {
    uint32_t threads_per_core, cores_per_socket, max_cpu_id, nr_cpus, cpu_khz;
    uint64_t total_pages, free_pages, scrub_pages, outstanding_pages;
    uint64_t sharing_freed_pages, sharing_used_frames, max_possible_mfn;
    uint32_t nr_nodes;
    uint32_t hw_cap[4];
    bool cap_hvm, cap_pv, cap_hvm_directio, cap_hap, cap_shadow;
} libxl_physinfo;

/* Ours: a tree behind a pointer. */
#define SX_CONFIG_MAGIC 0x676f63786d697378ull
typedef struct {
    uint64_t magic;
    struct json *root;
} libxl_domain_config;

/* ---- inside ------------------------------------------------------------- */

struct sx_op;

/* What an asynchronous operation is made of. All functions are called with
 * the context locked, from inside a libxl call of the application. */
struct sx_op_kind {
    const char *name;
    bool forks;            /* libxl needs a child process for it */
    int (*fds)(struct sx_op *op, struct pollfd *out, int max); /* its wishes */
    void (*ready)(struct sx_op *op, int fd, short revents);
    void (*timeout)(struct sx_op *op);
    void (*abort)(struct sx_op *op);
    void (*free)(struct sx_op *op);
};

struct sx_op {
    struct sx_op *next;
    libxl_ctx *ctx;
    const struct sx_op_kind *kind;
    libxl_asyncop_how how;
    bool sync, done, aborting;
    bool exited;             /* over, once its child has been reaped */
    int rc;
    bool timer;              /* TIMER_AT counts */
    struct timeval timer_at;
    uint32_t domid;
};

struct libxl__ctx {
    pthread_mutex_t lock;    /* recursive */
    char host[PATH_MAX];
    xentoollog_logger *logger;
    int wakeup[2];           /* self-pipe: an op of another thread completed */
    struct sx_op *ops;
    libxl_childproc_hooks child_hooks;
    libxl_version_info version;
    char *commandline;       /* of VERSION, where HOST/xen has one */
    bool waits_left;         /* a save ended while it waited: ctx_free asserts */
};

void sx_lock(libxl_ctx *ctx);
void sx_unlock(libxl_ctx *ctx);
__attribute__((format(printf, 3, 4)))
void sx_log(libxl_ctx *ctx, int level, const char *format, ...);
/* In the name of somebody else. */
void sx_log_as(libxl_ctx *ctx, int level, const char *who, const char *format, ...);

/* loop.c */
void sx_op_start(libxl_ctx *ctx, struct sx_op *op,
                 const struct sx_op_kind *kind, const libxl_asyncop_how *how);
int sx_op_return(libxl_ctx *ctx, struct sx_op *op); /* waits when sync */
void sx_op_complete(struct sx_op *op, int rc);
void sx_op_timer(struct sx_op *op, long ms);
int sx_op_immediate(libxl_ctx *ctx, const libxl_asyncop_how *how, int rc);
int sx_op_forked(libxl_ctx *ctx, const libxl_asyncop_how *how, int rc);
bool sx_would_hang(libxl_ctx *ctx, const libxl_asyncop_how *how);
void sx_reap(libxl_ctx *ctx);

/* config.c */
struct json *sx_config(libxl_domain_config *c);     /* never NULL */
int sx_config_spec(const struct json *root, struct sx_spec *out); /* rc */
bool sx_uuid_parse(const char *text, uint8_t *out);
void sx_uuid_print(const uint8_t *uuid, char *out); /* 37 bytes */
struct json *sx_config_clean(const struct json *root, char *why, size_t size);

/* pools.c */
const char *sx_pool_lacks(const char *host, const struct json *config);

/* physinfo.c: HOST/xen says what kind of host it is, a `key=value` a line. */
long long sx_host_value(const char *host, const char *key, long long otherwise);
char *sx_host_text(const char *host, const char *key); /* NULL, or malloc'ed */

/* types.c */
const char *sx_type_name(uint32_t type);
const char *sx_reason_name(int reason);

/* domctl.c */
int sx_fault_rc(libxl_ctx *ctx, const char *point, uint32_t domid, int *rc);

#endif
