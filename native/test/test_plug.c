/*
 * The output buffer's rule on a kernel of our own: sch_plug word for word
 * (net/sched/sch_plug.c), the mirred action as a pointer. Every frame knows the
 * epoch in which the guest sent it; the ledger looks at each one that comes out.
 */
#include "session.h"

#include <errno.h>
#include <linux/pkt_sched.h>
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
} net;

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
                                        .limit = limit };
    return refused();
}

static int model_change(void *state, uint32_t queue, int action)
{
    struct queue *q = &net.queues[queue];
    int rc = refused();

    (void)state;
    if (rc || !q->made)
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

static void model_close(void *state)
{
    (void)state;
}

static const struct tsr_plug_kernel model = {
    model_create, model_change, model_redirect, model_look, model_transit,
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
    enqueue(net.target, frame);
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
