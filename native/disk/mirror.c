/*
 * The steps that put a mirror under a guest's volume and take it away (see mirror.h).
 */
#include "mirror.h"

#include "../common/common.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Steps of one swap, each of which somebody else may have taken before. */
#define STEPS_MAX 8
#define LOCK_STEP_MS 5

const char *tsr_mirror_state_name(enum tsr_mirror_state state)
{
    static const char *const names[] = {
        "plain", "mirrored", "coming", "going", "changing", "foreign",
    };

    return names[state];
}

/* ---- tables -------------------------------------------------------------------------- */

static bool is_taken(const struct tsr_dm_target *target)
{
    return !strcmp(target->type, "linear") || !strcmp(target->type, "striped");
}

static int check_plain(const char *name, const struct tsr_dm_table *table)
{
    uint32_t i;

    if (!table->count)
        return tsr_fail(-ENODATA, "the device %s has no table", name);
    for (i = 0; i < table->count; i++)
        if (!is_taken(&table->targets[i]))
            return tsr_fail(-EOPNOTSUPP, "the device %s has a target of type %s, and only "
                            "linear and striped ones can be mirrored", name,
                            table->targets[i].type);
    return 0;
}

int tsr_mirror_plan(struct tsr_dm *dm, struct tsr_mirror *mirror)
{
    struct tsr_dm_target *target = &mirror->mirrored.targets[0];
    struct tsr_dm_info under;
    int rc;

    rc = tsr_dm_info(dm, mirror->under, &under);
    if (!rc)
        rc = tsr_dm_table(dm, mirror->under, TSR_DM_LIVE, &mirror->plain);
    if (!rc)
        rc = check_plain(mirror->under, &mirror->plain);
    if (rc < 0)
        return rc;
    mirror->mirrored.count = 1;
    memset(target, 0, sizeof(*target));
    target->length = tsr_dm_sectors(&mirror->plain);
    strcpy(target->type, "mirror");
    snprintf(target->params, sizeof(target->params),
             "core 2 %u nosync 2 %u:%u 0 %u:%u 0 1 handle_errors", TSR_MIRROR_REGION_SECTORS,
             under.major, under.minor, mirror->leg_major, mirror->leg_minor);
    return 0;
}

/* "LVM-", the two uuids of 32 letters of a volume, and what none of LVM's layers is called. */
static void uuid_of(const char *of_volume, const char *name, char out[TSR_DM_UUID_MAX])
{
    static const char prefix[] = "LVM-", layer[] = "-tsremus";
    const size_t own = sizeof(prefix) - 1, whole = own + 64;
    uint64_t hash = 0xcbf29ce484222325u;
    size_t at;

    memset(out, 0, TSR_DM_UUID_MAX);
    memcpy(out, prefix, own);
    if (strlen(of_volume) == whole && !strncmp(of_volume, prefix, own)) {
        memcpy(out, of_volume, whole);
    } else {
        /* No volume of LVM's: by its name, which is unique here (FNV-1a). */
        for (at = own; at < whole; at += 16) {
            const char *letter;

            for (letter = name; *letter; letter++)
                hash = (hash ^ (uint8_t)*letter) * 0x100000001b3u;
            snprintf(out + at, 17, "%016" PRIx64, hash);
        }
    }
    memcpy(out + whole, layer, sizeof(layer));
}

int tsr_mirror_make_under(struct tsr_dm *dm, const struct tsr_mirror *mirror)
{
    struct tsr_dm_table *plain = &dm->scratch[0];
    char uuid[TSR_DM_UUID_MAX];
    struct tsr_dm_info info;
    int rc;

    rc = tsr_dm_info(dm, mirror->name, &info);
    if (!rc)
        rc = tsr_dm_table(dm, mirror->name, TSR_DM_LIVE, plain);
    if (!rc)
        rc = check_plain(mirror->name, plain);
    if (rc < 0)
        return rc;
    uuid_of(info.uuid, mirror->name, uuid);
    rc = tsr_dm_create(dm, mirror->under, uuid);
    if (rc < 0)
        return rc;
    rc = tsr_dm_load(dm, mirror->under, plain);
    if (!rc)
        rc = tsr_dm_resume(dm, mirror->under, true);
    if (rc < 0)
        tsr_dm_remove(dm, mirror->under);
    return rc;
}

/* ---- looking ------------------------------------------------------------------------- */

bool tsr_mirror_health(const char *params, char *disk_out, char *leg_out)
{
    char health[3];

    /* "2 253:1 43:0 16/16 1 AA 1 core": mirror_status, drivers/md/dm-raid1.c. */
    if (sscanf(params, " 2 %*u:%*u %*u:%*u %*u/%*u 1 %2s ", health) != 1 || !health[1])
        return false;
    *disk_out = health[0];
    *leg_out = health[1];
    return true;
}

/* Whether the live table is our mirror; all else in FOUND. */
static bool judge(const struct tsr_mirror *mirror, const struct tsr_dm_table *live,
                  const struct tsr_dm_table *inactive, struct tsr_mirror_found *found)
{
    bool is_mirror = tsr_dm_equal(live, &mirror->mirrored);

    if (inactive)
        found->loaded = tsr_dm_equal(inactive, &mirror->plain)      ? TSR_MIRROR_LOADED_PLAIN
                        : tsr_dm_equal(inactive, &mirror->mirrored) ? TSR_MIRROR_LOADED_OURS
                                                                    : TSR_MIRROR_LOADED_OTHER;
    if (!is_mirror && !tsr_dm_equal(live, &mirror->plain))
        found->state = TSR_MIRROR_FOREIGN;
    else if (found->loaded == TSR_MIRROR_LOADED_NONE)
        found->state = is_mirror ? TSR_MIRROR_LIVE : TSR_MIRROR_PLAIN;
    else if (is_mirror && found->loaded == TSR_MIRROR_LOADED_PLAIN)
        found->state = TSR_MIRROR_GOING;
    else if (!is_mirror && found->loaded == TSR_MIRROR_LOADED_OURS)
        found->state = TSR_MIRROR_COMING;
    else
        found->state = TSR_MIRROR_CHANGING;
    return is_mirror;
}

int tsr_mirror_look(struct tsr_dm *dm, const struct tsr_mirror *mirror,
                    struct tsr_mirror_found *out)
{
    struct tsr_dm_table *live = &dm->scratch[0], *inactive = &dm->scratch[1];
    struct tsr_dm_info info;
    int rc;

    memset(out, 0, sizeof(*out));
    rc = tsr_dm_info(dm, mirror->name, &info);
    if (!rc)
        rc = tsr_dm_table(dm, mirror->name, TSR_DM_LIVE, live);
    if (!rc && info.inactive)
        rc = tsr_dm_table(dm, mirror->name, TSR_DM_INACTIVE, inactive);
    if (rc < 0)
        return rc;
    out->suspended = info.suspended;
    out->event = info.event;
    if (!judge(mirror, live, info.inactive ? inactive : NULL, out))
        return 0;
    rc = tsr_dm_status(dm, mirror->name, live);
    if (rc < 0)
        return rc;
    /* Another table since; the next look sees it. */
    if (live->count == 1)
        tsr_mirror_health(live->targets[0].params, &out->disk, &out->leg);
    return 0;
}

/* ---- changing ------------------------------------------------------------------------ */

/* Both locks; -1: not held. */
struct locks {
    int ours, vg;
};

static bool is_same_file(int fd, const char *path)
{
    struct stat open_one, named;

    return !fstat(fd, &open_one) && !stat(path, &named) && open_one.st_dev == named.st_dev &&
           open_one.st_ino == named.st_ino;
}

/* A descriptor that holds the lock while it is open; -EBUSY: somebody else does. */
static int take_lock(const char *path)
{
    const struct timespec step = { .tv_nsec = LOCK_STEP_MS * 1000000 };
    unsigned waited = 0;
    int fd, rc;

    for (;;) {
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
            return tsr_fail(-errno, "cannot open the lock %s: %s", path, strerror(errno));
        while (flock(fd, LOCK_EX | LOCK_NB)) {
            rc = errno == EWOULDBLOCK ? -EBUSY : -errno;
            if (rc == -EINTR)
                continue;
            if (rc != -EBUSY || waited >= TSR_MIRROR_LOCK_MS) {
                close(fd);
                return tsr_fail(rc, "cannot take the lock %s within %d ms: %s", path,
                                TSR_MIRROR_LOCK_MS, strerror(-rc));
            }
            nanosleep(&step, NULL);
            waited += LOCK_STEP_MS;
        }
        /* LVM removes a file of its locks when it gives the lock back. */
        if (is_same_file(fd, path))
            return fd;
        close(fd);
    }
}

static void drop_locks(const struct tsr_mirror *mirror, struct locks *locks)
{
    if (locks->vg >= 0) {
        /* As LVM does it (_undo_flock, lib/misc/lvm-flock.c). */
        if (is_same_file(locks->vg, mirror->vg_lock))
            unlink(mirror->vg_lock);
        close(locks->vg);
    }
    if (locks->ours >= 0)
        close(locks->ours);
}

static int take_locks(const struct tsr_mirror *mirror, struct locks *locks)
{
    int rc = locks->ours = take_lock(mirror->lock);

    locks->vg = -1;
    if (mirror->vg_lock[0]) {
        locks->vg = take_lock(mirror->vg_lock);
        if (locks->vg < 0)
            rc = locks->vg;
    }
    return rc < 0 ? rc : 0;
}

static int refuse(const struct tsr_mirror *mirror, const struct tsr_mirror_found *found)
{
    if (found->state == TSR_MIRROR_FOREIGN)
        return tsr_fail(-ESTALE, "the device %s has a table that is not ours", mirror->name);
    return tsr_fail(-EBUSY, "somebody else is changing the table of the device %s (%s%s)",
                    mirror->name, tsr_mirror_state_name(found->state),
                    found->suspended ? ", suspended" : "");
}

/* Forgets the inactive table if it is the one that we loaded over what turned out to be
 * somebody else's: M1. */
static void unload(struct tsr_dm *dm, const struct tsr_mirror *mirror,
                   enum tsr_mirror_loaded ours)
{
    struct tsr_mirror_found found;

    if (!tsr_mirror_look(dm, mirror, &found) && found.loaded == ours)
        tsr_dm_clear(dm, mirror->name);
}

static int insert(struct tsr_dm *dm, const struct tsr_mirror *mirror)
{
    struct tsr_mirror_found found;
    int rc = tsr_mirror_look(dm, mirror, &found);

    if (!rc && (found.state != TSR_MIRROR_PLAIN || found.suspended))
        rc = refuse(mirror, &found);
    if (!rc)
        rc = tsr_dm_load(dm, mirror->name, &mirror->mirrored);
    if (rc < 0)
        return rc;
    rc = tsr_mirror_look(dm, mirror, &found);
    if (!rc && found.state == TSR_MIRROR_COMING && !found.suspended)
        rc = tsr_dm_resume(dm, mirror->name, false);
    else if (!rc)
        rc = refuse(mirror, &found);
    if (rc < 0) {
        unload(dm, mirror, TSR_MIRROR_LOADED_OURS);
        return rc;
    }
    rc = tsr_mirror_look(dm, mirror, &found);
    if (!rc && found.state != TSR_MIRROR_LIVE)
        rc = refuse(mirror, &found);
    return rc;
}

int tsr_mirror_insert(struct tsr_dm *dm, const struct tsr_mirror *mirror)
{
    struct locks locks;
    int rc = take_locks(mirror, &locks);

    if (!rc)
        rc = insert(dm, mirror);
    drop_locks(mirror, &locks);
    return rc;
}

static int change(struct tsr_dm *dm, const struct tsr_mirror *mirror,
                  struct tsr_mirror_progress *progress)
{
    int rc;

    if (progress)
        atomic_store(&progress->changing, (int)syscall(SYS_gettid));
    rc = tsr_dm_resume(dm, mirror->name, false);
    if (progress)
        atomic_store(&progress->changing, 0);
    return rc;
}

static int swap(struct tsr_dm *dm, const struct tsr_mirror *mirror,
                struct tsr_mirror_progress *progress)
{
    struct tsr_mirror_found found = { .state = TSR_MIRROR_CHANGING };
    bool is_loaded = false, did = false;
    unsigned step;
    int rc;

    for (step = 0; step < STEPS_MAX; step++) {
        rc = tsr_mirror_look(dm, mirror, &found);
        if (rc < 0)
            return rc;
        if (found.state == TSR_MIRROR_PLAIN)
            return did;
        if (found.state == TSR_MIRROR_FOREIGN) {
            /* It came between our look and our load. */
            if (is_loaded)
                unload(dm, mirror, TSR_MIRROR_LOADED_PLAIN);
            return refuse(mirror, &found);
        }
        if (found.state == TSR_MIRROR_CHANGING || found.suspended)
            return refuse(mirror, &found);
        if (found.state == TSR_MIRROR_COMING) {
            rc = tsr_dm_clear(dm, mirror->name);
        } else if (found.state == TSR_MIRROR_LIVE) {
            rc = tsr_dm_load(dm, mirror->name, &mirror->plain);
            is_loaded = !rc;
        } else {
            /* A change that fails has dropped the table: the next look says so. */
            rc = change(dm, mirror, progress);
            did |= !rc;
            is_loaded = false;
            if (rc == -EINVAL || rc == -EINTR)
                rc = 0;
        }
        if (rc < 0)
            return rc;
    }
    return refuse(mirror, &found);
}

int tsr_mirror_swap(struct tsr_dm *dm, const struct tsr_mirror *mirror, bool urgent,
                    struct tsr_mirror_progress *progress)
{
    struct locks locks;
    int rc = take_locks(mirror, &locks);

    if (!rc || urgent)
        rc = swap(dm, mirror, progress);
    drop_locks(mirror, &locks);
    return rc;
}
