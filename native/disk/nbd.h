/*
 * The requests of an NBD client, the kernel's: as drivers/block/nbd.c sends them
 * (nbd_send_cmd) and as it wants them answered (nbd_handle_reply). Big-endian on the
 * wire; the handle is the client's and goes back as it came.
 */
#ifndef TSR_NBD_H
#define TSR_NBD_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define TSR_NBD_REQUEST_SIZE 28
#define TSR_NBD_REPLY_SIZE 16
/* More than any kernel sends at once (max_sectors_kb of an NBD device). */
#define TSR_NBD_LENGTH_MAX (4u << 20)
#define TSR_NBD_SECTOR 512u

#define TSR_NBD_REQUEST_MAGIC 0x25609513u
#define TSR_NBD_REPLY_MAGIC 0x67446698u

enum tsr_nbd_command {
    TSR_NBD_READ = 0,
    TSR_NBD_WRITE = 1,
    TSR_NBD_DISC = 2,
    TSR_NBD_FLUSH = 3,
    TSR_NBD_TRIM = 4,
    TSR_NBD_WRITE_ZEROES = 6,
};

/* Flags of a device, for NBD_SET_FLAGS: what the server takes. */
#define TSR_NBD_HAS_FLAGS (1u << 0)
#define TSR_NBD_SEND_FLUSH (1u << 2)
#define TSR_NBD_SEND_FUA (1u << 3)
#define TSR_NBD_SEND_TRIM (1u << 5)

struct tsr_nbd_request {
    uint8_t handle[8];
    uint64_t offset;
    uint32_t length;
    uint16_t command;
    bool fua;
};

static inline uint64_t tsr_nbd_number(const uint8_t *at, unsigned bytes)
{
    uint64_t value = 0;

    while (bytes--)
        value = value << 8 | *at++;
    return value;
}

static inline void tsr_nbd_put32(uint8_t *at, uint32_t value)
{
    unsigned i;

    for (i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* NULL, or what is wrong with it. SIZE: of the disk, in bytes. */
static inline const char *tsr_nbd_decode(const uint8_t *bytes, uint64_t size,
                                         struct tsr_nbd_request *out)
{
    bool moves_data;

    if (tsr_nbd_number(bytes, 4) != TSR_NBD_REQUEST_MAGIC)
        return "no request";
    out->fua = tsr_nbd_number(bytes + 4, 2) & 1;
    out->command = (uint16_t)tsr_nbd_number(bytes + 6, 2);
    memcpy(out->handle, bytes + 8, sizeof(out->handle));
    out->offset = tsr_nbd_number(bytes + 16, 8);
    out->length = (uint32_t)tsr_nbd_number(bytes + 24, 4);
    moves_data = out->command == TSR_NBD_READ || out->command == TSR_NBD_WRITE;
    switch (out->command) {
    case TSR_NBD_DISC:
    case TSR_NBD_FLUSH:
        return NULL;
    case TSR_NBD_READ:
    case TSR_NBD_WRITE:
    case TSR_NBD_TRIM:
    case TSR_NBD_WRITE_ZEROES:
        break;
    default:
        return "an unknown command";
    }
    if (moves_data && out->length > TSR_NBD_LENGTH_MAX)
        return "longer than any kernel sends";
    if (out->offset > size || out->length > size - out->offset)
        return "behind the end of the disk";
    if (!out->length || (out->offset | out->length) % TSR_NBD_SECTOR)
        return "no whole sectors";
    return NULL;
}

static inline void tsr_nbd_reply(uint8_t *bytes, const struct tsr_nbd_request *request,
                                 uint32_t error)
{
    tsr_nbd_put32(bytes, TSR_NBD_REPLY_MAGIC);
    tsr_nbd_put32(bytes + 4, error);
    memcpy(bytes + 8, request->handle, sizeof(request->handle));
}

#endif
