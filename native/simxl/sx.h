/*
 * simxl, the stand-in libxenlight: what its parts share.
 *
 * A "host" is a folder, a domain is a folder in it:
 *
 *     HOST/lock            taken for names, numbers and destruction
 *     HOST/next            the next domain number
 *     HOST/faults          rules of fault.c
 *     HOST/lan             where guests speak: a UDP port or a file
 *     HOST/<domid>/state   struct sx_state, mapped by everybody
 *     HOST/<domid>/memory  the guest's memory, sparse, mapped shared
 *     HOST/<domid>/dirty   the dirty log, one bit per page
 *     HOST/<domid>/config.json
 *
 * Everything that a hypervisor would know lives in `state`; everything that
 * a guest knows lives in `memory` alone, so that a wrong copy of the memory
 * shows.
 */
#ifndef SX_H
#define SX_H

#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SX_PAGE 4096u
#define SX_PAGES_PER_MIB 256u
#define SX_STATE_MAGIC 0x73696d786c303032ull
#define SX_NAME_MAX 128
#define SX_VCPUS_MAX 32
#define SX_PAUSES_MAX 256u

#define SX_MIN(a, b) ((a) < (b) ? (a) : (b))
#define SX_ARRAY(a) (sizeof(a) / sizeof((a)[0]))

/* libxl's error numbers, by the names that libxl gives them. */
enum {
    ERROR_FAIL = -3,
    ERROR_NI = -4,
    ERROR_NOMEM = -5,
    ERROR_INVAL = -6,
    ERROR_GUEST_TIMEDOUT = -8,
    ERROR_BUFFERFULL = -13,
    ERROR_NOTFOUND = -23,
    ERROR_DOMAIN_NOTFOUND = -21,
    ERROR_ABORTED = -22,
};

/* libxl_domain_type */
enum { SX_HVM = 1, SX_PV = 2, SX_PVH = 3 };

/* libxl_shutdown_reason */
enum {
    SX_POWEROFF = 0,
    SX_REBOOT = 1,
    SX_SUSPEND = 2,
    SX_CRASH = 3,
};

/* The life of a domain folder. */
enum {
    SX_MAKING = 0,    /* no runner yet: being created or restored */
    SX_LAUNCHING = 1, /* a runner was started and has not reported */
    SX_LIVE = 2,      /* a runner runs it, or should */
    SX_DYING = 3,     /* being destroyed */
};

/* What the CPU registers would carry: a summary of the guest's state at the
 * moment of suspension. It travels in the vCPU records and is compared with
 * the memory at the other end, so that "one commit" is checkable. */
struct sx_vcpu {
    uint64_t magic;
    uint64_t writes;
    uint64_t ticks;
    uint64_t sum;
};
#define SX_VCPU_MAGIC 0x7663707573696d78ull

/* The control page. All changes go through domain.c. */
struct sx_state {
    uint64_t magic;
    uint32_t domid;
    uint32_t type;
    uint64_t nr_pages;
    uint64_t boot_ns;
    uint32_t vcpus;
    char name[SX_NAME_MAX];
    uint8_t uuid[16];

    _Atomic uint32_t word;   /* futex: changes with everything below */
    _Atomic uint32_t phase;
    _Atomic int32_t runner_pid;
    _Atomic uint64_t runner_start;
    _Atomic uint32_t pause_count;      /* Xen's controller_pause_count */
    _Atomic uint32_t suspend_request;
    _Atomic uint32_t shutdown;
    _Atomic uint32_t shutdown_reason;
    _Atomic uint32_t active;           /* the workload is between two checks */
    _Atomic uint32_t order;            /* 1 + reason: shut down for this reason */
    _Atomic int64_t rate_order;        /* new rate for the workload, or -1 */
    _Atomic int64_t burst_order;       /* new burst, or -1 */
    _Atomic uint32_t suspend_stall_ms; /* the guest takes this long to obey */
    _Atomic uint64_t generation;       /* suspensions so far */
    _Atomic uint32_t logdirty;
    _Atomic uint32_t restored;         /* vcpu and shared_info came by stream */
    _Atomic uint32_t torn;             /* bit 0 vcpu, bit 1 shared info: not of
                                          the same moment as the memory */
    _Atomic uint64_t epoch;            /* restore: last whole epoch applied */
    _Atomic uint64_t active_ns;        /* time that the guest has run */
    _Atomic uint64_t pauses;           /* suspensions that ended, and how */
    uint64_t pause_ns[SX_PAUSES_MAX];  /* long the last of them were */
    struct sx_vcpu vcpu;
    struct sx_vcpu shared_info;
};
#define SX_STATE_SIZE 4096
_Static_assert(sizeof(struct sx_state) <= SX_STATE_SIZE, "control page");

/* A mapped domain. */
struct sx_domain {
    char host[PATH_MAX];
    uint32_t domid;
    struct sx_state *st;
    uint8_t *mem;
    _Atomic uint64_t *dirty;
    size_t mem_size, dirty_size;
};

/* ---- host.c ------------------------------------------------------------ */

int sx_host_open(const char *host);            /* makes the folder: 0, -errno */
int sx_host_lock(const char *host);            /* fd, or -errno */
void sx_host_unlock(int lock);
int sx_host_next(const char *host, uint32_t *domid_out);     /* under lock */
int sx_host_list(const char *host, uint32_t *out, int max);  /* all folders */
int sx_host_find(const char *host, const char *name, uint32_t *domid_out);
void sx_path(char *out, const char *host, uint32_t domid, const char *file);
char *sx_read_file(const char *path);          /* malloc'ed, NUL at the end */
int sx_write_file(const char *path, const char *text);       /* atomic */

/* ---- domain.c ---------------------------------------------------------- */

enum { SX_MAP_STATE = 0, SX_MAP_MEMORY = 1 };

struct sx_spec {
    const char *name;
    uint32_t type, vcpus;
    uint64_t nr_pages;
    uint8_t uuid[16];
};

int sx_domain_make(const char *host, const struct sx_spec *spec,
                   const char *config, struct sx_domain *out); /* rc */
int sx_domain_map(const char *host, uint32_t domid, int what,
                  struct sx_domain *out);      /* 0, -errno */
void sx_domain_unmap(struct sx_domain *d);
bool sx_domain_exists(const struct sx_domain *d);
bool sx_runner_alive(const struct sx_state *st);
uint64_t sx_process_start(pid_t pid);          /* 0: no such process */
int sx_domain_destroy(const char *host, uint32_t domid); /* 0, -errno */

void sx_changed(struct sx_state *st);          /* bump and wake */
void sx_wait_word(struct sx_state *st, uint32_t seen, long ms);
void sx_domain_pause(struct sx_state *st);
int sx_domain_unpause(struct sx_state *st);    /* 0, -EINVAL: not paused */
int sx_domain_resume(struct sx_state *st);     /* 0, -EINVAL: not suspended */

/* ---- launch.c ---------------------------------------------------------- */

/* Starts `simxl run` for a domain, in a session of its own. 0, -errno. */
int sx_launch(struct sx_domain *d);

/* Runs a script of a device on its host: WORDS after its name, VARIABLES before
 * the environment's own; both end with NULL. 0: it ended with 0. */
int sx_run_script(const char *path, const char *const words[],
                  const char *const variables[]);
int sx_run(const char *host, uint32_t domid);  /* the runner's main() */

/* ---- fault.c ----------------------------------------------------------- */

struct sx_fault {
    bool fail, kill, corrupt, cut;
    int rc;
    long stall_ms;
    long drop;            /* one page per so many epochs */
    uint64_t offset;      /* corrupt, cut: where, counted from the epoch */
};

/* The rules that apply to POINT now, uses counted. EPOCH -1: no epoch. Stalls
 * are served here unless the caller wants to serve them itself. */
bool sx_fault(const char *host, const char *point, const char *domain,
              int64_t epoch, struct sx_fault *out);
bool sx_fault_peek(const char *host, const char *point, const char *domain,
                   int64_t epoch, struct sx_fault *out);
bool sx_fault_valid(const char *line);
int sx_fault_clear(const char *host);
void sx_sleep_ms(long ms);

uint64_t sx_now_ns(void);                      /* CLOCK_MONOTONIC */

#endif
