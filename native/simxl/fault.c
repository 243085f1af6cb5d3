/*
 * Faults on request. Rules come from $SIMXL_FAULTS and from HOST/faults, read
 * anew at every point, so that a test can change them under way. The syntax
 * is in README.md; a rule that cannot be read is reported and ignored, never
 * guessed at.
 */
#define _GNU_SOURCE
#include "sx.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct rule {
    char point[64], domain[SX_NAME_MAX];
    int64_t epoch;          /* -1: any */
    long times, after;      /* -1 and 0: always */
    struct sx_fault effect;
};

static bool number(const char *text, long *out)
{
    char *end;

    errno = 0;
    *out = strtol(text, &end, 0);
    return !errno && end != text && !*end;
}

/* One word of a rule; the word before it decides what a bare number means. */
static bool take_word(struct rule *r, const char *w, const char *before)
{
    long n;

    if (!strncmp(w, "epoch=", 6) && number(w + 6, &n))
        r->epoch = n;
    else if (!strncmp(w, "times=", 6) && number(w + 6, &n))
        r->times = n;
    else if (!strncmp(w, "after=", 6) && number(w + 6, &n))
        r->after = n;
    else if (!strncmp(w, "domain=", 7))
        snprintf(r->domain, sizeof(r->domain), "%s", w + 7);
    else if (!strncmp(w, "drop=", 5) && number(w + 5, &n) && n > 0)
        r->effect.drop = n;
    else if (!strcmp(w, "fail"))
        r->effect.fail = true, r->effect.rc = ERROR_FAIL;
    else if (!strcmp(w, "kill"))
        r->effect.kill = true;
    else if (!strcmp(w, "corrupt"))
        r->effect.corrupt = true;
    else if (!strcmp(w, "cut"))
        r->effect.cut = true;
    else if (!strcmp(w, "stall"))
        r->effect.stall_ms = 1000;
    else if (number(w, &n) && !strcmp(before, "fail") && n < 0)
        r->effect.rc = (int)n;
    else if (number(w, &n) && !strcmp(before, "stall") && n >= 0)
        r->effect.stall_ms = n;
    else if (number(w, &n) && n >= 0 &&
             (!strcmp(before, "corrupt") || !strcmp(before, "cut")))
        r->effect.offset = (uint64_t)n;
    else
        return false;
    return true;
}

static bool parse(const char *line, struct rule *r)
{
    char copy[512], *save = NULL, *w;
    const char *before = "";

    memset(r, 0, sizeof(*r));
    r->epoch = -1;
    r->times = -1;
    snprintf(copy, sizeof(copy), "%s", line);
    w = strtok_r(copy, " \t\r", &save);
    if (!w || w[0] == '#')
        return false;
    snprintf(r->point, sizeof(r->point), "%s", w);
    while ((w = strtok_r(NULL, " \t\r", &save))) {
        if (!take_word(r, w, before)) {
            fprintf(stderr, "simxl: fault rule not understood: %s\n", line);
            return false;
        }
        before = w;
    }
    return true;
}

/* Uses are counted in a file of the host, one byte each, because a rule with
 * times=1 means once on this host and not once per process. */
static long count_use(const char *host, const char *line, bool peek)
{
    uint32_t hash = 2166136261u;
    char path[PATH_MAX + 32];
    struct stat s;
    long n = 0;
    int fd;

    for (const char *p = line; *p; p++)
        hash = (hash ^ (uint8_t)*p) * 16777619u;
    snprintf(path, sizeof(path), "%s/.fault-%08x", host, hash);
    if (peek)
        return stat(path, &s) ? 1 : (long)s.st_size + 1;
    fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0)
        return 1;
    if (write(fd, "x", 1) == 1 && !fstat(fd, &s))
        n = (long)s.st_size;
    close(fd);
    return n;
}

/* Also refuses a point that nobody ever asks for. */
bool sx_fault_valid(const char *line)
{
    static const char *const points[] = {
        "save.start", "save.live", "save.suspend", "save.page", "save.pages",
        "save.map", "save.state", "save.postcopy", "save.resume", "save.held",
        "save.checkpoint", "save.wait", "save.stream", "save.end",
        "guest.suspend", "restore.start",
        "restore.apply", "restore.build", "libxl_ctx_alloc",
        "libxl_ao_abort", "libxl_name_to_domid", "libxl_domain_info",
        "libxl_list_domain",
        "libxl_retrieve_domain_configuration", "libxl_domain_pause",
        "libxl_domain_unpause", "libxl_domain_resume", "libxl_domain_destroy",
        "libxl_domain_rename", "libxl_get_free_memory",
        "libxl_domain_create_new", "libxl_domain_create_restore",
        "libxl_domain_remus_start", "libxl_domain_config_from_json"
    };
    struct rule r;

    if (!parse(line, &r))
        return false;
    for (size_t i = 0; i < SX_ARRAY(points); i++)
        if (!strcmp(r.point, points[i]))
            return true;
    return false;
}

static void merge(struct sx_fault *out, const struct sx_fault *in)
{
    if (in->fail)
        out->fail = true, out->rc = in->rc;
    if (in->corrupt || in->cut)
        out->offset = in->offset;
    out->corrupt |= in->corrupt;
    out->cut |= in->cut;
    out->kill |= in->kill;
    out->stall_ms += in->stall_ms;
    if (in->drop)
        out->drop = in->drop;
}

struct query {
    const char *host, *point, *domain;
    int64_t epoch;
    bool peek;
};

static bool scan(const char *text, const struct query *q,
                 struct sx_fault *out)
{
    char *copy = strdup(text), *save = NULL;
    bool any = false;

    for (char *line = copy ? strtok_r(copy, "\n;", &save) : NULL; line;
         line = strtok_r(NULL, "\n;", &save)) {
        struct rule r;
        long used;

        line += strspn(line, " \t");
        if (!parse(line, &r) || strcmp(r.point, q->point))
            continue;
        if (r.domain[0] && (!q->domain || strcmp(r.domain, q->domain)))
            continue;
        if (r.epoch >= 0 && r.epoch != q->epoch)
            continue;
        if (r.times >= 0 || r.after) {
            used = count_use(q->host, line, q->peek);
            if (used <= r.after || (r.times >= 0 && used > r.after + r.times))
                continue;
        }
        merge(out, &r.effect);
        any = true;
    }
    free(copy);
    return any;
}

static bool look(const struct query *q, struct sx_fault *out)
{
    const char *env = getenv("SIMXL_FAULTS");
    char path[PATH_MAX + 8], *text;
    bool any = false;

    memset(out, 0, sizeof(*out));
    if (env && *env)
        any = scan(env, q, out);
    snprintf(path, sizeof(path), "%s/faults", q->host);
    text = access(path, F_OK) ? NULL : sx_read_file(path);
    if (text && scan(text, q, out))
        any = true;
    free(text);
    return any;
}

/* Like sx_fault, but counts no use and serves nothing. */
bool sx_fault_peek(const char *host, const char *point, const char *domain,
                   int64_t epoch, struct sx_fault *out)
{
    struct query q = { host, point, domain, epoch, true };

    return look(&q, out);
}

bool sx_fault(const char *host, const char *point, const char *domain,
              int64_t epoch, struct sx_fault *out)
{
    struct query q = { host, point, domain, epoch, false };
    bool any = look(&q, out);

    if (out->stall_ms)
        sx_sleep_ms(out->stall_ms);
    if (out->kill)
        kill(getpid(), SIGKILL); /* the crash exactly here that tests need */
    return any;
}

int sx_fault_clear(const char *host)
{
    struct dirent *e;
    char path[PATH_MAX + 300];
    DIR *dir = opendir(host);

    if (!dir)
        return -errno;
    while ((e = readdir(dir)))
        if (!strncmp(e->d_name, ".fault-", 7) || !strcmp(e->d_name, "faults")) {
            snprintf(path, sizeof(path), "%s/%s", host, e->d_name);
            unlink(path);
        }
    closedir(dir);
    return 0;
}
