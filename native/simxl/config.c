/*
 * libxl_domain_config: read from JSON, checked and written as libxl 4.17
 * does. What libxl does not know it drops without a word, a known member of
 * the wrong type fails, members with their default value are left out, and
 * the order is that of libxl's IDL. So a caller's mistake shows here, too.
 */
#define _GNU_SOURCE
#include "xl.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "config-schema.h"

/* TEXT stands in LIST, "a|b|c"; a "*" in it is anything. */
static bool one_of(const char *text, const char *list)
{
    size_t n = strlen(text);

    for (const char *p = list; *p; p += strcspn(p, "|"), p += *p == '|')
        if (*p == '*' || (strcspn(p, "|") == n && !strncmp(p, text, n)))
            return true;
    return false;
}

static bool is_first(const char *text, const char *list)
{
    size_t n = strcspn(list, "|");

    return strlen(text) == n && !strncmp(list, text, n);
}

static bool all_of(const struct json *array, enum json_kind kind)
{
    for (const struct json *c = array->child; c; c = c->next)
        if (c->kind != kind)
            return false;
    return true;
}

static bool right_type(const struct field *f, const struct json *v)
{
    uint8_t uuid[16];

    switch (f->type) {
    case 'i':
        return v->kind == JSON_NUMBER && !strpbrk(v->text, ".eE");
    case 's':
        return v->kind == JSON_STRING || v->kind == JSON_NULL;
    case 'b':
        return v->kind == JSON_BOOL;
    case 'd':
        return v->kind == JSON_STRING &&
            one_of(v->text, "<default>|True|False");
    case 'e':
        return v->kind == JSON_STRING && one_of(v->text, f->def);
    case 'U':
        return v->kind == JSON_STRING && sx_uuid_parse(v->text, uuid);
    case 'm':
        return v->kind == JSON_STRING && strlen(v->text) == 17;
    case 'N':
        return v->kind == JSON_ARRAY && all_of(v, JSON_NUMBER);
    case 'L':
        return v->kind == JSON_ARRAY && all_of(v, JSON_STRING);
    case 'A':
        return v->kind == JSON_ARRAY && all_of(v, JSON_OBJECT);
    case 'S':
    case 'K':
        return v->kind == JSON_OBJECT;
    default:
        return true;
    }
}

static bool is_default(const struct field *f, const struct json *v)
{
    switch (v->kind) {
    case JSON_NULL:
        return true;
    case JSON_BOOL:
        return !v->truth;
    case JSON_ARRAY:
        return !v->child;
    case JSON_NUMBER:
        return !strcmp(v->text, f->def ? f->def : "0");
    case JSON_STRING:
        if (f->type == 'e')
            return is_first(v->text, f->def);
        return f->type == 'd' && !strcmp(v->text, "<default>");
    case JSON_OBJECT:
        return f->type == 'K' && !v->child;
    }
    return false;
}

struct clean {
    char *why;
    size_t size;
    bool bad;
};

static struct json *clean_struct(const struct field *fields,
                                 const struct json *in, struct clean *c);

static struct json *clean_value(const struct field *f, const struct json *in,
                                struct clean *c)
{
    struct json *out;

    if (f->type == 'S')
        return clean_struct(f->sub, in, c);
    if (f->type != 'A')
        return json_copy(in);
    out = json_new(JSON_ARRAY);
    for (const struct json *e = in->child; e; e = e->next)
        json_add(out, NULL, clean_struct(f->sub, e, c));
    return out;
}

static struct json *clean_struct(const struct field *fields,
                                 const struct json *in, struct clean *c)
{
    struct json *out = json_new(JSON_OBJECT);

    for (const struct field *f = fields; f->name; f++) {
        const struct json *v = json_get(in, f->name);

        if (!v) {
            /* A struct inside a struct is always written, a union's member
             * only where it was chosen. */
            if (f->type == 'S' && !strchr(f->name, '.'))
                json_add(out, f->name, clean_struct(f->sub, NULL, c));
            continue;
        }
        if (!right_type(f, v)) {
            c->bad = true;
            snprintf(c->why, c->size, "%s has the wrong type or value",
                     f->name);
            continue;
        }
        if (!is_default(f, v))
            json_add(out, f->name, clean_value(f, v, c));
    }
    return out;
}

/* The configuration as libxl would hold it; NULL and WHY if it would fail. */
struct json *sx_config_clean(const struct json *root, char *why, size_t size)
{
    struct clean c = { why, size, false };
    struct json *out;

    if (!root || root->kind != JSON_OBJECT) {
        snprintf(why, size, "not a JSON object");
        return NULL;
    }
    out = clean_struct(domain_config, root, &c);
    if (c.bad) {
        json_free(out);
        return NULL;
    }
    return out;
}

SX_API void libxl_domain_config_init(libxl_domain_config *c)
{
    memset(c, 0, sizeof(*c));
    c->magic = SX_CONFIG_MAGIC;
}

SX_API void libxl_domain_config_dispose(libxl_domain_config *c)
{
    if (c && c->magic == SX_CONFIG_MAGIC)
        json_free(c->root);
    if (c)
        memset(c, 0, sizeof(*c));
}

struct json *sx_config(libxl_domain_config *c)
{
    char why[128];

    if (c->magic != SX_CONFIG_MAGIC) {
        fprintf(stderr, "simxl: libxl_domain_config without _init\n");
        abort();
    }
    if (!c->root) {
        struct json *empty = json_new(JSON_OBJECT);

        c->root = sx_config_clean(empty, why, sizeof(why));
        json_free(empty);
    }
    return c->root;
}

SX_API int libxl_domain_config_from_json(libxl_ctx *ctx,
                                         libxl_domain_config *c,
                                         const char *text)
{
    struct json *in = json_parse(text), *clean;
    char why[128] = "not JSON";
    struct sx_fault f;

    sx_config(c);
    if (sx_fault(ctx->host, "libxl_domain_config_from_json", NULL, -1, &f) &&
        f.fail) {
        json_free(in);
        return f.rc;
    }
    clean = in ? sx_config_clean(in, why, sizeof(why)) : NULL;
    json_free(in);
    if (!clean) {
        sx_log(ctx, XTL_ERROR, "unable to generate libxl_domain_config from"
               " JSON representation: %s", why);
        return ERROR_FAIL;
    }
    json_free(c->root);
    c->root = clean;
    return 0;
}

SX_API char *libxl_domain_config_to_json(libxl_ctx *ctx,
                                         libxl_domain_config *c)
{
    (void)ctx;
    return json_print(sx_config(c));
}

bool sx_uuid_parse(const char *text, uint8_t *out)
{
    char digits[33];
    size_t n = 0;

    for (; *text; text++) {
        if (*text == '-')
            continue;
        if (!isxdigit((unsigned char)*text) || n == 32)
            return false;
        digits[n++] = *text;
    }
    if (n != 32)
        return false;
    digits[32] = 0;
    for (int i = 0; i < 16; i++) {
        unsigned byte;

        sscanf(digits + 2 * i, "%2x", &byte);
        out[i] = (uint8_t)byte;
    }
    return true;
}

void sx_uuid_print(const uint8_t *u, char *out)
{
    char *o = out;

    for (int i = 0; i < 16; i++)
        o += sprintf(o, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x"
                                                              : "%02x", u[i]);
}

/* What the hypervisor has to know of a configuration. */
int sx_config_spec(const struct json *root, struct sx_spec *out)
{
    const struct json *c_info = json_get(root, "c_info");
    const struct json *b_info = json_get(root, "b_info");
    const char *type = json_text(c_info, "type", "");
    int64_t max_kb = json_int(b_info, "max_memkb", 0);
    int64_t target_kb = json_int(b_info, "target_memkb", 0);
    /* What a domain is built with (libxl_dom.c, libxl__build_pre). */
    int64_t kb = target_kb > 0 && target_kb < max_kb ? target_kb : max_kb;
    int64_t vcpus = json_int(b_info, "max_vcpus", 1);

    memset(out, 0, sizeof(*out));
    out->name = json_text(c_info, "name", "");
    out->type = !strcmp(type, "pv") ? SX_PV : !strcmp(type, "pvh") ? SX_PVH
                : !strcmp(type, "hvm") ? SX_HVM : 0;
    out->vcpus = (uint32_t)SX_MIN(vcpus > 0 ? vcpus : 1, SX_VCPUS_MAX);
    out->nr_pages = kb > 0 ? (uint64_t)kb / 4 : 0;
    sx_uuid_parse(json_text(c_info, "uuid", ""), out->uuid);
    if (!out->type || out->nr_pages < SX_PAGES_PER_MIB ||
        out->nr_pages > 1u << 24)
        return ERROR_INVAL;
    return 0;
}
