/*
 * Proves, on any machine, that the pattern finds out a copy that lost a page, and that a capture
 * tells the frames apart that the checks of output commit go by.
 *
 * Every check runs some rewrites, saves one page of memory, rewrites on, and puts the saved page
 * back: exactly what a checkpoint leaves that forgot one dirty page. The verification must see it,
 * whether the page belongs to the working set, the books or the running checksum.
 */
#include "labguest.h"
#include "traffic.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define PAGES 2048
#define PAGE_BYTES 4096

static int failures;

static void expect(bool holds, const char *what)
{
    printf("%s %s\n", holds ? "ok  " : "FAIL", what);
    failures += !holds;
}

static struct pattern_report verify_all(void)
{
    struct pattern_report report = { 0 };

    pattern_verify(0, PAGES, &report);
    report.sum_ok = pattern_sum_ok();
    return report;
}

static void rewrite_all(uint32_t times)
{
    for (uint32_t i = 0; i < PAGES * times; i++)
        pattern_rewrite_next();
}

/* Loses the first BYTES of one page across a round of rewrites; the state is repaired after. */
static struct pattern_report lose(enum pattern_part part, uint32_t page, size_t bytes)
{
    static uint8_t old[PAGE_BYTES], new[PAGE_BYTES];
    uint8_t *at = pattern_part(part, page);
    struct pattern_report report;

    memcpy(old, at, PAGE_BYTES);
    rewrite_all(1);
    memcpy(new, at, PAGE_BYTES);
    memcpy(at, old, bytes);
    report = verify_all();
    memcpy(at, new, PAGE_BYTES);
    return report;
}

static const struct frame_addresses outside = {
    .mac = { 0x52, 0x54, 0, 0x77, 0, 1 },
    .guest_mac = { 0, 0x16, 0x3e, 0x77, 0, 0x65 },
};

/* The answer to a request, as far as a capture looks: the other way round, and says so. */
static void turn_round(uint8_t *frame)
{
    uint8_t guest[6];

    memcpy(guest, frame, 6);
    memcpy(frame, frame + 6, 6);
    memcpy(frame + 6, guest, 6);
}

static bool is_kind(const uint8_t *frame, size_t size, enum frame_kind kind, uint64_t key)
{
    struct frame_record record;

    return frame_classify(frame, size, 0, &record) && record.kind == kind && record.key == key &&
           record.guest == 0x3e770065;
}

static void check_requests(void)
{
    uint8_t frame[256] = { 0 };
    size_t size = frame_build_ping4(frame, &outside, 0x12345678);

    expect(is_kind(frame, size, KIND_PING4_ASK, 0x12345678), "a ping");
    turn_round(frame);
    frame[34] = 0;
    expect(is_kind(frame, size, KIND_PING4, 0x12345678), "its answer");
    size = frame_build_ping6(frame, &outside, 77);
    expect(is_kind(frame, size, KIND_PING6_ASK, 77), "a ping over IPv6");
    turn_round(frame);
    frame[54] = 129;
    expect(is_kind(frame, size, KIND_PING6, 77), "its answer");
    size = frame_build_arp(frame, &outside, 0xabcdef01);
    frame[41] = 1; /* the guest's address, other than the sender's */
    expect(is_kind(frame, size, KIND_ARP_ASK, 0xabcdef01), "an ARP request");
    turn_round(frame);
    frame[21] = 2;
    memcpy(frame + 32, frame, 6);
    expect(is_kind(frame, size, KIND_ARP, 0xabcdef01), "its answer");
    memcpy(frame + 38, frame + 28, 4);
    expect(is_kind(frame, size, KIND_ANNOUNCE, 0), "a gratuitous ARP");
}

static void check_flows(void)
{
    static union {
        struct frame_head head;
        uint8_t bytes[256];
    } payload = { { .magic = FRAME_MAGIC, .flow = FLOW_VLAN, .bytes = 200 } };
    uint8_t frame[512], *ip = frame + 18;
    struct frame_record record;
    uint32_t sum = IPPROTO_UDP + 208;
    size_t size;

    payload.head.suspends = 9;
    payload.head.sequence = 1u << 20;
    frame_fill(&payload.head);
    expect(frame_is_whole(&payload, 200), "a whole frame");
    expect(!frame_is_whole(&payload, 199), "a frame cut short");
    payload.bytes[199] ^= 1;
    expect(!frame_is_whole(&payload, 200), "a frame with a wrong byte");
    payload.bytes[199] ^= 1;
    size = frame_build_vlan(frame, outside.guest_mac, inet_addr("10.77.0.101"), &payload, 200);
    expect(frame_classify(frame, 160, 0, &record) && record.flags == FRAME_FROM_GUEST &&
               record.kind == KIND_FLOW && record.vlan == VLAN_ID && record.suspends == 9 &&
               record.sequence == 1u << 20 && record.flow == FLOW_VLAN,
           "a tagged frame, cut off as a capture does");
    for (uint8_t *at = ip + 12; at < frame + size; at += 2)
        sum += (uint32_t)at[0] << 8 | at[1];
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    expect(size == VLAN_OVERHEAD + 200 && sum == 0xffff, "its UDP checksum");
    frame[6] = 0x52; /* from somebody else to the multicast address */
    expect(!frame_classify(frame, 160, 0, &record), "a frame that is no guest's");
}

static struct disk_report look_at(const uint8_t *sector, uint32_t due)
{
    struct disk_report report = { 0 };

    disk_look_at(sector, 9, due, &report);
    return report;
}

/* A disk that is not of the moment that the memory is of is found out, and how it differs. */
static void check_disk(void)
{
    uint8_t sector[DISK_SECTOR], other[DISK_SECTOR], zeroes[DISK_SECTOR] = { 0 };
    struct disk_report report;

    disk_fill(other, 9, 8);
    disk_fill(sector, 9, 7);
    report = look_at(sector, 7);
    expect(report.sectors == 1 && !report.lost && !report.early && !report.torn, "a sector as due");
    expect(look_at(sector, 8).lost == 1, "a write that was lost");
    expect(look_at(sector, 6).early == 1, "a write that came early");
    expect(look_at(zeroes, 7).torn == 1, "a sector that nobody wrote");
    expect(look_at(sector, DISK_CLEARED).lost == 1, "zeroes that were lost");
    report = look_at(zeroes, DISK_CLEARED);
    expect(!report.lost && !report.early && !report.torn, "zeroes as due");
    memcpy(sector + DISK_SECTOR / 2, other + DISK_SECTOR / 2, DISK_SECTOR / 2);
    expect(look_at(sector, 8).torn == 1, "half a write");
    disk_fill(sector, 10, 8);
    expect(look_at(sector, 8).torn == 1, "a write to another place");
}

int selftest(void)
{
    struct pattern_report report;

    if (pattern_init(PAGES)) {
        printf("FAIL no memory\n");
        return 1;
    }
    report = verify_all();
    expect(report.pages == PAGES && report.stale + report.torn == 0 && report.sum_ok, "fresh pages");
    rewrite_all(3);
    report = verify_all();
    expect(report.stale + report.torn == 0 && report.sum_ok, "rewritten pages");

    report = lose(PATTERN_PAGE, 77, PAGE_BYTES);
    expect(report.stale == 1 && report.torn == 0 && report.sum_ok, "a stale page");
    expect(report.first_bad == 77 && report.first_has + 1 == report.first_due, "which one it is");
    report = lose(PATTERN_PAGE, PAGES - 1, PAGE_BYTES / 2);
    expect(report.stale + report.torn == 1, "half a page");
    report = lose(PATTERN_PAGE, 5, 8);
    expect(report.stale + report.torn == 1, "eight bytes of a page");
    report = lose(PATTERN_BOOKS, 1, PAGE_BYTES);
    expect(report.stale + report.torn > 0 && !report.sum_ok, "a page of the books");
    report = lose(PATTERN_LEDGER, 0, PAGE_BYTES);
    expect(!report.sum_ok, "the checksum's page");

    expect(pattern_set_runs(64) == 0 && pattern_set_runs(0) < 0 && pattern_set_runs(65) < 0,
           "bounds of the runs");
    rewrite_all(2);
    report = verify_all();
    expect(report.stale + report.torn == 0 && report.sum_ok, "wholly rewritten pages");
    check_disk();
    check_requests();
    check_flows();
    return failures > 0;
}
