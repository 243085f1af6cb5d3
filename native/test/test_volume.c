/*
 * What a dead session left of a guest's volume, on a model of the device mapper.
 */
#include "dm_model.h"
#include "test.h"

#include "../common/common.h"
#include "../disk/mirror.h"
#include "../disk/volume.h"

#include <errno.h>
#include <linux/dm-ioctl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define SIZE (65536ull * 512)
#define OURS "core 2 2048 nosync 2 253:1 0 43:7 0 1 handle_errors"

static char lock[64];

static void begin(bool with_under)
{
    dm_model_start(with_under);
    snprintf(lock, sizeof(lock), "/tmp/tsr-test-lock-%d", getpid());
}

static void make_live(const char *type, const char *params)
{
    dm_model_load(type, params);
    dm_model_resume();
}

static struct tsr_volume look(void)
{
    struct tsr_volume volume;

    CHECK(!tsr_volume_look("vol", "under", &volume));
    CHECK(volume.size == SIZE);
    return volume;
}

static int repair(void)
{
    int rc = tsr_volume_repair("vol", "under", lock, "");

    unlink(lock);
    return rc;
}

/* Proves: a plain volume is one, whatever else is not is named, and ours is known with its leg
 * where it is live and where it is only loaded. */
TEST(volume_is_known)
{
    struct tsr_volume volume;

    begin(false);
    CHECK(tsr_volume_look("other", "under", &volume) == -ENXIO);
    volume = look();
    CHECK(volume.state == TSR_VOLUME_PLAIN && !volume.has_under && !volume.target[0]);
    make_live("crypt", "aes-xts-plain64 0000 0 8:0 4096");
    volume = look();
    CHECK(volume.state == TSR_VOLUME_OTHER && !strcmp(volume.target, "crypt"));
    /* Without the device that it would lie over it is somebody else's. */
    make_live("mirror", OURS);
    CHECK(look().state == TSR_VOLUME_OTHER);
    begin(true);
    dm_model_load("mirror", OURS);
    volume = look();
    CHECK(volume.state == TSR_VOLUME_MIRRORED && volume.has_under);
    CHECK(volume.leg_major == 43 && volume.leg_minor == 7);
    dm_model_resume();
    CHECK(look().state == TSR_VOLUME_MIRRORED);
    make_live("mirror", "core 2 2048 nosync 2 253:2 0 43:7 0 1 handle_errors");
    volume = look();
    CHECK(volume.state == TSR_VOLUME_OTHER && !strcmp(volume.target, "mirror"));
    make_live("mirror", "core 2 2048 nosync 2 253:1 0 43:7 0");
    CHECK(look().state == TSR_VOLUME_OTHER);
}

/* Proves: the device under is made over the plain table. */
TEST(volume_gets_its_device_under)
{
    uint32_t minor = 99;

    begin(false);
    CHECK(!tsr_volume_make_under("vol", "under", &minor) && minor == 1);
    CHECK(!strcmp(dm_model_table("under", false), dm_model_table("vol", false)));
    CHECK(tsr_volume_make_under("vol", "under", &minor) == -EBUSY);
}

/* Proves: of a dead session nothing is left, wherever it died. */
TEST(volume_is_repaired)
{
    begin(true);
    make_live("mirror", OURS);
    CHECK(repair() == 1);
    CHECK(!strcmp(dm_model_table("vol", false), "linear 8:0 0"));
    CHECK(!look().has_under && repair() == 0);
    begin(true);
    dm_model_load("mirror", OURS);
    CHECK(repair() >= 0 && !look().has_under);
    CHECK(!dm_model_table("vol", true)[0]);
    begin(true);
    CHECK(repair() == 0 && !look().has_under);
}

/* Proves: what somebody else made of the volume stays as it is. */
TEST(volume_of_somebody_else_is_left_alone)
{
    begin(true);
    make_live("linear", "8:16 0");
    CHECK(repair() == 0);
    CHECK(!strcmp(dm_model_table("vol", false), "linear 8:16 0"));
    begin(true);
    make_live("mirror", OURS);
    dm_model_load("linear", "8:16 0");
    CHECK(repair() == -EBUSY);
    CHECK(look().has_under && !strcmp(dm_model_table("vol", true), "linear 8:16 0"));
}

/* Proves: what cannot be taken away is told; a device under that is in use is asked again. */
TEST(volume_tells_what_it_cannot)
{
    char text[256];

    begin(true);
    dm_model_refuse = DM_DEV_REMOVE;
    dm_model_refuse_with = -EBUSY;
    CHECK(repair() == 0 && !look().has_under);
    begin(true);
    dm_model_refuse = DM_DEV_REMOVE;
    dm_model_refuse_with = -EPERM;
    CHECK(repair() == -EPERM);
    CHECK(tsr_volume_repair("vol", NULL, lock, "") == -EINVAL);
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    CHECK(tsr_volume_look(text, "under", &(struct tsr_volume){ 0 }) == -EINVAL);
}
