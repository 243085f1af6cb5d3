/*
 * The second hold, over nfnetlink (linux/netfilter/nf_tables.h): a table of the family
 * netdev with one chain, on the ingress hook of one interface, that drops. No program is
 * asked for it, nor is nft(8) needed. check.c says what it is good for.
 */
#include "internal.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHAIN "hold"
#define NLA_HEAD sizeof(struct nlattr)

struct tsr_plug_nft {
    int fd;
    uint32_t own;
    uint32_t seq;
};

struct batch {
    size_t used;
    unsigned count;
    char room[1024];
};

/* ---- writing ------------------------------------------------------------------------ */

static struct nlmsghdr *begin(struct tsr_plug_nft *nft, struct batch *batch, uint16_t type,
                              uint16_t flags, uint8_t family, uint16_t subsystem)
{
    struct nlmsghdr *head = (void *)(batch->room + batch->used);
    struct nfgenmsg family_head = { .nfgen_family = family, .res_id = htons(subsystem) };

    memset(head, 0, sizeof(*head));
    head->nlmsg_len = NLMSG_LENGTH(sizeof(family_head));
    head->nlmsg_type = type;
    head->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
    head->nlmsg_seq = ++nft->seq;
    memcpy(NLMSG_DATA(head), &family_head, sizeof(family_head));
    batch->used += NLMSG_SPACE(sizeof(family_head));
    batch->count++;
    return head;
}

static struct nlmsghdr *begin_nft(struct tsr_plug_nft *nft, struct batch *batch,
                                  uint16_t message, uint16_t flags)
{
    return begin(nft, batch, (NFNL_SUBSYS_NFTABLES << 8) | message, flags, NFPROTO_NETDEV,
                 0);
}

static struct nlattr *put(struct batch *batch, struct nlmsghdr *head, uint16_t type,
                          const void *data, size_t size)
{
    struct nlattr *attribute = (void *)(batch->room + batch->used);
    size_t length = NLA_HEAD + size, space = NLMSG_ALIGN(length);

    if (batch->used + space > sizeof(batch->room))
        abort();
    memset(attribute, 0, space);
    attribute->nla_type = type;
    attribute->nla_len = (uint16_t)length;
    if (size)
        memcpy((char *)attribute + NLA_HEAD, data, size);
    batch->used += space;
    head->nlmsg_len += (uint32_t)space;
    return attribute;
}

static void put_text(struct batch *batch, struct nlmsghdr *head, uint16_t type,
                     const char *text)
{
    put(batch, head, type, text, strlen(text) + 1);
}

static void put_number(struct batch *batch, struct nlmsghdr *head, uint16_t type,
                       uint32_t number)
{
    uint32_t be = htonl(number);

    put(batch, head, type, &be, sizeof(be));
}

/* ---- talking ------------------------------------------------------------------------- */

static int open_socket(uint32_t groups, uint32_t *own_out)
{
    struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = groups };
    socklen_t size = sizeof(address);
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER), rc;

    if (fd >= 0 && !bind(fd, (void *)&address, sizeof(address)) &&
        !getsockname(fd, (void *)&address, &size)) {
        *own_out = address.nl_pid;
        return fd;
    }
    rc = tsr_fail(-EOPNOTSUPP, "this kernel has no nfnetlink: %s", strerror(errno));
    if (fd >= 0)
        close(fd);
    return rc;
}

static int ready(struct tsr_plug_nft **nft)
{
    struct tsr_plug_nft *made;

    if (*nft)
        return 0;
    made = calloc(1, sizeof(*made));
    if (!made)
        return tsr_fail(-ENOMEM, "out of memory");
    made->fd = open_socket(0, &made->own);
    if (made->fd < 0) {
        int rc = made->fd;

        free(made);
        return rc;
    }
    *nft = made;
    return 0;
}

/*
 * Sends BATCH and reads up to the answer to its message LAST. Where one failed, that is
 * said before (nfnl_err_deliver, net/netfilter/nfnetlink.c, in their order). Any other
 * message is copied to ANSWER (NULL: dropped).
 */
static int talk(struct tsr_plug_nft *nft, const struct batch *batch, uint32_t last,
                void *answer, size_t size)
{
    union {
        struct nlmsghdr head;
        char room[8192];
    } in;
    const struct nlmsghdr *head;
    uint32_t left, first = nft->seq - batch->count + 1;
    ssize_t n;
    int error;

    do {
        n = send(nft->fd, batch->room, batch->used, 0);
    } while (n < 0 && errno == EINTR);
    while (n >= 0) {
        n = recv(nft->fd, &in, sizeof(in), 0);
        if (n < 0 && errno == EINTR) {
            n = 0;
            continue;
        }
        left = (uint32_t)(n > 0 ? n : 0);
        for (head = &in.head; n > 0 && NLMSG_OK(head, left);
             head = NLMSG_NEXT(head, left)) {
            /* What is left from one that failed before. */
            if (head->nlmsg_seq - first >= batch->count)
                continue;
            if (head->nlmsg_type != NLMSG_ERROR) {
                if (answer && head->nlmsg_len <= size)
                    memcpy(answer, head, head->nlmsg_len);
                continue;
            }
            error = ((const struct nlmsgerr *)NLMSG_DATA(head))->error;
            if (error)
                return error;
            if (head->nlmsg_seq == last)
                return 0;
        }
    }
    return errno ? -errno : -EIO;
}

static void begin_batch(struct tsr_plug_nft *nft, struct batch *batch)
{
    batch->used = 0;
    batch->count = 0;
    begin(nft, batch, NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
}

static int end_batch(struct tsr_plug_nft *nft, struct batch *batch, uint32_t last)
{
    begin(nft, batch, NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
    return talk(nft, batch, last, NULL, 0);
}

static void put_table(struct tsr_plug_nft *nft, struct batch *batch, uint16_t message,
                      const char *name)
{
    uint16_t flags = message == NFT_MSG_NEWTABLE ? NLM_F_CREATE : 0;
    struct nlmsghdr *head = begin_nft(nft, batch, message, flags);

    put_text(batch, head, NFTA_TABLE_NAME, name);
    if (message == NFT_MSG_NEWTABLE)
        put_number(batch, head, NFTA_TABLE_FLAGS, 0);
}

static uint32_t put_chain(struct tsr_plug_nft *nft, struct batch *batch, const char *name,
                          const char *interface)
{
    struct nlmsghdr *head = begin_nft(nft, batch, NFT_MSG_NEWCHAIN, NLM_F_CREATE | NLM_F_ACK);
    struct nlattr *hook;

    put_text(batch, head, NFTA_CHAIN_TABLE, name);
    put_text(batch, head, NFTA_CHAIN_NAME, CHAIN);
    hook = put(batch, head, NFTA_CHAIN_HOOK | NLA_F_NESTED, NULL, 0);
    put_number(batch, head, NFTA_HOOK_HOOKNUM, NF_NETDEV_INGRESS);
    put_number(batch, head, NFTA_HOOK_PRIORITY, 0);
    put_text(batch, head, NFTA_HOOK_DEV, interface);
    hook->nla_len = (uint16_t)(batch->room + batch->used - (char *)hook);
    put_number(batch, head, NFTA_CHAIN_POLICY, NF_DROP);
    put_text(batch, head, NFTA_CHAIN_TYPE, "filter");
    return head->nlmsg_seq;
}

/* ---- for the others -------------------------------------------------------------------- */

int tsr_plug_nft_hold(struct tsr_plug_nft **nft, uint32_t device, const char *name)
{
    char interface[IF_NAMESIZE];
    struct batch batch;
    uint32_t last;
    int rc = ready(nft);

    if (rc < 0)
        return rc;
    if (!if_indextoname(device, interface))
        return tsr_fail(-ENODEV, "there is no network device number %u", device);
    begin_batch(*nft, &batch);
    /* What somebody made of it goes, in the same transaction. */
    put_table(*nft, &batch, NFT_MSG_NEWTABLE, name);
    put_table(*nft, &batch, NFT_MSG_DELTABLE, name);
    put_table(*nft, &batch, NFT_MSG_NEWTABLE, name);
    last = put_chain(*nft, &batch, name, interface);
    rc = end_batch(*nft, &batch, last);
    if (rc >= 0)
        return 0;
    /* Of nf_tables, of its family netdev, or of the hook. */
    if (rc == -EAFNOSUPPORT || rc == -ENOENT || rc == -EINVAL || rc == -EPROTONOSUPPORT)
        rc = -EOPNOTSUPP;
    return tsr_fail(rc, "nftables takes no ingress chain on %s: %s", interface,
                    strerror(-rc));
}

int tsr_plug_nft_unhold(struct tsr_plug_nft **nft, const char *name)
{
    struct batch batch;
    uint32_t last;
    int rc = ready(nft);

    if (rc < 0)
        return rc == -EOPNOTSUPP ? 0 : rc;
    begin_batch(*nft, &batch);
    put_table(*nft, &batch, NFT_MSG_DELTABLE, name);
    ((struct nlmsghdr *)(void *)(batch.room + NLMSG_SPACE(sizeof(struct nfgenmsg))))
        ->nlmsg_flags |= NLM_F_ACK;
    last = (*nft)->seq;
    rc = end_batch(*nft, &batch, last);
    if (rc >= 0 || rc == -ENOENT || rc == -EAFNOSUPPORT || rc == -EOPNOTSUPP)
        return 0;
    return tsr_fail(rc, "nftables does not remove table %s: %s", name, strerror(-rc));
}

int tsr_plug_nft_look(struct tsr_plug_nft **nft, const char *name)
{
    union {
        struct nlmsghdr head;
        char room[2048];
    } answer = { .head = { .nlmsg_len = 0 } };
    struct batch batch = { .used = 0, .count = 0 };
    const struct nlattr *at;
    struct nlmsghdr *head;
    size_t offset = NLMSG_SPACE(sizeof(struct nfgenmsg)), end;
    uint32_t policy;
    int rc = ready(nft);

    if (rc < 0)
        return rc;
    head = begin_nft(*nft, &batch, NFT_MSG_GETCHAIN, NLM_F_ACK);
    put_text(&batch, head, NFTA_CHAIN_TABLE, name);
    put_text(&batch, head, NFTA_CHAIN_NAME, CHAIN);
    rc = talk(*nft, &batch, head->nlmsg_seq, &answer, sizeof(answer));
    if (rc < 0)
        return rc;
    end = answer.head.nlmsg_len;
    while (offset + sizeof(*at) <= end) {
        at = (const void *)(answer.room + offset);
        if (at->nla_len < sizeof(*at) || at->nla_len > end - offset)
            break;
        if ((at->nla_type & NLA_TYPE_MASK) == NFTA_CHAIN_POLICY &&
            at->nla_len >= NLA_HEAD + sizeof(policy)) {
            memcpy(&policy, (const char *)at + NLA_HEAD, sizeof(policy));
            return ntohl(policy) == NF_DROP ? 0 : -EPERM;
        }
        offset += NLMSG_ALIGN(at->nla_len);
    }
    return -EPROTO;
}

int tsr_plug_nft_listen(struct tsr_plug_nft **nft, uint32_t *own_out)
{
    uint32_t ignored;
    int rc = ready(nft);

    if (rc < 0)
        return rc;
    *own_out = (*nft)->own;
    return open_socket(1u << (NFNLGRP_NFTABLES - 1), &ignored);
}

void tsr_plug_nft_close(struct tsr_plug_nft *nft)
{
    if (!nft)
        return;
    close(nft->fd);
    free(nft);
}
