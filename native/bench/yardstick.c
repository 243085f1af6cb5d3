/*
 * yardstick: what this machine can do at best, for the benchmarks to be
 * measured against in the same run.
 *
 *     yardstick copy BYTES ROUNDS       memcpy to another buffer, neither in the cache
 *     yardstick gather BYTES ROUNDS     memcpy of single pages that lie scattered in a
 *                                       memory file, as dirty pages do
 *     yardstick file BYTES ROUNDS       the same pages written into a memory file
 *     yardstick pipe BYTES ROUNDS       the same bytes, page by page, through a pipe
 *     yardstick socket BYTES ROUNDS     or a pair of sockets between two threads: what no
 *                                       stream of libxl's can be faster than
 *     yardstick zstd LEVEL BATCH MS     compresses the standard input in batches of so
 *     yardstick lz4 BATCH MS            many bytes, over and over for at least MS
 *
 * A fifth word sets the bytes that the first five walk through (256 MiB).
 * One line of JSON each: the nanoseconds of every round (of the processor, where
 * something is compressed), and the bytes that came out.
 * Exit code 0, 2 usage, 3 the library is not here, 1 anything else.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096u
#define BATCH_PAGES 1024u
/* Bigger than the caches; each round works on the next part of it. */
#define REGION_MIN (256ul << 20)
#define ROUNDS_MAX 10000
#define STRIDE 7919u

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Of this thread: what a core does, whatever else runs on it. */
static uint64_t cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int memory_file(size_t size)
{
    int fd = memfd_create("yardstick", MFD_CLOEXEC);

    if (fd < 0 || ftruncate(fd, (off_t)size)) {
        perror("yardstick: memfd");
        exit(1);
    }
    return fd;
}

static uint8_t *region(size_t size, uint8_t fill, int fd)
{
    uint8_t *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
                      fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, fd, 0);

    if (p == MAP_FAILED) {
        perror("yardstick: mmap");
        exit(1);
    }
    memset(p, fill, size); /* every page is there before anything is timed */
    return p;
}

static void print(const uint64_t *ns, long rounds, size_t bytes, size_t out)
{
    printf("{\"bytes\":%zu,\"out\":%zu,\"ns\":[", bytes, out);
    for (long i = 0; i < rounds; i++)
        printf("%s%lu", i ? "," : "", (unsigned long)ns[i]);
    printf("]}\n");
}

/* ---- copy and pipe ---------------------------------------------------------- */

struct mover {
    uint8_t *from, *to;
    size_t region, bytes;
    int pipe_in, pipe_out;
    long rounds;
    pthread_barrier_t barrier;
    uint64_t ns[ROUNDS_MAX];
};

static size_t window(const struct mover *m, long round)
{
    size_t windows = m->region / m->bytes;

    return (size_t)round % windows * m->bytes;
}

static void copy(struct mover *m)
{
    for (long i = 0; i < m->rounds; i++) {
        uint64_t start = now_ns();

        memcpy(m->to + window(m, i), m->from + window(m, i), m->bytes);
        m->ns[i] = now_ns() - start;
    }
}

/* Where the N-th page lies: far from the one before, so that nothing is merged. */
static const uint8_t *scattered(const struct mover *m, long round, size_t n)
{
    size_t pages = m->region / PAGE;
    size_t stride = pages % STRIDE ? STRIDE : 1;

    return m->from + ((size_t)round * m->bytes / PAGE + n) * stride % pages * PAGE;
}

static void gather(struct mover *m)
{
    for (long i = 0; i < m->rounds; i++) {
        uint8_t *to = m->to + window(m, i);
        uint64_t start = now_ns();

        for (size_t n = 0; n < m->bytes / PAGE; n++)
            memcpy(to + n * PAGE, scattered(m, i, n), PAGE);
        m->ns[i] = now_ns() - start;
    }
}

/* As libxenguest does it: batches of pages that lie anywhere. */
static void write_pages(struct mover *m, long round)
{
    struct iovec iov[BATCH_PAGES];
    size_t pages = m->bytes / PAGE;

    for (size_t at = 0; at < pages;) {
        size_t n = pages - at < BATCH_PAGES ? pages - at : BATCH_PAGES;
        size_t first = 0;

        for (size_t i = 0; i < n; i++)
            iov[i] = (struct iovec){ (void *)(uintptr_t)scattered(m, round, at + i), PAGE };
        while (first < n) {
            ssize_t r = writev(m->pipe_out, iov + first, (int)(n - first));

            if (r < 0)
                exit(1);
            while (r && first < n) {
                size_t part = (size_t)r < iov[first].iov_len ? (size_t)r : iov[first].iov_len;

                iov[first].iov_base = (uint8_t *)iov[first].iov_base + part;
                iov[first].iov_len -= part;
                r -= (ssize_t)part;
                first += iov[first].iov_len == 0;
            }
        }
        at += n;
    }
}

static void *writer(void *arg)
{
    struct mover *m = arg;

    for (long i = 0; i < m->rounds; i++) {
        pthread_barrier_wait(&m->barrier);
        write_pages(m, i);
        pthread_barrier_wait(&m->barrier);
    }
    return NULL;
}

static void open_pipe(int fds[2])
{
    static const int sizes[] = { 4 << 20, 1 << 20, 1 << 18 };

    if (pipe(fds))
        exit(1);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
        if (fcntl(fds[0], F_SETPIPE_SZ, sizes[i]) >= 0)
            break;
}

/* As native/xen/save_api.c does. */
static void open_sockets(int fds[2])
{
    static const int size = 1 << 20;

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds))
        exit(1);
    if (setsockopt(fds[1], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)))
        setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

static void through(struct mover *m, const int fds[2])
{
    pthread_t thread;

    m->pipe_in = fds[0];
    m->pipe_out = fds[1];
    pthread_barrier_init(&m->barrier, NULL, 2);
    if (pthread_create(&thread, NULL, writer, m))
        exit(1);
    for (long i = 0; i < m->rounds; i++) {
        uint64_t start;
        size_t have = 0;

        pthread_barrier_wait(&m->barrier);
        start = now_ns();
        while (have < m->bytes) {
            ssize_t r = read(m->pipe_in, m->to + window(m, i) + have, m->bytes - have);

            if (r <= 0)
                exit(1);
            have += (size_t)r;
        }
        m->ns[i] = now_ns() - start;
        pthread_barrier_wait(&m->barrier);
    }
    pthread_join(thread, NULL);
}

static void into_file(struct mover *m)
{
    m->pipe_out = memory_file(m->bytes);
    write_pages(m, 0); /* its pages are there before anything is timed */
    for (long i = 0; i < m->rounds; i++) {
        uint64_t start = now_ns();

        if (lseek(m->pipe_out, 0, SEEK_SET))
            exit(1);
        write_pages(m, i);
        m->ns[i] = now_ns() - start;
    }
}

static int move(const char *how, size_t bytes, long rounds, size_t least)
{
    static struct mover m;
    int fds[2];

    if (strcmp(how, "copy") && strcmp(how, "gather") && strcmp(how, "file") &&
        strcmp(how, "pipe") && strcmp(how, "socket"))
        return 2;
    if (bytes < PAGE || bytes % PAGE || rounds < 1 || rounds > ROUNDS_MAX)
        return 2;
    m.bytes = bytes;
    m.rounds = rounds;
    m.region = bytes > least ? bytes : least;
    m.from = region(m.region, 1, strcmp(how, "copy") ? memory_file(m.region) : -1);
    m.to = region(m.region, 2, -1);
    if (!strcmp(how, "copy"))
        copy(&m);
    else if (!strcmp(how, "gather"))
        gather(&m);
    else if (!strcmp(how, "file"))
        into_file(&m);
    else {
        if (!strcmp(how, "pipe"))
            open_pipe(fds);
        else
            open_sockets(fds);
        through(&m, fds);
    }
    print(m.ns, rounds, bytes, bytes);
    return 0;
}

/* ---- compressors ------------------------------------------------------------- */

typedef size_t zstd_compress(void *, void *, size_t, const void *, size_t, int);
typedef int lz4_compress(const char *, char *, int, int);

struct compressor {
    zstd_compress *zstd;
    lz4_compress *lz4;
    void *context;
    int level;
};

static void *library(const char *name)
{
    void *handle = dlopen(name, RTLD_NOW);

    if (!handle) {
        fprintf(stderr, "yardstick: %s\n", dlerror());
        exit(3);
    }
    return handle;
}

static void open_zstd(struct compressor *c, int level)
{
    void *handle = library("libzstd.so.1");
    void *(*create)(void);

    *(void **)&create = dlsym(handle, "ZSTD_createCCtx");
    *(void **)&c->zstd = dlsym(handle, "ZSTD_compressCCtx");
    if (!create || !c->zstd)
        exit(3);
    c->context = create();
    c->level = level;
}

static void open_lz4(struct compressor *c)
{
    *(void **)&c->lz4 = dlsym(library("liblz4.so.1"), "LZ4_compress_default");
    if (!c->lz4)
        exit(3);
}

static size_t compress(const struct compressor *c, void *out, size_t room, const uint8_t *in,
                       size_t size)
{
    if (c->zstd)
        return c->zstd(c->context, out, room, in, size, c->level);
    return (size_t)c->lz4((const char *)in, out, (int)size, (int)room);
}

static uint8_t *read_input(size_t *size_out)
{
    size_t room = 1 << 20, size = 0;
    uint8_t *data = malloc(room);
    ssize_t r;

    while (data && (r = read(0, data + size, room - size)) > 0) {
        size += (size_t)r;
        if (size == room)
            data = realloc(data, room *= 2);
    }
    if (!data || !size)
        exit(1);
    *size_out = size;
    return data;
}

static int run_compressor(const struct compressor *c, size_t batch, uint64_t least_ms)
{
    static uint64_t ns[ROUNDS_MAX];
    size_t size, room = batch + batch / 100 + 65536, out = 0;
    uint8_t *in = read_input(&size), *to = malloc(room);
    uint64_t began = now_ns();
    long rounds = 0;

    if (!to)
        return 1;
    do {
        uint64_t start = cpu_ns();

        out = 0;
        for (size_t at = 0; at < size; at += batch)
            out += compress(c, to, room, in + at, size - at < batch ? size - at : batch);
        ns[rounds++] = cpu_ns() - start;
    } while (rounds < ROUNDS_MAX && now_ns() - began < least_ms * 1000000u);
    print(ns, rounds, size, out);
    return 0;
}

int main(int argc, char **argv)
{
    struct compressor c = { 0 };
    const char *what = argc > 1 ? argv[1] : "";
    int rc = 2;

    if ((argc == 4 || argc == 5) && strcmp(what, "lz4") && strcmp(what, "zstd"))
        rc = move(what, strtoul(argv[2], NULL, 10), strtol(argv[3], NULL, 10),
                  argc == 5 ? strtoul(argv[4], NULL, 10) : REGION_MIN);
    if (!strcmp(what, "zstd") && argc == 5) {
        open_zstd(&c, atoi(argv[2]));
        rc = run_compressor(&c, strtoul(argv[3], NULL, 10), strtoul(argv[4], NULL, 10));
    }
    if (!strcmp(what, "lz4") && argc == 4) {
        open_lz4(&c);
        rc = run_compressor(&c, strtoul(argv[2], NULL, 10), strtoul(argv[3], NULL, 10));
    }
    if (rc == 2)
        fprintf(stderr, "usage: yardstick copy|gather|file|pipe|socket BYTES ROUNDS [REGION]\n"
                        "       yardstick zstd LEVEL BATCH MS | lz4 BATCH MS\n");
    return rc;
}
