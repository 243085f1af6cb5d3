/*
 * disktest speed DEVICE read|write LENGTH DEPTH MS: what so many threads do in that time, each with
 * one request of LENGTH bytes under way, with O_DIRECT, at random places; prints how many in all,
 * and the milliseconds that they took.
 *
 * disktest hop NBD BYTES FILE: a server of that device that reads requests and answers them, and
 * does nothing else; makes FILE when the device is there. Until it is killed.
 */
#include "disktest.h"

#include "../../../native/disk/nbd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/nbd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define LENGTH_MAX (1u << 20)
#define DEPTH_MAX 64

static struct {
    const char *device;
    bool writes;
    size_t length;
    uint64_t places;
    double until;
    atomic_ullong operations;
} speed;

static void *run(void *argument)
{
    uint64_t random = 88172645463325252u * ((uintptr_t)argument + 1);
    int fd = open(speed.device, O_RDWR | O_DIRECT | O_CLOEXEC);
    void *memory;

    if (fd < 0 || posix_memalign(&memory, 4096, LENGTH_MAX))
        die(speed.device);
    memset(memory, (int)(uintptr_t)argument + 1, LENGTH_MAX);
    do {
        off_t at;
        ssize_t n;

        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        at = (off_t)(random % speed.places * speed.length);
        n = speed.writes ? pwrite(fd, memory, speed.length, at)
                         : pread(fd, memory, speed.length, at);
        if (n != (ssize_t)speed.length)
            die(speed.device);
        atomic_fetch_add(&speed.operations, 1);
    } while (now_s() < speed.until);
    close(fd);
    free(memory);
    return NULL;
}

int speed_main(int argc, char **argv)
{
    pthread_t threads[DEPTH_MAX];
    unsigned depth, i;
    uint64_t bytes;
    double began;
    int fd;

    if (argc != 6)
        return 64;
    speed.device = argv[1];
    speed.writes = !strcmp(argv[2], "write");
    speed.length = strtoul(argv[3], NULL, 10);
    depth = (unsigned)atoi(argv[4]);
    fd = open(argv[1], O_RDONLY | O_CLOEXEC);
    if (!depth || depth > DEPTH_MAX || !speed.length || speed.length > LENGTH_MAX || fd < 0 ||
        ioctl(fd, BLKGETSIZE64, &bytes))
        die(argv[1]);
    close(fd);
    speed.places = bytes / speed.length;
    began = now_s();
    speed.until = began + atof(argv[5]) / 1000;
    for (i = 0; i < depth; i++)
        if (pthread_create(&threads[i], NULL, run, (void *)(uintptr_t)i))
            die("thread");
    for (i = 0; i < depth; i++)
        pthread_join(threads[i], NULL);
    printf("operations=%llu ms=%.0f\n", atomic_load(&speed.operations),
           (now_s() - began) * 1000);
    return 0;
}

static void *hold(void *device)
{
    ioctl(*(int *)device, NBD_DO_IT);
    return NULL;
}

static bool move(int sock, void *data, size_t size, bool sends)
{
    uint8_t *at = data;

    while (size) {
        ssize_t n = sends ? send(sock, at, size, MSG_NOSIGNAL) : recv(sock, at, size, MSG_WAITALL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        at += n;
        size -= (size_t)n;
    }
    return true;
}

static void answer_all(int sock, uint64_t bytes)
{
    uint8_t head[TSR_NBD_REQUEST_SIZE], reply[TSR_NBD_REPLY_SIZE];
    uint8_t *data = calloc(1, TSR_NBD_LENGTH_MAX);
    struct tsr_nbd_request request;

    while (data && move(sock, head, sizeof(head), false) &&
           !tsr_nbd_decode(head, bytes, &request)) {
        bool is_read = request.command == TSR_NBD_READ;

        if (request.command == TSR_NBD_WRITE && !move(sock, data, request.length, false))
            break;
        tsr_nbd_reply(reply, &request, 0);
        if (!move(sock, reply, sizeof(reply), true) ||
            (is_read && !move(sock, data, request.length, true)))
            break;
    }
    free(data);
}

int hop_main(int argc, char **argv)
{
    unsigned long flags = TSR_NBD_HAS_FLAGS | TSR_NBD_SEND_FLUSH | TSR_NBD_SEND_FUA;
    int device, pair[2], fd;
    pthread_t thread;
    uint64_t bytes;

    if (argc != 4)
        return 64;
    bytes = strtoull(argv[2], NULL, 10);
    device = open(argv[1], O_RDWR | O_CLOEXEC);
    if (device < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) ||
        ioctl(device, NBD_SET_SOCK, (unsigned long)pair[1]) ||
        ioctl(device, NBD_SET_BLKSIZE, 512ul) ||
        ioctl(device, NBD_SET_SIZE_BLOCKS, (unsigned long)(bytes / 512)) ||
        ioctl(device, NBD_SET_FLAGS, flags) || pthread_create(&thread, NULL, hold, &device))
        die(argv[1]);
    fd = open(argv[3], O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        die(argv[3]);
    close(fd);
    answer_all(pair[0], bytes);
    return 0;
}
