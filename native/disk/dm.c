/*
 * What the device mapper is asked, each question one ioctl (see dm.h).
 */
#include "dm.h"

#include "../common/common.h"

#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <linux/kdev_t.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

_Static_assert(TSR_DM_NAME_MAX == DM_NAME_LEN, "as the kernel has it");
_Static_assert(TSR_DM_UUID_MAX == DM_UUID_LEN, "as the kernel has it");
_Static_assert(TSR_DM_TYPE_MAX == DM_MAX_TYPE_NAME, "as the kernel has it");

/* DM_DEV_ARM_POLL came with it, and with Linux 4.14. */
#define MINOR_LEAST 37

/*
 * What udev's rules are told in the upper half of a cookie, as libdevmapper does it
 * (its DM_UDEV_DISABLE_* and DM_UDEV_PRIMARY_SOURCE_FLAG): no rules of subsystems (LVM),
 * of disks (blkid, /dev/disk) and of others (multipath, mdadm). The lower half would
 * name a semaphore that somebody waits for: nobody does.
 */
#define LEAVE_ALONE ((0x0002u | 0x0004u | 0x0008u | 0x0040u) << 16)

int (*tsr_dm_model)(unsigned long request, void *argument);

static int call(struct tsr_dm *dm, unsigned long request, void *argument)
{
    int r;

    if (tsr_dm_model)
        return tsr_dm_model(request, argument);
    do {
        r = ioctl(dm->fd, request, argument);
    } while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : r;
}

/* The head of the next question, and where its data begin. */
static struct dm_ioctl *prepare(struct tsr_dm *dm, const char *name)
{
    struct dm_ioctl *head = (void *)dm->buffer.bytes;

    memset(head, 0, sizeof(*head));
    head->version[0] = DM_VERSION_MAJOR;
    head->data_size = sizeof(*head);
    head->data_start = sizeof(*head);
    if (name)
        strncpy(head->name, name, sizeof(head->name) - 1);
    return head;
}

static int ask(struct tsr_dm *dm, unsigned long request, const char *what)
{
    struct dm_ioctl *head = (void *)dm->buffer.bytes;
    char name[TSR_DM_NAME_MAX];
    int r;

    memcpy(name, head->name, sizeof(name));
    r = call(dm, request, head);
    if (r < 0)
        return tsr_fail(r, "cannot %s the device %s: %s", what, name, strerror(-r));
    if (head->flags & DM_BUFFER_FULL_FLAG)
        return tsr_fail(-E2BIG, "cannot %s the device %s: its table has more than %d parts",
                        what, name, TSR_DM_TARGETS_MAX);
    return 0;
}

/* A longer name would be cut, and mean another device. */
static int check_name(const char *name)
{
    if (!name || !name[0] || strlen(name) >= TSR_DM_NAME_MAX)
        return tsr_fail(-EINVAL, "a device's name has 1 to %d letters",
                        TSR_DM_NAME_MAX - 1);
    return 0;
}

int tsr_dm_open(struct tsr_dm *dm)
{
    struct dm_ioctl *head;
    int rc;

    dm->fd = tsr_dm_model ? -1 : open("/dev/mapper/control", O_RDWR | O_CLOEXEC);
    if (dm->fd < 0 && !tsr_dm_model)
        return tsr_fail(-errno, "no device mapper here: /dev/mapper/control: %s",
                        strerror(errno));
    head = prepare(dm, NULL);
    rc = call(dm, DM_VERSION, head);
    if (rc < 0)
        rc = tsr_fail(rc, "the device mapper does not tell its version: %s", strerror(-rc));
    else if (head->version[0] != DM_VERSION_MAJOR || head->version[1] < MINOR_LEAST)
        rc = tsr_fail(-ENOSYS, "this device mapper is of version %u.%u, and %d.%d is needed",
                      head->version[0], head->version[1], DM_VERSION_MAJOR, MINOR_LEAST);
    if (rc < 0)
        tsr_dm_close(dm);
    return rc;
}

void tsr_dm_close(struct tsr_dm *dm)
{
    if (dm->fd >= 0)
        close(dm->fd);
    dm->fd = -1;
}

int tsr_dm_arm(struct tsr_dm *dm)
{
    int rc = call(dm, DM_DEV_ARM_POLL, prepare(dm, NULL));

    return rc < 0 ? tsr_fail(rc, "the device mapper cannot be polled: %s", strerror(-rc)) : 0;
}

/* ---- looking ------------------------------------------------------------------------- */

int tsr_dm_info(struct tsr_dm *dm, const char *name, struct tsr_dm_info *out)
{
    struct dm_ioctl *head;
    int rc = check_name(name);

    if (rc < 0)
        return rc;
    head = prepare(dm, name);
    rc = ask(dm, DM_DEV_STATUS, "look at");
    if (rc < 0)
        return rc;
    memset(out, 0, sizeof(*out));
    out->major = (uint32_t)MAJOR(head->dev);
    out->minor = (uint32_t)MINOR(head->dev);
    out->event = head->event_nr;
    out->open_count = head->open_count;
    out->suspended = head->flags & DM_SUSPEND_FLAG;
    out->live = head->flags & DM_ACTIVE_PRESENT_FLAG;
    out->inactive = head->flags & DM_INACTIVE_PRESENT_FLAG;
    out->read_only = head->flags & DM_READONLY_FLAG;
    memcpy(out->uuid, head->uuid, sizeof(out->uuid) - 1);
    return 0;
}

/* Takes the targets out of an answer; every offset in it is checked. */
static int take_targets(const struct tsr_dm *dm, const char *name, struct tsr_dm_table *out)
{
    const struct dm_ioctl *head = (const void *)dm->buffer.bytes;
    size_t size = head->data_size, first = head->data_start, at = first, length;
    struct dm_target_spec spec;
    uint32_t i;

    if (head->target_count > TSR_DM_TARGETS_MAX)
        return tsr_fail(-E2BIG, "the table of %s has %u parts, more than %d", name,
                        head->target_count, TSR_DM_TARGETS_MAX);
    if (size > sizeof(dm->buffer.bytes))
        size = sizeof(dm->buffer.bytes);
    for (i = 0; i < head->target_count; i++) {
        struct tsr_dm_target *target = &out->targets[i];
        const char *params = dm->buffer.bytes + at + sizeof(spec);

        if (at < sizeof(*head) || at > size || size - at <= sizeof(spec))
            return tsr_fail(-EPROTO, "the kernel's table of %s ends within a part", name);
        memcpy(&spec, dm->buffer.bytes + at, sizeof(spec));
        length = strnlen(params, size - at - sizeof(spec));
        if (length >= TSR_DM_PARAMS_MAX)
            return tsr_fail(-E2BIG, "a part of the table of %s has more than %d letters",
                            name, TSR_DM_PARAMS_MAX - 1);
        target->start = spec.sector_start;
        target->length = spec.length;
        memset(target->type, 0, sizeof(target->type));
        memcpy(target->type, spec.target_type,
               strnlen(spec.target_type, sizeof(target->type) - 1));
        memcpy(target->params, params, length);
        target->params[length] = 0;
        at = first + spec.next;
    }
    out->count = head->target_count;
    return 0;
}

static int ask_targets(struct tsr_dm *dm, const char *name, uint32_t flags,
                       const char *what, struct tsr_dm_table *out)
{
    struct dm_ioctl *head;
    int rc = check_name(name);

    if (rc < 0)
        return rc;
    head = prepare(dm, name);
    head->data_size = sizeof(dm->buffer.bytes);
    /* A status would flush the device first, and wait where one leg is stuck. */
    head->flags = flags | DM_NOFLUSH_FLAG;
    rc = ask(dm, DM_TABLE_STATUS, what);
    return rc < 0 ? rc : take_targets(dm, name, out);
}

int tsr_dm_table(struct tsr_dm *dm, const char *name, enum tsr_dm_which which,
                 struct tsr_dm_table *out)
{
    uint32_t flags = DM_STATUS_TABLE_FLAG;

    if (which == TSR_DM_INACTIVE)
        flags |= DM_QUERY_INACTIVE_TABLE_FLAG;
    return ask_targets(dm, name, flags, "read the table of", out);
}

int tsr_dm_status(struct tsr_dm *dm, const char *name, struct tsr_dm_table *out)
{
    return ask_targets(dm, name, 0, "read the state of", out);
}

/* ---- changing ------------------------------------------------------------------------ */

static int tell(struct tsr_dm *dm, unsigned long request, const char *name, uint32_t flags,
                uint32_t cookie, const char *what)
{
    struct dm_ioctl *head;
    int rc = check_name(name);

    if (rc < 0)
        return rc;
    head = prepare(dm, name);
    head->flags = flags;
    head->event_nr = cookie;
    return ask(dm, request, what);
}

int tsr_dm_create(struct tsr_dm *dm, const char *name, const char *uuid)
{
    struct dm_ioctl *head;
    int rc = check_name(name);

    if (rc < 0)
        return rc;
    if (!uuid || !uuid[0] || strlen(uuid) >= TSR_DM_UUID_MAX)
        return tsr_fail(-EINVAL, "a device's uuid has 1 to %d letters", TSR_DM_UUID_MAX - 1);
    head = prepare(dm, name);
    strncpy(head->uuid, uuid, sizeof(head->uuid) - 1);
    head->event_nr = LEAVE_ALONE;
    return ask(dm, DM_DEV_CREATE, "make");
}

int tsr_dm_load(struct tsr_dm *dm, const char *name, const struct tsr_dm_table *table)
{
    struct dm_ioctl *head;
    size_t at = sizeof(*head);
    int rc = check_name(name);
    uint32_t i;

    if (rc < 0)
        return rc;
    if (!table->count || table->count > TSR_DM_TARGETS_MAX)
        return tsr_fail(-EINVAL, "a table for %s of %u parts", name, table->count);
    head = prepare(dm, name);
    for (i = 0; i < table->count; i++) {
        const struct tsr_dm_target *target = &table->targets[i];
        size_t length = strnlen(target->params, TSR_DM_PARAMS_MAX - 1);
        /* The next part begins at a multiple of 8 behind this one's NUL. */
        size_t next = (sizeof(struct dm_target_spec) + length + 1 + 7) & ~(size_t)7;
        struct dm_target_spec spec = {
            .sector_start = target->start,
            .length = target->length,
            .next = (uint32_t)next,
        };

        memcpy(spec.target_type, target->type, sizeof(spec.target_type) - 1);
        memset(dm->buffer.bytes + at, 0, next);
        memcpy(dm->buffer.bytes + at, &spec, sizeof(spec));
        memcpy(dm->buffer.bytes + at + sizeof(spec), target->params, length);
        at += next;
    }
    head->data_size = (uint32_t)at;
    head->target_count = table->count;
    return ask(dm, DM_TABLE_LOAD, "load a table for");
}

int tsr_dm_clear(struct tsr_dm *dm, const char *name)
{
    return tell(dm, DM_TABLE_CLEAR, name, 0, 0, "clear the inactive table of");
}

int tsr_dm_resume(struct tsr_dm *dm, const char *name, bool ours)
{
    return tell(dm, DM_DEV_SUSPEND, name, DM_NOFLUSH_FLAG | DM_SKIP_LOCKFS_FLAG,
                ours ? LEAVE_ALONE : 0, "change the table of");
}

int tsr_dm_remove(struct tsr_dm *dm, const char *name)
{
    return tell(dm, DM_DEV_REMOVE, name, 0, LEAVE_ALONE, "remove");
}

/* ---- tables -------------------------------------------------------------------------- */

static size_t trimmed(const char *text, const char **start_out)
{
    size_t length;

    text += strspn(text, " ");
    length = strnlen(text, TSR_DM_PARAMS_MAX);
    while (length && text[length - 1] == ' ')
        length--;
    *start_out = text;
    return length;
}

static bool same_target(const struct tsr_dm_target *a, const struct tsr_dm_target *b)
{
    const char *of_a, *of_b;
    size_t length = trimmed(a->params, &of_a);

    return a->start == b->start && a->length == b->length && !strcmp(a->type, b->type) &&
           length == trimmed(b->params, &of_b) && !memcmp(of_a, of_b, length);
}

bool tsr_dm_equal(const struct tsr_dm_table *a, const struct tsr_dm_table *b)
{
    uint32_t i;

    if (a->count != b->count)
        return false;
    for (i = 0; i < a->count; i++)
        if (!same_target(&a->targets[i], &b->targets[i]))
            return false;
    return true;
}

uint64_t tsr_dm_sectors(const struct tsr_dm_table *table)
{
    uint64_t sum = 0;
    uint32_t i;

    for (i = 0; i < table->count; i++)
        sum += table->targets[i].length;
    return sum;
}
