#include "session.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct fake_world *open_fake(void)
{
    struct fake_world *(*world)(void);
    void *library;

    CHECK(fake_path());
    if (tsr_open(fake_path())) {
        char text[256];

        tsr_error_text(-1, text, sizeof(text));
        fprintf(stderr, "%s\n", text);
        CHECK(0);
    }
    library = dlopen(fake_path(), RTLD_NOW);
    CHECK(library);
    world = (struct fake_world *(*)(void))dlsym(library, "fake_world");
    CHECK(world);
    return world();
}

static bool read_all(int fd, void *out, size_t size, uint64_t until)
{
    char *p = out;

    while (size) {
        struct pollfd pfd = { fd, POLLIN, 0 };
        uint64_t now = now_ms();
        ssize_t r;

        if (poll(&pfd, 1, until > now ? (int)(until - now) : 0) != 1)
            return false;
        r = read(fd, p, size);
        if (r < 0 && errno == EAGAIN)
            continue;
        if (r <= 0)
            return false;
        p += r;
        size -= (size_t)r;
    }
    return true;
}

bool next_event(int fd, struct event *event, int ms)
{
    uint64_t until = now_ms() + (uint64_t)ms;

    for (;;) {
        if (!read_all(fd, &event->e, sizeof(event->e), until))
            return false;
        CHECK(event->e.text_len <= TSR_EVENT_TEXT_MAX);
        CHECK(read_all(fd, event->text, event->e.text_len, until));
        event->text[event->e.text_len] = 0;
        if (getenv("TSR_TEST_VERBOSE"))
            fprintf(stderr, "    event %u a=%lld b=%llu %s\n", event->e.kind,
                    (long long)event->e.a, (unsigned long long)event->e.b,
                    event->text);
        if (event->e.kind != TSR_EV_LOG)
            return true;
    }
}

void wait_event(int fd, uint32_t kind, struct event *event)
{
    for (;;) {
        CHECK(next_event(fd, event, HANG_MS));
        if (event->e.kind == kind)
            return;
        CHECK(event->e.kind != TSR_EV_ENDED);
    }
}

int count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int n = 0;

    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

void sleep_ms(int ms)
{
    struct timespec t = { ms / 1000, ms % 1000 * 1000000L };

    nanosleep(&t, NULL);
}

uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}
