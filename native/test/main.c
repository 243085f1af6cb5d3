/*
 * Runs the tests, all or those whose name contains the first argument.
 */
#include "test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TESTS_MAX 256

static struct {
    const char *name;
    test_function *function;
    int seconds;
} tests[TESTS_MAX];
static int test_count;

void test_register(const char *name, test_function *function, int seconds)
{
    if (test_count == TESTS_MAX)
        abort();
    tests[test_count].name = name;
    tests[test_count].function = function;
    tests[test_count++].seconds = seconds;
}

void (*test_cleanup)(void);

void test_failed(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: not true: %s\n", file, line, what);
    fflush(stderr);
    if (test_cleanup)
        test_cleanup();
    _exit(1);
}

/* The stand-ins are built next to this program. */
static const char *beside_us(const char *name, char *out, size_t size)
{
    char exe[512];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

    if (n < 0)
        return NULL;
    exe[n] = 0;
    *strrchr(exe, '/') = 0;
    snprintf(out, size, "%s/%s", exe, name);
    return access(out, R_OK) ? NULL : out;
}

const char *fake_path(void)
{
    static char path[600];

    return beside_us("libfakexl.so", path, sizeof(path));
}

const char *simxl_path(void)
{
    static char path[600];

    return beside_us("../libsimxl.so", path, sizeof(path));
}

static bool run(int i)
{
    struct timespec begin, now;
    int status;
    pid_t pid;

    fflush(NULL);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    pid = fork();
    if (pid < 0)
        abort();
    if (!pid) {
        alarm((unsigned)tests[i].seconds);
        tests[i].function();
        exit(0);
    }
    while (waitpid(pid, &status, 0) < 0)
        ;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (!status) {
        printf("%s ok (%ld ms)\n", tests[i].name,
               (now.tv_sec - begin.tv_sec) * 1000 +
                   (now.tv_nsec - begin.tv_nsec) / 1000000);
        return true;
    }
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        printf("%s FAILED (not done after %d s)\n", tests[i].name,
               tests[i].seconds);
    else
        printf("%s FAILED (status 0x%x)\n", tests[i].name, status);
    return false;
}

int main(int argc, char **argv)
{
    int passed = 0, failed = 0, i;

    for (i = 0; i < test_count; i++) {
        if (argc > 1 && !strstr(tests[i].name, argv[1]))
            continue;
        if (run(i))
            passed++;
        else
            failed++;
    }
    printf("%d passed, %d failed\n", passed, failed);
    return failed ? 1 : 0;
}
