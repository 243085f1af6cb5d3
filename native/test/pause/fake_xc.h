/*
 * A stand-in for libxenctrl, libxenguest, libxenforeignmemory and libxentoollog, as far as a save
 * helper needs them: xc_domain_save in libxc's order, over a guest that is an array.
 */
#ifndef FAKE_XC_H
#define FAKE_XC_H

#include <stdbool.h>
#include <stdint.h>

#define FAKE_PAGES 3000u
#define FAKE_PAGE 4096u

struct fake_xc {
    /* the guest */
    uint8_t *memory;
    bool absent[FAKE_PAGES];            /* pages that it does not have */
    uint64_t dirty[(FAKE_PAGES + 63) / 64];
    bool suspended;
    uint64_t tsc_nsec;
    uint32_t context_size;
    uint64_t params[40];

    /* the script */
    bool pv;                            /* what libxc writes of a PV guest */
    bool odd_record;                    /* a release that writes a record more at the end */
    bool odd_param;                     /* and one that asks for a parameter more, and writes it not */
    int unmappable_epoch;               /* a page that is there cannot be mapped; -1 */
    int growing_epoch;                  /* the context is longer from then on; -1 */
    int contextless_epoch;              /* Xen refuses the context; -1 */
    int broken_epoch;                   /* the dirty log cannot be had; -1 */

    /* what was seen */
    int epoch;                          /* dirty logs taken in a pause, less one */
    int own_loops;                      /* checkpoints that libxc's loop made */
    int mapped, unmapped;               /* pages */
    int asked_in_run;                   /* hypercalls for state of a guest that ran */
    char said[400];                     /* to libxl's logger, last */
};

extern struct fake_xc fake_xc;

#endif
