/*
 * libxl's own words for how a guest ends and what is done then, and what it takes where
 * a configuration says nothing. Its JSON leaves a member out that has its default value
 * (gentypes.py, get_default_expr): which word that is, libxl shows by leaving it out.
 */
#include "internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* More than either enumeration has values; those below 0 mean "unknown". */
#define VALUES_MAX 32

/* Of libxl_domain_config, all of type libxl_action_on_shutdown. */
static const char *const end_keys[] = {
    "on_poweroff", "on_reboot", "on_watchdog", "on_crash", "on_soft_reset",
};
#define KEYS (sizeof(end_keys) / sizeof(end_keys[0]))

struct text {
    char *out;
    size_t size, used;
};

PRINTF(2, 3)
static void add(struct text *text, const char *format, ...)
{
    size_t room = text->used < text->size ? text->size - text->used : 0;
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(room ? text->out + text->used : NULL, room, format, args);
    va_end(args);
    if (n > 0)
        text->used += (size_t)n;
}

static void add_words(struct text *text, const char *name,
                      const char *(*word_of)(int value))
{
    const char *comma = "";
    int value;

    add(text, "\"%s\":[", name);
    for (value = 0; value < VALUES_MAX; value++) {
        const char *word = word_of(value);

        if (!word)
            continue;
        add(text, "%s\"%s\"", comma, word);
        comma = ",";
    }
    add(text, "]");
}

/* libxl's JSON of a configuration that says WORD for each key; NULL: it refuses. */
static char *print_all(struct tsr_ctx *ctx, const char *word)
{
    char *config = calloc(1, TSR_XL_CONFIG_SIZE), *json = NULL;
    char said[1024] = "{";
    struct text text = { .out = said, .size = sizeof(said), .used = 1 };
    size_t i;

    if (!config)
        return NULL;
    for (i = 0; i < KEYS; i++)
        add(&text, "%s\"%s\":\"%s\"", i ? "," : "", end_keys[i], word);
    add(&text, "}");
    tsr_xl.libxl_domain_config_init(config);
    if (text.used < sizeof(said) &&
        !tsr_xl.libxl_domain_config_from_json(ctx->xl, config, said))
        json = tsr_xl.libxl_domain_config_to_json(ctx->xl, config);
    tsr_xl.libxl_domain_config_dispose(config);
    free(config);
    return json;
}

static void add_defaults(struct text *text, struct tsr_ctx *ctx)
{
    bool found[KEYS] = { false };
    const char *comma = "";
    int value;
    size_t i;

    add(text, "\"defaults\":{");
    for (value = 0; value < VALUES_MAX; value++) {
        const char *word = tsr_xl.libxl_action_on_shutdown_to_string(value);
        char *json = word ? print_all(ctx, word) : NULL;

        for (i = 0; json && i < KEYS; i++) {
            if (found[i] || tsr_json_find(json, end_keys[i], NULL))
                continue;
            add(text, "%s\"%s\":\"%s\"", comma, end_keys[i], word);
            comma = ",";
            found[i] = true;
        }
        free(json);
    }
    add(text, "}");
}

int tsr_end_words(char *out, size_t size)
{
    struct text text = { .out = out, .size = out ? size : 0 };
    struct tsr_ctx *ctx;
    int rc;

    rc = tsr_ctx_get(&ctx);
    if (rc < 0)
        return rc;
    add(&text, "{");
    add_words(&text, "actions", tsr_xl.libxl_action_on_shutdown_to_string);
    add(&text, ",");
    add_words(&text, "reasons", tsr_xl.libxl_shutdown_reason_to_string);
    add(&text, ",");
    add_defaults(&text, ctx);
    add(&text, "}");
    tsr_ctx_put(ctx);
    if (text.used >= text.size)
        return tsr_fail(-ERANGE, "%zu bytes are needed", text.used + 1);
    return (int)text.used;
}
