/* What a domain's devices need of their host. */
#ifndef SX_DEVICES_H
#define SX_DEVICES_H

#include "json.h"

/* What libxl would fail on, a name in CONFIG; NULL: nothing. */
const char *sx_devices_lack(const char *host, const struct json *config);

/* Runs the scripts of DOMID's disks and interfaces; what libxl fails on, NULL. */
const char *sx_devices_add(const char *host, const struct json *config,
                           uint32_t domid);

/* The same of what is read at a boot alone. */
const char *sx_boot_lacks(const char *host, const struct json *config);

#endif
