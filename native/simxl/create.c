/*
 * A new domain. What its program does stands in the kernel's command line, so
 * that a configuration which libxl hands back creates the same guest again:
 *
 *     simxl.rate=2000 simxl.fill=50 simxl.working_set=4096 simxl.beacon=10
 *     simxl.tick=10 simxl.content=mix simxl.burst=0
 */
#define _GNU_SOURCE
#include "create.h"

#include "guest.h"
#include "xl.h"

#include <stdlib.h>
#include <string.h>

static long option(const char *cmdline, const char *key, long otherwise)
{
    char word[64];
    const char *at;

    snprintf(word, sizeof(word), "simxl.%s=", key);
    at = strstr(cmdline, word);
    return at ? strtol(at + strlen(word), NULL, 10) : otherwise;
}

static uint32_t content(const char *cmdline)
{
    static const char *const names[] = { "mix", "random", "delta", "text",
                                         "sparse" };
    const char *at = strstr(cmdline, "simxl.content=");

    for (uint32_t i = 0; at && i < SX_ARRAY(names); i++)
        if (!strncmp(at + 14, names[i], strlen(names[i])))
            return i;
    return SX_CONTENT_MIX;
}

static void boot(struct sx_domain *d, const char *cmdline)
{
    struct sx_guest_options o = {
        .tag = d->st->name,
        .rate = (uint64_t)option(cmdline, "rate", 0),
        .burst = (uint64_t)option(cmdline, "burst", 0),
        .fill = d->st->nr_pages *
            (uint64_t)option(cmdline, "fill", 25) / 100,
        .working_set = (uint64_t)option(cmdline, "working_set", 0),
        .content = content(cmdline),
        .beacon_ms = (uint32_t)option(cmdline, "beacon", 10),
        .tick_ms = (uint32_t)option(cmdline, "tick", 10),
    };

    sx_guest_boot(d, &o);
}

int sx_create(const char *host, struct json *config, uint32_t *domid_out)
{
    const struct json *b_info = json_get(config, "b_info");
    struct sx_spec spec;
    struct sx_domain d;
    char *text;
    int rc;

    *domid_out = UINT32_MAX;
    rc = sx_config_spec(config, &spec);
    if (!rc && sx_pool_lacks(host, config))
        rc = ERROR_INVAL;
    if (rc)
        return rc;
    text = json_print(config);
    rc = sx_domain_make(host, &spec, text, &d);
    free(text);
    if (rc)
        return rc;
    boot(&d, json_text(b_info, "cmdline", ""));
    if (sx_launch(&d)) {
        rc = ERROR_FAIL;
        sx_domain_destroy(host, d.domid);
    } else {
        *domid_out = d.domid;
    }
    sx_domain_unmap(&d);
    return rc;
}
