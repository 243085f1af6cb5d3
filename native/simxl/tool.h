/* The tool's parts: tool.c has the commands, tool_create.c the longest one,
 * tool_show.c what is printed. */
#ifndef SX_TOOL_H
#define SX_TOOL_H

#include "guest.h"
#include "json.h"

int tool_create(const char *host, int argc, char **argv);
int tool_list(const char *host, bool as_json);
int tool_info(const char *host, struct sx_domain *d);
int tool_verify(struct sx_domain *d);
struct json *tool_domain_json(struct sx_domain *d);

#endif
