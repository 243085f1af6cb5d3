/*
 * A guest's volume before a capture and after one that died: what it is, the device over its
 * plain table, and a mirror that nobody looks after any more. See mirror.h for the devices.
 */
#ifndef TSR_VOLUME_H
#define TSR_VOLUME_H

#include "../common/tsremus.h"

enum tsr_volume_state {
    TSR_VOLUME_PLAIN = 0,       /* of linear and striped targets: it can be mirrored */
    TSR_VOLUME_OTHER = 1,       /* it has a target of another type */
    TSR_VOLUME_MIRRORED = 2,    /* a mirror of ours is live, or loaded */
};

struct tsr_volume {             /* 40 bytes */
    uint64_t size;              /* bytes */
    uint32_t state;             /* enum tsr_volume_state */
    uint32_t has_under;         /* 1: the device over its plain table is there */
    uint32_t leg_major, leg_minor;      /* of a mirror of ours: the NBD device */
    char target[16];            /* the first other type; else "" */
};

/* BLOCKING, as all here: the device mapper's locks. -ENXIO: there is no device NAME. */
TSR_API int tsr_volume_look(const char *name, const char *under, struct tsr_volume *out);

/* Makes UNDER over the table of NAME: tsr_mirror_make_under. *MINOR_OUT: of the new device. */
TSR_API int tsr_volume_make_under(const char *name, const char *under, uint32_t *minor_out);

/*
 * Takes away what a session left: the mirror, and UNDER. LOCK, VG_LOCK: as in struct
 * tsr_capture_settings. 1: a mirror was taken away; 0: none was there. What somebody else has
 * made of the volume since stays (-ESTALE). -EBUSY: UNDER is in use.
 */
TSR_API int tsr_volume_repair(const char *name, const char *under, const char *lock,
                              const char *vg_lock);

#endif
