/*
 * The disk tests' program: what runs in the machine of machine.ts in place of a guest and of a
 * session. See cases for how it is used.
 */
#ifndef DISKTEST_H
#define DISKTEST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define SECTOR 512u
#define THREADS_MAX 8
/* Of the test's volumes: 64 MiB. */
#define SECTORS_MAX (1u << 17)

/*
 * What a sector holds, by the write that made it: its number (of its thread), the thread, what it
 * was. 0: nothing is known of it.
 */
enum kind { KIND_DATA = 1, KIND_TRIM = 2, KIND_ZERO = 3 };

static inline uint64_t mark_of(uint64_t number, unsigned thread, enum kind kind)
{
    return number << 8 | thread << 2 | kind;
}

static inline uint64_t number_of(uint64_t mark)
{
    return mark >> 8;
}

static inline unsigned thread_of(uint64_t mark)
{
    return (unsigned)(mark >> 2) & 63;
}

static inline enum kind kind_of(uint64_t mark)
{
    return (enum kind)(mark & 3);
}

/* What the load tells whoever checks it; a file in memory that both have mapped. */
struct ledger {
    atomic_bool stop;
    atomic_uint running;
    atomic_ullong issued_last[THREADS_MAX];     /* number of the newest write */
    atomic_ullong operations, errors, worst_ns;
    atomic_ullong issued[SECTORS_MAX];          /* marks; before the write */
    atomic_ullong completed[SECTORS_MAX];       /* .. and after it */
};

/* Maps the ledger at PATH, making it where MAKE; ends the process where it cannot. */
struct ledger *ledger_map(const char *path, bool make);

/* Fills the sector of MARK, or says which mark made it: 0: none did whole. */
void sector_fill(uint8_t *bytes, uint64_t sector, uint64_t mark);
uint64_t sector_mark(const uint8_t *bytes, uint64_t sector);

void die(const char *what) __attribute__((noreturn));
double now_s(void);

int load_main(int argc, char **argv);
int session_main(int argc, char **argv);
int repair_main(int argc, char **argv);
int blocks_main(int argc, char **argv);
int judge_main(int argc, char **argv);
int same_main(int argc, char **argv);
int sink_main(int argc, char **argv);
int speed_main(int argc, char **argv);
int hop_main(int argc, char **argv);

#endif
