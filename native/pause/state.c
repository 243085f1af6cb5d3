/*
 * The records of a guest's state; see pause.h. Which HVM parameters there are and what else belongs
 * to a checkpoint differs between releases of Xen. So it is learned: libxc makes the seed's own
 * checkpoint, what it asks for and writes is listened to, and the same is made here at once, while
 * the guest is suspended still.
 */
#include "pause.h"

#include <stdlib.h>
#include <string.h>

#define LEARNED_MAX (4u << 20)
#define CONTEXT_MAX (128u << 20)

bool state_open(struct state *state, const struct xc_functions *xc, xc_interface *xch,
                uint32_t domid)
{
    *state = (struct state){ .xc = xc, .xch = xch, .domid = domid };
    state->learned = malloc(LEARNED_MAX);
    return state->learned != NULL;
}

void state_learn_param(struct state *state, uint32_t param)
{
    if (state->param_count < PARAMS_MAX)
        state->params[state->param_count] = param;
    if (state->param_count <= PARAMS_MAX)
        state->param_count++;
}

void state_learn_bytes(struct state *state, const void *data, size_t size)
{
    if (size > LEARNED_MAX - state->learned_size)
        size = LEARNED_MAX - state->learned_size;
    memcpy(state->learned + state->learned_size, data, size);
    state->learned_size += size;
}

/* The record at *AT of SIZE bytes, and where the next one is. NULL: there is no whole one. */
static const uint8_t *next_record(const uint8_t *data, size_t size, size_t *at,
                                  struct record *head)
{
    const uint8_t *body = data + *at + sizeof(*head);
    size_t padded;

    if (size - *at < sizeof(*head))
        return NULL;
    memcpy(head, data + *at, sizeof(*head));
    padded = ((size_t)head->length + 7) & ~(size_t)7;
    if (size - *at - sizeof(*head) < padded)
        return NULL;
    *at += sizeof(*head) + padded;
    return body;
}

bool state_learned(const struct state *state)
{
    struct record head = { 0 };
    size_t at = 0;

    while (next_record(state->learned, state->learned_size, &at, &head))
        if (head.type == REC_CHECKPOINT)
            return true;
    return false;
}

static const char *compare(const struct state *state, const struct buffer *mine)
{
    size_t at = 0, my_at = 0;
    const uint8_t *body, *my_body;
    struct record head, my_head;

    for (;;) {
        body = next_record(state->learned, state->learned_size, &at, &head);
        my_body = next_record(mine->data, mine->used, &my_at, &my_head);
        if (!body || !my_body)
            break;
        if (head.type != my_head.type)
            return "libxc writes other records";
        if (head.length != my_head.length)
            return "libxc writes records of another length";
        /* The counter runs on, and so may timers in the context. */
        if (head.type == REC_TSC_INFO
                ? memcmp(body, my_body, 8) || memcmp(body + 16, my_body + 16, 8)
                : head.type != REC_HVM_CONTEXT && memcmp(body, my_body, head.length))
            return "libxc writes other values";
    }
    if (body || my_body || at != state->learned_size)
        return "libxc writes more, or less";
    return NULL;
}

const char *state_compare(struct state *state)
{
    struct buffer mine;
    uint8_t tsc[24];
    const char *wrong;

    if (state->param_count > PARAMS_MAX || state->learned_size >= LEARNED_MAX)
        return "libxc writes too much";
    if (!buffer_open(&mine, -1, LEARNED_MAX))
        return "no memory";
    if (!state_tsc(state, tsc) || !buffer_put_record(&mine, REC_TSC_INFO, tsc, sizeof(tsc)) ||
        !state_put(state, &mine) || !buffer_put_record(&mine, REC_CHECKPOINT, NULL, 0))
        wrong = "the guest's state cannot be had";
    else
        wrong = compare(state, &mine);
    buffer_close(&mine);
    return wrong;
}

/* struct xc_sr_rec_x86_tsc_info */
bool state_tsc(struct state *state, uint8_t *body)
{
    struct { uint32_t mode, khz; uint64_t nsec; uint32_t incarnation, reserved; } tsc = { 0 };

    if (state->xc->xc_domain_get_tsc_info(state->xch, state->domid, &tsc.mode, &tsc.nsec,
                                          &tsc.khz, &tsc.incarnation))
        return false;
    memcpy(body, &tsc, sizeof(tsc));
    return true;
}

/* Its length is asked for once, and again where it does not fit any more. */
static int get_context(struct state *state)
{
    int n = state->context_size == 0 ? -1
                                     : state->xc->xc_domain_hvm_getcontext(
                                           state->xch, state->domid, state->context,
                                           (uint32_t)state->context_size);

    if (n >= 0)
        return n;
    n = state->xc->xc_domain_hvm_getcontext(state->xch, state->domid, NULL, 0);
    if (n <= 0 || (unsigned)n > CONTEXT_MAX)
        return -1;
    free(state->context);
    state->context_size = 0;
    state->context = malloc((size_t)n);
    if (!state->context)
        return -1;
    state->context_size = (size_t)n;
    return state->xc->xc_domain_hvm_getcontext(state->xch, state->domid, state->context,
                                               (uint32_t)n);
}

bool state_put(struct state *state, struct buffer *out)
{
    struct {
        uint32_t count, reserved;
        struct { uint64_t index, value; } entries[PARAMS_MAX];
    } params = { 0 };
    int length = get_context(state);
    unsigned i;

    if (length < 0 || !buffer_put_record(out, REC_HVM_CONTEXT, state->context, (uint32_t)length))
        return false;
    for (i = 0; i < state->param_count; i++) {
        uint64_t value = 0;

        if (state->xc->xc_hvm_param_get(state->xch, state->domid, state->params[i], &value))
            return false;
        if (!value)
            continue;
        params.entries[params.count].index = state->params[i];
        params.entries[params.count++].value = value;
    }
    return !params.count ||
           buffer_put_record(out, REC_HVM_PARAMS, &params, 8 + 16 * params.count);
}
