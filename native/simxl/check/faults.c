/* Faults on request do what README.md says, and are caught. */
#define _GNU_SOURCE
#include "pair.h"
#include "tests.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_fail_on_request(void)
{
    libxl_ctx *ctx = open_ctx(host_a);
    uint32_t d;

    tool(host_a, "create g --memory 4 --paused");
    CHECK(libxl_name_to_domid(ctx, "g", &d) == 0);
    tool(host_a, "fault 'libxl_domain_unpause fail -5 times=2'"
         " 'libxl_domain_pause fail after=1 times=1'"
         " 'libxl_domain_info fail domain=other'");
    CHECK(libxl_domain_unpause(ctx, d, NULL) == -5);
    CHECK(libxl_domain_unpause(ctx, d, NULL) == -5);
    CHECK(libxl_domain_unpause(ctx, d, NULL) == 0);
    CHECK(libxl_domain_pause(ctx, d, NULL) == 0);
    CHECK(libxl_domain_pause(ctx, d, NULL) == ERROR_FAIL);
    CHECK(libxl_domain_pause(ctx, d, NULL) == 0);
    CHECK(libxl_domain_info(ctx, NULL, d) == 0);
    setenv("SIMXL_FAULTS", "libxl_domain_info stall 30; libxl_domain_info"
           " fail -21", 1);
    CHECK(libxl_domain_info(ctx, NULL, d) == -21);
    unsetenv("SIMXL_FAULTS");
    tool(host_a, "fault --clear");
    libxl_ctx_free(ctx);
}

static void test_start_fails(void)
{
    struct pair p = { .guest = "g", .interval_ms = 5 };

    tool(host_a, "create g --memory 4");
    tool(host_a, "fault 'libxl_domain_remus_start fail -3'");
    run_pair(&p);
    CHECK(p.save_rc == -3 && p.bytes == 0);
    free_pair(&p);
}

/* The deliberate bug must be caught by the memory's own bookkeeping. */
static void test_drop_is_caught(void)
{
    struct pair p = { .guest = "g", .interval_ms = 2, .epochs = 100,
                      .restore = true };

    tool(host_a, "create g --type pv --memory 64 --rate 2000");
    tool(host_a, "fault 'save.page drop=100'");
    run_pair(&p);
    CHECK(p.restore_rc == 0);
    CHECK(strstr(tool(host_b, "verify g"), "WRONG") && tool_exit == 1);
    tool(host_a, "verify g");
    CHECK(tool_exit == 0);
    free_pair(&p);
}

static void test_corrupt_page(void)
{
    struct pair p = { .guest = "g", .interval_ms = 2, .epochs = 3,
                      .restore = true };

    /* Written by nobody: a page that is sent again would be whole again. */
    tool(host_a, "create g --type pv --memory 8 --fill 100 --rate 0");
    tool(host_a, "fault 'save.stream corrupt 5000000 epoch=0'");
    run_pair(&p);
    CHECK(p.restore_rc == 0);
    tool(host_b, "verify g");
    CHECK(tool_exit == 1);
    free_pair(&p);
}

/* A stream that breaks off in epoch 2 leaves the copy of epoch 1. */
static void test_cut_stream(void)
{
    struct pair p = { .guest = "g", .interval_ms = 2, .restore = true };

    tool(host_a, "create g --type pv --memory 8 --rate 20000");
    tool(host_a, "fault 'save.stream cut 9000 epoch=2'");
    run_pair(&p);
    CHECK(p.save_rc == 0 && p.seen_epochs == 2);
    CHECK(in_state(host_a, "g", "suspended")); /* as libxl leaves it */
    CHECK(p.restore_rc == 0);
    CHECK(says(host_b, "g", "\"epoch\": 1"));
    tool(host_b, "verify g");
    CHECK(tool_exit == 0);
    free_pair(&p);
}

static void stop_when_restore_failed(struct pair *p)
{
    if (p->restore_done && !p->aborted) {
        p->aborted = true;
        CHECK(libxl_ao_abort(p->save_ctx, &p->save_how) == 0);
    }
}

static void test_apply_fails(void)
{
    struct pair p = { .guest = "g", .interval_ms = 2, .restore = true,
                      .each_turn = stop_when_restore_failed };
    uint32_t d;

    tool(host_a, "create g --memory 4");
    tool(host_b, "fault 'restore.apply epoch=3 fail'");
    run_pair(&p);
    CHECK(p.restore_rc == ERROR_FAIL);
    CHECK(libxl_name_to_domid(p.restore_ctx, "g", &d) == ERROR_INVAL);
    p.save_ctx = NULL; /* the abort may have met a wait for the guest */
    free_pair(&p);
}

/* The process ends exactly there, and the guest stays as it was there. */
static void test_kill(void)
{
    struct pair p = { .guest = "g", .interval_ms = 2 };
    int status;
    pid_t pid;

    tool(host_a, "create g --memory 4");
    tool(host_a, "fault 'save.postcopy kill epoch=2'");
    pid = fork();
    if (pid == 0) {
        run_pair(&p);
        _exit(0);
    }
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFSIGNALED(status));
    CHECK(in_state(host_a, "g", "suspended"));
}

static void test_rule_errors(void)
{
    libxl_ctx *ctx = open_ctx(host_a);

    tool(host_a, "fault 'libxl_domain_info explode' 2>/dev/null");
    CHECK(tool_exit == 2); /* refused at once, not ignored later */
    CHECK(libxl_domain_info(ctx, NULL, 1) == ERROR_DOMAIN_NOTFOUND);
    libxl_ctx_free(ctx);
}

const struct test fault_tests[] = {
    { "fail on request", test_fail_on_request },
    { "start fails", test_start_fails },
    { "dropped page", test_drop_is_caught },
    { "corrupt page", test_corrupt_page },
    { "cut stream", test_cut_stream },
    { "apply fails", test_apply_fails },
    { "kill", test_kill },
    { "rule errors", test_rule_errors },
    { 0, 0 }
};
