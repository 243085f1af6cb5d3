/*
 * Opening libxenlight, and short calls.
 */
#include "session.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../xen/internal.h"

/* ---- the library and short calls --------------------------------------------------- */

TEST(open_says_why_not)
{
    char text[256];

    CHECK(tsr_domain_id("x") == -ENXIO);
    CHECK(tsr_open("/nowhere/libxenlight.so") == -ENOENT);
    CHECK(tsr_error_text(-1, text, sizeof(text)) > 0);
    CHECK(strstr(text, "/nowhere/libxenlight.so"));
    CHECK(tsr_open("libc.so.6") == -ENOSYS);
    CHECK(tsr_error_text(-1, text, sizeof(text)) > 0);
    CHECK(strstr(text, "has no function libxl_ctx_alloc"));
    CHECK(tsr_open("") == -EINVAL);
    setenv("FAKE_NO_XEN", "1", 1);
    CHECK(tsr_open(fake_path()) == TSR_XL(-3));
    CHECK(tsr_error_text(-1, text, sizeof(text)) > 0);
    CHECK(strstr(text, "Could not obtain handle on privileged command "
                 "interface"));
    unsetenv("FAKE_NO_XEN");
    CHECK(tsr_open(fake_path()) == 0);
    CHECK(tsr_open(fake_path()) == 0);
    CHECK(tsr_open("libc.so.6") == -EBUSY);
}

/* An older library is known by its file's name. */
TEST(open_refuses_old_versions)
{
    char dir[] = "/tmp/tsr-test-XXXXXX", path[64], text[256];
    FILE *from, *to;
    int c;

    CHECK(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/libxenlight.so.4.13.0", dir);
    from = fopen(fake_path(), "r");
    to = fopen(path, "w");
    CHECK(from && to);
    while ((c = getc(from)) != EOF)
        putc(c, to);
    fclose(from);
    fclose(to);
    CHECK(tsr_open(path) == -ENOSYS);
    CHECK(tsr_error_text(-1, text, sizeof(text)) > 0);
    CHECK(strstr(text, "is libxenlight of Xen 4.13; 4.14 is the oldest"));
    unlink(path);
    rmdir(dir);
}

TEST(short_calls)
{
    struct fake_world *world = open_fake();
    char json[1024], text[256];
    uint32_t ids[2];

    CHECK(tsr_abi_version() == TSR_ABI_VERSION);
    CHECK(tsr_domain_id("guest") == FAKE_DOMID);
    CHECK(tsr_domain_id("nobody") == TSR_XL(-6));
    CHECK(tsr_domain_ids(ids, 2) == 1 && ids[0] == FAKE_DOMID);
    world->copy_exists = true;
    CHECK(tsr_domain_ids(ids, 2) == 2 && ids[1] == FAKE_COPY_DOMID);
    CHECK(tsr_domain_ids(ids, 1) == -ERANGE);
    world->copy_exists = false;
    CHECK(tsr_domain_info(FAKE_DOMID, json, sizeof(json)) > 0);
    CHECK(!tsr_json_true(json, "paused"));
    CHECK(tsr_domain_pause(FAKE_DOMID) == 0 && world->paused);
    CHECK(tsr_domain_info(FAKE_DOMID, json, sizeof(json)) > 0);
    CHECK(tsr_json_true(json, "paused"));
    CHECK(tsr_domain_info(FAKE_DOMID, json, 10) == -ERANGE);
    CHECK(tsr_domain_unpause(FAKE_DOMID) == 0 && !world->paused);
    CHECK(tsr_domain_info(77, json, sizeof(json)) == TSR_XL(-21));
    CHECK(tsr_domain_config(FAKE_DOMID, json, sizeof(json)) == 27);
    CHECK(!strcmp(json, "{\"c_info\":{\"name\":\"guest\"}}"));
    CHECK(tsr_domain_config(FAKE_DOMID, json, 27) == -ERANGE);
    CHECK(tsr_domain_destroy(77) == TSR_XL(-21));
    CHECK(tsr_error_text(-1, text, sizeof(text)) > 0);
    CHECK(!strcmp(text, "cannot destroy domain 77: there is no such domain "
                  "(libxenlight says -21)"));
    CHECK(tsr_domain_destroy(0) == -EINVAL);
    CHECK(tsr_domain_rename(FAKE_DOMID, "a", "b") == TSR_XL(-6));
    CHECK(tsr_error_text(TSR_XL(-6), text, sizeof(text)) > 0);
    CHECK(!strcmp(text, "cannot rename domain 5 from a to b: Domain 5:has "
                  "another name (libxenlight says -6)"));
    CHECK(tsr_domain_create("{}") == 12);
    CHECK(tsr_domain_create("nonsense") == TSR_XL(-3));
    CHECK(tsr_domain_destroy(FAKE_DOMID) == 0 && world->gone);
    CHECK(tsr_host_info(json, sizeof(json)) > 0);
    CHECK(!strcmp(json, "{\"xen_version_major\":4,\"free_memory_kb\":1234}"));
    CHECK(tsr_host_info(json, 5) == -ERANGE);
    CHECK(tsr_pool_info("web", json, sizeof(json)) > 0);
    CHECK(!strcmp(json, "{\"poolid\":1,\"pool_name\":\"web\"}"));
    CHECK(tsr_pool_info("web", json, 5) == -ERANGE);
    CHECK(tsr_pool_info("lost", json, sizeof(json)) == TSR_XL(-23));
    CHECK(tsr_pool_info("7", json, sizeof(json)) == TSR_XL(-23));
    CHECK(tsr_pool_info("", json, sizeof(json)) == -EINVAL);
    /* The fake leaves nothing out: it has no defaults. */
    CHECK(tsr_end_words(json, sizeof(json)) > 0);
    CHECK(!strcmp(json, "{\"actions\":[\"destroy\",\"restart\"],\"reasons\":"
                  "[\"poweroff\",\"watchdog\"],\"defaults\":{}}"));
    CHECK(tsr_end_words(json, 5) == -ERANGE);
}

static void *call_often(void *unused)
{
    char json[1024];

    (void)unused;
    for (int i = 0; i < 50; i++) {
        CHECK(tsr_domain_unpause(FAKE_DOMID) == 0);
        CHECK(tsr_domain_config(FAKE_DOMID, json, sizeof(json)) > 0);
        CHECK(tsr_domain_info(77, json, sizeof(json)) == TSR_XL(-21));
    }
    return NULL;
}

/* Several at once, each on a context of its own. */
TEST(short_calls_from_threads)
{
    struct fake_world *world = open_fake();
    pthread_t threads[20];

    for (int i = 0; i < 20; i++)
        CHECK(!pthread_create(&threads[i], NULL, call_often, NULL));
    for (int i = 0; i < 20; i++)
        pthread_join(threads[i], NULL);
    CHECK(world->contexts <= 8);
}

/* The context of a broken event loop is not used again. */
TEST(short_calls_after_a_disaster)
{
    struct fake_world *world = open_fake();

    world->disaster = true;
    CHECK(tsr_domain_unpause(FAKE_DOMID) == 0);
    world->disaster = false;
    CHECK(tsr_domain_unpause(FAKE_DOMID) == 0);
}
