/*
 * A deliberate bug, for one lab test: the barrier of an epoch whose pages are written after the
 * resume is set when its last record comes, not while the guest is suspended.
 *
 * Linked into a build of libtsremus that no product contains, by the linker's --wrap: of every
 * epoch behind the seed the mark of a suspended guest is kept from the save loop, and given to it
 * in place of the mark that the guest was resumed, a while later. What the guest sends in between
 * belongs to the next epoch and goes with this one.
 */
#include <time.h>

#include "../../../native/xen/stream.h"

/* A guest sends nothing before its devices thaw. */
#define LATE_MS 150

int __real_tsr_parser_take(struct tsr_parser *parser, const uint8_t *data, size_t n,
                           size_t *taken_out, enum tsr_mark *mark_out);
int __wrap_tsr_parser_take(struct tsr_parser *parser, const uint8_t *data, size_t n,
                           size_t *taken_out, enum tsr_mark *mark_out);

int __wrap_tsr_parser_take(struct tsr_parser *parser, const uint8_t *data, size_t n,
                           size_t *taken_out, enum tsr_mark *mark_out)
{
    const struct timespec late = { .tv_nsec = LATE_MS * 1000000l };
    int rc = __real_tsr_parser_take(parser, data, n, taken_out, mark_out);

    if (rc || !parser->epoch)
        return rc;
    if (*mark_out == TSR_MARK_SUSPENDED) {
        *mark_out = TSR_MARK_NONE;
    } else if (*mark_out == TSR_MARK_RESUMED) {
        nanosleep(&late, NULL);
        *mark_out = TSR_MARK_SUSPENDED;
    }
    return 0;
}
