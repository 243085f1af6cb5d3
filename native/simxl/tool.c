/*
 * simxl: the tool for tests and the program that runs each domain.
 *
 *     simxl [--host DIR] COMMAND ...       DIR defaults to $SIMXL_HOST
 *
 * Exit codes: 0 done, 1 failed (verify: the memory is wrong), 2 usage,
 * 3 no such domain.
 */
#define _GNU_SOURCE
#include "tool.h"

#include "xl.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char usage_text[] =
    "usage: simxl [--host DIR] COMMAND\n"
    "  create NAME [--type pv|pvh|hvm] [--memory MiB] [--rate PAGES/S]\n"
    "         [--burst PAGES]\n"
    "         [--fill PERCENT] [--working-set PAGES] [--vcpus N] [--uuid U]\n"
    "         [--content mix|random|delta|text|sparse] [--beacon MS]\n"
    "         [--tick MS] [--nic] [--disk] [--ro-disk] [--pci] [--vnuma]\n"
    "         [--9pfs] [--usb] [--backend DOMAIN] [--paused] [--print]\n"
    "         [--on-poweroff|--on-reboot|--on-watchdog|--on-crash|\n"
    "          --on-soft-reset ACTION]\n"
    "  list [--json] | info NAME | config NAME | verify NAME\n"
    "  rate NAME PAGES/S | burst NAME PAGES | poweroff|reboot|crash|suspend|resume NAME\n"
    "  end NAME CODE\n"
    "  attach NAME LIST DEVICE | detach NAME LIST | mem-set NAME MiB\n"
    "  pause|unpause|destroy NAME | destroy-all | crash-host\n"
    "  freeze-host | thaw-host\n"
    "  fault RULE ... | fault --clear\n";

static int usage(void)
{
    fputs(usage_text, stderr);
    return 2;
}

/* By name or number. A dead domain can still be looked at and verified. */
static int open_domain(const char *host, const char *who, struct sx_domain *d)
{
    char *end;
    uint32_t domid = (uint32_t)strtoul(who, &end, 10);

    if ((end != who && !*end) || !sx_host_find(host, who, &domid))
        if (!sx_domain_map(host, domid, SX_MAP_MEMORY, d))
            return 0;
    fprintf(stderr, "simxl: no domain %s on %s\n", who, host);
    return 3;
}

static int order(struct sx_domain *d, uint32_t reason)
{
    struct sx_state *st = d->st;

    atomic_store(&st->order, reason + 1);
    sx_changed(st);
    for (int i = 0; i < 5000; i++) {
        uint32_t seen = atomic_load(&st->word);

        if (atomic_load(&st->shutdown))
            return 0;
        sx_wait_word(st, seen, 1);
    }
    fprintf(stderr, "simxl: the guest does not answer (paused?)\n");
    return 1;
}

static int give_order(struct sx_domain *d, _Atomic int64_t *order,
                      const char *text)
{
    char *end;
    long pages = strtol(text, &end, 10);

    if (end == text || *end || pages < 0)
        return usage();
    atomic_store(order, pages);
    sx_changed(d->st);
    return 0;
}

static int print_config(const char *host, struct sx_domain *d)
{
    char path[PATH_MAX], *text;

    sx_path(path, host, d->domid, "config.json");
    text = sx_read_file(path);
    if (!text)
        return 1;
    fputs(text, stdout);
    free(text);
    return 0;
}

/*
 * The configuration as it is once a device was attached (xl block-attach,
 * network-attach, pci-attach) or taken away, or the target moved (xl mem-set):
 * libxl keeps both up to date. LIST is a list of libxl_domain_config, DEVICE a
 * member of it as JSON; without one the last goes.
 */
static int change(const char *host, struct sx_domain *d, const char *what,
                  int argc, char **argv)
{
    char path[PATH_MAX], why[128], *text;
    struct json *root, *list, *device, *clean;
    int rc;

    sx_path(path, host, d->domid, "config.json");
    text = sx_read_file(path);
    root = text ? json_parse(text) : NULL;
    free(text);
    if (!root)
        return 1;
    if (!strcmp(what, "mem-set") && argc == 2) {
        json_add_int(json_get(root, "b_info"), "target_memkb",
                     strtol(argv[1], NULL, 10) * 1024);
    } else if (argc == 3 || argc == 2) {
        list = json_get(root, argv[1]);
        if (!list)
            list = json_add(root, argv[1], json_new(JSON_ARRAY));
        device = argc == 3 ? json_parse(argv[2]) : NULL;
        if (device)
            json_add(list, NULL, device);
        else if (argc == 2 && json_length(list))
            json_remove_last(list);
        else
            argc = 0;
    }
    clean = argc ? sx_config_clean(root, why, sizeof(why)) : NULL;
    json_free(root);
    text = clean ? json_print(clean) : NULL;
    json_free(clean);
    rc = text ? sx_write_file(path, text) != 0 : usage();
    free(text);
    return rc;
}

static int on_domain(const char *host, const char *what, int argc,
                     char **argv)
{
    struct sx_domain d;
    int rc;

    rc = open_domain(host, argv[0], &d);
    if (rc)
        return rc;
    if (!strcmp(what, "info"))
        rc = tool_info(host, &d);
    else if (!strcmp(what, "verify"))
        rc = tool_verify(&d);
    else if (!strcmp(what, "config"))
        rc = print_config(host, &d);
    else if (!strcmp(what, "attach") || !strcmp(what, "detach") ||
             !strcmp(what, "mem-set"))
        rc = change(host, &d, what, argc, argv);
    else if (!strcmp(what, "rate"))
        rc = argc == 2 ? give_order(&d, &d.st->rate_order, argv[1]) : usage();
    else if (!strcmp(what, "burst"))
        rc = argc == 2 ? give_order(&d, &d.st->burst_order, argv[1]) : usage();
    else if (!strcmp(what, "poweroff"))
        rc = order(&d, SX_POWEROFF);
    else if (!strcmp(what, "reboot"))
        rc = order(&d, SX_REBOOT);
    else if (!strcmp(what, "crash"))
        rc = order(&d, SX_CRASH);
    else if (!strcmp(what, "suspend"))
        rc = order(&d, SX_SUSPEND);
    else if (!strcmp(what, "end"))
        rc = argc == 2 ? order(&d, (uint32_t)atoi(argv[1])) : usage();
    else if (!strcmp(what, "resume"))
        rc = sx_domain_resume(d.st) != 0;
    else if (!strcmp(what, "pause"))
        sx_domain_pause(d.st);
    else if (!strcmp(what, "unpause"))
        rc = sx_domain_unpause(d.st) != 0;
    else if (!strcmp(what, "destroy"))
        rc = sx_domain_destroy(host, d.domid) != 0;
    else
        rc = usage();
    sx_domain_unmap(&d);
    return rc;
}

/* A host that stands still and goes on: its guests do, too. The processes of
 * the toolstack are the test's to stop. */
static int signal_all(const char *host, int signal)
{
    uint32_t ids[1024];
    int n = sx_host_list(host, ids, 1024);

    for (int i = 0; i < n; i++) {
        struct sx_domain d;

        if (sx_domain_map(host, ids[i], SX_MAP_STATE, &d))
            continue;
        if (sx_runner_alive(d.st))
            kill(atomic_load(&d.st->runner_pid), signal);
        sx_domain_unmap(&d);
    }
    return n < 0;
}

/* All at once is what a host does that loses its power: the domains first
 * stop, then vanish, so that none speaks after another has gone. */
static int destroy_all(const char *host)
{
    uint32_t ids[1024];
    int n = sx_host_list(host, ids, 1024), rc = 0;

    signal_all(host, SIGKILL);
    for (int i = 0; i < n; i++)
        if (sx_domain_destroy(host, ids[i]))
            rc = 1;
    return rc;
}

static int add_faults(const char *host, int argc, char **argv)
{
    char path[PATH_MAX + 8];
    FILE *f;

    if (argc == 1 && !strcmp(argv[0], "--clear"))
        return sx_fault_clear(host) != 0;
    for (int i = 0; i < argc; i++)
        if (!sx_fault_valid(argv[i])) {
            fprintf(stderr, "simxl: not a fault rule: %s\n", argv[i]);
            return 2;
        }
    snprintf(path, sizeof(path), "%s/faults", host);
    f = fopen(path, "a");
    if (!f)
        return 1;
    for (int i = 0; i < argc; i++)
        fprintf(f, "%s\n", argv[i]);
    return fclose(f) != 0;
}

/* The second fork of launch.c: nobody's child, no descriptors, own session. */
static int launch(int argc, char **argv)
{
    int null;

    if (argc != 2)
        return 2;
    if (fork())
        _exit(0);
    setsid();
    null = open("/dev/null", O_RDWR);
    for (int fd = 0; fd < 3; fd++)
        dup2(null, fd);
    if (syscall(SYS_close_range, 3u, ~0u, 0u))
        for (int fd = 3; fd < 4096; fd++)
            close(fd);
    if (chdir("/"))
        return 1;
    execl("/proc/self/exe", "simxl", "run", argv[0], argv[1], (char *)NULL);
    return 1;
}

int main(int argc, char **argv)
{
    const char *host = getenv("SIMXL_HOST"), *what;

    argc--, argv++;
    if (argc >= 2 && !strcmp(argv[0], "--host"))
        host = argv[1], argc -= 2, argv += 2;
    if (argc < 1)
        return usage();
    what = argv[0];
    if (!strcmp(what, "launch"))
        return launch(argc - 1, argv + 1);
    if (!strcmp(what, "run") && argc == 3)
        return sx_run(argv[1], (uint32_t)strtoul(argv[2], NULL, 10));
    if (!host || sx_host_open(host)) {
        fprintf(stderr, "simxl: SIMXL_HOST or --host must name a folder by"
                " its absolute path\n");
        return 2;
    }
    if (!strcmp(what, "create"))
        return tool_create(host, argc, argv);
    if (!strcmp(what, "list"))
        return tool_list(host, argc > 1 && !strcmp(argv[1], "--json"));
    if (!strcmp(what, "destroy-all") || !strcmp(what, "crash-host"))
        return destroy_all(host);
    if (!strcmp(what, "freeze-host"))
        return signal_all(host, SIGSTOP);
    if (!strcmp(what, "thaw-host"))
        return signal_all(host, SIGCONT);
    if (!strcmp(what, "fault") && argc > 1)
        return add_faults(host, argc - 1, argv + 1);
    if (argc < 2)
        return usage();
    return on_domain(host, what, argc - 1, argv + 1);
}
