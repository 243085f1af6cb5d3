/* Reads JSON into the tree of json.h. */
#define _GNU_SOURCE
#include "json.h"

#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 64

struct reader {
    const char *p;
    int depth;
};

static struct json *value(struct reader *r);

static void skip(struct reader *r)
{
    r->p += strspn(r->p, " \t\r\n");
}

static bool hex4(const char *p, uint32_t *out)
{
    *out = 0;
    for (int i = 0; i < 4; i++) {
        const char *digits = "0123456789abcdef", *at;
        char c = p[i] >= 'A' && p[i] <= 'F' ? (char)(p[i] + 32) : p[i];

        at = c ? strchr(digits, c) : NULL;
        if (!at)
            return false;
        *out = *out * 16 + (uint32_t)(at - digits);
    }
    return true;
}

static size_t utf8(char *out, uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 63));
        return 2;
    }
    out[0] = (char)(0xe0 | c >> 12);
    out[1] = (char)(0x80 | (c >> 6 & 63));
    out[2] = (char)(0x80 | (c & 63));
    return 3;
}

static char *string(struct reader *r)
{
    char *out = malloc(strlen(r->p) + 4), *o = out;

    if (!out || *r->p++ != '"')
        goto fail;
    while (*r->p != '"') {
        static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
        const char *at;
        uint32_t c;

        if ((unsigned char)*r->p < 32)
            goto fail; /* the end of the text included */
        if (*r->p != '\\') {
            *o++ = *r->p++;
            continue;
        }
        r->p++;
        if (*r->p == 'u' && hex4(r->p + 1, &c)) {
            o += utf8(o, c);
            r->p += 5;
            continue;
        }
        at = *r->p ? strchr(from, *r->p) : NULL;
        if (!at)
            goto fail;
        *o++ = to[at - from];
        r->p++;
    }
    r->p++;
    *o = 0;
    return out;

fail:
    free(out);
    return NULL;
}

static struct json *members(struct reader *r, enum json_kind kind)
{
    char end = kind == JSON_OBJECT ? '}' : ']';
    struct json *j = json_new(kind), **last = &j->child;

    r->p++;
    skip(r);
    if (*r->p == end) {
        r->p++;
        return j;
    }
    for (;;) {
        char *key = NULL;
        struct json *v;

        if (kind == JSON_OBJECT) {
            skip(r);
            key = string(r);
            skip(r);
            if (!key || *r->p++ != ':') {
                free(key);
                break;
            }
        }
        v = value(r);
        if (!v) {
            free(key);
            break;
        }
        v->key = key;
        *last = v;
        last = &v->next;
        skip(r);
        if (*r->p == end) {
            r->p++;
            return j;
        }
        if (*r->p++ != ',')
            break;
    }
    json_free(j);
    return NULL;
}

static struct json *number(struct reader *r)
{
    size_t n = strspn(r->p, "+-0123456789.eE");
    struct json *j;

    if (!n)
        return NULL;
    j = json_new(JSON_NUMBER);
    j->text = strndup(r->p, n);
    r->p += n;
    return j;
}

static struct json *word(struct reader *r)
{
    static const struct { const char *text; enum json_kind kind; bool truth; }
    words[] = { { "true", JSON_BOOL, true }, { "false", JSON_BOOL, false },
                { "null", JSON_NULL, false } };

    for (int i = 0; i < 3; i++) {
        size_t n = strlen(words[i].text);

        if (!strncmp(r->p, words[i].text, n)) {
            struct json *j = json_new(words[i].kind);

            j->truth = words[i].truth;
            r->p += n;
            return j;
        }
    }
    return number(r);
}

static struct json *value(struct reader *r)
{
    struct json *j = NULL;

    skip(r);
    if (++r->depth > DEPTH_MAX)
        return NULL;
    if (*r->p == '{')
        j = members(r, JSON_OBJECT);
    else if (*r->p == '[')
        j = members(r, JSON_ARRAY);
    else if (*r->p == '"') {
        char *text = string(r);

        if (text) {
            j = json_new(JSON_STRING);
            j->text = text;
        }
    } else
        j = word(r);
    r->depth--;
    return j;
}

struct json *json_parse(const char *text)
{
    struct reader r = { text, 0 };
    struct json *j = value(&r);

    if (j) {
        skip(&r);
        if (*r.p) {
            json_free(j);
            j = NULL;
        }
    }
    return j;
}
