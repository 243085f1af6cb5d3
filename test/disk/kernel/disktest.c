#include "disktest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

void die(const char *what)
{
    fprintf(stderr, "disktest: %s: %s\n", what, strerror(errno));
    exit(1);
}

double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct ledger *ledger_map(const char *path, bool make)
{
    int fd = open(path, make ? O_RDWR | O_CREAT | O_TRUNC : O_RDWR, 0600);
    void *memory;

    if (fd < 0 || (make && ftruncate(fd, sizeof(struct ledger))))
        die(path);
    memory = mmap(NULL, sizeof(struct ledger), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        die(path);
    close(fd);
    return memory;
}

/* Of a sector's words, so that one that is torn or elsewhere is no sector. */
static uint64_t word_of(uint64_t mark, uint64_t sector, unsigned i)
{
    uint64_t x = mark * 0x9e3779b97f4a7c15u + sector * 0xbf58476d1ce4e5b9u + i;

    x ^= x >> 31;
    return x * 0x94d049bb133111ebu;
}

void sector_fill(uint8_t *bytes, uint64_t sector, uint64_t mark)
{
    uint64_t words[SECTOR / 8];
    unsigned i;

    words[0] = mark;
    for (i = 1; i < SECTOR / 8; i++)
        words[i] = word_of(mark, sector, i);
    memcpy(bytes, words, SECTOR);
}

uint64_t sector_mark(const uint8_t *bytes, uint64_t sector)
{
    uint64_t words[SECTOR / 8], any = 0;
    unsigned i;

    memcpy(words, bytes, SECTOR);
    for (i = 0; i < SECTOR / 8; i++)
        any |= words[i];
    if (!any)
        return KIND_ZERO;
    for (i = 1; i < SECTOR / 8; i++)
        if (words[i] != word_of(words[0], sector, i))
            return 0;
    return words[0];
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc > 1 && !strcmp(argv[1], "load"))
        return load_main(argc - 1, argv + 1);
    if (argc > 1 && !strcmp(argv[1], "session"))
        return session_main(argc - 1, argv + 1);
    if (argc > 1 && !strcmp(argv[1], "repair"))
        return repair_main(argc - 1, argv + 1);
    if (argc > 1 && !strcmp(argv[1], "blocks"))
        return blocks_main(argc - 1, argv + 1);
    if (argc > 1 && !strcmp(argv[1], "judge"))
        return judge_main(argc - 1, argv + 1);
    if (argc > 1 && !strcmp(argv[1], "same"))
        return same_main(argc - 1, argv + 1);
    if (argc > 1 && !strcmp(argv[1], "sink"))
        return sink_main(argc - 1, argv + 1);
    if (argc > 1 && !strcmp(argv[1], "speed"))
        return speed_main(argc - 1, argv + 1);
    if (argc > 1 && !strcmp(argv[1], "hop"))
        return hop_main(argc - 1, argv + 1);
    fprintf(stderr, "disktest load|session|repair|blocks|judge|same|sink|speed|hop ...\n");
    return 64;
}
