/*
 * disktest sink COPY: the other host's disk, a file. Takes pieces of epochs from stdin, each a
 * u32 of its length before it, and applies their records in order; a length of 0 is the end of an
 * epoch, answered by a line. A length of all ones: the write that is the next u32th from now on is
 * lost on purpose.
 */
#include "disktest.h"

#include "../../../native/disk/disk.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROOM (16u << 20)
#define PIECE_MAX (2u << 20)

static uint8_t rest[ROOM];
static size_t have;
static uint64_t writes, drop_at = UINT64_MAX;
static int copy;

static bool read_all(void *out, size_t size)
{
    uint8_t *at = out;

    while (size) {
        ssize_t n = read(STDIN_FILENO, at, size);

        if (n <= 0)
            return false;
        at += n;
        size -= (size_t)n;
    }
    return true;
}

static void write_copy(const struct tsr_disk_record *record, const uint8_t *data)
{
    static uint8_t nothing[1 << 20];
    uint64_t done = 0, n;

    if (++writes == drop_at) {
        printf("a write at %llu is dropped\n", (unsigned long long)record->offset);
        return;
    }
    while (done < record->length) {
        n = record->length - done;
        if (!data && n > sizeof(nothing))
            n = sizeof(nothing);
        if (pwrite(copy, data ? data + done : nothing, n, (off_t)(record->offset + done)) !=
            (ssize_t)n)
            die("copy");
        done += n;
    }
}

static void apply(void)
{
    struct tsr_disk_record record;
    size_t at = 0, data;

    while (have - at >= sizeof(record)) {
        memcpy(&record, rest + at, sizeof(record));
        data = record.flags & (TSR_DISK_FLUSH | TSR_DISK_TRIM | TSR_DISK_ZEROES) ? 0
                                                                                 : record.length;
        if (have - at < sizeof(record) + data)
            break;
        at += sizeof(record);
        if (!(record.flags & TSR_DISK_FLUSH))
            write_copy(&record, data ? rest + at : NULL);
        at += data;
    }
    have -= at;
    memmove(rest, rest + at, have);
}

int sink_main(int argc, char **argv)
{
    uint32_t length, nth;

    if (argc != 2)
        return 64;
    copy = open(argv[1], O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (copy < 0)
        die(argv[1]);
    while (read_all(&length, sizeof(length))) {
        if (length == UINT32_MAX) {
            if (!read_all(&nth, sizeof(nth)))
                return 1;
            drop_at = writes + nth;
        } else if (!length) {
            printf(have ? "an epoch ends within a record\n" : "applied\n");
        } else {
            if (length > PIECE_MAX || have + length > ROOM || !read_all(rest + have, length))
                return 1;
            have += length;
            apply();
        }
    }
    return 0;
}
