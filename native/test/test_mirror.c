/*
 * How a mirror comes under a volume and away, on a model of the device mapper: whoever else
 * changes the volume at whatever moment is never undone, and whoever is killed at whatever
 * moment leaves what the next one can go on with.
 */
#include "dm_model.h"
#include "test.h"

#include "../common/common.h"
#include "../disk/mirror.h"

#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define PLAIN "linear 8:0 0"
#define OURS "mirror core 2 2048 nosync 2 253:1 0 43:0 0 1 handle_errors"
#define THEIRS "linear 8:16 2048"

static struct tsr_dm dm;
static struct tsr_mirror mirror;

static void begin(void)
{
    dm_model_start(true);
    snprintf(mirror.lock, sizeof(mirror.lock), "/tmp/tsr-test-lock-%d", getpid());
    strcpy(mirror.name, "vol");
    strcpy(mirror.under, "under");
    mirror.leg_major = 43;
    mirror.leg_minor = 0;
    CHECK(!tsr_dm_open(&dm));
    CHECK(!tsr_mirror_plan(&dm, &mirror));
}

static void begin_mirrored(void)
{
    begin();
    CHECK(!tsr_mirror_insert(&dm, &mirror));
    CHECK(!strcmp(dm_model_table("vol", false), OURS));
}

static void finish(void)
{
    unlink(mirror.lock);
}

static bool is_live(const char *table)
{
    return !strcmp(dm_model_table("vol", false), table);
}

static bool is_loaded(const char *table)
{
    return !strcmp(dm_model_table("vol", true), table);
}

/* Proves: the mirror comes exactly as it is to be, and goes back to the plain table. */
TEST(mirror_comes_and_goes)
{
    struct tsr_mirror_found found;

    begin_mirrored();
    CHECK(!tsr_mirror_look(&dm, &mirror, &found));
    CHECK(found.state == TSR_MIRROR_LIVE && found.disk == 'A' && found.leg == 'A');
    CHECK(tsr_mirror_insert(&dm, &mirror) == -EBUSY);
    CHECK(tsr_mirror_swap(&dm, &mirror, true, NULL) == 1);
    CHECK(is_live(PLAIN) && is_loaded(""));
    CHECK(tsr_mirror_swap(&dm, &mirror, true, NULL) == 0);
    finish();
}

/* Proves: the device below is made over the volume's own table, and nothing is left of one
 * that cannot be. */
TEST(mirror_makes_what_lies_under)
{
    struct tsr_dm_info info;

    dm_model_start(false);
    strcpy(mirror.name, "vol");
    strcpy(mirror.under, "under");
    CHECK(!tsr_dm_open(&dm));
    CHECK(tsr_mirror_plan(&dm, &mirror) == -ENXIO);
    CHECK(!tsr_mirror_make_under(&dm, &mirror));
    CHECK(!strcmp(dm_model_table("under", false), PLAIN));
    CHECK(!tsr_dm_info(&dm, "under", &info));
    /* Longer than a volume's own: a layer, for LVM (its sizeof("LVM-") + 2 * ID_LEN). */
    CHECK(!strncmp(info.uuid, "LVM-", 4) && strlen(info.uuid) > 5 + 64);
    CHECK(tsr_mirror_make_under(&dm, &mirror) == -EBUSY);
    dm_model_start(false);
    dm_model_refuse = DM_TABLE_LOAD;
    dm_model_refuse_with = -ENOMEM;
    CHECK(tsr_mirror_make_under(&dm, &mirror) == -ENOMEM);
    CHECK(tsr_mirror_plan(&dm, &mirror) == -ENXIO);
}

/* Proves: a table with a target that keeps state is refused by the target's name. */
TEST(mirror_refuses_targets_with_state)
{
    static const char *const refused[] = { "crypt", "snapshot", "raid", "cache", "thin", "era" };
    char text[256];
    unsigned i;

    for (i = 0; i < sizeof(refused) / sizeof(*refused); i++) {
        dm_model_start(false);
        strcpy(mirror.name, "vol");
        strcpy(mirror.under, "under");
        dm_model_load(refused[i], "whatever 0");
        dm_model_resume();
        CHECK(!tsr_dm_open(&dm));
        CHECK(tsr_mirror_make_under(&dm, &mirror) == -EOPNOTSUPP);
        tsr_error_text(-1, text, sizeof(text));
        CHECK(strstr(text, refused[i]) && strstr(text, "vol"));
        CHECK(!dm_model_table("under", false)[0]);
    }
}

/* ---- somebody else ------------------------------------------------------------------------- */

/* Calls from the look that finds nothing loaded, up to and with the load. */
#define OVERWRITES 3

static unsigned load_at, resume_at;
static const char *their_params;

static void somebody(unsigned call)
{
    if (call == load_at)
        dm_model_load("linear", their_params);
    if (call == resume_at)
        dm_model_resume();
}

/*
 * All moments of somebody else's load and resume around what ACT does; then JUDGE. Left out is
 * what mirror.h says of M1: his load within the few calls between our look and our load. That it
 * is no more than those is checked.
 */
static void at_all_moments(void (*prepare)(void), int (*act)(void), const char *params,
                           void (*judge)(int rc, bool is_done))
{
    unsigned calls, from, left_out = 0;

    prepare();
    from = dm_model_calls;
    act();
    calls = dm_model_calls;
    CHECK(calls > from + 5);
    for (unsigned first = from; first <= calls; first++)
        for (unsigned second = first; second <= calls + 3; second++) {
            int rc;

            prepare();
            load_at = first;
            resume_at = second;
            their_params = params;
            dm_model_before = somebody;
            rc = act();
            dm_model_before = NULL;
            if (dm_model_overwritten) {
                left_out |= 1u << (first - from);
                continue;
            }
            judge(rc, dm_model_calls > second);
            if (dm_model_calls > first && dm_model_calls <= second) {
                /* His resume comes after all of ours. */
                dm_model_resume();
                judge(rc, true);
            }
        }
    CHECK(__builtin_popcount(left_out) <= OVERWRITES);
    finish();
}

static int do_swap(void)
{
    return tsr_mirror_swap(&dm, &mirror, true, NULL);
}

static int do_insert(void)
{
    return tsr_mirror_insert(&dm, &mirror);
}

static void theirs_stays(int rc, bool is_done)
{
    (void)rc;
    CHECK(!dm_model_is_suspended("vol"));
    if (is_done) {
        CHECK(is_live(THEIRS));
        CHECK(is_loaded("") || is_loaded(THEIRS));
    } else {
        CHECK(is_live(THEIRS) || is_live(OURS) || is_live(PLAIN));
    }
}

/* Proves: M1 for a swap: an lvextend or a pvmove at any moment of it is never undone. */
TEST(mirror_swap_undoes_nobody)
{
    at_all_moments(begin_mirrored, do_swap, "8:16 2048", theirs_stays);
}

/* Proves: M1 for an insertion: nor is it by ours, which never covers another table. */
TEST(mirror_insert_undoes_nobody)
{
    at_all_moments(begin, do_insert, "8:16 2048", theirs_stays);
}

static void plain_stays(int rc, bool is_done)
{
    (void)rc;
    CHECK(!dm_model_is_suspended("vol"));
    if (is_done)
        CHECK(is_live(PLAIN) || is_live(OURS));
}

/* Proves: LVM's own refresh, which loads the plain table again, is no trouble. */
TEST(mirror_swap_beside_a_refresh)
{
    at_all_moments(begin_mirrored, do_swap, "8:0 0", plain_stays);
}

/* Proves: a table of somebody else that is only loaded keeps us out until it is gone. */
TEST(mirror_waits_for_a_loaded_table)
{
    begin_mirrored();
    dm_model_load("linear", "8:16 2048");
    CHECK(do_swap() == -EBUSY && is_live(OURS) && is_loaded(THEIRS));
    dm_model_resume();
    CHECK(do_swap() == -ESTALE && is_live(THEIRS));
    CHECK(do_insert() == -ESTALE && is_live(THEIRS) && is_loaded(""));
    finish();
}

/* ---- killed ---------------------------------------------------------------------------------- */

static void killed_anywhere(void (*prepare)(void), int (*act)(void))
{
    unsigned from, calls;

    prepare();
    from = dm_model_calls;
    act();
    calls = dm_model_calls;
    for (unsigned at = from; at < calls; at++) {
        prepare();
        dm_model_killed = at;
        CHECK(act() < 0);
        dm_model_killed = 0;
        CHECK(!dm_model_is_suspended("vol"));
        CHECK(is_live(PLAIN) || is_live(OURS));
        CHECK(do_swap() >= 0);
        CHECK(is_live(PLAIN) && is_loaded(""));
    }
    finish();
}

/* Proves: M2: whoever is killed in a swap or an insertion leaves what a swap puts right. */
TEST(mirror_killed_in_a_swap)
{
    killed_anywhere(begin_mirrored, do_swap);
}

TEST(mirror_killed_in_an_insertion)
{
    killed_anywhere(begin, do_insert);
}

/* Proves: a change that a signal broke, which drops what was loaded, is done again. */
TEST(mirror_swap_broken_by_a_signal)
{
    begin_mirrored();
    dm_model_refuse = DM_DEV_SUSPEND;
    dm_model_refuse_with = -EINVAL;
    CHECK(do_swap() == 1 && is_live(PLAIN));
    finish();
}

/* Proves: a stopped holder of the lock cannot keep the guest's writes; but it keeps a mirror
 * from being put in. */
TEST(mirror_lock_of_a_stopped_process)
{
    int fd;

    begin_mirrored();
    fd = open(mirror.lock, O_RDWR);
    CHECK(fd >= 0 && !flock(fd, LOCK_EX));
    CHECK(do_swap() == 1 && is_live(PLAIN));
    CHECK(do_insert() == -EBUSY && is_live(PLAIN) && is_loaded(""));
    close(fd);
    finish();
}

/* Proves: LVM's lock on the volume group keeps us out while it changes a volume, but for ever
 * only where nothing waits; and it is given back as LVM gives it back. */
TEST(mirror_takes_the_lock_of_the_volume_group)
{
    int fd;

    begin();
    snprintf(mirror.vg_lock, sizeof(mirror.vg_lock), "/tmp/tsr-test-V-%d", getpid());
    fd = open(mirror.vg_lock, O_RDWR | O_CREAT, 0600);
    CHECK(fd >= 0 && !flock(fd, LOCK_SH));
    CHECK(do_insert() == -EBUSY && is_live(PLAIN) && is_loaded(""));
    close(fd);
    CHECK(!do_insert() && is_live(OURS));
    CHECK(access(mirror.vg_lock, F_OK));
    fd = open(mirror.vg_lock, O_RDWR | O_CREAT, 0600);
    CHECK(fd >= 0 && !flock(fd, LOCK_EX));
    CHECK(tsr_mirror_swap(&dm, &mirror, false, NULL) == -EBUSY && is_live(OURS));
    CHECK(tsr_mirror_swap(&dm, &mirror, true, NULL) == 1 && is_live(PLAIN));
    CHECK(!access(mirror.vg_lock, F_OK));
    close(fd);
    unlink(mirror.vg_lock);
    finish();
}

/* ---- texts ----------------------------------------------------------------------------------- */

TEST(mirror_health_of_a_status)
{
    char disk = 0, leg = 0;

    CHECK(tsr_mirror_health("2 253:1 43:0 32/32 1 AA 1 core", &disk, &leg));
    CHECK(disk == 'A' && leg == 'A');
    CHECK(tsr_mirror_health("2 253:1 43:0 0/32 1 DR 1 core", &disk, &leg));
    CHECK(disk == 'D' && leg == 'R');
    CHECK(!tsr_mirror_health("", &disk, &leg));
    CHECK(!tsr_mirror_health("3 1:1 2:2 3:3 1/1 1 AAA 1 core", &disk, &leg));
    CHECK(!tsr_mirror_health("2 253:1 43:0 32/32 1 A", &disk, &leg));
}

TEST(dm_tables_are_compared_whole)
{
    static struct tsr_dm_table a, b;

    a.count = b.count = 2;
    for (unsigned i = 0; i < 2; i++) {
        a.targets[i] = (struct tsr_dm_target){ i * 100, 100, "linear", "8:0 0" };
        b.targets[i] = (struct tsr_dm_target){ i * 100, 100, "linear", " 8:0 0  " };
    }
    CHECK(tsr_dm_equal(&a, &b) && tsr_dm_sectors(&a) == 200);
    strcpy(b.targets[1].params, "8:0 01");
    CHECK(!tsr_dm_equal(&a, &b));
    strcpy(b.targets[1].params, "8:0 0");
    b.targets[1].length = 99;
    CHECK(!tsr_dm_equal(&a, &b));
    b.targets[1].length = 100;
    strcpy(b.targets[1].type, "striped");
    CHECK(!tsr_dm_equal(&a, &b));
    b.count = 1;
    CHECK(!tsr_dm_equal(&a, &b));
}

static unsigned garbage_seed;

/* An answer of any bytes. */
static int garbage(unsigned long request, void *argument)
{
    struct dm_ioctl *head = argument;
    size_t size = head->data_size < 4096 ? head->data_size : 4096;

    if (request == DM_VERSION) {
        head->version[1] = 47;
        return 0;
    }
    srand(garbage_seed++);
    for (size_t i = sizeof(*head); i < size; i++)
        ((uint8_t *)argument)[i] = (uint8_t)(rand() % 4 ? 0 : rand());
    head->target_count = (uint32_t)rand() % 200;
    head->data_start = (uint32_t)(rand() % 3 ? (int)sizeof(*head) : rand());
    head->data_size = (uint32_t)(rand() % 3 ? (int)head->data_size : rand());
    head->flags = 0;
    return 0;
}

/* Proves: no answer of the kernel's, however broken, is read beyond its end. */
TEST(dm_survives_garbage)
{
    static struct tsr_dm_table table;
    unsigned taken = 0;

    tsr_dm_model = garbage;
    CHECK(!tsr_dm_open(&dm));
    for (unsigned i = 0; i < 20000; i++)
        taken += !tsr_dm_table(&dm, "vol", TSR_DM_LIVE, &table);
    CHECK(taken > 0 && taken < 20000);
}

TEST(dm_refuses_names)
{
    char name[TSR_DM_NAME_MAX + 1];
    struct tsr_dm_info info;

    begin();
    memset(name, 'a', sizeof(name));
    name[TSR_DM_NAME_MAX] = 0;
    CHECK(tsr_dm_info(&dm, name, &info) == -EINVAL);
    CHECK(tsr_dm_info(&dm, "", &info) == -EINVAL);
    CHECK(tsr_dm_create(&dm, "x", "") == -EINVAL);
    name[TSR_DM_NAME_MAX - 1] = 0;
    CHECK(tsr_dm_info(&dm, name, &info) == -ENXIO);
}
