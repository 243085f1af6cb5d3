/* What the tool prints about domains. */
#define _GNU_SOURCE
#include "tool.h"

#include "xl.h"

#include <stdlib.h>
#include <string.h>

static const char *state_word(const struct sx_domain *d)
{
    const struct sx_state *st = d->st;

    if (atomic_load(&st->phase) == SX_MAKING)
        return "making"; /* half-made, by a restore under way or given up */
    if (!sx_domain_exists(d))
        return "dead";
    if (atomic_load(&st->shutdown))
        return atomic_load(&st->shutdown_reason) == SX_SUSPEND ? "suspended"
                                                               : "shutdown";
    return atomic_load(&st->pause_count) ? "paused" : "running";
}

static void add_guest(struct json *j, const struct sx_domain *d)
{
    const struct sx_guest *g = sx_guest(d);
    char boot[33], sum[32];
    struct json *o;

    if (!d->mem || g->magic != SX_GUEST_MAGIC)
        return;
    o = json_add(j, "guest", json_new(JSON_OBJECT));
    for (int i = 0; i < 16; i++)
        sprintf(boot + 2 * i, "%02x", g->boot_id[i]);
    snprintf(sum, sizeof(sum), "%016lx", (unsigned long)g->sum);
    json_add_text(o, "tag", g->tag);
    json_add_text(o, "boot", boot);
    json_add_int(o, "ticks", (int64_t)g->ticks);
    json_add_int(o, "writes", (int64_t)g->writes);
    json_add_int(o, "beacons", (int64_t)g->beacons);
    json_add_text(o, "sum", sum);
    json_add_int(o, "rate", (int64_t)g->rate);
    json_add_int(o, "burst", (int64_t)g->burst);
    json_add_int(o, "working_set", (int64_t)g->working_set);
}

/* The newest pauses, the oldest of them first. */
static void add_pauses(struct json *j, const struct sx_state *st)
{
    struct json *a = json_add(j, "pauses_ns", json_new(JSON_ARRAY));
    uint64_t n = atomic_load(&st->pauses);
    uint64_t first = n > SX_PAUSES_MAX ? n - SX_PAUSES_MAX : 0;

    json_add_int(j, "pauses", (int64_t)n);
    for (uint64_t i = first; i < n; i++)
        json_add_int(a, NULL, (int64_t)st->pause_ns[i % SX_PAUSES_MAX]);
}

struct json *tool_domain_json(struct sx_domain *d)
{
    struct json *j = json_new(JSON_OBJECT);
    const struct sx_state *st = d->st;
    char uuid[37];

    sx_uuid_print(st->uuid, uuid);
    json_add_int(j, "domid", st->domid);
    json_add_text(j, "name", st->name);
    json_add_text(j, "uuid", uuid);
    json_add_text(j, "type", sx_type_name(st->type));
    json_add_text(j, "state", state_word(d));
    json_add_int(j, "pid", atomic_load(&st->runner_pid));
    json_add_int(j, "pages", (int64_t)st->nr_pages);
    json_add_int(j, "pause_count", atomic_load(&st->pause_count));
    json_add_bool(j, "shutdown", atomic_load(&st->shutdown));
    if (atomic_load(&st->shutdown))
        json_add_text(j, "shutdown_reason",
                      sx_reason_name((int)atomic_load(&st->shutdown_reason)));
    json_add_int(j, "suspensions", (int64_t)atomic_load(&st->generation));
    add_pauses(j, st);
    json_add_bool(j, "logdirty", atomic_load(&st->logdirty));
    json_add_bool(j, "restored", atomic_load(&st->restored));
    json_add_int(j, "epoch", (int64_t)atomic_load(&st->epoch));
    add_guest(j, d);
    return j;
}

int tool_info(const char *host, struct sx_domain *d)
{
    struct json *j = tool_domain_json(d);
    char *text = json_print(j);

    (void)host;
    fputs(text, stdout);
    free(text);
    json_free(j);
    return 0;
}

int tool_list(const char *host, bool as_json)
{
    struct json *all = json_new(JSON_ARRAY);
    uint32_t ids[1024];
    int n = sx_host_list(host, ids, 1024);
    char *text;

    if (!as_json)
        printf("%5s %-32s %-4s %-9s %7s %8s\n", "DOMID", "NAME", "TYPE",
               "STATE", "PAGES", "PID");
    for (int i = 0; i < n; i++) {
        struct sx_domain d;

        if (sx_domain_map(host, ids[i], SX_MAP_MEMORY, &d))
            continue;
        if (as_json)
            json_add(all, NULL, tool_domain_json(&d));
        else
            printf("%5u %-32s %-4s %-9s %7lu %8d\n", ids[i], d.st->name,
                   sx_type_name(d.st->type), state_word(&d),
                   (unsigned long)d.st->nr_pages,
                   (int)atomic_load(&d.st->runner_pid));
        sx_domain_unmap(&d);
    }
    if (as_json) {
        text = json_print(all);
        fputs(text, stdout);
        free(text);
    }
    json_free(all);
    return n < 0;
}

/* The guest must stand still while its memory is judged. */
int tool_verify(struct sx_domain *d)
{
    bool stop = !atomic_load(&d->st->shutdown) &&
        atomic_load(&d->st->phase) == SX_LIVE;
    const struct sx_guest *g = sx_guest(d);
    char why[1024];
    long wrong;

    if (stop)
        sx_domain_pause(d->st);
    wrong = sx_guest_verify(d, why, sizeof(why));
    if (wrong)
        printf("%s: WRONG in %ld points: %s\n", d->st->name, wrong, why);
    else
        printf("%s: ok, %lu pages, %lu writes, %lu ticks, checksum %016lx\n",
               d->st->name, (unsigned long)g->nr_pages,
               (unsigned long)g->writes, (unsigned long)g->ticks,
               (unsigned long)g->sum);
    if (stop)
        sx_domain_unpause(d->st);
    return wrong != 0;
}
