/* The tree of json.h: reading, writing, looking up. */
#define _GNU_SOURCE
#include "json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 64

struct reader {
    const char *p;
    int depth;
};

static struct json *value(struct reader *r);

struct json *json_new(enum json_kind kind)
{
    struct json *j = calloc(1, sizeof(*j));

    if (!j)
        abort(); /* a stand-in needs no story for a machine without memory */
    j->kind = kind;
    return j;
}

void json_free(struct json *j)
{
    while (j) {
        struct json *next = j->next;

        json_free(j->child);
        free(j->key);
        free(j->text);
        free(j);
        j = next;
    }
}

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

static void print_string(FILE *f, const char *s)
{
    fputc('"', f);
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            fprintf(f, "\\%c", *s);
        else if (*s == '\n')
            fputs("\\n", f);
        else if ((unsigned char)*s < 32)
            fprintf(f, "\\u%04x", *s);
        else
            fputc(*s, f);
    }
    fputc('"', f);
}

static void print(FILE *f, const struct json *j, int depth)
{
    static const char marks[2][2] = { { '[', ']' }, { '{', '}' } };
    const char *m = marks[j->kind == JSON_OBJECT];

    switch (j->kind) {
    case JSON_NULL:
        fputs("null", f);
        return;
    case JSON_BOOL:
        fputs(j->truth ? "true" : "false", f);
        return;
    case JSON_NUMBER:
        fputs(j->text, f);
        return;
    case JSON_STRING:
        print_string(f, j->text);
        return;
    default:
        break;
    }
    fprintf(f, "%c\n", m[0]);
    for (struct json *c = j->child; c; c = c->next) {
        fprintf(f, "%*s", 4 * (depth + 1), "");
        if (c->key) {
            print_string(f, c->key);
            fputs(": ", f);
        }
        print(f, c, depth + 1);
        fputs(c->next ? ",\n" : "\n", f);
    }
    fprintf(f, "%*s%c", 4 * depth, "", m[1]);
}

char *json_print(const struct json *j)
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);

    if (!f)
        return NULL;
    print(f, j, 0);
    fputc('\n', f);
    fclose(f);
    return text;
}

struct json *json_copy(const struct json *j)
{
    struct json *n = json_new(j->kind), **last = &n->child;

    n->truth = j->truth;
    n->key = j->key ? strdup(j->key) : NULL;
    n->text = j->text ? strdup(j->text) : NULL;
    for (const struct json *c = j->child; c; c = c->next) {
        *last = json_copy(c);
        last = &(*last)->next;
    }
    return n;
}

struct json *json_get(const struct json *j, const char *key)
{
    if (!j || j->kind != JSON_OBJECT)
        return NULL;
    for (struct json *c = j->child; c; c = c->next)
        if (c->key && !strcmp(c->key, key))
            return c;
    return NULL;
}

const char *json_text(const struct json *j, const char *key,
                      const char *otherwise)
{
    struct json *v = json_get(j, key);

    return v && v->kind == JSON_STRING ? v->text : otherwise;
}

int64_t json_int(const struct json *j, const char *key, int64_t otherwise)
{
    struct json *v = json_get(j, key);

    return v && v->kind == JSON_NUMBER ? strtoll(v->text, NULL, 10)
                                       : otherwise;
}

int json_length(const struct json *j)
{
    int n = 0;

    for (struct json *c = j ? j->child : NULL; c; c = c->next)
        n++;
    return n;
}

struct json *json_item(const struct json *j, int index)
{
    struct json *c = j ? j->child : NULL;

    while (c && index--)
        c = c->next;
    return c;
}

void json_remove(struct json *from, const char *key)
{
    for (struct json **at = &from->child; *at; at = &(*at)->next)
        if ((*at)->key && !strcmp((*at)->key, key)) {
            struct json *gone = *at;

            *at = gone->next;
            gone->next = NULL;
            json_free(gone);
            return;
        }
}

struct json *json_add(struct json *to, const char *key, struct json *v)
{
    struct json **at = &to->child;

    free(v->key);
    v->key = key ? strdup(key) : NULL;
    for (; *at; at = &(*at)->next)
        if (key && !strcmp((*at)->key, key)) {
            struct json *gone = *at; /* replaced where it stands */

            v->next = gone->next;
            gone->next = NULL;
            json_free(gone);
            break;
        }
    *at = v;
    return v;
}

struct json *json_add_text(struct json *to, const char *key, const char *text)
{
    struct json *v = json_new(JSON_STRING);

    v->text = strdup(text);
    return json_add(to, key, v);
}

struct json *json_add_int(struct json *to, const char *key, int64_t n)
{
    struct json *v = json_new(JSON_NUMBER);

    if (asprintf(&v->text, "%" PRId64, n) < 0)
        abort();
    return json_add(to, key, v);
}

struct json *json_add_bool(struct json *to, const char *key, bool truth)
{
    struct json *v = json_new(JSON_BOOL);

    v->truth = truth;
    return json_add(to, key, v);
}
