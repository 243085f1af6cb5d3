/*
 * A domain as a hypervisor sees it: its folder, its control page, and the
 * few things that can be done to it from outside. Every function here may be
 * called from any process; the control page is the only thing they share.
 */
#define _GNU_SOURCE
#include "sx.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

void sx_changed(struct sx_state *st)
{
    atomic_fetch_add(&st->word, 1);
    syscall(SYS_futex, &st->word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* Sleeps until the word is no longer SEEN, or MS milliseconds have passed. */
void sx_wait_word(struct sx_state *st, uint32_t seen, long ms)
{
    struct timespec t = { ms / 1000, (ms % 1000) * 1000000 };

    syscall(SYS_futex, &st->word, FUTEX_WAIT, seen, &t, NULL, 0);
}

/* The start time tells a process from a later one with the same number. */
uint64_t sx_process_start(pid_t pid)
{
    char path[64], *text, *p;
    uint64_t start = 0;

    if (pid <= 0)
        return 0;
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    text = sx_read_file(path);
    if (!text)
        return 0;
    p = strrchr(text, ')');
    if (p && p[1] && p[2] != 'Z' && p[2] != 'X') {
        p += 2;
        for (int field = 3; p && field < 22; field++) {
            p = strchr(p, ' ');
            if (p)
                p++;
        }
        if (p)
            start = strtoull(p, NULL, 10);
    }
    free(text);
    return start;
}

bool sx_runner_alive(const struct sx_state *st)
{
    uint64_t start = sx_process_start(atomic_load(&st->runner_pid));

    return start && start == atomic_load(&st->runner_start);
}

/* A domain whose runner was killed is a domain of a host that lost power:
 * it is not there any more, whatever its folder says. */
bool sx_domain_exists(const struct sx_domain *d)
{
    switch (atomic_load(&d->st->phase)) {
    case SX_MAKING:
    case SX_LAUNCHING:
        return true;
    case SX_LIVE:
        return sx_runner_alive(d->st);
    default:
        return false;
    }
}

static void *map_file(const char *host, uint32_t domid, const char *file,
                      size_t create, size_t *size_out)
{
    char path[PATH_MAX];
    struct stat s;
    void *p;
    int fd;

    sx_path(path, host, domid, file);
    fd = open(path, O_RDWR | O_CLOEXEC | (create ? O_CREAT | O_EXCL : 0),
              0666);
    if (fd < 0)
        return NULL;
    if ((create && ftruncate(fd, (off_t)create)) || fstat(fd, &s) ||
        s.st_size == 0) {
        close(fd);
        errno = ENODEV;
        return NULL;
    }
    p = mmap(NULL, (size_t)s.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
             0);
    close(fd);
    if (p == MAP_FAILED)
        return NULL;
    *size_out = (size_t)s.st_size;
    return p;
}

void sx_domain_unmap(struct sx_domain *d)
{
    if (d->st)
        munmap(d->st, SX_STATE_SIZE);
    if (d->mem)
        munmap(d->mem, d->mem_size);
    if (d->dirty)
        munmap((void *)d->dirty, d->dirty_size);
    d->st = NULL;
    d->mem = NULL;
    d->dirty = NULL;
}

int sx_domain_map(const char *host, uint32_t domid, int what,
                  struct sx_domain *out)
{
    size_t size = 0;

    memset(out, 0, sizeof(*out));
    snprintf(out->host, sizeof(out->host), "%s", host);
    out->domid = domid;
    out->st = map_file(host, domid, "state", 0, &size);
    if (!out->st)
        return -ENOENT;
    if (size != SX_STATE_SIZE || out->st->magic != SX_STATE_MAGIC)
        goto fail;
    if (what == SX_MAP_STATE)
        return 0;
    out->mem = map_file(host, domid, "memory", 0, &out->mem_size);
    out->dirty = map_file(host, domid, "dirty", 0, &out->dirty_size);
    if (!out->mem || !out->dirty ||
        out->mem_size != out->st->nr_pages * SX_PAGE ||
        out->dirty_size < out->st->nr_pages / 8)
        goto fail;
    return 0;

fail:
    sx_domain_unmap(out);
    return -ENOENT;
}

static int make_files(struct sx_domain *out, const struct sx_spec *spec,
                      const char *config)
{
    size_t bits = (spec->nr_pages + 63) / 64 * 8;
    char path[PATH_MAX];
    size_t size;
    int rc;

    sx_path(path, out->host, out->domid, NULL);
    if (mkdir(path, 0777))
        return -errno;
    sx_path(path, out->host, out->domid, "config.json");
    rc = sx_write_file(path, config);
    if (rc)
        return rc;
    out->mem_size = spec->nr_pages * SX_PAGE;
    out->mem = map_file(out->host, out->domid, "memory", out->mem_size, &size);
    out->dirty_size = (bits + SX_PAGE - 1) / SX_PAGE * SX_PAGE;
    out->dirty = map_file(out->host, out->domid, "dirty", out->dirty_size,
                          &size);
    /* The state comes last and under its own name at once: a folder without
     * it is no domain yet. */
    out->st = map_file(out->host, out->domid, "state", SX_STATE_SIZE, &size);
    if (!out->mem || !out->dirty || !out->st)
        return errno ? -errno : -EIO;
    return 0;
}

/* Makes the domain, with Xen's one pause of a new domain and no memory. */
int sx_domain_make(const char *host, const struct sx_spec *spec,
                   const char *config, struct sx_domain *out)
{
    uint32_t other;
    int lock, rc;

    memset(out, 0, sizeof(*out));
    snprintf(out->host, sizeof(out->host), "%s", host);
    lock = sx_host_lock(host);
    if (lock < 0)
        return ERROR_FAIL;
    rc = ERROR_INVAL;
    if (!spec->name[0] || strlen(spec->name) >= SX_NAME_MAX ||
        !sx_host_find(host, spec->name, &other))
        goto out;
    rc = ERROR_FAIL;
    if (sx_host_next(host, &out->domid) || make_files(out, spec, config))
        goto out;
    out->st->domid = out->domid;
    out->st->type = spec->type;
    out->st->vcpus = spec->vcpus;
    out->st->nr_pages = spec->nr_pages;
    out->st->boot_ns = sx_now_ns();
    snprintf(out->st->name, SX_NAME_MAX, "%s", spec->name);
    memcpy(out->st->uuid, spec->uuid, sizeof(spec->uuid));
    atomic_store(&out->st->rate_order, -1);
    atomic_store(&out->st->burst_order, -1);
    atomic_store(&out->st->pause_count, 1);
    atomic_store(&out->st->phase, SX_MAKING);
    atomic_thread_fence(memory_order_seq_cst);
    out->st->magic = SX_STATE_MAGIC;
    rc = 0;

out:
    if (rc)
        sx_domain_unmap(out);
    sx_host_unlock(lock);
    return rc;
}

static void kill_runner(struct sx_state *st)
{
    pid_t pid = atomic_load(&st->runner_pid);

    for (int i = 0; i < 2000 && sx_runner_alive(st); i++) {
        kill(pid, SIGKILL);
        sx_sleep_ms(1);
    }
}

static void remove_folder(const char *host, uint32_t domid)
{
    static const char *const files[] = { "memory", "dirty", "config.json",
                                         "log", "state" };
    char path[PATH_MAX];

    for (size_t i = 0; i < SX_ARRAY(files); i++) {
        sx_path(path, host, domid, files[i]);
        unlink(path);
    }
    sx_path(path, host, domid, NULL);
    rmdir(path);
}

int sx_domain_destroy(const char *host, uint32_t domid)
{
    struct sx_domain d;
    char path[PATH_MAX];
    int lock;

    lock = sx_host_lock(host);
    if (lock < 0)
        return lock;
    if (!sx_domain_map(host, domid, SX_MAP_STATE, &d)) {
        atomic_store(&d.st->phase, SX_DYING);
        sx_changed(d.st); /* a save under way learns it here */
        kill_runner(d.st);
        sx_domain_unmap(&d);
    }
    sx_path(path, host, domid, NULL);
    if (access(path, F_OK)) {
        sx_host_unlock(lock);
        return -ENOENT;
    }
    remove_folder(host, domid);
    sx_host_unlock(lock);
    return 0;
}

/* Counts one pause and returns when the guest certainly stands still, as the
 * hypercall does. */
void sx_domain_pause(struct sx_state *st)
{
    uint64_t give_up = sx_now_ns() + 1000000000ull;

    atomic_fetch_add(&st->pause_count, 1);
    sx_changed(st);
    for (;;) {
        uint32_t seen = atomic_load(&st->word);

        if (!atomic_load(&st->active) || !sx_runner_alive(st) ||
            sx_now_ns() > give_up)
            return;
        sx_wait_word(st, seen, 10);
    }
}

int sx_domain_unpause(struct sx_state *st)
{
    uint32_t count = atomic_load(&st->pause_count);

    do
        if (!count)
            return -EINVAL;
    while (!atomic_compare_exchange_weak(&st->pause_count, &count,
                                         count - 1));
    sx_changed(st);
    return 0;
}

/* Cooperative: the guest goes on after its suspend call, which reports that
 * the suspension was cancelled. */
int sx_domain_resume(struct sx_state *st)
{
    if (!atomic_load(&st->shutdown) ||
        atomic_load(&st->shutdown_reason) != SX_SUSPEND)
        return -EINVAL;
    atomic_store(&st->shutdown, 0);
    sx_changed(st);
    return 0;
}
