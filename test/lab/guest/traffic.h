/*
 * What a guest says to the outside and what the outside makes of it: the formats that traffic.c
 * writes in the guest and that talk.c, sink.c and frames.c read outside of it.
 *
 * All numbers are little-endian, as every machine of the lab is.
 */
#ifndef TRAFFIC_H
#define TRAFFIC_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NUMBER_PORT 5003
#define SINK_PORT 5004
#define BULK_PORT 5005
#define VLAN_ID 77
#define FLOWS 4

#define REQUEST_MAGIC 0x5452424cu /* LBRT */
#define ANSWER_MAGIC 0x4152424cu  /* LBRA */
#define FRAME_MAGIC 0x4652424cu   /* LBRF */

struct number_request {
    uint32_t magic;
    uint32_t reserved;
    uint64_t id;
};

/* Every answer carries the next number of a counter that lives in the guest's memory only. */
struct number_answer {
    uint32_t magic;
    uint32_t suspends; /* how often the guest had been suspended when it answered */
    uint64_t id;
    uint64_t number;
    uint64_t boot; /* the first half of the boot id */
};

/* The beginning of what a flow sends; the rest, up to `bytes`, is filled by the sequence. */
struct frame_head {
    uint32_t magic;
    uint16_t flow;
    uint16_t bytes;
    uint32_t suspends;
    uint32_t reserved;
    uint64_t sequence;      /* of all frames of the guest, whatever the flow */
    uint64_t flow_sequence; /* of this flow; both begin with 1 */
    uint64_t boot;
    uint64_t checksum; /* over all the rest */
};

enum flow_kind { FLOW_UDP4, FLOW_UDP6, FLOW_VLAN, FLOW_SECOND };

/* frame.c: bytes only, no socket; see selftest.c */

/* Fills what follows the head and sets the checksum; `bytes` is that of the whole payload. */
void frame_fill(struct frame_head *head);
/* Whether a payload of SIZE bytes is as frame_fill left it. */
bool frame_is_whole(const void *payload, size_t size);

#define VLAN_OVERHEAD (14 + 4 + 20 + 8)

/*
 * A whole Ethernet frame with an 802.1Q tag, IPv4 and UDP headers and their checksums around
 * BYTES of payload, to a multicast address, so that every bridge lets it through. The number of
 * bytes written to OUT.
 */
size_t frame_build_vlan(uint8_t *out, const uint8_t mac[6], uint32_t ip, const void *payload,
                        uint16_t bytes);

/* Echo request, IPv4 or IPv6, or an ARP request, from this MAC and address; size of the frame. */
struct frame_addresses {
    uint8_t mac[6], guest_mac[6];
    uint32_t ip, guest_ip; /* network order */
    uint8_t ip6[16], guest_ip6[16];
};
size_t frame_build_ping4(uint8_t *out, const struct frame_addresses *from, uint32_t key);
size_t frame_build_ping6(uint8_t *out, const struct frame_addresses *from, uint32_t key);
/* The key stands in the sender's MAC, which the answer goes to. */
size_t frame_build_arp(uint8_t *out, const struct frame_addresses *from, uint32_t key);

enum frame_kind {
    KIND_OTHER,
    KIND_FLOW,
    KIND_PING4_ASK,
    KIND_PING4,
    KIND_PING6_ASK,
    KIND_PING6,
    KIND_ARP_ASK,
    KIND_ARP,
    KIND_TCP,
    KIND_BEACON,
    KIND_ANNOUNCE, /* gratuitous ARP, unsolicited neighbour advertisement, RARP */
};

/* What the capture keeps of a frame; frame-records.ts reads the same 48 bytes. */
struct frame_record {
    uint64_t time_ns; /* CLOCK_REALTIME of the machine that captured */
    uint8_t flags; /* FRAME_FROM_GUEST by its MAC, FRAME_LEAVES by the interface's direction */
    uint8_t kind;
    uint16_t vlan; /* 0: none */
    uint16_t bytes;
    uint16_t flow;
    uint32_t guest;    /* the last four bytes of the guest's MAC */
    uint32_t suspends; /* of a flow's frame */
    uint64_t key;      /* what an answer has in common with its request; else 0 */
    uint64_t sequence;
    uint64_t flow_sequence;
};

#define FRAME_FROM_GUEST 1
#define FRAME_LEAVES 2

/*
 * Fills all but the time and the direction. DATA begins with the Ethernet header and may be cut off after 160 bytes;
 * TAG is an 802.1Q tag that the kernel took out of it, or 0. False: not from or to a guest.
 */
bool frame_classify(const uint8_t *data, size_t size, uint16_t tag, struct frame_record *out);

/* flows.c and traffic.c: the guest's side; server.c calls the latter */

void flows_start(uint64_t boot, const char *ip);
/* `N RATE [BYTES]`: RATE in bytes a second, `max` or 0. False: not understood, or no interface. */
bool flows_set(const char *arguments);
/* Sends what is due after so much more time. */
void flows_advance(double passed_ms);
/* True while a flow wants to send at once. */
bool flows_are_hungry(void);
/* What to wait for, FLOWS entries, and what came of it. */
int flows_poll(struct pollfd *fds);
void flows_unblock(const struct pollfd *fds);
/* The last frame's number: of all, and of one flow. */
uint64_t flows_sequence(void);
uint64_t flow_sequence(int flow);

#define TRAFFIC_FDS_MAX (3 + 8 + FLOWS)

void traffic_start(uint64_t boot, const char *ip);
/* Notes what had been said before each suspension; the answer is how many there were. */
uint32_t traffic_suspends(void);
int traffic_poll(struct pollfd *fds);
void traffic_serve(const struct pollfd *fds);
/* JSON members for the state, without braces. */
int traffic_describe(char *out, size_t size);
/* The newest suspensions and what had been said at each of them, as JSON. */
int traffic_history(char *out, size_t size);

/* The outside, in the lab's namespace or in a host; each one ends with its standard input. */

/* talk IP INTERVAL_US WINDOW: a line per answer. */
int talk(const char *ip, int interval_us, int window);
/* pull IP SECONDS: takes what the guest can send over TCP. */
int pull(const char *ip, int seconds);
/* sink: takes the flows' datagrams, one JSON line at the end. */
int sink(void);
/* flood INTERFACE GUEST_MAC GUEST_IP GUEST_IP6 PER_SECOND: pings and ARP requests. */
int flood(char **arguments);
/* frames INTERFACE FILE: records of all guests' frames that pass the interface. */
int frames(const char *interface, const char *path);

#endif
