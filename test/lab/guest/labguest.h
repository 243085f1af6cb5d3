/*
 * labguest: the one static program of the lab's guests, of the hosts' initramfs, and of the lab's
 * side of the wire. Modes by name, see labguest.c; this header is what its files share.
 */
#ifndef LABGUEST_H
#define LABGUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BEACON_PORT 5002
#define QUERY_PORT 5001
#define ECHO_PORT 7
#define OUTSIDE_IP "10.77.0.1"
#define OUTSIDE_IP_SECOND "10.77.1.1"
#define OUTSIDE_IP6 "fd77::1"
#define NAME_MAX_BYTES 32

/* boot.c: duties of process 1 */

/* Mounts /proc, /sys and /dev, and loads the modules listed in /modules. */
void boot_prepare(void);
/* The value of KEY= on the kernel's command line, or NULL. */
const char *boot_parameter(const char *key);
/*
 * Brings lo and COUNT interfaces up. 10.77.0.N means that eth0 gets this and fd77::N, and eth1
 * 10.77.1.N.
 */
void boot_network(const char *ip, int count);
/* Mounts the root disk of a host and becomes its init; returns only on failure. */
void boot_switch_root(const char *device, const char *init);
/* Ends this machine: "poweroff", "reboot" or "crash". */
void boot_end(const char *how);

/* pattern.c: memory whose every page can be told to be current, stale or torn */

struct pattern_report {
    uint32_t pages;     /* pages looked at */
    uint32_t stale;     /* whole, but of another generation than the books say */
    uint32_t torn;      /* of no generation at all */
    uint32_t first_bad; /* index of the first bad page; only with stale + torn > 0 */
    uint32_t first_has; /* generation found in its header */
    uint32_t first_due; /* generation that the books say */
    bool sum_ok;        /* the running checksum matches the books */
};

/* Allocates and fills the pages; 0, or -1 when there is no memory. */
int pattern_init(uint32_t pages);
uint32_t pattern_pages(void);
uint64_t pattern_rewrites(void);
uint64_t pattern_checksum(void);
/* How many of a page's 64 runs of 64 bytes a rewrite changes from now on. */
int pattern_set_runs(uint32_t runs);
uint32_t pattern_runs(void);
/* Rewrites the next page in turn. */
void pattern_rewrite_next(void);
/* Whether the running checksum matches the books. */
bool pattern_sum_ok(void);
/* Looks at COUNT pages from FIRST on and adds to the report. */
void pattern_verify(uint32_t first, uint32_t count, struct pattern_report *report);

/* Where a page of each part lies in memory, for the self-test. */
enum pattern_part { PATTERN_PAGE, PATTERN_BOOKS, PATTERN_LEDGER };
void *pattern_part(enum pattern_part part, uint32_t page);

/* load.c: other things that a guest may do to its memory */

enum load_kind { LOAD_PATTERN, LOAD_DATABASE, LOAD_TEXT, LOAD_RANDOM, LOAD_UNPACK };

/* Chooses a load by name; -1 when there is none of that name, or no memory for it. */
int load_set(const char *name);
/* One page's worth of the chosen load; of the pattern at first. */
void load_step(void);

/* disk.c: a disk whose every sector can be told to be current, lost, early or torn */

#define DISK_SECTOR 512u
/* What a sector has to hold by the books, where it is not what a write of some number left. */
#define DISK_CLEARED 0xfffffffeu
#define DISK_ANYTHING 0xffffffffu

struct disk_report {
    uint32_t sectors;   /* looked at */
    uint32_t lost;      /* whole, but older than the books say */
    uint32_t early;     /* whole, but newer: of a moment that this memory has not seen */
    uint32_t torn;      /* nothing that was ever written there */
    uint32_t first_bad, first_has, first_due;
    bool first_bad_known;
};

/* Opens the disk and starts its writers, at rest; 0, or -1 when there is no such disk. */
int disk_start(const char *device, uint64_t boot);
bool disk_is_there(void);
/* How many requests a second; 0: none any more. */
void disk_set_rate(uint32_t per_second);
/* Nothing is under way. */
bool disk_is_quiet(void);
/* Begins the next entry of the journal, and says which; 0: one is under way. */
uint32_t disk_append(void);
/* The last entry that is durable. */
uint32_t disk_appended(void);
/* Looks at the next sectors, with the disk quiet; 1 when that was all. */
int disk_verify(uint32_t *next, struct disk_report *report);
/* What a write of this number leaves in a sector, and a look at what is there; for the self-test. */
void disk_fill(uint8_t *out, uint32_t sector, uint32_t number);
void disk_look_at(const uint8_t *at, uint32_t sector, uint32_t due, struct disk_report *report);
/* Writes a JSON object into OUT. */
int disk_describe(char *out, size_t size, const struct disk_report *report);
/* journal DEVICE BOOT_ID: prints how many entries are there, read by another host. */
int disk_journal(const char *device, const char *boot_id);

/* files.c: a file system on a second disk, whose every file can be told to be as it was left */

enum files_work { FILES_NOTHING, FILES_VERIFY, FILES_UNMOUNT };

struct files_report {
    uint32_t files;       /* that there have to be */
    uint32_t wrong;       /* of all: with another content, missing, or there though removed */
    uint32_t first_wrong;
    uint32_t entries;     /* of the journal, in order from the first */
};

/* Mounts the disk and starts the thread that changes it, at rest; 0, or -1. */
int files_start(const char *device, uint64_t boot);
bool files_are_there(void);
/* How many changes a second; 0: none any more. */
void files_set_rate(uint32_t per_second);
/* Appends a line to the journal and waits until it is durable; 0, or -1. */
int files_append(uint32_t entry);
/* Has the thread look at all of it, from the disk, or unmount it; and whether that is done. */
void files_begin(enum files_work what);
bool files_are_done(void);
/* Writes a JSON object into OUT. */
int files_describe(char *out, size_t size);

/* selftest.c: 0 when every kind of lost page is found out */
int selftest(void);

/* pauses.c: how long the guest stood still, by rdtsc */

void pauses_start(void);
void pauses_tick(void);
void pauses_reset(void);
/* How often this guest was suspended and resumed, or activated, since it started. */
uint32_t pauses_suspends(void);
/* Writes a JSON object into OUT; the number of bytes. */
int pauses_describe(char *out, size_t size);

/* server.c: the guest's main loop; never returns */
_Noreturn void serve(const char *name, const char *ip);

/* client.c: the outside */

/* ask IP TIMEOUT_MS COMMAND: prints the answer of a guest's query service. */
int client_ask(const char *ip, int timeout_ms, const char *command);
/* ping IP udp|tcp INTERVAL_MS SECONDS: echoes, one JSON line at the end. */
int client_ping(const char *ip, const char *kind, int interval_ms, int seconds);

/* capture.c: beacons, with the port they came in at */

/* capture LABEL=INTERFACE...: one line per beacon until the standard input ends. */
int capture(int count, char **interfaces);

#endif
