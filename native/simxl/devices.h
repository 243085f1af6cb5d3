/* What a domain's devices need of their host. */
#ifndef SX_DEVICES_H
#define SX_DEVICES_H

#include "json.h"

/* What libxl would fail on, a name in CONFIG; NULL: nothing. */
const char *sx_devices_lack(const char *host, const struct json *config);

/* The same of what is read at a boot alone. */
const char *sx_boot_lacks(const char *host, const struct json *config);

#endif
