/*
 * The runner of a domain: started as a process of nobody's, so that it
 * outlives whoever created the domain and disturbs nobody's SIGCHLD. And the
 * scripts of its devices.
 */
#define _GNU_SOURCE
#include "sx.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* The tool lies next to the library, or is the program itself. */
static int tool_path(char *out)
{
    const char *env = getenv("SIMXL_TOOL");
    Dl_info info;
    char *slash;
    ssize_t n;

    if (env && *env) {
        snprintf(out, PATH_MAX, "%s", env);
        return 0;
    }
    n = readlink("/proc/self/exe", out, PATH_MAX - 1);
    if (n > 0) {
        out[n] = 0;
        slash = strrchr(out, '/');
        if (slash && !strcmp(slash, "/simxl"))
            return 0;
    }
    if (!dladdr((void *)sx_launch, &info) || !info.dli_fname)
        return -ENOENT;
    if (!realpath(info.dli_fname, out))
        return -errno;
    slash = strrchr(out, '/');
    if (!slash || slash - out > PATH_MAX - 8)
        return -ENOENT;
    strcpy(slash + 1, "simxl");
    return access(out, X_OK) ? -errno : 0;
}

/* Runs a program to its end; 0 when it ends with 0. Its output is an error's,
 * as with libxl's scripts: the caller's own may be somebody's stream. */
static int spawn(char *const argv[], char *const envp[])
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t none, all;
    int status = 0, r;
    pid_t pid;

    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK |
                             POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, 2, 1);
    r = posix_spawn(&pid, argv[0], &files, &attr, argv, envp);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attr);
    if (r)
        return -r;
    do
        r = waitpid(pid, &status, 0);
    while (r < 0 && errno == EINTR);
    /* ECHILD: the process reaps its children elsewhere, which is its right. */
    if (r == pid && (!WIFEXITED(status) || WEXITSTATUS(status)))
        return -EIO;
    return 0;
}

/*
 * Only posix_spawn in the caller's process, which may be large and have many
 * threads; the second fork happens in the small program ("simxl launch"),
 * which ends at once.
 */
static int spawn_launcher(const char *tool, const char *host, uint32_t domid)
{
    char number[16];
    char *argv[] = { (char *)tool, "launch", (char *)host, number, NULL };

    snprintf(number, sizeof(number), "%u", domid);
    return spawn(argv, environ);
}

int sx_run_script(const char *path, const char *const words[],
                  const char *const variables[])
{
    /* As execvp does, which libxl calls: a file without #! is the shell's. */
    char *argv[8] = { "/bin/sh", "-c", "\"$0\" \"$@\"", (char *)path };
    char tool[PATH_MAX], tool_is[PATH_MAX + 16];
    size_t argc = 4, n = 0, own = 0;
    char **envp;
    int rc;

    rc = tool_path(tool);
    if (rc)
        return rc;
    while (environ[n])
        n++;
    while (variables[own])
        own++;
    envp = calloc(own + n + 2, sizeof(*envp));
    if (!envp)
        return -ENOMEM;
    /* The first of a name is the one that counts. */
    for (size_t i = 0; i < own; i++)
        envp[i] = (char *)variables[i];
    snprintf(tool_is, sizeof(tool_is), "SIMXL_TOOL=%s", tool);
    envp[own] = tool_is;
    memcpy(envp + own + 1, environ, n * sizeof(*envp));
    for (size_t i = 0; words[i] && argc < SX_ARRAY(argv) - 1; i++)
        argv[argc++] = (char *)words[i];
    rc = spawn(argv, envp);
    free(envp);
    return rc;
}

int sx_launch(struct sx_domain *d)
{
    uint64_t give_up = sx_now_ns() + 10000000000ull;
    char tool[PATH_MAX];
    int rc;

    rc = tool_path(tool);
    if (rc)
        return rc;
    atomic_store(&d->st->phase, SX_LAUNCHING);
    rc = spawn_launcher(tool, d->host, d->domid);
    if (rc)
        return rc;
    for (;;) {
        uint32_t seen = atomic_load(&d->st->word);

        if (atomic_load(&d->st->phase) != SX_LAUNCHING)
            break;
        if (sx_now_ns() > give_up)
            return -ETIMEDOUT;
        sx_wait_word(d->st, seen, 20);
    }
    return atomic_load(&d->st->phase) == SX_LIVE ? 0 : -EIO;
}
