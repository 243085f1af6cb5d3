/*
 * The output buffer's rule on a kernel of our own: sch_plug word for word
 * (net/sched/sch_plug.c), the mirred action as a pointer. Every frame knows the
 * epoch in which the guest sent it; the ledger looks at each one that comes out.
 */
#include "session.h"

#include <errno.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../plug/internal.h"

#define FRAMES 4096
#define QUEUES 5                        /* device numbers 1 to 4 */

struct queue {
    bool made, throttled, indefinite, stopped, lazy;
    bool absent, down;                  /* its device */
    uint32_t handle;                    /* of the plug: a new one has a new number */
    uint32_t current, last, to_release, limit, bytes;
    unsigned head, tail, handed;        /* handed back by the device */
    unsigned frames[FRAMES];            /* the epoch of each, in its ordinal */
    uint64_t dropped;
};

static struct {
    struct queue queues[QUEUES];
    uint32_t target;                    /* of the action */
    int refuse;                         /* the next call fails with this */
    unsigned epoch;                     /* of the guest */
    int64_t acked;
    unsigned sent, out, last_out, early, disordered;
    bool seeding, open;
    /* What somebody else may take away: the filter, the second hold. */
    bool unbound, holding, no_hold, vif_down, vif_absent;
    int told[2];                        /* the watch reads from here */
} net;

static uint32_t plugs_made;

static unsigned epoch_of[1 << 20];

static void leaves(unsigned frame)
{
    bool due = net.open || epoch_of[frame] == 0 ||
               (int64_t)epoch_of[frame] <= net.acked;

    net.early += !due;
    net.disordered += net.out && frame < net.last_out;
    net.last_out = frame;
    net.out++;
}

/* The ifb's tasklet; a lazy one comes later. */
static void hand_back(struct queue *q)
{
    while (!q->lazy && q->handed != q->head)
        leaves(q->frames[q->handed++ % FRAMES]);
}

static void run_queue(struct queue *q)
{
    while (!q->throttled && !q->stopped) {
        if (!q->indefinite) {
            if (!q->to_release) {
                q->throttled = true;
                return;
            }
            q->to_release--;
        }
        if (q->head == q->tail)
            return;
        q->head++;
        q->bytes -= 100;
        hand_back(q);
    }
}

static void enqueue(uint32_t device, unsigned frame)
{
    struct queue *q = &net.queues[device];

    if (q->bytes + 100 > q->limit) {
        q->dropped++;
        return;
    }
    if (!q->indefinite)
        q->current++;
    q->frames[q->tail++ % FRAMES] = frame;
    q->bytes += 100;
    run_queue(q);
}

static int refused(void)
{
    int rc = net.refuse;

    net.refuse = 0;
    return rc ? tsr_fail(rc, "refused by the model") : 0;
}

static int model_create(void *state, uint32_t queue, uint32_t limit)
{
    (void)state;
    if (net.queues[queue].made)
        return tsr_fail(-EEXIST, "there is a plug already");
    net.queues[queue] = (struct queue){ .made = true, .throttled = true,
                                        .limit = limit, .handle = ++plugs_made };
    return refused();
}

static int model_change(void *state, uint32_t queue, int action)
{
    struct queue *q = &net.queues[queue];
    int rc = refused();

    (void)state;
    if (rc || !q->made || q->absent)
        return rc ? rc : tsr_fail(-ENODEV, "no such queue");
    if (action == TCQ_PLUG_BUFFER) {
        q->last = q->current;
        q->current = 0;
        if (q->indefinite)
            q->throttled = true;
        q->indefinite = false;
    } else if (action == TCQ_PLUG_RELEASE_ONE) {
        q->to_release += q->last;
        q->last = 0;
        q->throttled = false;
    } else {
        q->indefinite = true;
        q->to_release = q->last = q->current = 0;
        q->throttled = false;
    }
    run_queue(q);
    return 0;
}

static int model_redirect(void *state, uint32_t action, uint32_t queue)
{
    int rc = refused();

    (void)state;
    CHECK(action == 7);
    if (!rc)
        net.target = queue;
    return rc;
}

static int model_look(void *state, uint32_t queue,
                      struct tsr_queue_look *look_out)
{
    const struct queue *q = &net.queues[queue];

    (void)state;
    look_out->packets = q->tail - q->head;
    look_out->bytes = q->bytes;
    look_out->dropped = q->dropped;
    return refused();
}

static int model_transit(void *state, uint32_t queue, uint64_t *frames_out)
{
    (void)state;
    *frames_out = net.queues[queue].head - net.queues[queue].handed;
    return refused();
}

static void model_verify(void *state, const struct tsr_plug_wanted *wanted,
                         struct tsr_plug_found *found)
{
    (void)state;
    for (unsigned i = 0; i < 2 && wanted->port->queues[i]; i++) {
        const struct queue *q = &net.queues[wanted->port->queues[i]];

        found->absent[i] = q->absent;
        found->down[i] = wanted->whole && !q->absent && q->down;
        found->handles[i] = q->made && !q->absent ? q->handle : 0;
        found->unplugged[i] = !q->absent &&
                              (!q->made || (wanted->handles[i] &&
                                            wanted->handles[i] != q->handle));
        found->faults |= (found->absent[i] ? TSR_PLUG_NO_DEVICE : 0) |
                         (found->down[i] ? TSR_PLUG_DEVICE_DOWN : 0) |
                         (found->unplugged[i] ? TSR_PLUG_UNPLUGGED : 0);
    }
    if (wanted->port->action && !net.vif_absent)
        found->faults |= (net.unbound ? TSR_PLUG_UNREDIRECTED : 0) |
                         (net.target != wanted->current ? TSR_PLUG_TURNED : 0);
    if (wanted->hold[0] && !net.holding)
        found->faults |= TSR_PLUG_NO_HOLD;
}

static int model_replace(void *state, uint32_t queue, uint32_t limit)
{
    net.queues[queue].made = false;
    return model_create(state, queue, limit);
}

static int model_set_up(void *state, uint32_t device, bool up)
{
    (void)state;
    if (device == 4)
        net.vif_down = !up;
    else
        net.queues[device].down = !up;
    return 0;
}

static int model_hold(void *state, uint32_t device, const char *name)
{
    (void)state;
    CHECK(device == 4 && !strcmp(name, "tsr9.0"));
    if (net.no_hold)
        return tsr_fail(-EOPNOTSUPP, "no second hold");
    net.holding = true;
    return 0;
}

static int model_unhold(void *state, const char *name)
{
    (void)state;
    (void)name;
    net.holding = false;
    return 0;
}

#define OWN 4242

static int model_listen(void *state, int fds_out[2], uint32_t own_out[2])
{
    (void)state;
    CHECK(!socketpair(AF_UNIX, SOCK_DGRAM, 0, net.told));
    fds_out[0] = net.told[0];
    own_out[0] = OWN;
    return 0;
}

static void model_close(void *state)
{
    (void)state;
}

static const struct tsr_plug_kernel model = {
    model_create, model_change, model_redirect, model_look, model_transit,
    model_verify, model_replace, model_set_up, model_hold, model_unhold, model_listen,
    model_close,
};

/* ---- the same model behind the words of tc -------------------------------- */

static bool over_tc;
static unsigned tc_starts;
/* What tc does instead of the next command; NULL: it obeys. */
static const char *tc_says;             /* complains so, and ends; "": just ends */
static bool tc_hangs;

/* Does one line as tc -batch would: 0 or what it says. */
static const char *tc_line(FILE *out, const char *line)
{
    static const struct {
        const char *word;
        int action;
    } words[] = {
        { "block", TCQ_PLUG_BUFFER },
        { "release", TCQ_PLUG_RELEASE_ONE },
        { "release_indefinite", TCQ_PLUG_RELEASE_INDEFINITE },
    };
    struct tsr_queue_look look;
    unsigned queue, number;
    char word[64];
    size_t i;
    int end = 0;

    if (!strcmp(line, "qdisc show dev lo")) {
        fprintf(out, "[{\"kind\":\"noqueue\",\"qlen\":0}]\n");
        return NULL;
    }
    if (sscanf(line, "qdisc show dev queue%u%n", &queue, &end) == 1 &&
        !line[end]) {
        model_look(NULL, queue, &look);
        fprintf(out, "[{\"kind\":\"plug\",\"handle\":\"8001:\",\"root\":true,"
                "\"bytes\":7,\"packets\":3,\"drops\":%lu,\"overlimits\":0,"
                "\"requeues\":0,\"backlog\":%lu,\"qlen\":%lu}]\n", look.dropped,
                look.bytes + look.packets * TSR_PLUG_OVERHEAD, look.packets);
        return NULL;
    }
    if (sscanf(line, "qdisc add dev queue%u root stab overhead 768 linklayer "
               "ethernet plug limit %u%n", &queue, &number, &end) == 2 &&
        !line[end])
        return model_create(NULL, queue, number) ? "Error: Exclusivity flag on."
                                                 : NULL;
    if (sscanf(line, "actions replace action mirred egress redirect dev queue%u "
               "index %u%n", &queue, &number, &end) == 2 && !line[end])
        return model_redirect(NULL, number, queue) ? "refused" : NULL;
    if (sscanf(line, "qdisc change dev queue%u root stab overhead 768 linklayer "
               "ethernet plug %63s%n", &queue, word, &end) == 2 && !line[end])
        for (i = 0; i < 3; i++)
            if (!strcmp(word, words[i].word))
                return model_change(NULL, queue, words[i].action) ? "refused"
                                                                  : NULL;
    return "What is this?";
}

static void *tc_main(void *socket)
{
    FILE *io = fdopen((int)(intptr_t)socket, "r+");
    FILE *out = fdopen(dup((int)(intptr_t)socket), "w");
    char line[512];
    const char *said = NULL;

    while (!said && fgets(line, sizeof(line), io)) {
        line[strcspn(line, "\n")] = 0;
        if (!*line || tc_hangs)
            continue;
        said = tc_says ? tc_says : tc_line(out, line);
        tc_says = NULL;
        if (said && *said)
            fprintf(out, "%s\nCommand failed -:1\n", said);
        fflush(out);
    }
    fclose(out);
    fclose(io);
    return NULL;
}

static int tc_start(const char *program, int *fd_out, pid_t *pid_out)
{
    pthread_t thread;
    int fds[2];

    CHECK(!strcmp(program, "/sbin/tc"));
    CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
    /* exit() flushes the stream of a tc whose own flush has just been answered: once
     * more, to a closed end. */
    signal(SIGPIPE, SIG_IGN);
    CHECK(!pthread_create(&thread, NULL, tc_main, (void *)(intptr_t)fds[1]));
    pthread_detach(thread);
    tc_starts++;
    *fd_out = fds[0];
    *pid_out = 0;
    return 0;
}

static int tc_name(uint32_t device, char *name_out)
{
    sprintf(name_out, "queue%u", device);
    return 0;
}

static int tc_count(const char *name, const char *what, uint64_t *count_out)
{
    const struct queue *q = &net.queues[atoi(name + strlen("queue"))];

    *count_out = !strcmp(what, "rx_packets") ? q->head
                 : !strcmp(what, "tx_packets") ? q->handed : 0;
    return 0;
}

static int open_over_tc(void)
{
    tsr_plug_tc_host = (struct tsr_plug_tc_host){ tc_start, tc_name, tc_count,
                                                  20000 };
    return tsr_plug_open_tc("/sbin/tc");
}

static int begin_plug(bool paired)
{
    struct tsr_plug_port port = {
        .queues = { 1, paired ? 2 : 0 },
        .action = paired ? 7 : 0,
        .limit = 100 * FRAMES,
    };
    int handle;

    memset(&net, 0, sizeof(net));
    net.target = 1;
    net.acked = -1;
    tsr_plug_world.kernel = &model;
    tsr_plug_world.state = &net;
    handle = over_tc ? open_over_tc() : tsr_plug_open();
    CHECK(handle >= 0);
    CHECK(tsr_plug_add(handle, &port) == 0);
    return handle;
}

static void guest_sends(void)
{
    unsigned frame = net.sent++;

    epoch_of[frame] = net.epoch;
    if (net.vif_down)
        return;
    if (net.unbound) {
        if (!net.holding)
            leaves(frame);
        return;
    }
    if (net.queues[net.target].absent || net.queues[net.target].down)
        return;                         /* act_mirred: TC_ACT_SHOT */
    if (net.queues[net.target].made)
        enqueue(net.target, frame);
    else
        leaves(frame);
}

static int barrier(int handle)
{
    int rc = tsr_plug_barrier(handle, net.epoch);

    CHECK(rc >= 0);
    net.epoch++;
    return rc;
}

static void ack(int handle, int64_t epoch)
{
    net.acked = epoch;
    CHECK(tsr_plug_release(handle, (uint64_t)epoch) >= 0);
}

static struct tsr_plug_stats look(int handle)
{
    struct tsr_plug_stats stats;

    CHECK(tsr_plug_look(handle, -1, &stats) == 0);
    return stats;
}

static void one_after_the_other(bool paired)
{
    int handle = begin_plug(paired);

    guest_sends();
    CHECK(net.out == 1);                /* the seed runs freely */
    CHECK(barrier(handle) == 0);
    guest_sends();
    guest_sends();
    CHECK(net.out == 1);
    ack(handle, 0);
    CHECK(net.out == 1);                /* epoch 0 is the seed: nothing sealed */
    CHECK(barrier(handle) == 0);        /* seals epoch 1 */
    CHECK(look(handle).sealed == 1 && look(handle).packets == 2);
    guest_sends();
    ack(handle, 0);
    CHECK(net.out == 1);
    ack(handle, 1);
    CHECK(net.out == 3 && look(handle).packets == 1);
    CHECK(look(handle).bytes == 100 && look(handle).sealed == UINT64_MAX);
    CHECK(barrier(handle) == 0);
    ack(handle, 2);
    CHECK(net.out == 4 && !net.early && !net.disordered);
    CHECK(tsr_plug_close(handle) == 0);
    CHECK(tsr_plug_close(handle) == -EBADF);
}

TEST(plug_pair_releases_what_is_acknowledged)
{
    one_after_the_other(true);
}

TEST(plug_single_releases_what_is_acknowledged)
{
    one_after_the_other(false);
}

/* A second barrier before the release: the packets go with the later epoch. */
static void merges(bool paired)
{
    int handle = begin_plug(paired);

    barrier(handle);
    guest_sends();                      /* epoch 1 */
    CHECK(barrier(handle) == 0);
    guest_sends();                      /* epoch 2 */
    CHECK(barrier(handle) == 1);
    guest_sends();                      /* epoch 3 */
    ack(handle, 1);
    CHECK(net.out == 1);
    ack(handle, 2);
    CHECK(net.out == 1);                /* epoch 2 is not sealed alone */
    CHECK(barrier(handle) == 0);        /* 2 and 3, as 3 */
    CHECK(look(handle).sealed == 3);
    ack(handle, 2);
    CHECK(net.out == 1);
    ack(handle, 3);
    CHECK(net.out == 3 && !net.early);
    CHECK(look(handle).merged == 1 && look(handle).barriers == 4);
    tsr_plug_close(handle);
}

TEST(plug_pair_merges)
{
    merges(true);
}

TEST(plug_single_merges)
{
    merges(false);
}

/* While the sealed queue still empties its successor is not sealed: order. */
TEST(plug_keeps_the_order_of_a_slow_queue)
{
    int handle = begin_plug(true);

    barrier(handle);
    guest_sends();
    barrier(handle);
    net.queues[2].stopped = true;
    ack(handle, 1);
    guest_sends();
    CHECK(net.out == 0 && barrier(handle) == 1);
    ack(handle, 2);
    CHECK(net.out == 0);
    net.queues[2].stopped = false;
    run_queue(&net.queues[2]);
    CHECK(net.out == 1 && barrier(handle) == 0);
    ack(handle, 3);
    CHECK(net.out == 2 && !net.early && !net.disordered);
    tsr_plug_close(handle);
}

/* Read from the ring before the barrier, queued after it: to the sealed epoch. */
/* Empty is the device, not the plug alone: its tasklet may be late. */
TEST(plug_waits_for_a_lazy_device)
{
    int handle = begin_plug(true);

    barrier(handle);
    guest_sends();
    net.queues[2].lazy = true;
    barrier(handle);
    ack(handle, 1);
    guest_sends();
    CHECK(net.out == 0 && barrier(handle) == 1);
    net.open = true;
    CHECK(tsr_plug_pass(handle) == 1 && net.out == 0);
    net.queues[2].lazy = false;
    hand_back(&net.queues[2]);
    CHECK(tsr_plug_pass(handle) == 0 && net.out == 2 && !net.disordered);
    tsr_plug_close(handle);
}

TEST(plug_takes_a_frame_that_was_under_way)
{
    int handle = begin_plug(true);
    uint32_t before;

    barrier(handle);
    before = net.target;
    epoch_of[net.sent] = 1;
    barrier(handle);
    enqueue(before, net.sent++);
    CHECK(net.out == 0 && net.target != before);
    ack(handle, 1);
    CHECK(net.out == 1 && !net.early);
    tsr_plug_close(handle);
}

TEST(plug_passes_everything_in_order_and_for_good)
{
    int handle = begin_plug(true);

    barrier(handle);
    guest_sends();
    barrier(handle);
    guest_sends();
    net.open = true;
    net.queues[2].stopped = true;
    CHECK(tsr_plug_pass(handle) == 1 && net.out == 0);
    net.queues[2].stopped = false;
    CHECK(tsr_plug_pass(handle) == 0 && net.out == 2 && !net.disordered);
    CHECK(tsr_plug_barrier(handle, 9) == 0);
    guest_sends();
    CHECK(net.out == 3);
    tsr_plug_close(handle);
}

/* A device that somebody removed holds nothing, also before that was noticed. */
TEST(plug_passes_what_is_not_there_any_more)
{
    for (int paired = 0; paired < 2; paired++) {
        int handle = begin_plug(paired);

        barrier(handle);
        guest_sends();
        net.queues[paired ? 2 : 1].absent = true;
        net.open = true;
        CHECK(tsr_plug_pass(handle) == 0);
        tsr_plug_close(handle);
    }
}

/* What a refusal leaves: nothing is let go, and the next barrier still seals. */
TEST(plug_holds_when_the_kernel_refuses)
{
    char text[256];

    for (int paired = 0; paired < 2; paired++) {
        int handle = begin_plug(paired);

        barrier(handle);
        guest_sends();
        net.refuse = -ENOMEM;
        CHECK(tsr_plug_barrier(handle, 1) == -ENOMEM);
        CHECK(tsr_error_text(-ENOMEM, text, sizeof(text)) > 0);
        CHECK(!strcmp(text, "refused by the model"));
        ack(handle, 0);
        CHECK(net.out == 0);
        barrier(handle);
        net.refuse = -ENODEV;
        CHECK(tsr_plug_release(handle, 1) == -ENODEV && net.out == 0);
        ack(handle, 1);
        CHECK(net.out == 1 && !net.early);
        tsr_plug_close(handle);
    }
}

TEST(plug_counts_what_is_dropped_at_the_limit)
{
    int handle = begin_plug(true);

    barrier(handle);
    for (int i = 0; i < FRAMES + 5; i++)
        guest_sends();
    CHECK(look(handle).packets == FRAMES && look(handle).dropped == 5);
    tsr_plug_close(handle);
}

TEST(plug_refuses_what_makes_no_sense)
{
    struct tsr_plug_port port = { .queues = { 1, 2 } };
    int handle = begin_plug(true);

    CHECK(tsr_plug_add(handle, &port) == -EINVAL);
    port.action = 7;
    CHECK(tsr_plug_add(handle, &port) == -EEXIST);
    CHECK(tsr_plug_add(handle, NULL) == -EINVAL);
    CHECK(tsr_plug_add(handle + 1, &port) == -EBADF);
    CHECK(tsr_plug_look(handle, 0, NULL) == -EINVAL);
    tsr_plug_close(handle);
}

/* A handle that the save loop still has is not torn away under it. */
TEST(plug_lives_until_its_save_ends)
{
    int handle = begin_plug(true);
    struct tsr_object *held = tsr_handle_barrier(handle);
    uint32_t merged;

    CHECK(held && tsr_plug_close(handle) == 0 && !tsr_handle_barrier(handle));
    CHECK(held->kind->barrier->set(held, 0, &merged) == 0 && merged == 0);
    tsr_handle_put(held);
}

static bool readable(int fd)
{
    struct pollfd pfd = { .fd = fd, .events = POLLIN };

    return poll(&pfd, 1, 0) == 1;
}

/* One datagram to nobody. */
static void send_on_loopback(void)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET,
        .sin_port = htons(9),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    CHECK(sendto(fd, "x", 1, 0, (void *)&to, sizeof(to)) == 1);
    close(fd);
}

/*
 * A frame is news until the next barrier, on any of the interfaces. The interface is
 * the loopback device, which others may use as well: never told is what fails.
 */
TEST(plug_tells_that_something_was_sent)
{
    struct tsr_plug_port port = {
        .interface = if_nametoindex("lo"), .queues = { 3 },
    };
    int handle = begin_plug(true);
    struct tsr_object *held = tsr_handle_barrier(handle);
    int fd = held->kind->barrier->sent_fd(held), rc, quiet = 0;

    rc = tsr_plug_add(handle, &port);
    if (rc == -EPERM) {
        printf("  skipped: a packet socket needs CAP_NET_RAW\n");
    } else {
        CHECK(rc == 1);
        for (int i = 0; i < 3000; i++)
            send_on_loopback();
        CHECK(readable(fd));
        for (uint64_t epoch = 0; epoch < 100 && !quiet; epoch++) {
            CHECK(tsr_plug_barrier(handle, epoch) == 0);
            quiet = !readable(fd);
        }
        CHECK(quiet);
        send_on_loopback();
        CHECK(readable(fd));
    }
    tsr_handle_put(held);
    tsr_plug_close(handle);
}

/* Frames, barriers, acknowledgements, slow devices and refusals at random. */
TEST(plug_is_never_early)
{
    srand(7);
    for (int run = 0; run < (over_tc ? 30 : 300); run++) {
        bool paired = run % 2;
        int handle = begin_plug(paired);

        barrier(handle);
        for (int i = 0; i < 500; i++) {
            int what = rand() % 10;
            struct queue *q = &net.queues[1 + (paired ? rand() % 2 : 0)];

            if (what < 5) {
                guest_sends();
            } else if (what < 7) {
                barrier(handle);
            } else if (what < 9) {
                if (net.acked < (int64_t)net.epoch - 1)
                    ack(handle, net.acked + 1 + rand() %
                                    ((int64_t)net.epoch - 1 - net.acked));
            } else if (paired) {
                q->stopped = !q->stopped;
                q->lazy = rand() % 3 == 0;
                run_queue(q);
                hand_back(q);
            } else {
                net.refuse = rand() % 2 ? -ENOMEM : 0;
                tsr_plug_barrier(handle, net.epoch++);
                net.refuse = 0;
            }
            CHECK(!net.early && !net.disordered);
        }
        net.open = true;
        for (int i = 1; i < 3; i++)
            net.queues[i].stopped = net.queues[i].lazy = false;
        /* The older queue first, as its device would. */
        for (int turn = 0; tsr_plug_pass(handle) && turn < 3; turn++)
            for (int i = 1; i < 3; i++) {
                run_queue(&net.queues[i]);
                hand_back(&net.queues[i]);
            }
        CHECK(net.out == net.sent && !net.early && !net.disordered);
        tsr_plug_close(handle);
    }
}

/* The rule is the same, whoever tells the kernel. */
#define OVER_TC(name) \
    TEST(name##_over_tc) \
    { \
        over_tc = true; \
        test_##name(); \
    }

OVER_TC(plug_pair_releases_what_is_acknowledged)
OVER_TC(plug_single_releases_what_is_acknowledged)
OVER_TC(plug_pair_merges)
OVER_TC(plug_single_merges)
OVER_TC(plug_keeps_the_order_of_a_slow_queue)
OVER_TC(plug_waits_for_a_lazy_device)
OVER_TC(plug_takes_a_frame_that_was_under_way)
OVER_TC(plug_passes_everything_in_order_and_for_good)
OVER_TC(plug_counts_what_is_dropped_at_the_limit)
OVER_TC(plug_lives_until_its_save_ends)
OVER_TC(plug_is_never_early)

static void check_said(int code, const char *what)
{
    char text[512];

    CHECK(tsr_error_text(code, text, sizeof(text)) > 0);
    CHECK(strstr(text, what));
}

/* Proves: a command is taken for done only where tc answered what came after it. */
TEST(plug_over_tc_is_not_sealed_where_tc_fails)
{
    int handle;

    over_tc = true;
    handle = begin_plug(false);
    barrier(handle);
    guest_sends();
    tc_says = "Error: Specified qdisc kind is unknown.";
    CHECK(tsr_plug_barrier(handle, 1) == -EIO);
    check_said(-EIO, "cannot close the plug (network device queue1): tc says: "
                     "Error: Specified qdisc kind is unknown.");
    tc_says = "";
    CHECK(tsr_plug_barrier(handle, 1) == -EIO);
    check_said(-EIO, "tc says: it ended without a word");
    ack(handle, 1);
    CHECK(net.out == 0 && tc_starts == 2);
    /* Another one is started, and all goes on. */
    CHECK(barrier(handle) == 0 && tc_starts == 3);
    ack(handle, 1);
    CHECK(net.out == 1 && !net.early);
    tsr_plug_close(handle);
}

TEST(plug_over_tc_does_not_wait_for_ever)
{
    int handle;

    over_tc = true;
    handle = begin_plug(false);
    barrier(handle);
    guest_sends();
    tc_hangs = true;
    tsr_plug_tc_host.answer_ms = 50;
    CHECK(tsr_plug_barrier(handle, 1) == -ETIMEDOUT);
    check_said(-ETIMEDOUT, "tc says: no answer");
    ack(handle, 1);
    CHECK(net.out == 0);
    tsr_plug_close(handle);
}

TEST(plug_over_tc_needs_a_tc)
{
    CHECK(tsr_plug_open_tc(NULL) == -EINVAL);
    CHECK(tsr_plug_open_tc("/no/such/tc") == -ENOENT);
    check_said(-ENOENT, "cannot start /no/such/tc: No such file or directory");
    CHECK(tsr_plug_open_tc("/bin/true") == -EIO);
    check_said(-EIO, "tc does not answer (network device lo): tc says: it ended");
    CHECK(tsr_plug_open_tc("/bin/cat") == -EIO);
    check_said(-EIO, "tc says: Try 'tc --help'");
}

TEST(frame_refuses_what_is_no_frame)
{
    uint8_t frame[1600] = { 0 };

    CHECK(tsr_send_frame("lo", frame, 13) == -EINVAL);
    CHECK(tsr_send_frame("lo", frame, sizeof(frame)) == -EINVAL);
    CHECK(tsr_send_frame("no-such-device", frame, 60) == -ENODEV);
    CHECK(tsr_send_frame(NULL, frame, 60) == -EINVAL);
}

/* ---- what somebody else changes ------------------------------------------------------ */

/* One pair of queues on interface 4, watched, past its first barrier; *FD: its events. */
static int begin_watched(int32_t *fd, bool paired, bool hold)
{
    struct tsr_plug_port port = {
        .interface = 4,
        .queues = { 1, paired ? 2 : 0 },
        .action = paired ? 7 : 0,
        .limit = 100 * FRAMES,
        .flags = TSR_PLUG_ADOPT,        /* so that no tap is opened */
    };
    int handle;

    memset(&net, 0, sizeof(net));
    net.target = paired ? 2 : 1;
    net.acked = -1;
    net.no_hold = !hold;
    model_create(NULL, 1, 100 * FRAMES);
    model_create(NULL, 2, 100 * FRAMES);
    tsr_plug_world.kernel = &model;
    tsr_plug_world.state = &net;
    handle = tsr_plug_open();
    CHECK(handle >= 0 && tsr_plug_add(handle, &port) == 0);
    CHECK(tsr_plug_hold(handle, 0, "tsr9.0") == (hold ? 0 : -EOPNOTSUPP));
    CHECK(tsr_plug_watch(handle, fd) == 0);
    net.epoch = 1;
    return handle;
}

/* The next that it tells; only a hang makes this wait in vain. */
static struct tsr_event told(int32_t fd)
{
    struct pollfd polled = { .fd = fd, .events = POLLIN };
    struct tsr_event event;

    CHECK(poll(&polled, 1, 50000) == 1);
    CHECK(read(fd, &event, sizeof(event)) == sizeof(event) && event.kind == TSR_EV_LOST);
    return event;
}

static bool is_silent(int32_t fd)
{
    return !readable(fd);
}

/* What the kernel says of a qdisc, or of anything with a tcmsg, and who did it. */
static void says(uint16_t type, int device, uint32_t parent, uint32_t handle, uint32_t who)
{
    struct {
        struct nlmsghdr head;
        struct tcmsg tc;
    } message = {
        .head = { .nlmsg_len = sizeof(message), .nlmsg_type = type, .nlmsg_pid = who },
        .tc = { .tcm_ifindex = device, .tcm_parent = parent, .tcm_handle = handle },
    };

    CHECK(send(net.told[1], &message, sizeof(message), 0) == sizeof(message));
}

static void end_watched(int handle, int32_t fd)
{
    CHECK(tsr_plug_unwatch(handle) == 0 && tsr_plug_close(handle) == 0);
    close(fd);
    close(net.told[1]);
}

/* A plug that is removed is there again before anybody is told; nothing got out since. */
TEST(plug_watch_puts_a_plug_back)
{
    int32_t fd;
    int handle = begin_watched(&fd, true, true);
    struct tsr_event event;

    guest_sends();
    net.queues[2].made = false;
    says(RTM_DELQDISC, 2, TC_H_ROOT, net.queues[2].handle, 1);
    event = told(fd);
    CHECK(event.a == 0 && event.b == TSR_PLUG_UNPLUGGED && !event.c && !event.d);
    CHECK(net.queues[2].made && !net.queues[2].indefinite);
    guest_sends();
    CHECK(net.out == 0);
    CHECK(barrier(handle) == 0);
    ack(handle, 1);
    CHECK(net.out == 1 && !net.early);
    end_watched(handle, fd);
}

/* Of a sealed epoch whose plug is removed nothing is left, and nothing is waited for. */
TEST(plug_watch_forgets_what_went_with_its_plug)
{
    int32_t fd;
    int handle = begin_watched(&fd, true, true);

    guest_sends();
    CHECK(barrier(handle) == 0 && net.target == 1);
    guest_sends();
    net.queues[2].made = false;
    says(RTM_DELQDISC, 2, TC_H_ROOT, net.queues[2].handle, 1);
    CHECK(told(fd).c == 0);
    CHECK(barrier(handle) == 0 && net.target == 2);
    ack(handle, 1);
    CHECK(net.out == 0);
    ack(handle, 2);
    CHECK(net.out == 1 && !net.early);
    end_watched(handle, fd);
}

/* Opened by somebody else: closed again. What is meant to be open stays open. */
TEST(plug_watch_closes_what_somebody_opened)
{
    int32_t fd;
    int handle = begin_watched(&fd, true, true);

    model_change(NULL, 2, TCQ_PLUG_RELEASE_INDEFINITE);
    says(RTM_NEWQDISC, 2, TC_H_ROOT, net.queues[2].handle, 1);
    CHECK(told(fd).b == TSR_PLUG_TOUCHED && !net.queues[2].indefinite);
    guest_sends();
    CHECK(net.out == 0 && barrier(handle) == 0);
    ack(handle, 1);
    CHECK(net.out == 1);
    says(RTM_NEWQDISC, 2, TC_H_ROOT, net.queues[2].handle, 1);
    CHECK(told(fd).b == TSR_PLUG_TOUCHED && net.queues[2].indefinite);
    end_watched(handle, fd);
}

/* An action that points elsewhere is turned back to where it pointed. */
TEST(plug_watch_turns_the_action_back)
{
    int32_t fd;
    int handle = begin_watched(&fd, true, true);

    net.target = 3;
    says(RTM_NEWACTION, 0, 0, 0, 1);
    CHECK(told(fd).b == TSR_PLUG_TURNED && net.target == 2);
    end_watched(handle, fd);
}

/*
 * A filter is the caller's to make. Meanwhile the second hold drops; without it the
 * interface is down, until all is there again.
 */
TEST(plug_watch_blocks_where_the_filter_is_gone)
{
    for (int hold = 0; hold < 2; hold++) {
        int32_t fd;
        int handle = begin_watched(&fd, true, hold);
        struct tsr_plug_port given = { .queues = { 1, 2 } };
        struct tsr_event event;

        guest_sends();
        net.unbound = true;
        says(RTM_DELQDISC, 4, TC_H_CLSACT, 0xffff0000, 1);
        event = told(fd);
        CHECK(event.b == TSR_PLUG_UNREDIRECTED && event.c == TSR_PLUG_UNREDIRECTED);
        CHECK((int)event.d == !hold && (int)event.f == hold && net.vif_down == !hold);
        guest_sends();
        CHECK(net.out == 0);
        /* Nothing is sealed there, and what is acknowledged is not let go. */
        CHECK(barrier(handle) == 1);
        ack(handle, 1);
        CHECK(net.out == 0 && is_silent(fd));
        CHECK(tsr_plug_mend(handle, 0, &given) ==
              (TSR_PLUG_UNREDIRECTED | TSR_PLUG_SECOND));
        net.unbound = false;
        CHECK(tsr_plug_mend(handle, 0, &given) == TSR_PLUG_SECOND && !net.vif_down);
        guest_sends();
        CHECK(barrier(handle) == 0);
        ack(handle, 2);
        CHECK(net.out == 2 && !net.early);
        end_watched(handle, fd);
    }
}

/* The end of the seed while the filter is gone: what is made anew is closed, too. */
TEST(plug_watch_closes_at_the_end_of_the_seed_all_the_same)
{
    int32_t fd = -1;
    int handle = begin_plug(true);
    struct tsr_plug_port given = { .queues = { 1, 2 } };

    CHECK(tsr_plug_watch(handle, &fd) == 0);
    net.unbound = true;
    CHECK(barrier(handle) == 1);
    net.unbound = false;
    CHECK(tsr_plug_mend(handle, 0, &given) == 0);
    guest_sends();
    CHECK(net.out == 0);
    end_watched(handle, fd);
}

/* A pair stays one where one of its devices went again while it was mended. */
TEST(plug_watch_takes_no_pair_of_one)
{
    int32_t fd;
    int handle = begin_watched(&fd, true, true);
    struct tsr_plug_port given = { .queues = { 1, 0 } };

    CHECK(tsr_plug_mend(handle, 0, &given) == -EINVAL);
    guest_sends();
    CHECK(barrier(handle) == 0);
    guest_sends();
    ack(handle, 1);
    CHECK(net.out == 1 && !net.early);
    end_watched(handle, fd);
}

/* A device that is gone drops what comes; with another one in its place it goes on. */
TEST(plug_watch_takes_another_device)
{
    int32_t fd;
    int handle = begin_watched(&fd, true, true);
    struct tsr_plug_port given = { .queues = { 1, 3 } };
    struct tsr_event event;
    struct {
        struct nlmsghdr head;
        struct ifinfomsg info;
    } message = {
        .head = { .nlmsg_len = sizeof(message), .nlmsg_type = RTM_DELLINK },
        .info = { .ifi_index = 2 },
    };

    net.queues[2].absent = true;
    CHECK(send(net.told[1], &message, sizeof(message), 0) == sizeof(message));
    event = told(fd);
    CHECK(event.b == TSR_PLUG_NO_DEVICE && event.c == TSR_PLUG_NO_DEVICE && !event.d);
    guest_sends();
    CHECK(net.out == 0 && barrier(handle) == 1);
    CHECK(tsr_plug_mend(handle, 0, &given) == TSR_PLUG_SECOND && net.target == 3);
    guest_sends();
    CHECK(barrier(handle) == 0);
    ack(handle, 2);
    CHECK(net.out == 1 && !net.early);
    end_watched(handle, fd);
}

/* The second hold alone: nothing got out, and it is there again. */
TEST(plug_watch_holds_a_second_time_again)
{
    int32_t fd;
    int handle = begin_watched(&fd, true, true);
    struct tsr_event event;

    net.holding = false;
    CHECK(barrier(handle) == 0);
    event = told(fd);
    CHECK(event.b == TSR_PLUG_NO_HOLD && !event.c && net.holding);
    end_watched(handle, fd);
}

/* Whatever nobody told of, each barrier finds. */
TEST(plug_watch_looks_at_every_barrier)
{
    for (int paired = 0; paired < 2; paired++) {
        int32_t fd;
        int handle = begin_watched(&fd, paired, paired);

        net.queues[net.target].handle = ++plugs_made;
        barrier(handle);
        CHECK(told(fd).b == TSR_PLUG_UNPLUGGED);
        barrier(handle);
        CHECK(is_silent(fd));
        end_watched(handle, fd);
    }
}

/* Our own changes and those of other devices are no reason to look. */
TEST(plug_watch_hears_what_concerns_it)
{
    struct port port = { .given = { .interface = 4, .queues = { 1, 2 } },
                         .handles = { 0x10000, 0x20000 } };
    struct tsr_plug_news news;
    struct {
        struct nlmsghdr head;
        struct tcmsg tc;
    } message;
    static const struct {
        uint16_t type;
        int device;
        uint32_t parent, handle, who;
        bool look, touched, removed;
    } said[] = {
        { RTM_NEWQDISC, 2, TC_H_ROOT, 0x20000, OWN, false, false, false },
        { RTM_NEWQDISC, 2, TC_H_ROOT, 0x20000, 1, true, true, false },
        { RTM_DELQDISC, 2, TC_H_ROOT, 0x20000, 0, true, true, true },
        { RTM_DELQDISC, 2, TC_H_ROOT, 0x30000, 1, true, true, false },
        { RTM_DELQDISC, 4, TC_H_CLSACT, 0xffff0000, 1, true, false, false },
        { RTM_DELTFILTER, 4, 0xfffffff2, 0, 1, true, false, false },
        { RTM_DELTFILTER, -1, 0, 0, 1, true, false, false },
        { RTM_DELTFILTER, 5, 0xfffffff2, 0, 1, false, false, false },
        { RTM_DELACTION, 0, 0, 0, 1, true, false, false },
        { RTM_DELACTION, 0, 0, 0, OWN, false, false, false },
        { RTM_DELROUTE, 2, 0, 0, 1, false, false, false },
    };

    for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
        memset(&news, 0, sizeof(news));
        memset(&message, 0, sizeof(message));
        message.head.nlmsg_len = sizeof(message);
        message.head.nlmsg_type = said[i].type;
        message.head.nlmsg_pid = said[i].who;
        message.tc.tcm_ifindex = said[i].device;
        message.tc.tcm_parent = said[i].parent;
        message.tc.tcm_handle = said[i].handle;
        tsr_plug_hear(&port, 1, &message, sizeof(message), OWN, false, &news);
        CHECK(news.look == said[i].look && news.touched[1] == said[i].touched &&
              news.removed[1] == said[i].removed && !news.touched[0]);
        /* Cut short anywhere it says nothing, and nothing is read behind its end. */
        for (size_t size = 0; size < sizeof(message); size++) {
            uint8_t *cut = malloc(size ? size : 1);

            memcpy(cut, &message, size);
            memset(&news, 0, sizeof(news));
            tsr_plug_hear(&port, 1, cut, size, OWN, false, &news);
            CHECK(!news.look);
            free(cut);
        }
    }
}

/* Any bytes: nothing is read that is not there (under the sanitizers). */
TEST(plug_watch_takes_any_bytes)
{
    struct port port = { .given = { .interface = 4, .queues = { 1, 2 } } };
    struct tsr_plug_news news = { .look = false };

    srand(4);
    for (int round = 0; round < 20000; round++) {
        size_t size = (size_t)(rand() % 96);
        uint8_t *bytes = malloc(size + 1);

        for (size_t i = 0; i < size; i++)
            bytes[i] = (uint8_t)(rand() % 4 ? 0 : rand());
        if (size > 4)
            bytes[0] = (uint8_t)(rand() % (int)(size + 4));
        tsr_plug_hear(&port, 1, bytes, size, OWN, round % 2, &news);
        free(bytes);
    }
}

static int overruns;

static ssize_t overrun_once(int fd, void *buffer, size_t size, int flags)
{
    if (!overruns)
        return recv(fd, buffer, size, flags);
    overruns--;
    recv(fd, buffer, size, flags);
    errno = ENOBUFS;
    return -1;
}

/* A socket that overran: whatever it had to say is looked for. */
TEST(plug_watch_looks_at_all_after_an_overrun)
{
    int32_t fd;
    int handle = begin_watched(&fd, true, true);

    overruns = 1;
    tsr_plug_world.receive = overrun_once;
    net.target = 3;
    says(RTM_NEWROUTE, 0, 0, 0, 1);
    CHECK(told(fd).b == TSR_PLUG_TURNED && net.target == 2);
    end_watched(handle, fd);
}

/* After that the interface is the administrator's again. */
TEST(plug_watch_lets_go_what_is_lost)
{
    int32_t fd;
    int handle = begin_watched(&fd, true, false);

    guest_sends();
    net.unbound = true;
    net.queues[1].absent = true;
    says(RTM_DELQDISC, 4, TC_H_CLSACT, 0xffff0000, 1);
    CHECK(told(fd).d == 1 && net.vif_down);
    CHECK(tsr_plug_unwatch(handle) == 0);
    net.open = true;
    CHECK(tsr_plug_pass(handle) == 0 && net.out == 1 && !net.vif_down);
    end_watched(handle, fd);
}

TEST(plug_watch_refuses_what_makes_no_sense)
{
    int32_t fd, again;
    int handle = begin_watched(&fd, true, true);
    struct tsr_plug_port given = { .queues = { 1, 2 } };

    CHECK(tsr_plug_watch(handle, &again) == -EALREADY && again == -1);
    CHECK(tsr_plug_mend(handle, 1, &given) == -EINVAL);
    CHECK(tsr_plug_mend(handle, 0, NULL) == -EINVAL);
    CHECK(tsr_plug_hold(handle, 0, "") == -EINVAL);
    CHECK(tsr_plug_hold(handle, 0, "a name that is too long") == -EINVAL);
    CHECK(tsr_plug_unhold(handle, "tsr9.0") == 0 && !net.holding);
    end_watched(handle, fd);
}
