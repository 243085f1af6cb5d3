/* Creating a domain from a configuration, its guest program included. */
#ifndef SX_CREATE_H
#define SX_CREATE_H

#include "json.h"
#include "sx.h"

/* rc; the new domain is paused once, as on Xen. */
int sx_create(const char *host, struct json *config, uint32_t *domid_out);

#endif
