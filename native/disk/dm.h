/*
 * The device mapper by ioctl on /dev/mapper/control, without libdevmapper: no
 * allocation, bounded sizes, and nothing that writes to stderr. For the library and for
 * the disk guard (internal interface).
 *
 * All functions: 0 or -errno with a sentence (tsr_fail) that names the device. -ENXIO:
 * there is no device of that name (as the kernel says it). Source: linux/dm-ioctl.h and
 * drivers/md/dm-ioctl.c.
 */
#ifndef TSR_DM_H
#define TSR_DM_H

#include <stdbool.h>
#include <stdint.h>

#define TSR_DM_NAME_MAX 128             /* with its NUL: DM_NAME_LEN */
#define TSR_DM_UUID_MAX 129             /* DM_UUID_LEN */
#define TSR_DM_TYPE_MAX 16              /* DM_MAX_TYPE_NAME */
#define TSR_DM_PARAMS_MAX 512
#define TSR_DM_TARGETS_MAX 128

/* One line of a table, in sectors of 512 bytes; of a status, PARAMS is what it says. */
struct tsr_dm_target {
    uint64_t start, length;
    char type[TSR_DM_TYPE_MAX];
    char params[TSR_DM_PARAMS_MAX];
};

struct tsr_dm_table {
    uint32_t count;
    struct tsr_dm_target targets[TSR_DM_TARGETS_MAX];
};

struct tsr_dm_info {
    uint32_t major, minor;
    uint32_t event;                     /* counts the table's events (event_nr) */
    int32_t open_count;
    bool suspended;
    bool live, inactive;                /* whether it has such a table */
    bool read_only;
    char uuid[TSR_DM_UUID_MAX];
};

/* An open control descriptor and its buffer; no two threads at a time. */
struct tsr_dm {
    int fd;
    union {
        uint64_t aligned;
        char bytes[TSR_DM_TARGETS_MAX * (TSR_DM_PARAMS_MAX + 48) + 512];
    } buffer;
    /* Room for whoever looks at tables, kept off small stacks. */
    struct tsr_dm_table scratch[2];
};

/*
 * Opens the control device and asks for the version: 4.37 or newer, which can be polled.
 * -ENOENT: there is no device mapper (the module dm_mod); -ENOSYS: it is too old.
 */
int tsr_dm_open(struct tsr_dm *dm);
void tsr_dm_close(struct tsr_dm *dm);

/* From now on an event of any device makes the control descriptor readable (POLLIN).
 * Ask after it, and before what is to be waited for is looked at. */
int tsr_dm_arm(struct tsr_dm *dm);

int tsr_dm_info(struct tsr_dm *dm, const char *name, struct tsr_dm_info *out);

enum tsr_dm_which { TSR_DM_LIVE, TSR_DM_INACTIVE };
/* The table as it was loaded; no table is a table of 0 targets. */
int tsr_dm_table(struct tsr_dm *dm, const char *name, enum tsr_dm_which which,
                 struct tsr_dm_table *out);
/* What each target of the live table says of itself. Flushes nothing. */
int tsr_dm_status(struct tsr_dm *dm, const char *name, struct tsr_dm_table *out);

/* Makes a device without a table. What udev and LVM see of it asks them to leave it
 * alone from its first event on. -EBUSY: there is one of that name or uuid. */
int tsr_dm_create(struct tsr_dm *dm, const char *name, const char *uuid);
/* Loads TABLE as the inactive one, in place of what was loaded there. */
int tsr_dm_load(struct tsr_dm *dm, const char *name, const struct tsr_dm_table *table);
/* Forgets the inactive table. */
int tsr_dm_clear(struct tsr_dm *dm, const char *name);
/*
 * Makes the inactive table the live one, suspending the device for that where it is not:
 * writes under way are waited for, those that a mirror holds are queued anew under the
 * next table (DM_NOFLUSH_FLAG; without it they would fail), no file system is frozen.
 * BLOCKING: until all that is under way below it has been answered. Without an inactive
 * table: resumes the device. OURS: it was made by tsr_dm_create, and what udev is told
 * says so; else udev keeps what it knew.
 */
int tsr_dm_resume(struct tsr_dm *dm, const char *name, bool ours);
/* -EBUSY: it is in use. */
int tsr_dm_remove(struct tsr_dm *dm, const char *name);

/* Whether both have the same lines; blanks at the ends of PARAMS do not count. */
bool tsr_dm_equal(const struct tsr_dm_table *a, const struct tsr_dm_table *b);
/* All sectors of a table. */
uint64_t tsr_dm_sectors(const struct tsr_dm_table *table);

/* ioctl(2) on the control device; the tests put a model of the kernel here. >= 0 or -errno. */
extern int (*tsr_dm_model)(unsigned long request, void *argument);

#endif
