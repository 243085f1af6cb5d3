/*
 * simxl's self-test. Two folders under $CHECK_DIR are the hosts. Every test
 * cleans up after itself; the first failure is fatal, with its line.
 */
#define _GNU_SOURCE
#include "pair.h"
#include "tests.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *test_name = "";
static long checks;

void check(bool ok, const char *what, const char *file, int line)
{
    checks++;
    if (ok)
        return;
    fprintf(stderr, "simxl-check: %s: %s:%d: not so: %s\n", test_name, file,
            line, what);
    exit(1);
}

static char folder_a[PATH_MAX], folder_b[PATH_MAX];

static int run_all(const struct test *t, const char *only)
{
    int ran = 0;

    for (; t->name; t++) {
        uint64_t began = now_ns();

        if (only && !strstr(t->name, only))
            continue;
        test_name = t->name;
        t->run();
        tool(host_a, "destroy-all");
        tool(host_b, "destroy-all");
        tool(host_a, "fault --clear");
        tool(host_b, "fault --clear");
        printf("ok %-32s %7.1f ms\n", t->name,
               (double)(now_ns() - began) / 1e6);
        fflush(stdout);
        ran++;
    }
    return ran;
}

int main(int argc, char **argv)
{
    const char *dir = getenv("CHECK_DIR"), *only = argc > 1 ? argv[1] : NULL;
    uint64_t start = now_ns();
    int ran = 0;

    signal(SIGPIPE, SIG_IGN);
    if (!dir || !getenv("SIMXL_TOOL")) {
        fprintf(stderr, "simxl-check: to be started by check.sh\n");
        return 2;
    }
    snprintf(folder_a, sizeof(folder_a), "%s/a", dir);
    snprintf(folder_b, sizeof(folder_b), "%s/b", dir);
    host_a = folder_a;
    host_b = folder_b;
    ran += run_all(stream_tests, only);
    ran += run_all(life_tests, only);
    ran += run_all(fault_tests, only);
    printf("simxl-check: %d tests, %ld checks passed in %.1f s\n", ran, checks,
           (double)(now_ns() - start) / 1e9);
    return ran ? 0 : 1;
}
