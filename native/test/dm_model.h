/*
 * The device mapper's control device as a model, ioctl for ioctl (drivers/md/dm-ioctl.c): devices
 * with a live and an inactive table. Somebody else (LVM) may act before any call.
 */
#ifndef DM_MODEL_H
#define DM_MODEL_H

#include <stdbool.h>

#include "../disk/dm.h"

/* Of each device, whatever its table. */
extern uint64_t dm_model_sectors;

/* Replaces the kernel, with one device "vol" (253:0) of the table "linear 8:0 0", and, where
 * WITH_UNDER, "under" (253:1) over the same. */
void dm_model_start(bool with_under);

/* Calls so far. BEFORE is called before each, with its number; NULL: nobody. */
extern unsigned dm_model_calls;
extern void (*dm_model_before)(unsigned call);
/* From this call on every call fails with -EIO: its caller was killed. */
extern unsigned dm_model_killed;
/* What the mirror's status says of its two legs. */
extern char dm_model_health[3];
/* The next call of this request fails so, once. */
extern unsigned long dm_model_refuse;
extern int dm_model_refuse_with;

/* A load of ours took out of the slot what was loaded there. */
extern bool dm_model_overwritten;

/* What somebody else does to "vol", without calls of ours. */
void dm_model_load(const char *type, const char *params);
void dm_model_resume(void);
/* The first line of a table of DEVICE, "TYPE PARAMS"; "": none. */
const char *dm_model_table(const char *device, bool inactive);
bool dm_model_is_suspended(const char *device);

#endif
