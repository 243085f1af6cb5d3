/* Saving and restoring, whole, aborted and torn. */
#define _GNU_SOURCE
#include "pair.h"
#include "tests.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static bool same_memory(struct pair *p)
{
    char path[PATH_MAX];
    uint8_t *copy;
    bool same;
    int fd;

    snprintf(path, sizeof(path), "%s/%u/memory", host_b, p->copy);
    fd = open(path, O_RDONLY);
    copy = mmap(NULL, p->snapshot_size, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    CHECK(copy != MAP_FAILED);
    same = !memcmp(copy, p->snapshot, p->snapshot_size);
    munmap(copy, p->snapshot_size);
    return same;
}

/* The copy is the memory of the last CHECKPOINT, byte by byte, and lives. */
static void whole(const char *type, long rate, long epochs)
{
    struct pair p = { .guest = "g", .interval_ms = 4, .epochs = epochs,
                      .restore = true };

    tool(host_a, "create g --type %s --memory 16 --rate %ld", type, rate);
    CHECK(tool_exit == 0);
    run_pair(&p);
    CHECK(p.save_rc == ERROR_ABORTED);
    CHECK(p.restore_rc == 0);
    CHECK(p.seen_epochs == epochs && p.seen_checkpoints == epochs);
    CHECK(p.not_suspended == 0);
    CHECK(same_memory(&p));
    CHECK(in_state(host_b, "g", "paused"));
    CHECK(in_state(host_a, "g", "running"));
    tool(host_b, "verify g");
    CHECK(tool_exit == 0);
    CHECK(libxl_domain_unpause(p.restore_ctx, p.copy, NULL) == 0);
    /* However slow the machine is: only a hang takes five minutes. */
    for (int i = 0; i < 30000 && same_memory(&p); i++)
        usleep(10000);
    CHECK(!same_memory(&p)); /* it runs on */
    tool(host_b, "verify g");
    CHECK(tool_exit == 0);
    tool(host_a, "verify g");
    CHECK(tool_exit == 0);
    free_pair(&p);
}

static void test_pv_idle(void) { whole("pv", 0, 50); }
static void test_pv_2000(void) { whole("pv", 2000, 50); }
static void test_pv_20000(void) { whole("pv", 20000, 50); }
static void test_pvh_2000(void) { whole("pvh", 2000, 50); }
static void test_pvh_200000(void) { whole("pvh", 200000, 50); }
static void test_hvm_20000(void) { whole("hvm", 20000, 50); }

/* The next checkpoint waits as long as `now` stands still. */
static void test_frozen_now(void)
{
    struct pair p = { .guest = "g", .interval_ms = 5, .epochs = 3,
                      .hold_ms = 300 };

    tool(host_a, "create g --memory 8");
    run_pair(&p);
    CHECK(p.held_ms >= 300);
    free_pair(&p);
}

static void note_cut(struct pair *p)
{
    if (p->seen_checkpoints == 5) /* in the middle of epoch 4: 3 is whole */
        p->cut_at = p->bytes - 20000;
}

static void test_torn_epoch(void)
{
    struct pair p = { .guest = "g", .interval_ms = 20, .epochs = 5,
                      .restore = true, .at_checkpoint = note_cut };

    tool(host_a, "create g --type pv --memory 8 --rate 20000");
    run_pair(&p);
    CHECK(p.restore_rc == 0);
    tool(host_b, "verify g");
    CHECK(tool_exit == 0);
    CHECK(strstr(tool(host_b, "info g"), "\"epoch\": 3"));
    free_pair(&p);
}

static void test_end_in_epoch_0(void)
{
    struct pair p = { .guest = "g", .interval_ms = 5, .epochs = 2,
                      .restore = true, .cut_at = 100000 };
    uint32_t domid;

    tool(host_a, "create g --memory 8");
    run_pair(&p);
    CHECK(p.restore_rc == ERROR_FAIL);
    CHECK(libxl_name_to_domid(p.restore_ctx, "g", &domid) == ERROR_INVAL);
    free_pair(&p);
}

/* As libxl: the domain of an aborted creation is retained. */
static void test_abort_restore(void)
{
    struct pair p = { .guest = "g", .interval_ms = 5, .epochs = 3,
                      .restore = true, .abort_restore = true };

    tool(host_a, "create g --memory 8");
    run_pair(&p);
    CHECK(p.restore_rc == ERROR_ABORTED);
    CHECK(in_state(host_b, "g", "making"));
    CHECK(libxl_domain_destroy(p.restore_ctx, p.copy, NULL) == 0);
    tool(host_b, "info g 2>/dev/null");
    CHECK(tool_exit == 3);
    free_pair(&p);
}

static void abort_early(struct pair *p)
{
    if (p->bytes > 1000000 && !p->aborted) {
        p->aborted = true;
        CHECK(libxl_ao_abort(p->save_ctx, &p->save_how) == 0);
    }
}

static void test_abort_seed(void)
{
    struct pair p = { .guest = "g", .interval_ms = 5,
                      .each_turn = abort_early };

    tool(host_a, "create g --memory 64 --fill 100");
    tool(host_a, "fault 'save.live stall 30'");
    run_pair(&p);
    CHECK(p.save_rc == ERROR_ABORTED && p.seen_checkpoints == 0);
    CHECK(in_state(host_a, "g", "running"));
    free_pair(&p);
}

/* Asked to suspend and then left alone, the guest suspends later. */
static void abort_in_suspend(struct pair *p)
{
    static uint64_t since;

    if (p->seen_epochs == 0 && p->bytes > 8000000 && !since)
        since = now_ns();
    if (since && now_ns() > since + 100000000ull && !p->aborted) {
        p->aborted = true;
        CHECK(libxl_ao_abort(p->save_ctx, &p->save_how) == 0);
    }
}

static void test_abort_suspending(void)
{
    struct pair p = { .guest = "g", .interval_ms = 5,
                      .each_turn = abort_in_suspend };

    tool(host_a, "create g --memory 8");
    tool(host_a, "fault 'guest.suspend stall 800'");
    run_pair(&p);
    CHECK(p.save_rc == ERROR_ABORTED && p.seen_checkpoints == 0);
    CHECK(in_state(host_a, "g", "running"));
    CHECK(comes_to(host_a, "g", "suspended"));
    CHECK(libxl_domain_resume(p.info_ctx, p.domid, 1, NULL) == 0);
    CHECK(in_state(host_a, "g", "running"));
    p.save_ctx = NULL; /* the wait is left: it cannot be freed, as with libxl */
    free_pair(&p);
}

static void power_off(struct pair *p)
{
    if (p->seen_epochs == 2)
        tool(host_a, "poweroff g");
}

/* libxl calls this a success: it reports Remus' tear-down. */
static void test_poweroff(void)
{
    struct pair p = { .guest = "g", .interval_ms = 5, .each_turn = power_off };
    libxl_dominfo info;

    tool(host_a, "create g --memory 8");
    run_pair(&p);
    CHECK(p.save_rc == 0);
    libxl_dominfo_init(&info);
    CHECK(libxl_domain_info(p.info_ctx, &info, p.domid) == 0);
    CHECK(info.shutdown && info.shutdown_reason == SX_POWEROFF);
    free_pair(&p);
}

static void destroy_it(struct pair *p)
{
    if (p->seen_epochs == 2)
        libxl_domain_destroy(p->info_ctx, p->domid, NULL);
}

static void test_destroyed(void)
{
    struct pair p = { .guest = "g", .interval_ms = 5,
                      .each_turn = destroy_it };

    tool(host_a, "create g --memory 8");
    run_pair(&p);
    CHECK(p.save_rc == 0);
    CHECK(libxl_domain_info(p.info_ctx, NULL, p.domid) ==
          ERROR_DOMAIN_NOTFOUND);
    free_pair(&p);
}

/* The handover: paused at a CHECKPOINT through another context, the guest
 * does not run again although libxl resumes it. */
static void pause_it(struct pair *p)
{
    if (p->seen_checkpoints == 3)
        CHECK(libxl_domain_pause(p->info_ctx, p->domid, NULL) == 0);
}

static void test_handover(void)
{
    struct pair p = { .guest = "g", .interval_ms = 5, .epochs = 3,
                      .restore = true, .at_checkpoint = pause_it };

    tool(host_a, "create g --type pv --memory 8 --rate 20000");
    run_pair(&p);
    CHECK(p.restore_rc == 0);
    CHECK(in_state(host_a, "g", "paused"));
    usleep(20000);
    CHECK(same_memory(&p));
    free_pair(&p);
}

/* A reader that was killed leaves its half-made domain behind. */
static void test_killed_reader(void)
{
    struct pair p = { .guest = "g", .interval_ms = 5, .restore = true };
    int status;
    pid_t pid;

    tool(host_a, "create g --memory 8");
    pid = fork();
    if (pid == 0) {
        run_pair(&p);
        _exit(0);
    }
    CHECK(comes_to(host_b, "g", "making"));
    usleep(50000);
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    CHECK(in_state(host_b, "g", "making"));
    tool(host_b, "destroy g");
    CHECK(tool_exit == 0);
    tool(host_a, "info g");
    CHECK(tool_exit == 0);
}

/* Where the application owns SIGCHLD, nothing ends without it, and a call
 * that would wait for it is refused. */
static void test_sigchld(void)
{
    struct pair p = { .guest = "g", .interval_ms = 5, .epochs = 2,
                      .own_sigchld = true };

    tool(host_a, "create g --memory 4");
    run_pair(&p);
    CHECK(p.save_rc == ERROR_ABORTED);
    CHECK(libxl_domain_destroy(p.save_ctx, p.domid, NULL) == ERROR_FAIL);
    CHECK(libxl_domain_pause(p.save_ctx, p.domid, NULL) == 0);
    CHECK(libxl_domain_destroy(p.info_ctx, p.domid, NULL) == 0);
    free_pair(&p);
}

/* Without an ao_how the call runs the loop itself and returns at the end. */
static void test_synchronous(void)
{
    libxl_domain_remus_info info;
    libxl_ctx *ctx = open_ctx(host_a);
    uint32_t domid;
    int fds[2];

    tool(host_a, "create g --memory 8");
    CHECK(libxl_name_to_domid(ctx, "g", &domid) == 0);
    libxl_domain_remus_info_init(&info);
    CHECK(libxl_domain_remus_start(ctx, &info, domid, 1, -1, NULL) ==
          ERROR_FAIL); /* colo not set */
    info.interval = 5;
    info.allow_unsafe.val = 1;
    info.netbuf.val = info.diskbuf.val = info.colo.val = -1;
    CHECK(pipe(fds) == 0);
    close(fds[0]);
    CHECK(libxl_domain_remus_start(ctx, &info, domid, fds[1], -1, NULL) == 0);
    close(fds[1]);
    libxl_ctx_free(ctx);
}

const struct test stream_tests[] = {
    { "pv idle", test_pv_idle },
    { "pv 2000 pages/s", test_pv_2000 },
    { "pv 20000 pages/s", test_pv_20000 },
    { "pvh 2000 pages/s", test_pvh_2000 },
    { "pvh 200000 pages/s", test_pvh_200000 },
    { "hvm 20000 pages/s", test_hvm_20000 },
    { "frozen now", test_frozen_now },
    { "torn epoch", test_torn_epoch },
    { "end in epoch 0", test_end_in_epoch_0 },
    { "abort restore", test_abort_restore },
    { "abort seed", test_abort_seed },
    { "abort suspending", test_abort_suspending },
    { "poweroff", test_poweroff },
    { "destroyed", test_destroyed },
    { "handover", test_handover },
    { "killed reader", test_killed_reader },
    { "sigchld", test_sigchld },
    { "synchronous", test_synchronous },
    { 0, 0 }
};
