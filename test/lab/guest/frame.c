/*
 * Bytes of frames: what the guest's flows send, what the flood asks, and what a capture makes of
 * both. No sockets here, so that selftest.c can show each function what it must tell apart.
 */
#include "traffic.h"
#include "labguest.h"

#include <arpa/inet.h>
#include <string.h>

#define ETHER_HEAD 14
#define TYPE_IP4 0x0800
#define TYPE_ARP 0x0806
#define TYPE_VLAN 0x8100
#define TYPE_RARP 0x8035
#define TYPE_IP6 0x86dd
#define ARP_BYTES 28
/* What is Xen's in a MAC (its OUI) and what the lab adds to it: see guestConfig in guest.ts. */
static const uint8_t guest_prefix[4] = { 0x00, 0x16, 0x3e, 0x77 };

static uint64_t mix(uint64_t sum, uint64_t word)
{
    sum = (sum ^ word) * 0x9e3779b97f4a7c15u;
    return sum ^ (sum >> 29);
}

/* Over the head with its checksum left out, and the filling; whole words, then bytes. */
static uint64_t checksum_of(const uint8_t *payload, size_t size)
{
    size_t at = 0, hole = offsetof(struct frame_head, checksum);
    uint64_t sum = size;

    for (; at + 8 <= size; at += 8) {
        uint64_t word;

        memcpy(&word, payload + at, 8);
        if (at != hole)
            sum = mix(sum, word);
    }
    for (; at < size; at++)
        sum = mix(sum, payload[at]);
    return sum;
}

void frame_fill(struct frame_head *head)
{
    uint8_t *payload = (uint8_t *)head;

    for (size_t at = sizeof(*head); at < head->bytes; at++)
        payload[at] = (uint8_t)(head->flow_sequence + at);
    head->checksum = checksum_of(payload, head->bytes);
}

bool frame_is_whole(const void *payload, size_t size)
{
    struct frame_head head;

    if (size < sizeof(head))
        return false;
    memcpy(&head, payload, sizeof(head));
    return head.magic == FRAME_MAGIC && head.bytes == size &&
           head.checksum == checksum_of(payload, size);
}

static void put16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value)
{
    put16(at, value >> 16);
    put16(at + 2, value);
}

static uint32_t get16(const uint8_t *at)
{
    return (uint32_t)at[0] << 8 | at[1];
}

static uint32_t get32(const uint8_t *at)
{
    return get16(at) << 16 | get16(at + 2);
}

/* The Internet checksum (RFC 1071) of what was summed up. */
static uint32_t folded(uint32_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return ~sum & 0xffff;
}

static uint32_t sum_of(const uint8_t *data, size_t size, uint32_t sum)
{
    for (size_t at = 0; at + 1 < size; at += 2)
        sum += get16(data + at);
    return size % 2 ? sum + ((uint32_t)data[size - 1] << 8) : sum;
}

static uint8_t *put_ethernet(uint8_t *at, const uint8_t *to, const uint8_t *from, uint32_t type)
{
    memcpy(at, to, 6);
    memcpy(at + 6, from, 6);
    put16(at + 12, type);
    return at + ETHER_HEAD;
}

static uint8_t *put_ip4(uint8_t *at, uint32_t from, uint32_t to, uint8_t protocol, size_t bytes)
{
    memset(at, 0, 20);
    at[0] = 0x45;
    put16(at + 2, (uint32_t)(20 + bytes));
    at[8] = 64;
    at[9] = protocol;
    memcpy(at + 12, &from, 4);
    memcpy(at + 16, &to, 4);
    put16(at + 10, folded(sum_of(at, 20, 0)));
    return at + 20;
}

size_t frame_build_vlan(uint8_t *out, const uint8_t mac[6], uint32_t ip, const void *payload,
                        uint16_t bytes)
{
    static const uint8_t everybody[6] = { 0x03, 0x00, 0x00, 0x77, 0x00, 0x77 };
    uint32_t to = inet_addr("239.77.0.77"), udp_bytes = 8u + bytes;
    uint8_t *at = put_ethernet(out, everybody, mac, TYPE_VLAN), *udp;

    put16(at, VLAN_ID);
    put16(at + 2, TYPE_IP4);
    udp = put_ip4(at + 4, ip, to, IPPROTO_UDP, udp_bytes);
    put16(udp, SINK_PORT);
    put16(udp + 2, SINK_PORT);
    put16(udp + 4, udp_bytes);
    put16(udp + 6, 0);
    memcpy(udp + 8, payload, bytes);
    /* Pseudo header: the two addresses stand before UDP's. */
    put16(udp + 6, folded(sum_of(udp - 8, 8 + udp_bytes, IPPROTO_UDP + udp_bytes)));
    return VLAN_OVERHEAD + bytes;
}

size_t frame_build_ping4(uint8_t *out, const struct frame_addresses *from, uint32_t key)
{
    uint8_t *at = put_ethernet(out, from->guest_mac, from->mac, TYPE_IP4);

    at = put_ip4(at, from->ip, from->guest_ip, IPPROTO_ICMP, 64);
    memset(at, 0, 64);
    at[0] = 8; /* echo request, RFC 792 */
    put32(at + 4, key);
    put16(at + 2, folded(sum_of(at, 64, 0)));
    return ETHER_HEAD + 20 + 64;
}

size_t frame_build_ping6(uint8_t *out, const struct frame_addresses *from, uint32_t key)
{
    uint8_t *ip = put_ethernet(out, from->guest_mac, from->mac, TYPE_IP6), *at = ip + 40;

    memset(ip, 0, 40 + 64);
    ip[0] = 0x60;
    put16(ip + 4, 64);
    ip[6] = IPPROTO_ICMPV6;
    ip[7] = 64;
    memcpy(ip + 8, from->ip6, 16);
    memcpy(ip + 24, from->guest_ip6, 16);
    at[0] = 128; /* echo request, RFC 4443 */
    put32(at + 4, key);
    put16(at + 2, folded(sum_of(ip + 8, 32 + 64, IPPROTO_ICMPV6 + 64)));
    return ETHER_HEAD + 40 + 64;
}

size_t frame_build_arp(uint8_t *out, const struct frame_addresses *from, uint32_t key)
{
    uint8_t sender[6] = { 0x02, 0x77 }, *at;

    put32(sender + 2, key);
    at = put_ethernet(out, from->guest_mac, sender, TYPE_ARP);
    memset(at, 0, 46);
    put16(at, 1);
    put16(at + 2, TYPE_IP4);
    at[4] = 6;
    at[5] = 4;
    put16(at + 6, 1); /* request, RFC 826 */
    memcpy(at + 8, sender, 6);
    memcpy(at + 14, &from->ip, 4);
    memcpy(at + 24, &from->guest_ip, 4);
    return ETHER_HEAD + 46;
}

static void classify_udp(const uint8_t *at, size_t size, struct frame_record *out)
{
    struct frame_head head;

    if (size < 8)
        return;
    if (get16(at + 2) == BEACON_PORT)
        out->kind = KIND_BEACON;
    if (get16(at + 2) != SINK_PORT || size < 8 + sizeof(head))
        return;
    memcpy(&head, at + 8, sizeof(head));
    if (head.magic != FRAME_MAGIC)
        return;
    out->kind = KIND_FLOW;
    out->flow = head.flow;
    out->suspends = head.suspends;
    out->sequence = head.sequence;
    out->flow_sequence = head.flow_sequence;
}

static void classify_ip4(const uint8_t *at, size_t size, struct frame_record *out)
{
    size_t head = size < 20 ? 0 : (size_t)(at[0] & 15) * 4;

    /* The rest of a datagram in fragments has no header of its own. */
    if (head < 20 || size < head + 8 || (get16(at + 6) & 0x1fff))
        return;
    if (at[9] == IPPROTO_TCP)
        out->kind = KIND_TCP;
    if (at[9] == IPPROTO_UDP)
        classify_udp(at + head, size - head, out);
    if (at[9] == IPPROTO_ICMP && (at[head] == 8 || at[head] == 0)) {
        out->kind = at[head] == 8 ? KIND_PING4_ASK : KIND_PING4;
        out->key = get32(at + head + 4);
    }
}

static void classify_ip6(const uint8_t *at, size_t size, struct frame_record *out)
{
    if (size < 48)
        return;
    if (at[6] == IPPROTO_TCP)
        out->kind = KIND_TCP;
    if (at[6] == IPPROTO_UDP)
        classify_udp(at + 40, size - 40, out);
    if (at[6] != IPPROTO_ICMPV6)
        return;
    if (at[40] == 128 || at[40] == 129) {
        out->kind = at[40] == 128 ? KIND_PING6_ASK : KIND_PING6;
        out->key = get32(at + 44);
    } else if (at[40] == 136 && !(at[44] & 0x40)) { /* advertisement, not solicited: RFC 4861 */
        out->kind = KIND_ANNOUNCE;
    }
}

/* ARP: of a request the key is the sender's MAC, of an answer the target's. */
static void classify_arp(const uint8_t *at, size_t size, struct frame_record *out)
{
    bool asks;

    if (size < ARP_BYTES)
        return;
    asks = get16(at + 6) == 1;
    if (!memcmp(at + 14, at + 24, 4)) {
        out->kind = KIND_ANNOUNCE;
    } else {
        out->kind = asks ? KIND_ARP_ASK : KIND_ARP;
        out->key = get32((asks ? at + 8 : at + 18) + 2);
    }
}

bool frame_classify(const uint8_t *data, size_t size, uint16_t tag, struct frame_record *out)
{
    size_t at = ETHER_HEAD;
    uint32_t type;

    memset(out, 0, sizeof(*out));
    if (size < ETHER_HEAD)
        return false;
    if (!memcmp(data + 6, guest_prefix, sizeof(guest_prefix)))
        out->flags = FRAME_FROM_GUEST;
    else if (memcmp(data, guest_prefix, sizeof(guest_prefix)))
        return false;
    out->guest = get32(data + (out->flags ? 8 : 2));
    out->vlan = tag;
    type = get16(data + 12);
    if (type == TYPE_VLAN && size >= at + 4) {
        out->vlan = (uint16_t)get16(data + at);
        type = get16(data + at + 2);
        at += 4;
    }
    if (type == TYPE_IP4)
        classify_ip4(data + at, size - at, out);
    else if (type == TYPE_IP6)
        classify_ip6(data + at, size - at, out);
    else if (type == TYPE_ARP)
        classify_arp(data + at, size - at, out);
    else if (type == TYPE_RARP)
        out->kind = KIND_ANNOUNCE;
    return true;
}
