/*
 * A file system on the guest's second disk (ext4, made by the host): a thread that writes, replaces
 * and removes files all the time, and books in the guest's memory of what each has to hold. A copy
 * goes on with memory and file system of one moment if and only if, with nothing left in the page
 * cache, the files are what the books say: what was lost on the way nobody writes again, for the
 * guest's memory has it as written.
 *
 * Beside them a journal: lines that a client is told of when they are durable (fsync).
 */
#define _GNU_SOURCE
#include "labguest.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER "/files"
#define JOURNAL FOLDER "/journal"
#define FILES 48u
#define WORDS_MAX 3072u /* of 8 bytes: 24 KiB */

/* What a file has to hold; number 0: there is none. */
struct due {
    uint32_t number, words;
};

static struct {
    bool is_there;
    uint64_t boot;
    uint32_t seed, number;
    struct due due[FILES];
    uint64_t words[WORDS_MAX];
    int journal;
    atomic_uint rate; /* changes a second; 0: none */
    atomic_int wanted; /* enum files_work */
    atomic_ulong changes, syncs;
    atomic_int error; /* of the first call that failed */
    atomic_uint entries; /* of the journal, durable */
    struct files_report report;
    pthread_t thread;
} f;

static void failed(void)
{
    int none = 0;

    atomic_compare_exchange_strong(&f.error, &none, errno ? errno : EIO);
}

static uint32_t next_random(void)
{
    f.seed ^= f.seed << 13;
    f.seed ^= f.seed >> 17;
    f.seed ^= f.seed << 5;
    return f.seed;
}

static uint64_t word_of(uint32_t index, uint32_t number, uint32_t at)
{
    uint64_t value = f.boot ^ ((uint64_t)number << 32 | index << 16 | at);

    value *= 0x9e3779b97f4a7c15u;
    return value ^ value >> 29;
}

static void name_of(uint32_t index, const char *more, char out[64])
{
    /* In eight folders. */
    snprintf(out, 64, FOLDER "/%u/%02u%s", index % 8, index, more);
}

static void write_file(const char *path, uint32_t index, struct due due, bool is_synced)
{
    size_t bytes = due.words * sizeof(uint64_t);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    for (uint32_t i = 0; i < due.words; i++)
        f.words[i] = word_of(index, due.number, i);
    if (fd < 0 || write(fd, f.words, bytes) != (ssize_t)bytes || (is_synced && fsync(fd)))
        failed();
    f.syncs += is_synced;
    if (fd >= 0)
        close(fd);
}

/* One file, chosen by chance, is replaced, written over or removed. */
static void change_once(void)
{
    uint32_t index = next_random() % FILES, kind = next_random() % 100;
    struct due due = { ++f.number, 1 + next_random() % WORDS_MAX };
    bool is_synced = next_random() % 4 == 0;
    char path[64], fresh[64];

    name_of(index, "", path);
    name_of(index, ".new", fresh);
    if (kind < 15) {
        if (unlink(path) && !(errno == ENOENT && !f.due[index].number))
            failed();
        due = (struct due){ 0, 0 };
    } else if (kind < 60) {
        write_file(fresh, index, due, is_synced);
        if (rename(fresh, path))
            failed();
    } else {
        write_file(path, index, due, is_synced);
    }
    f.due[index] = due;
    f.changes++;
}

static void look_at(uint32_t index)
{
    struct due due = f.due[index];
    size_t bytes = due.words * sizeof(uint64_t);
    char path[64];
    int fd;
    bool right;

    name_of(index, "", path);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    f.report.files += due.number > 0;
    if (!due.number) {
        right = fd < 0 && errno == ENOENT;
    } else {
        ssize_t n = fd < 0 ? -1 : read(fd, f.words, sizeof(f.words));

        right = n == (ssize_t)bytes;
        for (uint32_t i = 0; right && i < due.words; i++)
            right = f.words[i] == word_of(index, due.number, i);
    }
    if (fd >= 0)
        close(fd);
    if (!right && !f.report.wrong++)
        f.report.first_wrong = index;
}

static int line_of(char out[32], uint32_t entry)
{
    return snprintf(out, 32, "%08u %016lx\n", entry, f.boot);
}

static void look_at_journal(void)
{
    char wanted[32], has[32];
    int bytes = line_of(wanted, 0);
    int fd = open(JOURNAL, O_RDONLY | O_CLOEXEC);

    for (;;) {
        line_of(wanted, f.report.entries + 1);
        if (fd < 0 || read(fd, has, (size_t)bytes) != bytes || memcmp(has, wanted, (size_t)bytes))
            break;
        f.report.entries++;
    }
    if (fd >= 0)
        close(fd);
}

/* What is looked at comes from the disk. */
static void empty_cache(void)
{
    int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);

    sync();
    if (fd < 0 || write(fd, "3", 1) != 1)
        failed();
    if (fd >= 0)
        close(fd);
}

static void work(int what)
{
    if (what == FILES_VERIFY) {
        memset(&f.report, 0, sizeof(f.report));
        empty_cache();
        for (uint32_t i = 0; i < FILES; i++)
            look_at(i);
        look_at_journal();
    } else if (what == FILES_UNMOUNT && f.is_there) {
        close(f.journal);
        if (umount(FOLDER))
            failed();
        else
            f.is_there = false;
    }
}

static void *change_on(void *unused)
{
    (void)unused;
    for (;;) {
        int wanted = f.wanted;

        if (wanted != FILES_NOTHING) {
            work(wanted);
            f.wanted = FILES_NOTHING;
        } else if (f.rate && f.is_there) {
            uint32_t rate = f.rate;

            change_once();
            usleep(1000000u / (rate ? rate : 1));
        } else {
            usleep(5000);
        }
    }
    return NULL;
}

int files_start(const char *device, uint64_t boot)
{
    char path[64];

    for (int i = 0; i < 500 && access(device, F_OK); i++)
        usleep(10000);
    if ((mkdir(FOLDER, 0700) && errno != EEXIST) ||
        mount(device, FOLDER, "ext4", MS_NOATIME, "errors=remount-ro"))
        return -1;
    for (uint32_t i = 0; i < 8; i++) {
        snprintf(path, sizeof(path), FOLDER "/%u", i);
        if (mkdir(path, 0700))
            return -1;
    }
    f.journal = open(JOURNAL, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (f.journal < 0)
        return -1;
    f.boot = boot;
    f.seed = 0x2545f491u ^ (uint32_t)boot;
    f.is_there = true;
    return pthread_create(&f.thread, NULL, change_on, NULL) ? -1 : 0;
}

bool files_are_there(void)
{
    return f.is_there;
}

void files_set_rate(uint32_t per_second)
{
    f.rate = per_second;
}

int files_append(uint32_t entry)
{
    char line[32];
    int bytes = line_of(line, entry);

    if (write(f.journal, line, (size_t)bytes) != bytes || fsync(f.journal)) {
        failed();
        return -1;
    }
    f.entries = entry;
    return 0;
}

void files_begin(enum files_work what)
{
    f.wanted = (int)what;
}

bool files_are_done(void)
{
    return f.wanted == FILES_NOTHING;
}

int files_describe(char *out, size_t size)
{
    const struct files_report *r = &f.report;

    return snprintf(out, size,
                    "{\"ok\":%s,\"files\":%u,\"wrong\":%u,\"firstWrong\":%u,\"entries\":%u,"
                    "\"durable\":%u,\"error\":%d,\"changes\":%lu,\"syncs\":%lu,\"mounted\":%s}",
                    !r->wrong && !f.error && r->entries >= f.entries ? "true" : "false", r->files,
                    r->wrong, r->first_wrong, r->entries, f.entries, f.error, f.changes, f.syncs,
                    f.is_there ? "true" : "false");
}
