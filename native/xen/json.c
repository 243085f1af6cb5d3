/*
 * As much JSON as we need: finding a value by its path in text that libxl wrote
 * or that the caller gave us. Nothing is allocated and nothing is trusted: text
 * that is not JSON gives "not found", never a crash.
 */
#include "internal.h"

#include <stdio.h>
#include <string.h>

#define DEPTH_MAX 64

static const char *skip_space(const char *p)
{
    while (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r')
        p++;
    return p;
}

/* P is at the opening quote; returns what follows the closing one. */
static const char *skip_string(const char *p)
{
    for (p++; *p && *p != '"'; p++)
        if (*p == '\\' && p[1])
            p++;
    return *p ? p + 1 : NULL;
}

static const char *skip_value(const char *p)
{
    int depth = 0;

    do {
        p = skip_space(p);
        if (!*p)
            return NULL;
        if (*p == '"') {
            p = skip_string(p);
            if (!p)
                return NULL;
        } else if (*p == '{' || *p == '[') {
            if (++depth > DEPTH_MAX)
                return NULL;
            p++;
            continue;
        } else if (*p == '}' || *p == ']') {
            if (--depth < 0)
                return NULL;
            p++;
        } else if (depth && (*p == ',' || *p == ':')) {
            p++;
            continue;
        } else {
            size_t n = strcspn(p, ",:]} \t\r\n\"{[");

            if (!n)
                return NULL;
            p += n;
        }
    } while (depth);
    return p;
}

/* The value of KEY in the object at P. */
static const char *find_key(const char *p, const char *key, size_t len)
{
    p = skip_space(p);
    if (*p++ != '{')
        return NULL;
    for (;;) {
        const char *name;
        bool match;

        p = skip_space(p);
        if (*p != '"')
            return NULL;
        name = p + 1;
        p = skip_string(p);
        if (!p)
            return NULL;
        match = (size_t)(p - 1 - name) == len && !memcmp(name, key, len);
        p = skip_space(p);
        if (*p++ != ':')
            return NULL;
        p = skip_space(p);
        if (match)
            return p;
        p = skip_value(p);
        if (!p)
            return NULL;
        p = skip_space(p);
        if (*p++ != ',')
            return NULL;
    }
}

const char *tsr_json_find(const char *json, const char *path, size_t *len_out)
{
    const char *end;

    for (;;) {
        size_t len = strcspn(path, ".");

        json = find_key(json, path, len);
        if (!json)
            return NULL;
        if (!path[len])
            break;
        path += len + 1;
    }
    end = skip_value(json);
    if (!end)
        return NULL;
    if (len_out)
        *len_out = (size_t)(end - json);
    return json;
}

bool tsr_json_true(const char *json, const char *path)
{
    size_t len;
    const char *value = tsr_json_find(json, path, &len);

    return value && len == 4 && !memcmp(value, "true", 4);
}

bool tsr_json_string(const char *json, const char *path, char *out, size_t size)
{
    size_t len, n = 0;
    const char *value = tsr_json_find(json, path, &len);

    if (!value || len < 2 || *value != '"' || len - 2 >= size)
        return false;
    for (size_t i = 1; i < len - 1; i++) {
        if (value[i] == '\\') {
            i++;
            /* A name may have a quote; what has other escapes is not ours. */
            if (i == len - 1 || !strchr("\"\\/", value[i]) || !value[i])
                return false;
        }
        out[n++] = value[i];
    }
    out[n] = 0;
    return true;
}

void tsr_json_quote(const char *text, char *out, size_t size)
{
    size_t n = 0;

    if (size < 3) {
        out[0] = 0;
        return;
    }
    out[n++] = '"';
    for (; *text && n + 4 < size; text++) {
        unsigned char c = (unsigned char)*text;

        if (c == '"' || c == '\\')
            out[n++] = '\\';
        out[n++] = c < 0x20 ? ' ' : (char)c;
    }
    out[n++] = '"';
    out[n] = 0;
}
