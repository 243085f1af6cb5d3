/*
 * The format of a checkpoint stream, as far as the page encoding must know it: where
 * in the raw bytes the bodies of pages are, and whose they are. A codec is given the
 * handle of an object that has one (codec.h, tsr_codec_new).
 */
#ifndef TSR_FORMAT_H
#define TSR_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TSR_PAGE_SIZE 4096u

struct tsr_format_ops {
    /* A walk along a stream, from its first byte on; NULL: no memory. */
    void *(*open)(void);
    void (*close)(void *walk);
    /* true: the next bytes belong to the body of a page: that of *PFN_OUT, *FROM_OUT of
     * its bytes have been taken. */
    bool (*page)(const void *walk, uint64_t *pfn_out, uint32_t *from_out);
    /*
     * Takes up to N bytes, but stops before the body of a page; the bytes of a body
     * are looked at by nobody. 0, or -EPROTO: this is no such stream, and the walk
     * is over; `text` says why.
     */
    int (*take)(void *walk, const uint8_t *data, size_t n, size_t *taken_out);
    const char *(*text)(const void *walk);
};

#endif
