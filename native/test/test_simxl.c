/*
 * A whole protection against the stand-in libxenlight: a guest is copied epoch by
 * epoch from one host to another, the first host is lost, the copy is activated
 * and its memory verified. Skipped (and said so) where simxl was not built.
 */
#include "session.h"
#include "../xen/internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static char hosts[64];

PRINTF(1, 2) static int simxl(const char *format, ...)
{
    char command[900], args[400];
    va_list list;

    va_start(list, format);
    vsnprintf(args, sizeof(args), format, list);
    va_end(list);
    snprintf(command, sizeof(command), "%.*s/simxl --host %s/%s >/dev/null",
             (int)(strrchr(simxl_path(), '/') - simxl_path()), simxl_path(),
             hosts, args);
    return system(command);
}

static void clean_up(void)
{
    char command[100];

    simxl("a destroy-all");
    simxl("b destroy-all");
    snprintf(command, sizeof(command), "rm -rf %s", hosts);
    if (system(command))
        perror(hosts);
}

static void open_simxl(const char *host)
{
    char path[80];

    snprintf(path, sizeof(path), "%s/%s", hosts, host);
    setenv("SIMXL_HOST", path, 1);
    CHECK(tsr_open(simxl_path()) == 0);
}

/* ---- the backup: reads [length, configuration] and the stream, then activates -- */

static void read_all(int fd, void *out, size_t size)
{
    char *p = out;

    while (size) {
        ssize_t r = read(fd, p, size);

        CHECK(r > 0);
        p += r;
        size -= (size_t)r;
    }
}

static void backup(int link)
{
    static uint8_t buffer[1 << 20];
    char *config, text[256];
    struct tsr_stream_stats stats;
    struct event event;
    uint32_t length;
    int handle, fd, rc;
    ssize_t n;

    open_simxl("b");
    read_all(link, &length, 4);
    config = calloc(1, length + 1);
    read_all(link, config, length);
    handle = tsr_restore_start(config, 64u << 20, &fd);
    CHECK(handle >= 0);
    while ((n = read(link, buffer, sizeof(buffer))) > 0) {
        while ((rc = tsr_restore_feed(handle, buffer, (size_t)n, &stats))) {
            if (rc != -ENOBUFS) {
                tsr_error_text(handle, text, sizeof(text));
                fprintf(stderr, "feed: %s\n", text);
                CHECK(0);
            }
            sleep_ms(1);
        }
        CHECK(tsr_restore_apply(handle, stats.epoch_end) == 0);
    }
    CHECK(tsr_restore_finish(handle) == 0);
    wait_event(fd, TSR_EV_ENDED, &event);
    if (event.e.a)
        fprintf(stderr, "restore: %lld %s\n", (long long)event.e.a, event.text);
    CHECK(event.e.a == 0);
    CHECK(tsr_domain_rename((uint32_t)event.e.b, "g1--incoming", "g1") == 0);
    CHECK(tsr_domain_id("g1") == (int)event.e.b);
    CHECK(tsr_domain_unpause((uint32_t)event.e.b) == 0);
    CHECK(tsr_restore_free(handle) == 0);
    free(config);
    _exit(0);
}

/* ---- the primary ----------------------------------------------------------------- */

static void write_all(int fd, const void *data, size_t size)
{
    const char *p = data;

    while (size) {
        ssize_t r = write(fd, p, size);

        CHECK(r > 0);
        p += r;
        size -= (size_t)r;
    }
}

static void send_config(int link, uint32_t domid)
{
    char config[65536], changed[65600], *name;
    uint32_t length;

    CHECK(tsr_domain_config(domid, config, sizeof(config)) > 0);
    name = strstr(config, "\"g1\"");
    CHECK(name);
    length = (uint32_t)snprintf(changed, sizeof(changed),
                                "%.*s\"g1--incoming\"%s", (int)(name - config),
                                config, name + 4);
    write_all(link, &length, 4);
    write_all(link, changed, length);
}

/* After the last epoch the guest is there, paused, not suspended. */
static void check_stands_still(uint32_t domid)
{
    char json[4096];

    CHECK(tsr_domain_info(domid, json, sizeof(json)) > 0);
    CHECK(tsr_json_true(json, "paused") && !tsr_json_true(json, "shutdown"));
}

/* Copies EPOCHS epochs to LINK, hands over with the last, ends in order. */
static void primary(int link, int epochs)
{
    static uint8_t buffer[1 << 20];
    struct event event;
    int handle, fd, domid, n;
    int64_t epoch = 0;

    open_simxl("a");
    domid = tsr_domain_id("g1");
    CHECK(domid > 0);
    send_config(link, (uint32_t)domid);
    handle = tsr_save_start((uint32_t)domid, 256u << 20, NULL, 0, &fd);
    CHECK(handle >= 0);
    while (epoch < epochs) {
        CHECK(next_event(fd, &event, 20000));
        while ((n = tsr_save_read(handle, buffer, sizeof(buffer))) > 0)
            write_all(link, buffer, (size_t)n);
        CHECK(event.e.kind != TSR_EV_FAILED && event.e.kind != TSR_EV_ENDED);
        if (event.e.kind != TSR_EV_EPOCH_END)
            continue;
        CHECK(event.e.a == epoch++);
        sleep_ms(5);
        if (epoch < epochs)
            CHECK(tsr_save_checkpoint(handle, epoch == epochs - 1) == 0);
    }
    check_stands_still((uint32_t)domid);
    CHECK(tsr_save_abort(handle) == 0);
    wait_event(fd, TSR_EV_ENDED, &event);
    CHECK(event.e.a == -22);
    CHECK(tsr_save_free(handle) == 0);
    check_stands_still((uint32_t)domid);
}

static void protect(const char *type, int epochs, const char *options)
{
    int link[2], status;
    pid_t pid;

    if (!simxl_path()) {
        printf("    skipped: no libsimxl.so\n");
        return;
    }
    snprintf(hosts, sizeof(hosts), "/dev/shm/tsr-test-%d", getpid());
    test_cleanup = clean_up;
    CHECK(simxl("a create g1 --type %s --memory 32 --rate 2000 %s", type,
                options) == 0);
    CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, link));
    pid = fork();
    if (!pid) {
        test_cleanup = NULL;
        close(link[0]);
        backup(link[1]);
    }
    close(link[1]);
    primary(link[0], epochs);
    close(link[0]);
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    CHECK(simxl("a crash-host") == 0);
    CHECK(simxl("b verify g1") == 0);
    clean_up();
}

TEST(simxl_protects_pv)
{
    protect("pv", 20, "");
}

TEST(simxl_protects_pvh)
{
    protect("pvh", 20, "");
}

TEST(simxl_protects_hvm)
{
    protect("hvm", 20, "");
}
