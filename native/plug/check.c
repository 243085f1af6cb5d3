/*
 * Whether the buffer is still as it was made, and what is done where it is not.
 *
 * Any root of this host may take apart what holds a guest's output: a daemon that
 * manages interfaces flushes filters, somebody tidies up. What that lets out depends on
 * the part.
 *
 *    ingress qdisc, filter     nothing, where there is the second hold (below); else what
 *                              comes until the interface is down
 *    action turned             what comes until it is turned back
 *    plug removed, opened      what it held (opened), what comes until there is another
 *    device removed, down      nothing: act_mirred drops what it cannot redirect
 *
 * The second hold is a chain of nftables on the interface's ingress hook whose policy is
 * to drop. The kernel asks it after the ingress filters: a frame that is redirected never
 * comes there, and one that comes back from an ifb does not pass the hook again (both are
 * behind tc_skip_classify in __netif_receive_skb_core, net/core/dev.c). So only what
 * escapes the redirect meets it. It is made beforehand: there is no time in which it is
 * not there yet.
 *
 * Everything else is mended here, by the thread that hears of it or the barrier that finds
 * it: to put a plug back, or to turn the action back, is as quick as to block. What
 * takes more (devices, filters) the caller makes anew; until then PORT is lost: nothing
 * of it is sealed or released, and without a second hold its interface is down.
 */
#include "internal.h"

#include <linux/pkt_sched.h>
#include <string.h>

bool tsr_plug_is_lost(const struct port *port)
{
    return (port->faults & ~(uint32_t)TSR_PLUG_NO_HOLD) != 0;
}

static unsigned queues_of(const struct port *port)
{
    return paired(port) ? 2 : 1;
}

/* Whether that queue lets its frames through as it is meant to. */
static bool is_open(const struct port *port, unsigned i)
{
    return i == port->current ? port->passing : port->emptying;
}

static struct tsr_plug_found look(struct tsr_plug *plug, struct port *port, bool whole)
{
    struct tsr_plug_wanted wanted = {
        .port = &port->given,
        .current = current(port),
        .handles = port->handles,
        .hold = port->hold,
        .whole = whole,
    };
    struct tsr_plug_found found = { .faults = 0 };

    plug->kernel->verify(plug->state, &wanted, &found);
    return found;
}

/* A new plug, closed. What the old one held is gone with it. */
static int replug(struct tsr_plug *plug, struct port *port, unsigned i)
{
    uint32_t queue = port->given.queues[i];
    int rc = plug->kernel->replace(plug->state, queue, port->given.limit);

    if (rc < 0)
        return rc;
    port->handles[i] = 0;
    if (i == port->current && port->passing)
        return plug->kernel->change(plug->state, queue, TCQ_PLUG_RELEASE_INDEFINITE);
    if (i != port->current || !paired(port)) {
        port->sealed = TSR_PLUG_NOT_SEALED;
        port->emptying = false;
    }
    return 0;
}

/* Each part as far as it can be done from here; whether it was, the next look tells. */
static void mend(struct tsr_plug *plug, struct port *port,
                 const struct tsr_plug_found *found, const bool closed[2])
{
    unsigned i;

    if (found->faults & (TSR_PLUG_TURNED | TSR_PLUG_UNREDIRECTED) &&
        !found->absent[port->current])
        plug->kernel->redirect(plug->state, port->given.action, current(port));
    for (i = 0; i < queues_of(port); i++) {
        if (found->absent[i])
            continue;
        /* One queue has sch_plug's own counts, which outlive what they counted. */
        if (found->unplugged[i] || (found->down[i] && !paired(port)))
            replug(plug, port, i);
        else if (closed[i] && !is_open(port, i))
            plug->kernel->change(plug->state, port->given.queues[i], TCQ_PLUG_BUFFER);
        if (found->down[i])
            plug->kernel->set_up(plug->state, port->given.queues[i], true);
    }
    if (found->faults & TSR_PLUG_NO_HOLD)
        plug->kernel->hold(plug->state, port->given.interface, port->hold);
}

/* Nothing may get out by what is left: by the second hold, else by taking it down. */
static void block(struct tsr_plug *plug, struct port *port, uint32_t faults)
{
    uint32_t open = TSR_PLUG_TURNED | TSR_PLUG_UNPLUGGED | TSR_PLUG_UNSEEN;

    if (!port->hold[0] || faults & TSR_PLUG_NO_HOLD)
        open |= TSR_PLUG_UNREDIRECTED;
    if (faults & open && !port->down && port->given.interface)
        port->down = plug->kernel->set_up(plug->state, port->given.interface, false) >= 0;
}

/* What is wrong is known before anybody looked: to be blocked first. */
static void mend_at_once(struct tsr_plug *plug, struct port *port,
                         const struct tsr_plug_news *news, struct tsr_plug_found *found)
{
    unsigned i;

    for (i = 0; i < queues_of(port); i++) {
        if (news->removed[i]) {
            found->faults |= TSR_PLUG_UNPLUGGED;
            replug(plug, port, i);
        } else if (news->touched[i]) {
            found->faults |= TSR_PLUG_TOUCHED;
            if (!is_open(port, i))
                plug->kernel->change(plug->state, port->given.queues[i], TCQ_PLUG_BUFFER);
        }
    }
}

static void tell(struct tsr_plug *plug, const struct port *port, uint32_t found,
                 uint64_t began_ns)
{
    struct tsr_event values = {
        .a = port - plug->ports,
        .b = found,
        .c = port->faults,
        .d = port->down,
        .e = tsr_now_ns() - began_ns,
        .f = port->hold[0] && !(found & TSR_PLUG_NO_HOLD),
    };

    tsr_plug_tell(plug, &values);
}

/* The faults as they were found; port->faults has those that are left. */
static uint32_t check(struct tsr_plug *plug, struct port *port,
                      const struct tsr_plug_news *news, bool whole)
{
    struct tsr_plug_found at_once = { .faults = 0 }, found;
    /* What was lost may have been left open, whoever makes it anew. */
    bool was_lost = tsr_plug_is_lost(port);
    bool closed[2] = { was_lost, was_lost };
    uint32_t all;

    if (news)
        mend_at_once(plug, port, news, &at_once);
    found = look(plug, port, whole || port->faults);
    all = at_once.faults | found.faults;
    if (found.faults || was_lost) {
        mend(plug, port, &found, closed);
        found = look(plug, port, true);
        block(plug, port, found.faults);
    }
    memcpy(port->handles, found.handles, sizeof(port->handles));
    port->faults = found.faults;
    if (port->down && !tsr_plug_is_lost(port))
        port->down = plug->kernel->set_up(plug->state, port->given.interface, true) < 0;
    return all;
}

uint32_t tsr_plug_check(struct tsr_plug *plug, struct port *port,
                        const struct tsr_plug_news *news, bool whole)
{
    uint64_t began_ns = news ? news->at_ns : tsr_now_ns();
    uint32_t before = port->faults, found;

    if (plug->opened)
        return 0;
    found = check(plug, port, news, whole);
    if (found & ~before || before & ~port->faults)
        tell(plug, port, found, began_ns);
    return port->faults;
}

/* ---- the exported functions -------------------------------------------------------- */

/* With the lock, until the end of the caller; NULL: there is no such port. */
static struct port *locked_port(struct tsr_plug *plug, int number)
{
    pthread_mutex_lock(&plug->lock);
    if (number >= 0 && (unsigned)number < plug->count)
        return &plug->ports[number];
    tsr_fail(-EINVAL, "the output buffer has no port %d", number);
    return NULL;
}

int tsr_plug_hold(int handle, int number, const char *name)
{
    struct tsr_plug *plug;
    struct port *port;
    int rc = -EINVAL;

    if (!name || !name[0] || strlen(name) >= TSR_PLUG_HOLD_MAX)
        return tsr_fail(-EINVAL, "a second hold has a name of 1 to %d bytes",
                        TSR_PLUG_HOLD_MAX - 1);
    plug = tsr_plug_get(handle);
    if (!plug)
        return -EBADF;
    port = locked_port(plug, number);
    if (port) {
        rc = plug->kernel->hold(plug->state, port->given.interface, name);
        if (!rc)
            strcpy(port->hold, name);
    }
    pthread_mutex_unlock(&plug->lock);
    tsr_handle_put(plug);
    return rc;
}

int tsr_plug_unhold(int handle, const char *name)
{
    struct tsr_plug *plug = tsr_plug_get(handle);
    unsigned i;
    int rc;

    if (!plug)
        return -EBADF;
    pthread_mutex_lock(&plug->lock);
    rc = plug->kernel->unhold(plug->state, name);
    for (i = 0; i < plug->count && !rc; i++)
        if (!strcmp(plug->ports[i].hold, name))
            plug->ports[i].hold[0] = 0;
    pthread_mutex_unlock(&plug->lock);
    tsr_handle_put(plug);
    return rc;
}

/* Without one of its queues a pair would turn into a single one. */
static bool has_queues(const struct tsr_plug_port *given, unsigned count)
{
    return given->queues[0] && (count < 2 || given->queues[1]);
}

int tsr_plug_mend(int handle, int number, const struct tsr_plug_port *given)
{
    struct tsr_plug *plug;
    struct port *port;
    unsigned i;
    int rc = -EINVAL;

    if (!given)
        return tsr_fail(-EINVAL, "no port to be mended");
    plug = tsr_plug_get(handle);
    if (!plug)
        return -EBADF;
    port = locked_port(plug, number);
    if (port && !has_queues(given, queues_of(port))) {
        tsr_fail(-EINVAL, "a queue of the output buffer without a device");
    } else if (port) {
        for (i = 0; i < queues_of(port); i++) {
            if (given->queues[i] != port->given.queues[i])
                port->handles[i] = 0;
            port->given.queues[i] = given->queues[i];
        }
        if (!plug->opened)
            check(plug, port, NULL, true);
        rc = (int)(port->faults | (port->current ? TSR_PLUG_SECOND : 0));
    }
    pthread_mutex_unlock(&plug->lock);
    tsr_handle_put(plug);
    return rc;
}
