/*
 * The devices of a domain, as far as libxl fails on them: it runs the scripts
 * of interfaces and opens disks after the last byte of a restore, and destroys
 * the domain when one of them is not there or fails (libxl_create.c,
 * domcreate_rebuild_done to domcreate_complete). The host's files are below its
 * folder: a disk /dev/vg0/x is HOST/dev/vg0/x, a bridge HOST/sys/class/net/NAME.
 */
#include "devices.h"

#include "sx.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool is_there(const char *host, const char *path, int mode)
{
    char at[2 * PATH_MAX];

    snprintf(at, sizeof(at), "%s%s", host, path);
    return !access(at, mode);
}

static const char *disk_lacks(const char *host, const struct json *disk)
{
    const char *path = json_text(disk, "pdev_path", "");

    /* What a script makes of the path is its own affair. */
    if (*json_text(disk, "script", "") || path[0] != '/')
        return NULL;
    return is_there(host, path, F_OK) ? NULL : path;
}

static const char *nic_lacks(const char *host, const struct json *nic)
{
    const char *script = json_text(nic, "script", "vif-bridge");
    const char *bridge = json_text(nic, "bridge", "");
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s%s",
             script[0] == '/' ? "" : "/etc/xen/scripts/", script);
    if (!is_there(host, path, X_OK))
        return script;
    snprintf(path, sizeof(path), "/sys/class/net/%s", bridge);
    return !*bridge || is_there(host, path, F_OK) ? NULL : bridge;
}

const char *sx_boot_lacks(const char *host, const struct json *config)
{
    const struct json *build = json_get(config, "b_info");
    const char *kernel = build ? json_text(build, "kernel", "") : "";

    return kernel[0] != '/' || is_there(host, kernel, R_OK) ? NULL : kernel;
}

const char *sx_devices_lack(const char *host, const struct json *config)
{
    const struct json *disks = json_get(config, "disks");
    const struct json *nics = json_get(config, "nics");
    const char *lacks = NULL;

    for (int i = 0; disks && !lacks && i < json_length(disks); i++)
        lacks = disk_lacks(host, json_item(disks, i));
    for (int i = 0; nics && !lacks && i < json_length(nics); i++)
        lacks = nic_lacks(host, json_item(nics, i));
    return lacks;
}

/* Its words and variables as in libxl_linux.c, libxl__hotplug_nic and
 * libxl__hotplug_disk. There is no xenstore: a script asks SIMXL_TOOL. */
static int run(const char *host, uint32_t domid, int devid, const char *type,
               const char *script)
{
    const bool is_vif = !strcmp(type, "vif");
    char path[2 * PATH_MAX], script_is[PATH_MAX + 16], host_is[PATH_MAX + 16];
    char type_is[32], xenbus[64], vif[48];
    const char *const words[] = { is_vif ? "online" : "add",
                                  is_vif ? "type_if=vif" : NULL, NULL };
    const char *const variables[] = {
        script_is, host_is, type_is, xenbus, "XENBUS_BASE_PATH=backend",
        is_vif ? vif : NULL, NULL,
    };

    snprintf(path, sizeof(path), "%s%s%s", host,
             script[0] == '/' ? "" : "/etc/xen/scripts/", script);
    snprintf(script_is, sizeof(script_is), "script=%s", script);
    snprintf(host_is, sizeof(host_is), "SIMXL_HOST=%s", host);
    snprintf(type_is, sizeof(type_is), "XENBUS_TYPE=%s", type);
    snprintf(xenbus, sizeof(xenbus), "XENBUS_PATH=backend/%s/%u/%d", type,
             domid, devid);
    snprintf(vif, sizeof(vif), "vif=vif%u.%d", domid, devid);
    return sx_run_script(path, words, variables);
}

const char *sx_devices_add(const char *host, const struct json *config,
                           uint32_t domid)
{
    const struct json *disks = json_get(config, "disks");
    const struct json *nics = json_get(config, "nics");
    const char *fails = sx_devices_lack(host, config);

    for (int i = 0; disks && !fails && i < json_length(disks); i++) {
        const char *script = json_text(json_item(disks, i), "script", "");

        if (*script && run(host, domid, i, "vbd", script))
            fails = script;
    }
    for (int i = 0; nics && !fails && i < json_length(nics); i++) {
        const char *script =
            json_text(json_item(nics, i), "script", "vif-bridge");

        if (run(host, domid, i, "vif", script))
            fails = script;
    }
    return fails;
}
