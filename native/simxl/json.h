/* A small JSON tree, enough for libxl's configurations. Objects keep the
 * order of their members, because libxl's do. */
#ifndef SX_JSON_H
#define SX_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum json_kind { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY,
                 JSON_OBJECT };

struct json {
    enum json_kind kind;
    char *key;             /* in an object */
    char *text;            /* string, or number as it was written */
    bool truth;
    struct json *child, *next;
};

struct json *json_parse(const char *text);   /* NULL: not JSON, or too deep */
void json_free(struct json *j);
char *json_print(const struct json *j);      /* malloc'ed, indented as yajl */

struct json *json_new(enum json_kind kind);
struct json *json_copy(const struct json *j);
struct json *json_get(const struct json *j, const char *key);
const char *json_text(const struct json *j, const char *key,
                      const char *otherwise);
int64_t json_int(const struct json *j, const char *key, int64_t otherwise);
int json_length(const struct json *j);
struct json *json_item(const struct json *j, int index);

/* Each puts a member into an object (KEY) or at the end of an array (NULL),
 * replacing one of that name; all return the new value. */
struct json *json_add(struct json *to, const char *key, struct json *value);
struct json *json_add_text(struct json *to, const char *key, const char *text);
struct json *json_add_int(struct json *to, const char *key, int64_t value);
struct json *json_add_bool(struct json *to, const char *key, bool value);
void json_remove(struct json *from, const char *key);
void json_remove_last(struct json *from);

#endif
