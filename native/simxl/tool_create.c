/*
 * simxl create: a configuration as libxl would keep it for such a guest, with
 * whatever devices a test wants to see refused, and the guest itself.
 */
#define _GNU_SOURCE
#include "tool.h"

#include "create.h"
#include "xl.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

struct wish {
    const char *name, *type, *uuid, *content, *backend, *pool;
    long memory, maxmem, rate, burst, fill, working_set, beacon, tick, vcpus;
    int nics, disks, ro_disks;
    bool pci, vnuma, p9, usb, paused, print;
    const char *on_poweroff, *on_reboot, *on_watchdog, *on_crash;
    const char *on_soft_reset;
};

static void random_uuid(char *out)
{
    uint8_t u[16];

    if (getrandom(u, sizeof(u), 0) != sizeof(u))
        abort();
    u[6] = (u[6] & 0x0f) | 0x40;
    u[8] = (u[8] & 0x3f) | 0x80;
    sx_uuid_print(u, out);
}

static void add_backend(struct json *device, const struct wish *w)
{
    if (w->backend) {
        json_add_int(device, "backend_domid", 3);
        json_add_text(device, "backend_domname", w->backend);
    }
}

static void add_disk(struct json *disks, const struct wish *w, int n, bool rw)
{
    struct json *d = json_add(disks, NULL, json_new(JSON_OBJECT));
    char path[SX_NAME_MAX + 64], vdev[8];

    snprintf(path, sizeof(path), "/var/lib/xen/images/%s-%d.img", w->name, n);
    snprintf(vdev, sizeof(vdev), "xvd%c", 'a' + n);
    add_backend(d, w);
    json_add_text(d, "pdev_path", path);
    json_add_text(d, "vdev", vdev);
    json_add_text(d, "backend", "phy");
    json_add_text(d, "format", "raw");
    if (rw)
        json_add_int(d, "readwrite", 1);
    /* As libxl's defaults say of each (libxl__device_disk_setdefault). */
    json_add_text(d, "discard_enable", rw ? "True" : "False");
    json_add_text(d, "colo_restore_enable", "False");
}

static void add_nic(struct json *nics, const struct wish *w, int n)
{
    struct json *nic = json_add(nics, NULL, json_new(JSON_OBJECT));
    char mac[32];
    uint8_t low[2];

    if (getrandom(low, sizeof(low), 0) != sizeof(low))
        abort();
    snprintf(mac, sizeof(mac), "00:16:3e:%02x:%02x:%02x", low[0], low[1], n);
    add_backend(nic, w);
    json_add_int(nic, "devid", n);
    json_add_text(nic, "mac", mac);
    json_add_text(nic, "bridge", "xenbr0");
    json_add_text(nic, "script", "/etc/xen/scripts/vif-bridge");
    json_add_text(nic, "nictype", "vif");
}

static void add_odd_devices(struct json *root, struct json *b_info,
                            const struct wish *w)
{
    if (w->pci) {
        struct json *a = json_add(root, "pcidevs", json_new(JSON_ARRAY));
        struct json *p = json_add(a, NULL, json_new(JSON_OBJECT));

        json_add_int(p, "dev", 3);
        json_add_int(p, "vdevfn", 0);
        json_add_text(p, "rdm_policy", "strict");
    }
    if (w->p9) {
        struct json *a = json_add(root, "p9s", json_new(JSON_ARRAY));
        struct json *p = json_add(a, NULL, json_new(JSON_OBJECT));

        json_add_text(p, "tag", "share");
        json_add_text(p, "path", "/srv/share");
        json_add_text(p, "security_model", "none");
        json_add_int(p, "devid", 0);
    }
    if (w->usb) {
        struct json *a = json_add(root, "usbctrls", json_new(JSON_ARRAY));
        struct json *p = json_add(a, NULL, json_new(JSON_OBJECT));

        json_add_text(p, "type", "pv");
        json_add_int(p, "devid", 0);
    }
    if (w->vnuma) {
        struct json *a = json_add(b_info, "vnuma_nodes", json_new(JSON_ARRAY));

        for (int i = 0; i < 2; i++) {
            struct json *n = json_add(a, NULL, json_new(JSON_OBJECT));

            json_add_int(n, "memkb", w->memory * 1024 / 2);
        }
    }
}

static struct json *build_info(const struct wish *w)
{
    struct json *b = json_new(JSON_OBJECT), *cpus, *sched;
    char cmdline[512], key[16];

    snprintf(cmdline, sizeof(cmdline), "console=hvc0 simxl.rate=%ld"
             " simxl.fill=%ld simxl.working_set=%ld simxl.beacon=%ld"
             " simxl.tick=%ld simxl.content=%s simxl.burst=%ld", w->rate,
             w->fill, w->working_set, w->beacon, w->tick, w->content,
             w->burst);
    json_add_int(b, "max_vcpus", w->vcpus);
    cpus = json_add(b, "avail_vcpus", json_new(JSON_ARRAY));
    for (long i = 0; i < w->vcpus; i++)
        json_add_int(cpus, NULL, i);
    json_add_int(b, "max_memkb",
                 (w->maxmem > w->memory ? w->maxmem : w->memory) * 1024);
    json_add_int(b, "target_memkb", w->memory * 1024);
    json_add_int(b, "video_memkb", 0);
    json_add_int(b, "shadow_memkb", 1024 + w->memory * 8);
    sched = json_add(b, "sched_params", json_new(JSON_OBJECT));
    json_add_text(sched, "sched", "credit2");
    json_add_int(sched, "weight", 256);
    json_add_text(b, "claim_mode", "True");
    json_add_text(b, "kernel", "/boot/vmlinuz-guest");
    json_add_text(b, "cmdline", cmdline);
    snprintf(key, sizeof(key), "type.%s", w->type);
    json_add(b, key, json_new(JSON_OBJECT));
    return b;
}

static struct json *configuration(const struct wish *w)
{
    struct json *root = json_new(JSON_OBJECT), *c, *b, *disks, *nics;

    c = json_add(root, "c_info", json_new(JSON_OBJECT));
    json_add_text(c, "type", w->type);
    if (strcmp(w->type, "pv"))
        json_add_text(c, "hap", "True");
    json_add_text(c, "name", w->name);
    json_add_text(c, "uuid", w->uuid);
    if (w->pool)
        json_add_text(c, "pool_name", w->pool);
    json_add_text(c, "run_hotplug_scripts", "True");
    b = json_add(root, "b_info", build_info(w));
    disks = json_add(root, "disks", json_new(JSON_ARRAY));
    for (int i = 0; i < w->disks + w->ro_disks; i++)
        add_disk(disks, w, i, i < w->disks);
    nics = json_add(root, "nics", json_new(JSON_ARRAY));
    for (int i = 0; i < w->nics; i++)
        add_nic(nics, w, i);
    add_odd_devices(root, b, w);
    json_add_text(root, "on_poweroff", w->on_poweroff);
    json_add_text(root, "on_reboot", w->on_reboot);
    json_add_text(root, "on_watchdog", w->on_watchdog);
    json_add_text(root, "on_crash", w->on_crash);
    json_add_text(root, "on_soft_reset", w->on_soft_reset);
    return root;
}

enum { O_TYPE = 256, O_MEMORY, O_RATE, O_BURST, O_FILL, O_SET, O_BEACON, O_TICK,
       O_CONTENT, O_VCPUS, O_UUID, O_NIC, O_DISK, O_RODISK, O_PCI, O_VNUMA,
       O_P9, O_USB, O_BACKEND, O_POOL, O_MAXMEM, O_PAUSED, O_PRINT, O_POWEROFF, O_REBOOT,
       O_WATCHDOG, O_CRASH, O_SOFT_RESET };

static const struct option options[] = {
    { "type", 1, 0, O_TYPE }, { "memory", 1, 0, O_MEMORY },
    { "rate", 1, 0, O_RATE }, { "burst", 1, 0, O_BURST },
    { "fill", 1, 0, O_FILL },
    { "working-set", 1, 0, O_SET }, { "beacon", 1, 0, O_BEACON },
    { "tick", 1, 0, O_TICK }, { "content", 1, 0, O_CONTENT },
    { "vcpus", 1, 0, O_VCPUS }, { "uuid", 1, 0, O_UUID },
    { "nic", 0, 0, O_NIC }, { "disk", 0, 0, O_DISK },
    { "ro-disk", 0, 0, O_RODISK }, { "pci", 0, 0, O_PCI },
    { "vnuma", 0, 0, O_VNUMA }, { "9pfs", 0, 0, O_P9 },
    { "usb", 0, 0, O_USB }, { "backend", 1, 0, O_BACKEND },
    { "pool", 1, 0, O_POOL }, { "maxmem", 1, 0, O_MAXMEM },
    { "paused", 0, 0, O_PAUSED }, { "print", 0, 0, O_PRINT },
    { "on-poweroff", 1, 0, O_POWEROFF }, { "on-reboot", 1, 0, O_REBOOT },
    { "on-watchdog", 1, 0, O_WATCHDOG }, { "on-crash", 1, 0, O_CRASH },
    { "on-soft-reset", 1, 0, O_SOFT_RESET }, { 0, 0, 0, 0 }
};

static bool take_option(struct wish *w, int o, char *arg)
{
    long n = arg ? strtol(arg, NULL, 10) : 0;

    switch (o) {
    case O_TYPE: w->type = arg; break;
    case O_MEMORY: w->memory = n; break;
    case O_RATE: w->rate = n; break;
    case O_BURST: w->burst = n; break;
    case O_FILL: w->fill = n; break;
    case O_SET: w->working_set = n; break;
    case O_BEACON: w->beacon = n; break;
    case O_TICK: w->tick = n; break;
    case O_CONTENT: w->content = arg; break;
    case O_VCPUS: w->vcpus = n; break;
    case O_UUID: w->uuid = arg; break;
    case O_NIC: w->nics++; break;
    case O_DISK: w->disks++; break;
    case O_RODISK: w->ro_disks++; break;
    case O_PCI: w->pci = true; break;
    case O_VNUMA: w->vnuma = true; break;
    case O_P9: w->p9 = true; break;
    case O_USB: w->usb = true; break;
    case O_BACKEND: w->backend = arg; break;
    case O_MAXMEM: w->maxmem = n; break;
    case O_POOL: w->pool = arg; break;
    case O_PAUSED: w->paused = true; break;
    case O_PRINT: w->print = true; break;
    case O_POWEROFF: w->on_poweroff = arg; break;
    case O_REBOOT: w->on_reboot = arg; break;
    case O_WATCHDOG: w->on_watchdog = arg; break;
    case O_CRASH: w->on_crash = arg; break;
    case O_SOFT_RESET: w->on_soft_reset = arg; break;
    default: return false;
    }
    return true;
}

static int create(const char *host, const struct wish *w, struct json *clean)
{
    struct sx_domain d;
    uint32_t domid;
    int rc = sx_create(host, clean, &domid);

    if (rc) {
        fprintf(stderr, "simxl: cannot create %s: %d (a domain of that name,"
                " or no room?)\n", w->name, rc);
        return 1;
    }
    if (!w->paused && !sx_domain_map(host, domid, SX_MAP_STATE, &d)) {
        sx_domain_unpause(d.st);
        sx_domain_unmap(&d);
    }
    printf("%u\n", domid);
    return 0;
}

int tool_create(const char *host, int argc, char **argv)
{
    struct wish w = { .type = "pvh", .content = "mix", .memory = 32,
                      .fill = 25, .beacon = 10, .tick = 10, .vcpus = 1,
                      /* As xl says them all (xl_parse.c, parse_config_data). */
                      .on_poweroff = "destroy", .on_reboot = "restart",
                      .on_watchdog = "destroy", .on_crash = "destroy",
                      .on_soft_reset = "soft_reset" };
    struct json *raw, *clean;
    char uuid[37], why[128];
    int o, rc = 0;

    random_uuid(uuid);
    w.uuid = uuid;
    optind = 1;
    while ((o = getopt_long(argc, argv, "", options, NULL)) != -1)
        if (!take_option(&w, o, optarg))
            return 2;
    if (optind != argc - 1 || w.memory < 1) {
        fprintf(stderr, "usage: simxl create NAME [options]\n");
        return 2;
    }
    w.name = argv[optind];
    raw = configuration(&w);
    clean = sx_config_clean(raw, why, sizeof(why));
    json_free(raw);
    if (!clean) {
        fprintf(stderr, "simxl: %s\n", why);
        return 2;
    }
    if (w.print) {
        char *text = json_print(clean);

        fputs(text, stdout);
        free(text);
    } else {
        rc = create(host, &w, clean);
    }
    json_free(clean);
    return rc;
}
