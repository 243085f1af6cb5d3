/*
 * The fake libxenlight: short calls and structs.
 */
#include "fake.h"

#include <stdlib.h>
#include <string.h>

#define XL_FAIL (-3)
#define XL_INVAL (-6)
#define XL_DOMAIN_NOTFOUND (-21)

int libxl_name_to_domid(fake_ctx *ctx, const char *name, uint32_t *domid);
int libxl_name_to_domid(fake_ctx *ctx, const char *name, uint32_t *domid)
{
    (void)ctx;
    if (!strcmp(name, "guest") && !fake_world()->gone) {
        *domid = FAKE_DOMID;
        return 0;
    }
    if (fake_world()->copy_exists && !strcmp(name, fake_world()->copy_name)) {
        *domid = FAKE_COPY_DOMID;
        return 0;
    }
    return XL_INVAL;
}

/* libxl_dominfo as we know it: who, and how it is. */
struct info {
    uint32_t domid;
    bool shutdown, suspended, paused;
    int reason;
};

void libxl_dominfo_init(void *info);
void libxl_dominfo_init(void *info)
{
    memset(info, 0, sizeof(struct info));
}

void libxl_dominfo_dispose(void *info);
void libxl_dominfo_dispose(void *info)
{
    memset(info, 0, sizeof(struct info));
}

/* The host itself, the guest, and the copy; nobody may look into the list. */
void *libxl_list_domain(fake_ctx *ctx, int *count);
void *libxl_list_domain(fake_ctx *ctx, int *count)
{
    (void)ctx;
    *count = 1 + !fake_world()->gone + fake_world()->copy_exists;
    return malloc(1);
}

void libxl_dominfo_list_free(void *list, int count);
void libxl_dominfo_list_free(void *list, int count)
{
    (void)count;
    free(list);
}

int libxl_domain_info(fake_ctx *ctx, void *out, uint32_t domid);
int libxl_domain_info(fake_ctx *ctx, void *out, uint32_t domid)
{
    struct info unwanted, *info = out ? out : &unwanted;

    info->domid = domid;
    if (!domid)
        return 0;
    if (domid == FAKE_DOMID && !fake_world()->gone) {
        info->reason = fake_world()->suspended ? 2 : fake_world()->shutdown_reason;
        info->shutdown = info->reason >= 0;
        info->paused = fake_world()->paused;
        return 0;
    }
    if (domid == FAKE_COPY_DOMID && fake_world()->copy_exists) {
        info->paused = true;
        info->reason = -1;
        return 0;
    }
    fake_log(ctx, "error", "no such domain");
    return XL_DOMAIN_NOTFOUND;
}

char *libxl_dominfo_to_json(fake_ctx *ctx, void *info);
char *libxl_dominfo_to_json(fake_ctx *ctx, void *in)
{
    static const char *const reasons[] = { "poweroff", "reboot", "suspend",
                                           "crash" };
    struct info *info = in;
    char *json = NULL;

    (void)ctx;
    if (asprintf(&json,
                 "{\n    \"uuid\": \"x\",\n    \"domid\": %u,\n"
                 "    \"paused\": %s,\n    \"shutdown\": %s,\n"
                 "    \"dying\": false,\n    \"shutdown_reason\": \"%s\"\n}\n",
                 info->domid, info->paused ? "true" : "false",
                 info->shutdown ? "true" : "false",
                 info->shutdown ? reasons[info->reason] : "unknown") < 0)
        return NULL;
    return json;
}

const char *libxl_action_on_shutdown_to_string(int value);
const char *libxl_action_on_shutdown_to_string(int value)
{
    static const char *const words[] = { NULL, "destroy", "restart" };

    return value >= 0 && value < 3 ? words[value] : NULL;
}

const char *libxl_shutdown_reason_to_string(int value);
const char *libxl_shutdown_reason_to_string(int value)
{
    return value == 0 ? "poweroff" : value == 4 ? "watchdog" : NULL;
}

const void *libxl_get_version_info(fake_ctx *ctx);
const void *libxl_get_version_info(fake_ctx *ctx)
{
    return ctx;
}

char *libxl_version_info_to_json(fake_ctx *ctx, const void *info);
char *libxl_version_info_to_json(fake_ctx *ctx, const void *info)
{
    if (info != ctx)
        abort();
    return strdup("{\"xen_version_major\":4}");
}

int libxl_get_free_memory(fake_ctx *ctx, uint64_t *memkb);
int libxl_get_free_memory(fake_ctx *ctx, uint64_t *memkb)
{
    (void)ctx;
    *memkb = 1234;
    return 0;
}

int libxl_cpupool_qualifier_to_cpupoolid(fake_ctx *ctx, const char *qualifier,
                                         uint32_t *id, int *was_name);
int libxl_cpupool_qualifier_to_cpupoolid(fake_ctx *ctx, const char *qualifier,
                                         uint32_t *id, int *was_name)
{
    (void)ctx, (void)was_name;
    *id = !strcmp(qualifier, "web") ? 1 : 2;
    return strcmp(qualifier, "lost") ? 0 : XL_INVAL;
}

int libxl_cpupoolid_is_valid(fake_ctx *ctx, uint32_t id);
int libxl_cpupoolid_is_valid(fake_ctx *ctx, uint32_t id)
{
    (void)ctx;
    return id == 1;
}

/* Of the size that it has in libxl: who hands over less shows in a sanitizer. */
struct pool { uint32_t id; char *name; int sched; uint32_t domains; void *map[2]; };

void libxl_cpupoolinfo_init(void *info);
void libxl_cpupoolinfo_init(void *info)
{
    memset(info, 0, sizeof(struct pool));
}

void libxl_cpupoolinfo_dispose(void *info);
void libxl_cpupoolinfo_dispose(void *info)
{
    struct pool *pool = info;

    free(pool->name);
    memset(pool, 0, sizeof(*pool));
}

int libxl_cpupool_info(fake_ctx *ctx, void *info, uint32_t id);
int libxl_cpupool_info(fake_ctx *ctx, void *info, uint32_t id)
{
    struct pool *pool = info;

    (void)ctx;
    pool->id = id;
    pool->name = strdup("web");
    return pool->name ? 0 : -5;
}

char *libxl_cpupoolinfo_to_json(fake_ctx *ctx, void *info);
char *libxl_cpupoolinfo_to_json(fake_ctx *ctx, void *info)
{
    struct pool *pool = info;
    char *json = NULL;

    (void)ctx;
    if (asprintf(&json, "{\"poolid\":%u,\"pool_name\":\"%s\"}", pool->id,
                 pool->name) < 0)
        return NULL;
    return json;
}

int libxl_domain_rename(fake_ctx *ctx, uint32_t domid, const char *from,
                        const char *to);
int libxl_domain_rename(fake_ctx *ctx, uint32_t domid, const char *from,
                        const char *to)
{
    if (domid != FAKE_COPY_DOMID || strcmp(from, fake_world()->copy_name)) {
        fake_log(ctx, "error", "Domain 5:has another name");
        return XL_INVAL;
    }
    snprintf(fake_world()->copy_name, sizeof(fake_world()->copy_name), "%s", to);
    return 0;
}

/* ---- short operations: done after their child has been reaped ------------------------ */

struct short_op {
    struct fake_op op;
    uint32_t domid;
    enum { PAUSE, UNPAUSE, RESUME, DESTROY, CONFIG, CREATE } verb;
    void *config;
    uint32_t *domid_out;
};

static void short_finish(fake_ctx *ctx, struct fake_op *op)
{
    struct short_op *s = (struct short_op *)op;
    struct fake_how how = op->how;

    switch (s->verb) {
    case PAUSE:
        fake_world()->paused = true;
        fake_note(fake_world(), 'P');
        break;
    case UNPAUSE:
        fake_world()->paused = false;
        break;
    case RESUME:
        fake_world()->suspended = false;
        fake_world()->resumes_called++;
        break;
    case DESTROY:
        if (s->domid == FAKE_COPY_DOMID)
            fake_world()->copy_exists = false;
        else
            fake_world()->gone = true;
        fake_world()->destroys++;
        break;
    case CONFIG:
        *(char **)s->config = strdup("{\"c_info\":{\"name\":\"guest\"}}");
        break;
    case CREATE:
        *s->domid_out = 12;
        break;
    }
    ctx->op = NULL;
    free(s);
    how.callback(ctx, 0, how.for_callback);
}

static void short_abort(fake_ctx *ctx, struct fake_op *op)
{
    struct fake_how how = op->how;

    ctx->op = NULL;
    free(op);
    how.callback(ctx, -22, how.for_callback);
}

static int start_short(fake_ctx *ctx, uint32_t domid, int verb,
                       const struct fake_how *how, void *config,
                       uint32_t *domid_out)
{
    struct short_op *s;

    if (verb == PAUSE && fake_world()->pause_rc) {
        fake_log(ctx, "error", "Domain 5:Failed to pause");
        return fake_world()->pause_rc;
    }
    if (verb != CREATE && domid != FAKE_DOMID && domid != FAKE_COPY_DOMID) {
        fake_log(ctx, "error", "Domain 77:no such domain");
        return XL_DOMAIN_NOTFOUND;
    }
    s = calloc(1, sizeof(*s));
    s->domid = domid;
    s->verb = (unsigned)verb;
    s->config = config;
    s->domid_out = domid_out;
    s->op.abort = short_abort;
    s->op.finish = short_finish;
    s->op.child_exited = true;
    pthread_mutex_lock(&ctx->lock);
    fake_op_start(ctx, &s->op, how);
    /* Pausing needs no child: it is done before the call returns. */
    if (verb == PAUSE)
        short_finish(ctx, &s->op);
    pthread_mutex_unlock(&ctx->lock);
    return 0;
}

int libxl_domain_pause(fake_ctx *ctx, uint32_t domid, const struct fake_how *how);
int libxl_domain_pause(fake_ctx *ctx, uint32_t domid, const struct fake_how *how)
{
    return start_short(ctx, domid, PAUSE, how, NULL, NULL);
}

int libxl_domain_unpause(fake_ctx *ctx, uint32_t domid,
                         const struct fake_how *how);
int libxl_domain_unpause(fake_ctx *ctx, uint32_t domid,
                         const struct fake_how *how)
{
    return start_short(ctx, domid, UNPAUSE, how, NULL, NULL);
}

int libxl_domain_resume(fake_ctx *ctx, uint32_t domid, int cancel,
                        const struct fake_how *how);
int libxl_domain_resume(fake_ctx *ctx, uint32_t domid, int cancel,
                        const struct fake_how *how)
{
    if (cancel != 1)
        abort();
    return start_short(ctx, domid, RESUME, how, NULL, NULL);
}

int libxl_domain_destroy(fake_ctx *ctx, uint32_t domid,
                         const struct fake_how *how);
int libxl_domain_destroy(fake_ctx *ctx, uint32_t domid,
                         const struct fake_how *how)
{
    return start_short(ctx, domid, DESTROY, how, NULL, NULL);
}

int libxl_retrieve_domain_configuration(fake_ctx *ctx, uint32_t domid,
                                        void *config, const struct fake_how *how);
int libxl_retrieve_domain_configuration(fake_ctx *ctx, uint32_t domid,
                                        void *config, const struct fake_how *how)
{
    return start_short(ctx, domid, CONFIG, how, config, NULL);
}

int libxl_domain_create_new(fake_ctx *ctx, void *config, uint32_t *domid,
                            const struct fake_how *how, const void *console);
int libxl_domain_create_new(fake_ctx *ctx, void *config, uint32_t *domid,
                            const struct fake_how *how, const void *console)
{
    (void)console;
    return start_short(ctx, 0, CREATE, how, config, domid);
}

/* ---- structs: a pointer to their JSON ------------------------------------------------- */

static int from_json(fake_ctx *ctx, char **text, const char *json)
{
    if (json[0] != '{') {
        fake_log(ctx, "error", "not JSON");
        return XL_FAIL;
    }
    *text = strdup(json);
    return 0;
}

#define STRUCT(name) \
    void name##_init(void *p); \
    void name##_init(void *p) \
    { \
        *(char **)p = NULL; \
    } \
    void name##_dispose(void *p); \
    void name##_dispose(void *p) \
    { \
        free(*(char **)p); \
        *(char **)p = NULL; \
    } \
    char *name##_to_json(fake_ctx *ctx, void *p); \
    char *name##_to_json(fake_ctx *ctx, void *p) \
    { \
        (void)ctx; \
        return strdup(*(char **)p); \
    } \
    int name##_from_json(fake_ctx *ctx, void *p, const char *json); \
    int name##_from_json(fake_ctx *ctx, void *p, const char *json) \
    { \
        return from_json(ctx, p, json); \
    }

STRUCT(libxl_domain_config)
STRUCT(libxl_domain_remus_info)
STRUCT(libxl_domain_restore_params)
