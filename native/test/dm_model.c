#include "dm_model.h"

#include <errno.h>
#include <linux/dm-ioctl.h>
#include <linux/kdev_t.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/types.h>

#define DEVICES 4

struct table {
    bool there;
    char type[16], params[512];
};

static struct device {
    char name[DM_NAME_LEN], uuid[DM_UUID_LEN];
    struct table live, inactive;
    bool suspended;
} devices[DEVICES];

unsigned dm_model_calls, dm_model_killed;
void (*dm_model_before)(unsigned call);
char dm_model_health[3];
unsigned long dm_model_refuse;
int dm_model_refuse_with;
bool dm_model_overwritten;
uint64_t dm_model_sectors = 65536;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct device *find(const char *name)
{
    unsigned i;

    for (i = 0; i < DEVICES; i++)
        if (devices[i].name[0] && !strcmp(devices[i].name, name))
            return &devices[i];
    return NULL;
}

static struct table table_of(const char *type, const char *params)
{
    struct table table = { .there = true };

    snprintf(table.type, sizeof(table.type), "%s", type);
    snprintf(table.params, sizeof(table.params), "%s", params);
    /* A target takes its words and forgets the text. */
    while (table.params[0] && table.params[strlen(table.params) - 1] == ' ')
        table.params[strlen(table.params) - 1] = 0;
    return table;
}

static void swap_in(struct device *device)
{
    if (device->inactive.there)
        device->live = device->inactive;
    device->inactive.there = false;
    device->suspended = false;
}

static void put_targets(struct dm_ioctl *head, const struct table *table, bool is_status)
{
    struct dm_target_spec spec = { .length = dm_model_sectors };
    char *at = (char *)head + head->data_start;
    char text[600];

    head->target_count = table->there;
    if (!table->there)
        return;
    if (!is_status)
        /* The kernel's own texts end with a blank here and there. */
        snprintf(text, sizeof(text), "%s ", table->params);
    else if (!strcmp(table->type, "mirror"))
        snprintf(text, sizeof(text), "2 253:1 43:0 32/32 1 %s 1 core", dm_model_health);
    else
        text[0] = 0;
    snprintf(spec.target_type, sizeof(spec.target_type), "%s", table->type);
    spec.next = (uint32_t)(sizeof(spec) + strlen(text) + 8) & ~7u;
    memcpy(at, &spec, sizeof(spec));
    strcpy(at + sizeof(spec), text);
}

static int load(struct device *device, const struct dm_ioctl *head)
{
    const char *at = (const char *)head + head->data_start;
    struct dm_target_spec spec;

    memcpy(&spec, at, sizeof(spec));
    dm_model_overwritten |= device->inactive.there;
    device->inactive = table_of(spec.target_type, at + sizeof(spec));
    return 0;
}

static int create(const struct dm_ioctl *head)
{
    unsigned i;

    if (find(head->name))
        return -EBUSY;
    for (i = 0; i < DEVICES; i++)
        if (!devices[i].name[0]) {
            memset(&devices[i], 0, sizeof(devices[i]));
            strcpy(devices[i].name, head->name);
            strcpy(devices[i].uuid, head->uuid);
            return 0;
        }
    return -ENOMEM;
}

static void describe(struct dm_ioctl *head, const struct device *device)
{
    head->dev = (uint64_t)MKDEV(253, device - devices);
    head->flags = (device->suspended ? DM_SUSPEND_FLAG : 0) |
                  (device->live.there ? DM_ACTIVE_PRESENT_FLAG : 0) |
                  (device->inactive.there ? DM_INACTIVE_PRESENT_FLAG : 0);
    strcpy(head->uuid, device->uuid);
}

static int answer(unsigned long request, struct dm_ioctl *head)
{
    uint32_t flags = head->flags;
    struct device *device;

    if (request == DM_VERSION) {
        head->version[1] = 47;
        return 0;
    }
    if (request == DM_DEV_ARM_POLL)
        return 0;
    if (request == DM_DEV_CREATE)
        return create(head);
    device = find(head->name);
    if (!device)
        return -ENXIO;
    switch (request) {
    case DM_DEV_STATUS:
        break;
    case DM_TABLE_STATUS:
        put_targets(head, flags & DM_QUERY_INACTIVE_TABLE_FLAG ? &device->inactive : &device->live,
                    !(flags & DM_STATUS_TABLE_FLAG));
        break;
    case DM_TABLE_LOAD:
        load(device, head);
        break;
    case DM_TABLE_CLEAR:
        device->inactive.there = false;
        break;
    case DM_DEV_SUSPEND:
        swap_in(device);
        break;
    case DM_DEV_REMOVE:
        device->name[0] = 0;
        return 0;
    default:
        return -ENOTTY;
    }
    describe(head, device);
    return 0;
}

static int model(unsigned long request, void *argument)
{
    unsigned call;
    int rc;

    pthread_mutex_lock(&lock);
    call = dm_model_calls++;
    if (dm_model_before)
        dm_model_before(call);
    if (dm_model_killed && call >= dm_model_killed) {
        rc = -EIO;
    } else if (dm_model_refuse == request) {
        rc = dm_model_refuse_with;
        dm_model_refuse = 0;
        /* A change that fails drops what was loaded (do_resume). */
        if (request == DM_DEV_SUSPEND)
            find(((struct dm_ioctl *)argument)->name)->inactive.there = false;
    } else {
        rc = answer(request, argument);
    }
    pthread_mutex_unlock(&lock);
    return rc;
}

void dm_model_start(bool with_under)
{
    memset(devices, 0, sizeof(devices));
    strcpy(devices[0].name, "vol");
    devices[0].live = table_of("linear", "8:0 0");
    if (with_under) {
        strcpy(devices[1].name, "under");
        devices[1].live = devices[0].live;
    }
    strcpy(dm_model_health, "AA");
    dm_model_calls = dm_model_killed = 0;
    dm_model_before = NULL;
    dm_model_refuse = 0;
    dm_model_overwritten = false;
    tsr_dm_model = model;
}

void dm_model_load(const char *type, const char *params)
{
    find("vol")->inactive = table_of(type, params);
}

void dm_model_resume(void)
{
    swap_in(find("vol"));
}

const char *dm_model_table(const char *device, bool inactive)
{
    static char text[600];
    const struct device *found = find(device);
    const struct table *table = !found ? NULL : inactive ? &found->inactive : &found->live;

    text[0] = 0;
    if (table && table->there)
        snprintf(text, sizeof(text), "%s %s", table->type, table->params);
    return text;
}

bool dm_model_is_suspended(const char *device)
{
    const struct device *found = find(device);

    return found && found->suspended;
}
