/*
 * disktest judge LEDGER BEFORE COPY: whether the file or device COPY is a disk that the load can
 * have left at a barrier. BEFORE: what the ledger called completed just before it. Prints what is
 * wrong, and its exit code is 1.
 *
 * disktest same DISK COPY LEDGER: whether both hold the same, sector by sector, once nobody writes;
 * what was discarded last may be anything.
 */
#include "disktest.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROBLEMS_MAX 10
#define PIECE (1u << 20)

static unsigned problems;
static uint64_t checked;

/* As check_sector of session.c, of a disk and not of a shadow: what it holds was written whole. */
static void judge_sector(uint64_t sector, uint64_t seen, uint64_t done, uint64_t issued)
{
    bool right;

    if (!done)
        return;
    checked++;
    if (kind_of(seen) == KIND_DATA)
        right = number_of(seen) <= number_of(issued) &&
                (number_of(seen) > number_of(done) ||
                 (number_of(seen) == number_of(done) && kind_of(done) == KIND_DATA));
    else
        /* Discarded or zeroed: by that write, or by a later one. */
        right = seen && (kind_of(done) != KIND_DATA || number_of(issued) > number_of(done));
    if (!right && problems++ < PROBLEMS_MAX)
        printf("problem: sector %llu: write %llu (%d) had completed, and the copy has %llu (%d)\n",
               (unsigned long long)sector, (unsigned long long)number_of(done), (int)kind_of(done),
               (unsigned long long)number_of(seen), (int)kind_of(seen));
}

static void read_piece(int fd, uint8_t *out, uint64_t offset, const char *path)
{
    if (pread(fd, out, PIECE, (off_t)offset) != (ssize_t)PIECE)
        die(path);
}

int judge_main(int argc, char **argv)
{
    static uint64_t before[SECTORS_MAX];
    static uint8_t bytes[PIECE];
    struct ledger *ledger;
    uint64_t sector, i;
    int before_fd, fd;

    if (argc != 4)
        return 64;
    ledger = ledger_map(argv[1], false);
    before_fd = open(argv[2], O_RDONLY);
    fd = open(argv[3], O_RDONLY);
    if (before_fd < 0 || read(before_fd, before, sizeof(before)) != (ssize_t)sizeof(before))
        die(argv[2]);
    for (sector = 0; sector < SECTORS_MAX; sector += PIECE / SECTOR) {
        read_piece(fd, bytes, sector * SECTOR, argv[3]);
        for (i = 0; i < PIECE / SECTOR; i++)
            judge_sector(sector + i, sector_mark(bytes + i * SECTOR, sector + i),
                         before[sector + i], atomic_load(&ledger->issued[sector + i]));
    }
    printf("judge: checked=%llu problems=%u\n", (unsigned long long)checked, problems);
    return problems ? 1 : 0;
}

int same_main(int argc, char **argv)
{
    static uint8_t one[PIECE] __attribute__((aligned(4096))), other[PIECE];
    struct ledger *ledger;
    uint64_t sector, i, differ = 0;
    int disk, copy;

    if (argc != 4)
        return 64;
    disk = open(argv[1], O_RDONLY | O_DIRECT);
    copy = open(argv[2], O_RDONLY);
    ledger = ledger_map(argv[3], false);
    for (sector = 0; sector < SECTORS_MAX; sector += PIECE / SECTOR) {
        read_piece(disk, one, sector * SECTOR, argv[1]);
        read_piece(copy, other, sector * SECTOR, argv[2]);
        for (i = 0; i < PIECE / SECTOR; i++)
            differ += memcmp(one + i * SECTOR, other + i * SECTOR, SECTOR) &&
                      kind_of(atomic_load(&ledger->completed[sector + i])) != KIND_TRIM;
    }
    printf("same: differ=%llu\n", (unsigned long long)differ);
    if (differ)
        printf("problem: %llu sectors of the copy are not the disk's\n",
               (unsigned long long)differ);
    return differ ? 1 : 0;
}
