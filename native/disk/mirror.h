/*
 * A volume of a guest under a mirror of ours, and how it comes there and away while the
 * guest writes (internal interface, for the library and the disk guard).
 *
 *    before                 with the mirror
 *    name ── plain table    name ── mirror ┬─ under ── the same plain table
 *                                          └─ leg: an NBD device, served by capture.c
 *
 * `under` is a device of ours over a copy of the volume's own table. Reads go to it
 * alone. The mirror's features are exactly `handle_errors`: a write that one leg failed
 * is held until the table is changed, and queued anew under the next one, so that the
 * guest is never told a success that is not on its disk, and no error that is not its
 * disk's (with no features, or keep_log, the kernel answers success to a write that failed
 * on the local leg: do_write_callback, drivers/md/dm-raid1.c).
 *
 * M1. Nothing is loaded over a table that is not exactly ours or exactly the plain one,
 *     and nothing while another inactive table is loaded: an lvextend or a pvmove is
 *     never undone. There is one inactive slot: whoever loads after us takes our table
 *     out of it, and then our resume makes his table live, not ours. His load between our
 *     look and our load would be lost, because the kernel knows no "load if nothing is
 *     loaded": so LVM's own lock on the volume group is taken for that time. Where LVM
 *     does not give it back and the guest's writes wait, it is done without, and those
 *     microseconds are what is left.
 * M2. A table is changed by one ioctl, which suspends and resumes in itself: whoever is
 *     killed or stopped between two steps leaves no suspended device, only an inactive
 *     table, and that anybody may go on with.
 */
#ifndef TSR_MIRROR_H
#define TSR_MIRROR_H

#include "dm.h"

#include <stdatomic.h>

#define TSR_MIRROR_PATH_MAX 256

/* What the mirror's log counts as one region. */
#define TSR_MIRROR_REGION_SECTORS 2048

struct tsr_mirror {
    char name[TSR_DM_NAME_MAX];
    char under[TSR_DM_NAME_MAX];
    uint32_t leg_major, leg_minor;
    char lock[TSR_MIRROR_PATH_MAX];     /* the file of the lock of session and guard */
    char vg_lock[TSR_MIRROR_PATH_MAX];  /* of LVM's on the volume group; "": no such volume */
    /* By tsr_mirror_plan. */
    struct tsr_dm_table plain, mirrored;
};

enum tsr_mirror_state {
    TSR_MIRROR_PLAIN,                   /* the plain table, nothing loaded */
    TSR_MIRROR_LIVE,                    /* exactly our mirror, nothing loaded */
    TSR_MIRROR_COMING,                  /* the plain table, our mirror is loaded */
    TSR_MIRROR_GOING,                   /* our mirror, the plain table is loaded */
    TSR_MIRROR_CHANGING,                /* ours or plain; somebody's table is loaded */
    TSR_MIRROR_FOREIGN,                 /* another table is live */
};
const char *tsr_mirror_state_name(enum tsr_mirror_state state);

/* What the inactive table is. */
enum tsr_mirror_loaded {
    TSR_MIRROR_LOADED_NONE,
    TSR_MIRROR_LOADED_PLAIN,            /* exactly the plain one */
    TSR_MIRROR_LOADED_OURS,             /* exactly our mirror */
    TSR_MIRROR_LOADED_OTHER,
};

/* How it is found. */
struct tsr_mirror_found {
    enum tsr_mirror_state state;
    enum tsr_mirror_loaded loaded;
    bool suspended;
    uint32_t event;                     /* of the device mapper, see tsr_dm_info */
    /* While our mirror is live, whatever is loaded: what the kernel says of the disk and of
     * the leg: A alive, D a write failed, F a flush failed, S or R a read failed, U somehow;
     * else 0. */
    char disk, leg;
};

/* A swap under way, for whoever has to break a leg that answers nothing (guard.c). */
struct tsr_mirror_progress {
    atomic_int changing;                /* id of the thread that is in the ioctl; 0: none */
};

/*
 * Reads the plain table from `under`, and makes the mirror's out of it. Only linear and
 * striped targets are taken (-EOPNOTSUPP names another): what keeps state in memory or
 * on its disk must not be live twice.
 */
int tsr_mirror_plan(struct tsr_dm *dm, struct tsr_mirror *mirror);

/*
 * Makes `under` over the live table of `name`. What fails leaves nothing. Its uuid is one
 * that LVM takes for a layer of a volume of its own, which it never looks into (LVM's
 * dm_device_is_usable, "reserved uuid"): it scans all other devices, whatever udev is
 * told, and would find a guest's own volume group.
 */
int tsr_mirror_make_under(struct tsr_dm *dm, const struct tsr_mirror *mirror);

int tsr_mirror_look(struct tsr_dm *dm, const struct tsr_mirror *mirror,
                    struct tsr_mirror_found *out);

/*
 * Puts the mirror in. -EBUSY: somebody else is changing the volume, or his lock was not
 * given back in TSR_MIRROR_LOCK_MS; -ESTALE: it does not have the plain table.
 */
int tsr_mirror_insert(struct tsr_dm *dm, const struct tsr_mirror *mirror);

/*
 * Takes the mirror away. 1: it did; 0: the plain table was live already. -EBUSY: somebody
 * else is changing the volume, and it must be tried again; -ESTALE: somebody else's table
 * is live, for good: nothing was done. URGENT: the guest's writes wait, and a lock that is
 * not given back is done without. PROGRESS: NULL, or where another thread sees what this
 * one does.
 */
int tsr_mirror_swap(struct tsr_dm *dm, const struct tsr_mirror *mirror, bool urgent,
                    struct tsr_mirror_progress *progress);
#define TSR_MIRROR_LOCK_MS 500

/* What the kernel says of the two legs, in PARAMS of a mirror's status. */
bool tsr_mirror_health(const char *params, char *disk_out, char *leg_out);

#endif
