/*
 * What differs between a page and its copy, in words of 64 bits: plain C that any
 * compiler vectorizes, and that memory is slower than. A line of 64 bytes without
 * a difference costs eight loads of each and one branch.
 */
#include "internal.h"

#include <string.h>

#define LINE_WORDS 8

static inline uint64_t word(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

bool tsr_is_zero(const uint8_t *data, size_t n)
{
    uint64_t any = 0;
    size_t at = 0;

    for (; n - at >= 64 && !any; at += 64)
        for (int i = 0; i < LINE_WORDS; i++)
            any |= word(data + at + 8 * i);
    for (; at < n && !any; at++)
        any |= data[at];
    return !any;
}

unsigned tsr_delta_find(const uint8_t *page, const uint8_t *copy,
                        unsigned words, uint64_t map[TSR_WORDS / 64])
{
    unsigned changed = 0, at = 0;

    memset(map, 0, TSR_WORDS / 8);
    for (; at + LINE_WORDS <= words; at += LINE_WORDS) {
        const uint8_t *p = page + at * 8, *q = copy + at * 8;
        uint64_t any = 0, line = 0;

        for (int i = 0; i < LINE_WORDS; i++)
            any |= word(p + 8 * i) ^ word(q + 8 * i);
        if (!any)
            continue;
        for (int i = 0; i < LINE_WORDS; i++)
            line |= (uint64_t)(word(p + 8 * i) != word(q + 8 * i)) << i;
        map[at / 64] |= line << at % 64;
        changed += (unsigned)__builtin_popcountll(line);
        if (changed > TSR_DELTA_WORDS_MAX)
            return changed;
    }
    for (; at < words; at++) {
        if (word(page + at * 8) == word(copy + at * 8))
            continue;
        map[at / 64] |= UINT64_C(1) << at % 64;
        changed++;
    }
    return changed;
}

/* The first word from AT on whose bit is WANTED; WORDS: none. */
static unsigned next_bit(const uint64_t map[TSR_WORDS / 64], unsigned at,
                         unsigned words, bool wanted)
{
    while (at < words) {
        uint64_t bits = wanted ? map[at / 64] : ~map[at / 64];

        bits >>= at % 64;
        if (bits) {
            at += (unsigned)__builtin_ctzll(bits);
            return at < words ? at : words;
        }
        at = (at / 64 + 1) * 64;
    }
    return words;
}

static void write_words(const uint8_t *page, uint8_t *copy, unsigned from,
                        unsigned to, uint8_t *data)
{
    for (unsigned i = from; i < to; i++, data += 8) {
        uint64_t now = word(page + i * 8), difference;

        difference = now ^ word(copy + i * 8);
        memcpy(data, &difference, 8);
        memcpy(copy + i * 8, &now, 8);
    }
}

/* Cuts MAP into runs; their number, 0: too many. */
static unsigned find_runs(const uint64_t map[TSR_WORDS / 64], unsigned words,
                          uint8_t *runs)
{
    unsigned count = 0, at = 0;

    for (;;) {
        unsigned from = next_bit(map, at, words, true);
        unsigned to = next_bit(map, from, words, false);

        if (from == words)
            return count;
        while (at < to) {
            unsigned pass = from - at, take = to - from;

            /* Both are bytes: long ones take several runs. */
            if (pass > 255) {
                pass = 255;
                take = 0;
            } else if (take > 255) {
                take = 255;
            }
            if (count == TSR_DELTA_RUNS_MAX)
                return 0;
            runs[2 * count] = (uint8_t)pass;
            runs[2 * count++ + 1] = (uint8_t)take;
            at += pass + take;
            if (at > from)
                from = at;
        }
    }
}

unsigned tsr_delta_write(const uint8_t *page, uint8_t *copy, unsigned words,
                         const uint64_t map[TSR_WORDS / 64], uint8_t *runs,
                         uint8_t *data, size_t *data_out)
{
    unsigned count = find_runs(map, words, runs), at = 0;
    uint8_t *begin = data;

    for (unsigned i = 0; i < count; i++) {
        unsigned from = at + runs[2 * i];

        at = from + runs[2 * i + 1];
        write_words(page, copy, from, at, data);
        data += (size_t)(at - from) * 8;
    }
    *data_out = (size_t)(data - begin);
    return count;
}

const char *tsr_delta_apply(uint8_t *copy, unsigned words, const uint8_t *runs,
                            unsigned run_count, const uint8_t *data,
                            size_t data_size, size_t *data_out)
{
    unsigned at = 0;
    size_t used = 0;

    for (unsigned i = 0; i < run_count; i++) {
        unsigned from = at + runs[2 * i];

        at = from + runs[2 * i + 1];
        if (at > words)
            return "has a delta that goes outside its page";
        if ((size_t)(at - from) * 8 > data_size - used)
            return "has a delta without its bytes";
        for (unsigned j = from; j < at; j++, used += 8) {
            uint64_t now = word(copy + j * 8) ^ word(data + used);

            memcpy(copy + j * 8, &now, 8);
        }
    }
    *data_out = used;
    return NULL;
}
