/*
 * XXH64, written from its specification, which gives the constants and steps;
 * it needs nothing but 64-bit multiplications, so it is fast on any processor.
 * It detects accidents, not intent: the transport authenticates the peer.
 */
#include "internal.h"

#include <endian.h>
#include <string.h>

#define P1 UINT64_C(0x9E3779B185EBCA87)
#define P2 UINT64_C(0xC2B2AE3D27D4EB4F)
#define P3 UINT64_C(0x165667B19E3779F9)
#define P4 UINT64_C(0x85EBCA77C2B2AE63)
#define P5 UINT64_C(0x27D4EB2F165667C5)

static inline uint64_t rotate(uint64_t v, int bits)
{
    return v << bits | v >> (64 - bits);
}

static inline uint64_t word(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return le64toh(v);
}

static inline uint64_t round_of(uint64_t lane, uint64_t input)
{
    return rotate(lane + input * P2, 31) * P1;
}

static inline uint64_t merge(uint64_t hash, uint64_t lane)
{
    return (hash ^ round_of(0, lane)) * P1 + P4;
}

static uint64_t finish(uint64_t hash, const uint8_t *p, size_t n)
{
    uint32_t half;

    for (; n >= 8; p += 8, n -= 8)
        hash = rotate(hash ^ round_of(0, word(p)), 27) * P1 + P4;
    if (n >= 4) {
        memcpy(&half, p, sizeof(half));
        hash = rotate(hash ^ le32toh(half) * P1, 23) * P2 + P3;
        p += 4;
        n -= 4;
    }
    for (; n; p++, n--)
        hash = rotate(hash ^ *p * P5, 11) * P1;
    hash = (hash ^ hash >> 33) * P2;
    hash = (hash ^ hash >> 29) * P3;
    return hash ^ hash >> 32;
}

uint64_t tsr_hash(const uint8_t *data, size_t size, uint64_t seed)
{
    uint64_t a = seed + P1 + P2, b = seed + P2, c = seed, d = seed - P1;
    uint64_t hash = seed + P5;
    size_t n = size;

    if (size >= 32) {
        for (; n >= 32; data += 32, n -= 32) {
            a = round_of(a, word(data));
            b = round_of(b, word(data + 8));
            c = round_of(c, word(data + 16));
            d = round_of(d, word(data + 24));
        }
        hash = rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18);
        hash = merge(merge(merge(merge(hash, a), b), c), d);
    }
    return finish(hash + size, data, n);
}

uint64_t tsr_chain(uint64_t chain, uint64_t value)
{
    return rotate(chain ^ round_of(0, value), 27) * P1 + P4;
}
