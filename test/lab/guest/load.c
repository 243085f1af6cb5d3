/*
 * What the guest does to its memory besides the pattern, one page's worth of work at a time: the
 * loads from which the page mixes of the benchmarks are recorded.
 *
 *   database   rows updated in place in slotted pages, most of them in a few, an index, a log
 *   text       lines of a log, one after the other
 *   random     pages that are new all over
 *   unpack     the files of /source written to new files, as unpacking an archive does
 */
#define _GNU_SOURCE
#include "labguest.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PAGE_BYTES 4096u
#define REGION_BYTES (12u << 20)
#define ROW_BYTES 128u
#define DB_PAGE_BYTES 8192u
#define DB_PAGES 1024u
#define LOG_BYTES (4u << 20)
#define FILES_MAX 512u
#define UNPACKED_MAX 4096u   /* pages of unpacked files that are kept */

static struct {
    enum load_kind kind;
    uint8_t *region;
    uint64_t random, lsn;
    uint32_t at;             /* in the region, where something is appended */
    char *files[FILES_MAX];  /* of /source */
    uint32_t files_n, file_at, unpacked_first, unpacked_next, unpacked_pages;
    int in, out;
    uint32_t out_pages[UNPACKED_MAX];
} l = { .random = 88172645463325252u, .in = -1, .out = -1 };

static uint64_t next_random(void)
{
    l.random ^= l.random << 13;
    l.random ^= l.random >> 7;
    l.random ^= l.random << 17;
    return l.random;
}

static void fill_random(uint8_t *to, size_t size)
{
    for (size_t i = 0; i + 8 <= size; i += 8) {
        uint64_t x = next_random();

        memcpy(to + i, &x, 8);
    }
}

/* ---- database ---------------------------------------------------------------- */

struct db_page {
    uint64_t lsn;
    uint32_t checksum;
    uint16_t free_from, free_to;
};

struct db_row {
    uint64_t id, version, changed_ns;
    char text[ROW_BYTES - 24];
};

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void append_log(const struct db_row *row)
{
    uint8_t *log = l.region + DB_PAGES * DB_PAGE_BYTES;
    uint64_t head[2] = { l.lsn, row->id };

    if (l.at + sizeof(head) + sizeof(*row) > LOG_BYTES)
        l.at = 0;
    memcpy(log + l.at, head, sizeof(head));
    memcpy(log + l.at + sizeof(head), row, sizeof(*row));
    l.at += (uint32_t)(sizeof(head) + sizeof(*row));
}

/* One row changes: its page's head, the row, and the log; every eighth the root of the index. */
static void update_row(void)
{
    uint64_t r = next_random();
    /* Four of five changes go to a tenth of the pages. */
    uint32_t page = (uint32_t)(r >> 40) % (r % 5 ? DB_PAGES / 10 : DB_PAGES);
    uint32_t rows = (DB_PAGE_BYTES - sizeof(struct db_page)) / ROW_BYTES;
    uint8_t *base = l.region + (size_t)page * DB_PAGE_BYTES;
    struct db_page *head = (struct db_page *)base;
    uint32_t slot = (uint32_t)(r >> 20) % rows;
    struct db_row *row = (struct db_row *)(base + sizeof(*head) + slot * ROW_BYTES);

    row->id = (uint64_t)page * rows + slot;
    row->version++;
    row->changed_ns = now_ns();
    snprintf(row->text, sizeof(row->text), "customer %lu balance %lu.%02lu branch %lu",
             (unsigned long)row->id, (unsigned long)(r % 100000), (unsigned long)(r % 97),
             (unsigned long)(r % 37));
    head->lsn = ++l.lsn;
    head->checksum = (uint32_t)(head->lsn * 2654435761u);
    append_log(row);
    if (l.lsn % 8 == 0)
        memcpy(l.region + (l.lsn / 8 % 64) * 16, &row->id, sizeof(row->id));
}

/* ---- text -------------------------------------------------------------------- */

static void append_lines(void)
{
    static const char *const what[] = {
        "connection from", "request served for", "timeout while waiting for", "cache miss of",
        "session opened by", "retrying the transfer to", "checkpoint written for",
    };
    static const char *const level[] = { "info", "info", "info", "notice", "warning", "error" };
    uint32_t end = l.at + PAGE_BYTES;

    if (end > REGION_BYTES)
        l.at = 0, end = PAGE_BYTES;
    while (l.at + 160 < end) {
        uint64_t r = next_random();
        uint64_t ms = now_ns() / 1000000 + r % 7;

        l.at += (uint32_t)snprintf(
            (char *)l.region + l.at, 160, "%lu.%03lu labguest[%lu]: %s: %s 10.%lu.%lu.%lu:%lu\n",
            (unsigned long)(ms / 1000), (unsigned long)(ms % 1000), (unsigned long)(r % 30000),
            level[(r >> 8) % 6], what[(r >> 12) % 7], (unsigned long)(r >> 20 & 3),
            (unsigned long)(r >> 24 & 255), (unsigned long)(r >> 32 & 255),
            (unsigned long)(r >> 40 & 65535));
    }
    l.at = end;
}

/* ---- unpack ------------------------------------------------------------------ */

static void list_files(const char *dir)
{
    char path[512];
    struct dirent *e;
    DIR *d = opendir(dir);

    while (d && (e = readdir(d)) && l.files_n < FILES_MAX) {
        struct stat s;

        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
        if (stat(path, &s))
            continue;
        if (S_ISDIR(s.st_mode))
            list_files(path);
        else
            l.files[l.files_n++] = strdup(path);
    }
    if (d)
        closedir(d);
}

static void unpacked_path(char *out, size_t size, uint32_t number)
{
    snprintf(out, size, "/unpacked/%u", number);
}

static void remove_oldest(void)
{
    char path[32];

    unpacked_path(path, sizeof(path), l.unpacked_first);
    unlink(path);
    l.unpacked_pages -= l.out_pages[l.unpacked_first++ % UNPACKED_MAX];
}

static int open_next(void)
{
    char path[32];

    unpacked_path(path, sizeof(path), l.unpacked_next);
    l.in = open(l.files[l.file_at++ % l.files_n], O_RDONLY | O_CLOEXEC);
    l.out = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (l.in < 0 || l.out < 0)
        return -1;
    l.out_pages[l.unpacked_next++ % UNPACKED_MAX] = 0;
    while (l.unpacked_next - l.unpacked_first >= UNPACKED_MAX)
        remove_oldest();
    return 0;
}

static void unpack_page(void)
{
    uint8_t page[PAGE_BYTES];
    ssize_t n;

    if (!l.files_n || (l.in < 0 && open_next()))
        return;
    n = read(l.in, page, sizeof(page));
    if (n > 0 && write(l.out, page, (size_t)n) == n) {
        l.out_pages[(l.unpacked_next - 1) % UNPACKED_MAX]++;
        if (++l.unpacked_pages > UNPACKED_MAX / 2)
            remove_oldest();
        return;
    }
    close(l.in);
    close(l.out);
    l.in = l.out = -1;
}

/* ---- */

int load_set(const char *name)
{
    static const char *const names[] = { "pattern", "database", "text", "random", "unpack" };

    for (int kind = 0; kind < (int)(sizeof(names) / sizeof(*names)); kind++) {
        if (strcmp(name, names[kind]))
            continue;
        if (!l.region)
            l.region = mmap(NULL, REGION_BYTES, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
        if (l.region == MAP_FAILED)
            return -1;
        if (kind == LOAD_UNPACK && !l.files_n) {
            mkdir("/unpacked", 0755);
            list_files("/source");
        }
        l.kind = (enum load_kind)kind;
        l.at = 0;
        return 0;
    }
    return -1;
}

void load_step(void)
{
    switch (l.kind) {
    case LOAD_PATTERN:
        pattern_rewrite_next();
        break;
    case LOAD_DATABASE:
        update_row();
        break;
    case LOAD_TEXT:
        append_lines();
        break;
    case LOAD_RANDOM:
        fill_random(l.region + l.at, PAGE_BYTES);
        l.at = (l.at + PAGE_BYTES) % REGION_BYTES;
        break;
    case LOAD_UNPACK:
        unpack_page();
        break;
    }
}
