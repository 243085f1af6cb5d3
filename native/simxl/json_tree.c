/* The tree of json.h: making, looking up, changing, writing. */
#define _GNU_SOURCE
#include "json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

void json_remove_last(struct json *from)
{
    struct json **at = &from->child;

    if (!*at)
        return;
    while ((*at)->next)
        at = &(*at)->next;
    json_free(*at);
    *at = NULL;
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
