/* The helper thread's plumbing; see helper.h. */
#define _GNU_SOURCE
#include "helper.h"
#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static void close_pair(int *fds)
{
    for (int i = 0; i < 2; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
        fds[i] = -1;
    }
}

int sx_helper_init(struct sx_helper *h)
{
    memset(h, 0xff, sizeof(*h)); /* every fd -1 */
    h->started = false;
    atomic_store(&h->stopping, false);
    if (pipe2(h->questions, O_CLOEXEC) || pipe2(h->answers, O_CLOEXEC) ||
        pipe2(h->stop, O_CLOEXEC)) {
        sx_helper_join(h);
        return ERROR_FAIL;
    }
    return 0;
}

/* All signals are the application's; SIGPIPE in particular must not end it. */
int sx_helper_start(struct sx_helper *h, void *(*run)(void *), void *arg)
{
    sigset_t all, old;
    int r;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    r = pthread_create(&h->thread, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    h->started = !r;
    return r ? ERROR_FAIL : 0;
}

void sx_helper_stop(struct sx_helper *h)
{
    char c = 0;

    if (!atomic_exchange(&h->stopping, true) && write(h->stop[1], &c, 1) < 0)
        return; /* cannot happen: the pipe is empty */
}

void sx_helper_join(struct sx_helper *h)
{
    if (h->started)
        pthread_join(h->thread, NULL);
    h->started = false;
    close_pair(h->questions);
    close_pair(h->answers);
    close_pair(h->stop);
}

bool sx_helper_question(struct sx_helper *h, struct sx_question *out)
{
    return read(h->questions[0], out, sizeof(*out)) == sizeof(*out);
}

void sx_helper_answer(struct sx_helper *h, int32_t value)
{
    if (write(h->answers[1], &value, sizeof(value)) < 0)
        return; /* the thread has gone, and says so itself */
}

bool sx_helper_wait(struct sx_helper *h, int fd, short events)
{
    for (;;) {
        struct pollfd p[2] = { { h->stop[0], POLLIN, 0 }, { fd, events, 0 } };
        int r = poll(p, fd < 0 ? 1 : 2, -1);

        if (atomic_load(&h->stopping))
            return false;
        if (r > 0 && p[1].revents)
            return true;
        if (r < 0 && errno != EINTR)
            return false;
    }
}

bool sx_helper_sleep(struct sx_helper *h, long ms)
{
    struct pollfd p = { h->stop[0], POLLIN, 0 };

    poll(&p, 1, (int)ms);
    return !atomic_load(&h->stopping);
}

/* The answer, or -1 when the helper is to stop. */
int32_t sx_helper_ask(struct sx_helper *h, int32_t what, int32_t arg)
{
    struct sx_question q = { what, arg };
    int32_t answer;

    if (atomic_load(&h->stopping) ||
        write(h->questions[1], &q, sizeof(q)) != sizeof(q) ||
        !sx_helper_wait(h, h->answers[0], POLLIN) ||
        read(h->answers[0], &answer, sizeof(answer)) != sizeof(answer))
        return -1;
    return answer;
}

void sx_helper_done(struct sx_helper *h, int rc)
{
    struct sx_question q = { SX_ASK_DONE, rc };

    if (write(h->questions[1], &q, sizeof(q)) != sizeof(q))
        return; /* nobody listens: the context is being torn down */
}

/* ---- writing ------------------------------------------------------------- */

int sx_writer_open(struct sx_writer *w, struct sx_helper *h, int fd)
{
    char path[64];
    struct stat s;

    memset(w, 0, sizeof(*w));
    w->h = h;
    w->fd = fd;
    w->own_fd = -1;
    if (fstat(fd, &s))
        return -errno;
    w->socket = S_ISSOCK(s.st_mode);
    if (S_ISFIFO(s.st_mode)) {
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        w->own_fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
        if (w->own_fd < 0)
            return errno == ENXIO ? -EPIPE : -errno;
        w->fd = w->own_fd;
    }
    return 0;
}

void sx_writer_close(struct sx_writer *w)
{
    if (w->own_fd >= 0)
        close(w->own_fd);
    w->own_fd = -1;
}

static ssize_t some(struct sx_writer *w, struct iovec *iov, int count)
{
    struct msghdr m = { .msg_iov = iov, .msg_iovlen = (size_t)count };

    if (w->socket)
        return sendmsg(w->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
    return writev(w->fd, iov, count);
}

static int write_all(struct sx_writer *w, struct iovec *iov, int count)
{
    while (count) {
        ssize_t n = some(w, iov, SX_MIN(count, IOV_MAX));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN)
            return -errno;
        if (n < 0) {
            if (!sx_helper_wait(w->h, w->fd, POLLOUT))
                return -ECANCELED;
            continue;
        }
        if (atomic_load(&w->h->stopping))
            return -ECANCELED;
        w->written += (uint64_t)n;
        while (count && (size_t)n >= iov->iov_len) {
            n -= (ssize_t)iov->iov_len;
            iov++, count--;
        }
        if (count) {
            iov->iov_base = (char *)iov->iov_base + n;
            iov->iov_len -= (size_t)n;
        }
    }
    return 0;
}

int sx_writer_write(struct sx_writer *w, const void *data, size_t size)
{
    struct iovec iov = { (void *)data, size };

    return sx_writer_writev(w, &iov, 1);
}

/* The faulty byte is written from a copy: the guest's own page stays whole. */
static int write_faulty(struct sx_writer *w, struct iovec *iov, int count)
{
    uint64_t at = w->fault.offset;
    int rc = 0;

    for (int i = 0; i < count && !rc; i++) {
        uint64_t start = w->written, end = start + iov[i].iov_len;
        struct iovec part = iov[i];
        uint8_t byte;

        if (at < start || at >= end) {
            rc = write_all(w, &part, 1);
            continue;
        }
        part.iov_len = (size_t)(at - start);
        if (part.iov_len)
            rc = write_all(w, &part, 1);
        if (!rc && w->fault.cut)
            return -EPIPE;
        byte = ((uint8_t *)iov[i].iov_base)[at - start] ^ 0x5a;
        part = (struct iovec){ &byte, 1 };
        rc = rc ? rc : write_all(w, &part, 1);
        part.iov_base = (uint8_t *)iov[i].iov_base + (at - start) + 1;
        part.iov_len = (size_t)(end - at - 1);
        if (!rc && part.iov_len)
            rc = write_all(w, &part, 1);
    }
    return rc;
}

int sx_writer_writev(struct sx_writer *w, struct iovec *iov, int count)
{
    if (w->hold) {
        for (int i = 0; i < count; i++)
            sx_buffer_add(w->hold, iov[i].iov_base, iov[i].iov_len);
        return 0;
    }
    if (w->fault.corrupt || w->fault.cut)
        return write_faulty(w, iov, count);
    return write_all(w, iov, count);
}
