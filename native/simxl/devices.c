/*
 * The devices of a domain, as far as libxl fails on them: it runs the scripts
 * of interfaces and opens disks after the last byte of a restore, and destroys
 * the domain when one of them is not there (libxl_create.c, domcreate_rebuild_done
 * to domcreate_complete). The host's files are below its folder: a disk
 * /dev/vg0/x is HOST/dev/vg0/x, a bridge HOST/sys/class/net/NAME.
 */
#include "devices.h"

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
