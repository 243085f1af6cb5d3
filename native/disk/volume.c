/*
 * What is asked about a guest's volume around a capture's life (see volume.h).
 */
#include "volume.h"

#include "../common/common.h"
#include "mirror.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(struct tsr_volume) == 40, "shared with JS");
_Static_assert(sizeof(((struct tsr_volume *)0)->target) == TSR_DM_TYPE_MAX, "copied");

/* UNDER may be looked at by udev for a moment. */
#define REMOVE_AGAIN_MS 50
#define REMOVE_AGAIN_MAX 40

struct work {
    struct tsr_dm dm;
    struct tsr_mirror mirror;
    struct tsr_dm_table table;
};

static int take_text(char *out, size_t size, const char *text, const char *what)
{
    if (!text || strlen(text) >= size)
        return tsr_fail(-EINVAL, "%s of a volume is missing or too long", what);
    strcpy(out, text);
    return 0;
}

static int begin(const char *name, const char *under, struct work **out)
{
    struct work *work = calloc(1, sizeof(*work));
    int rc;

    if (!work)
        return tsr_fail(-ENOMEM, "out of memory");
    work->dm.fd = -1;
    rc = take_text(work->mirror.name, sizeof(work->mirror.name), name, "the name");
    if (!rc)
        rc = take_text(work->mirror.under, sizeof(work->mirror.under), under, "the device under");
    if (!rc)
        rc = tsr_dm_open(&work->dm);
    if (rc < 0) {
        free(work);
        return rc;
    }
    *out = work;
    return 0;
}

static int end(struct work *work, int rc)
{
    tsr_dm_close(&work->dm);
    free(work);
    return rc;
}

/* Whether TABLE is a mirror of ours over the device UNDER; its leg. */
static bool is_ours(const struct tsr_dm_table *table, const struct tsr_dm_info *under,
                    uint32_t *major_out, uint32_t *minor_out)
{
    unsigned major, minor, leg_major, leg_minor;
    int end = 0;

    /* As tsr_mirror_plan has it. */
    if (table->count != 1 || strcmp(table->targets[0].type, "mirror") ||
        sscanf(table->targets[0].params,
               " core 2 %*u nosync 2 %u:%u 0 %u:%u 0 1 handle_errors%n", &major, &minor,
               &leg_major, &leg_minor, &end) != 4 || !end)
        return false;
    *major_out = leg_major;
    *minor_out = leg_minor;
    return major == under->major && minor == under->minor;
}

static int look(struct work *work, struct tsr_volume *out)
{
    struct tsr_dm_table *table = &work->table;
    const char *name = work->mirror.name;
    struct tsr_dm_info info, under;
    uint32_t i;
    int rc;

    memset(out, 0, sizeof(*out));
    rc = tsr_dm_info(&work->dm, work->mirror.under, &under);
    if (rc < 0 && rc != -ENXIO)
        return rc;
    out->has_under = !rc;
    rc = tsr_dm_info(&work->dm, name, &info);
    if (!rc && out->has_under && info.inactive) {
        rc = tsr_dm_table(&work->dm, name, TSR_DM_INACTIVE, table);
        if (!rc && is_ours(table, &under, &out->leg_major, &out->leg_minor))
            out->state = TSR_VOLUME_MIRRORED;
    }
    if (!rc)
        rc = tsr_dm_table(&work->dm, name, TSR_DM_LIVE, table);
    if (rc < 0)
        return rc;
    out->size = tsr_dm_sectors(table) * 512;
    if (out->has_under && is_ours(table, &under, &out->leg_major, &out->leg_minor))
        out->state = TSR_VOLUME_MIRRORED;
    for (i = 0; i < table->count && out->state == TSR_VOLUME_PLAIN; i++) {
        const char *type = table->targets[i].type;

        if (!strcmp(type, "linear") || !strcmp(type, "striped"))
            continue;
        out->state = TSR_VOLUME_OTHER;
        memcpy(out->target, type, sizeof(out->target));
    }
    return 0;
}

int tsr_volume_look(const char *name, const char *under, struct tsr_volume *out)
{
    struct work *work;
    int rc;

    if (!out)
        return tsr_fail(-EINVAL, "no room for what a volume is");
    rc = begin(name, under, &work);
    return rc < 0 ? rc : end(work, look(work, out));
}

int tsr_volume_make_under(const char *name, const char *under, uint32_t *minor_out)
{
    struct tsr_dm_info info;
    struct work *work;
    int rc = minor_out ? begin(name, under, &work)
                       : tsr_fail(-EINVAL, "no room for the number of a device");

    if (rc < 0)
        return rc;
    rc = tsr_mirror_make_under(&work->dm, &work->mirror);
    if (!rc)
        rc = tsr_dm_info(&work->dm, under, &info);
    if (!rc)
        *minor_out = info.minor;
    return end(work, rc);
}

static int remove_under(struct work *work)
{
    const struct timespec again = { .tv_nsec = REMOVE_AGAIN_MS * 1000000 };
    unsigned tries;
    int rc = 0;

    for (tries = 0; tries < REMOVE_AGAIN_MAX; tries++) {
        if (tries)
            nanosleep(&again, NULL);
        rc = tsr_dm_remove(&work->dm, work->mirror.under);
        if (rc != -EBUSY)
            break;
    }
    return rc == -ENXIO ? 0 : rc;
}

static int repair(struct work *work)
{
    struct tsr_mirror *mirror = &work->mirror;
    struct tsr_volume volume;
    int rc = look(work, &volume), removed, took = 0;

    if (rc < 0 && rc != -ENXIO)
        return rc;
    if (!rc && volume.state == TSR_VOLUME_MIRRORED) {
        mirror->leg_major = volume.leg_major;
        mirror->leg_minor = volume.leg_minor;
        rc = tsr_mirror_plan(&work->dm, mirror);
        if (!rc)
            /* The guest's writes wait. */
            took = tsr_mirror_swap(&work->dm, mirror, true, NULL);
        if (rc < 0 || took < 0)
            return rc < 0 ? rc : took;
    }
    removed = remove_under(work);
    return removed < 0 ? removed : took;
}

int tsr_volume_repair(const char *name, const char *under, const char *lock,
                      const char *vg_lock)
{
    struct work *work;
    int rc = begin(name, under, &work);

    if (rc < 0)
        return rc;
    rc = take_text(work->mirror.lock, sizeof(work->mirror.lock), lock, "the lock");
    if (!rc)
        rc = take_text(work->mirror.vg_lock, sizeof(work->mirror.vg_lock), vg_lock, "LVM's lock");
    if (!rc)
        rc = repair(work);
    return end(work, rc);
}
