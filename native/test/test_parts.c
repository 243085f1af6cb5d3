/*
 * The small parts: JSON, errors, handles.
 */
#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../xen/internal.h"

/* ---- JSON ------------------------------------------------------------------- */

TEST(json_finds)
{
    static const char json[] =
        "{ \"a\" : {\"b\":[1,{\"c\":2}],\"name\":\"x\"},\n \"name\": \"guest\","
        "\"t\":true,\"f\":false, \"e\":\"q\\\"}\", \"last\": -1.5e3}";
    char out[16];
    size_t len;
    const char *v;

    v = tsr_json_find(json, "a.b", &len);
    CHECK(v && len == 11 && !memcmp(v, "[1,{\"c\":2}]", 11));
    CHECK(tsr_json_string(json, "name", out, sizeof(out)));
    CHECK(!strcmp(out, "guest"));
    CHECK(tsr_json_string(json, "a.name", out, sizeof(out)));
    CHECK(!strcmp(out, "x"));
    CHECK(!tsr_json_string(json, "name", out, 5));
    CHECK(!tsr_json_string(json, "t", out, sizeof(out)));
    CHECK(tsr_json_string(json, "e", out, sizeof(out)));
    CHECK(!strcmp(out, "q\"}"));
    CHECK(!tsr_json_string("{\"a\":\"x\\u0041\"}", "a", out, sizeof(out)));
    CHECK(tsr_json_true(json, "t") && !tsr_json_true(json, "f"));
    CHECK(!tsr_json_true(json, "a.b.c") && !tsr_json_true(json, "none"));
    v = tsr_json_find(json, "last", &len);
    CHECK(v && len == 6);
    CHECK(!tsr_json_find("", "a", NULL) && !tsr_json_find("[]", "a", NULL));
}

TEST(json_survives_garbage)
{
    static const char letters[] = "{}[]\",:\\ntrue1 a.b";
    char json[64], out[16];

    srand(4);
    for (int i = 0; i < 200000; i++) {
        int n = 1 + rand() % 60;

        json[0] = '{';
        for (int k = 1; k < n; k++)
            json[k] = letters[(size_t)rand() % (sizeof(letters) - 1)];
        json[n] = 0;
        tsr_json_string(json, "a", out, sizeof(out));
        tsr_json_true(json, "a.b");
    }
}

TEST(json_quotes)
{
    char out[16];

    tsr_json_quote("a\"b\\c\n", out, sizeof(out));
    CHECK(!strcmp(out, "\"a\\\"b\\\\c \""));
    for (size_t size = 3; size < 16; size++) {
        tsr_json_quote("\"\"\"\"\"\"\"\"\"\"", out, size);
        CHECK(strlen(out) < size && out[strlen(out) - 1] == '"');
    }
}

/* ---- errors and handles ---------------------------------------------------------- */

static void *fail_elsewhere(void *unused)
{
    (void)unused;
    tsr_fail(TSR_XL(-3), "the other thread's");
    return NULL;
}

TEST(errors_of_threads)
{
    char text[64];
    pthread_t thread;

    CHECK(tsr_error_text(-1, text, sizeof(text)) == 0);
    tsr_fail(-ENOENT, "mine");
    CHECK(!pthread_create(&thread, NULL, fail_elsewhere, NULL));
    pthread_join(thread, NULL);
    CHECK(tsr_error_text(-1, text, sizeof(text)) == 4);
    CHECK(!strcmp(text, "mine"));
    /* Asked for already: now it is the newest of the process. */
    CHECK(tsr_error_text(-1, text, sizeof(text)) > 0);
    CHECK(!strcmp(text, "the other thread's"));
    CHECK(tsr_error_text(-ENOENT, text, sizeof(text)) > 0);
    CHECK(!strcmp(text, "mine"));
    CHECK(tsr_error_text(TSR_XL(-3), text, 6) == 5);
    CHECK(!strcmp(text, "the o"));
    CHECK(tsr_error_text(99, text, sizeof(text)) == -EBADF);
    CHECK(tsr_error_text(-1, NULL, 0) == -EINVAL);
}

TEST(handles_are_not_given_out_again)
{
    int handles[256], first = tsr_stream_new();

    CHECK(tsr_stream_free(first) == 0);
    for (int i = 0; i < 100000; i++) {
        int handle = tsr_stream_new();

        CHECK(handle >= 0 && handle != first);
        CHECK(tsr_stream_free(handle) == 0);
    }
    for (int i = 0; i < 256; i++) {
        handles[i] = tsr_stream_new();
        CHECK(handles[i] >= 0);
    }
    CHECK(tsr_stream_new() == -EMFILE);
    CHECK(tsr_save_abort(handles[7]) == -EBADF);
    for (int i = 0; i < 256; i++)
        CHECK(tsr_stream_free(handles[i]) == 0);
}
