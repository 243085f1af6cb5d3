/*
 * The folder that stands for a host: numbers, names, small files.
 * Guarantees that two processes never give out the same domain number, and
 * that a small file is seen whole or not at all.
 */
#define _GNU_SOURCE
#include "sx.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

uint64_t sx_now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

void sx_sleep_ms(long ms)
{
    struct timespec t = { ms / 1000, (ms % 1000) * 1000000 };

    while (nanosleep(&t, &t) && errno == EINTR)
        ;
}

/* OUT holds PATH_MAX bytes; FILE may be NULL for the domain's folder. */
void sx_path(char *out, const char *host, uint32_t domid, const char *file)
{
    int n;

    if (file)
        n = snprintf(out, PATH_MAX, "%s/%u/%s", host, domid, file);
    else
        n = snprintf(out, PATH_MAX, "%s/%u", host, domid);
    if (n >= PATH_MAX)
        out[0] = 0; /* no such file, which the caller then reports */
}

static int mkdir_all(const char *path)
{
    char part[PATH_MAX];

    if (snprintf(part, sizeof(part), "%s", path) >= (int)sizeof(part))
        return -ENAMETOOLONG;
    for (char *p = part + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = 0;
        if (mkdir(part, 0777) && errno != EEXIST)
            return -errno;
        *p = '/';
    }
    if (mkdir(part, 0777) && errno != EEXIST)
        return -errno;
    return 0;
}

/* Of the guests that the tool creates; a host is installed with it, once. */
static int make_kernel(const char *host)
{
    char path[PATH_MAX + 32];
    int fd;

    snprintf(path, sizeof(path), "%s/boot", host);
    if (mkdir(path, 0777))
        return errno == EEXIST ? 0 : -errno;
    strcat(path, "/vmlinuz-guest");
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        return -errno;
    close(fd);
    return 0;
}

int sx_host_open(const char *host)
{
    int rc;

    if (!host || host[0] != '/' || strlen(host) > PATH_MAX - 64)
        return -EINVAL; /* a relative path would be another host elsewhere */
    rc = mkdir_all(host);
    return rc ? rc : make_kernel(host);
}

int sx_host_lock(const char *host)
{
    char path[PATH_MAX + 8];
    int fd, r;

    snprintf(path, sizeof(path), "%s/lock", host);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        return -errno;
    do
        r = flock(fd, LOCK_EX);
    while (r && errno == EINTR);
    if (r) {
        r = -errno;
        close(fd);
        return r;
    }
    return fd;
}

void sx_host_unlock(int lock)
{
    if (lock >= 0)
        close(lock);
}

int sx_host_next(const char *host, uint32_t *domid_out)
{
    char path[PATH_MAX + 8], text[32];
    char *old;
    uint32_t n;

    snprintf(path, sizeof(path), "%s/next", host);
    old = sx_read_file(path);
    n = old ? (uint32_t)strtoul(old, NULL, 10) : 1;
    free(old);
    if (n < 1 || n > 32000)
        n = 1; /* Xen's numbers wrap, too; 0 is the host itself */
    for (uint32_t tries = 0; tries < 32000; tries++, n = n % 32000 + 1) {
        char dir[PATH_MAX];

        sx_path(dir, host, n, NULL);
        if (access(dir, F_OK))
            break;
    }
    *domid_out = n;
    snprintf(text, sizeof(text), "%u\n", n % 32000 + 1);
    return sx_write_file(path, text);
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

int sx_host_list(const char *host, uint32_t *out, int max)
{
    struct dirent *e;
    DIR *dir;
    int n = 0;

    dir = opendir(host);
    if (!dir)
        return -errno;
    while ((e = readdir(dir)) && n < max) {
        char *end;
        unsigned long v;

        if (!isdigit((unsigned char)e->d_name[0]))
            continue;
        v = strtoul(e->d_name, &end, 10);
        if (!*end)
            out[n++] = (uint32_t)v;
    }
    closedir(dir);
    qsort(out, (size_t)n, sizeof(*out), by_number);
    return n;
}

int sx_host_find(const char *host, const char *name, uint32_t *domid_out)
{
    uint32_t ids[1024];
    int n = sx_host_list(host, ids, 1024);

    for (int i = 0; i < n; i++) {
        struct sx_domain d;
        bool same;

        if (sx_domain_map(host, ids[i], SX_MAP_STATE, &d))
            continue;
        same = sx_domain_exists(&d) && !strcmp(d.st->name, name);
        sx_domain_unmap(&d);
        if (same) {
            *domid_out = ids[i];
            return 0;
        }
    }
    return n < 0 ? n : -ENOENT;
}

char *sx_read_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t have = 0, room = 4096;
    char *text = NULL;
    ssize_t r;

    if (fd < 0)
        return NULL;
    for (;;) {
        char *more = realloc(text, room + 1);

        if (!more)
            goto fail;
        text = more;
        r = read(fd, text + have, room - have);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            goto fail;
        if (r == 0)
            break;
        have += (size_t)r;
        if (have == room)
            room *= 2;
    }
    close(fd);
    text[have] = 0;
    return text;

fail:
    close(fd);
    free(text);
    return NULL;
}

int sx_write_file(const char *path, const char *text)
{
    char temporary[PATH_MAX + 32];
    size_t left = strlen(text);
    int fd, rc = 0;

    snprintf(temporary, sizeof(temporary), "%s.%d.new", path, getpid());
    fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return -errno;
    while (left) {
        ssize_t r = write(fd, text, left);

        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0) {
            rc = -errno;
            break;
        }
        text += r;
        left -= (size_t)r;
    }
    close(fd);
    if (!rc && rename(temporary, path))
        rc = -errno;
    if (rc)
        unlink(temporary);
    return rc;
}
