/*
 * Running the checker over a stream in pieces.
 */
#include "test.h"

#include <string.h>

#include "../xen/xen.h"

int check_in_steps(const struct bytes *bytes, size_t step,
                   struct tsr_stream_stats *stats, char *text)
{
    int handle = tsr_stream_new(), rc = 0;
    size_t at, n;

    CHECK(handle >= 0);
    memset(stats, 0, sizeof(*stats));
    for (at = 0; at < bytes->size && !rc; at += n) {
        n = bytes->size - at < step ? bytes->size - at : step;
        rc = tsr_stream_check(handle, bytes->data + at, n, stats);
    }
    if (rc)
        CHECK(tsr_error_text(handle, text, 256) > 0);
    CHECK(tsr_stream_free(handle) == 0);
    return rc;
}
