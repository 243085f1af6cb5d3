/*
 * Records all frames from and to guests that pass an interface, into a file: 56 bytes each
 * (struct frame_record), and JSON on what the kernel had to drop at the end. Made for a host whose
 * only processor is emulated: a filter in the kernel leaves everything else out, frames come in
 * blocks through a shared ring, and nothing is formatted.
 *
 * Time is the kernel's. Of a frame that leaves, it is taken right before the driver gets it.
 */
#define _GNU_SOURCE
#include "traffic.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define BLOCK_BYTES (1 << 17)
#define BLOCKS 64
#define BLOCK_MS 100
#define SNAP_BYTES 160
#define RECORDS_MAX 3500000 /* 196 MB: a host keeps its files in memory */

/* Between the packet's own header and the frame (tpacket_rcv in net/packet/af_packet.c). */
enum { ADDRESS_AT = (sizeof(struct tpacket3_hdr) + TPACKET_ALIGNMENT - 1) / TPACKET_ALIGNMENT *
                    TPACKET_ALIGNMENT };

static volatile sig_atomic_t ending;
static uint64_t kept, lost;
static FILE *file;

static void on_signal(int signal)
{
    (void)signal;
    ending = 1;
}

/* Accepts what comes from or goes to Xen's MACs, and the lab's of these: 00:16:3e:77. */
static int attach_filter(int fd)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 6),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x00163e77, 2, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x00163e77, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SNAP_BYTES),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_fprog program = { .len = sizeof(code) / sizeof(*code), .filter = code };

    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

static void *open_ring(const char *interface, int *fd)
{
    int version = TPACKET_V3;
    struct tpacket_req3 ring = {
        .tp_block_size = BLOCK_BYTES,
        .tp_block_nr = BLOCKS,
        .tp_frame_size = 2048,
        .tp_frame_nr = BLOCKS * (BLOCK_BYTES / 2048),
        .tp_retire_blk_tov = BLOCK_MS,
    };
    struct sockaddr_ll address = {
        .sll_family = AF_PACKET,
        .sll_protocol = htons(ETH_P_ALL),
        .sll_ifindex = (int)if_nametoindex(interface),
    };
    void *memory;

    *fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (*fd < 0 || address.sll_ifindex == 0 || attach_filter(*fd) ||
        setsockopt(*fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)) ||
        setsockopt(*fd, SOL_PACKET, PACKET_RX_RING, &ring, sizeof(ring)))
        return NULL;
    memory = mmap(NULL, (size_t)BLOCK_BYTES * BLOCKS, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
    if (memory == MAP_FAILED || bind(*fd, (struct sockaddr *)&address, sizeof(address)))
        return NULL;
    return memory;
}

static void keep(const struct tpacket3_hdr *packet)
{
    const uint8_t *data = (const uint8_t *)packet + packet->tp_mac;
    const struct sockaddr_ll *from = (const void *)((const uint8_t *)packet + ADDRESS_AT);
    bool tagged = packet->tp_status & TP_STATUS_VLAN_VALID;
    uint16_t tag = tagged ? (uint16_t)packet->hv1.tp_vlan_tci : 0;
    struct frame_record record;

    if (!frame_classify(data, packet->tp_snaplen, tag, &record))
        return;
    if (from->sll_pkttype == PACKET_OUTGOING)
        record.flags |= FRAME_LEAVES;
    record.time_ns = packet->tp_sec * 1000000000ull + packet->tp_nsec;
    record.bytes = (uint16_t)(packet->tp_len > 0xffff ? 0xffff : packet->tp_len);
    if (kept < RECORDS_MAX && fwrite(&record, sizeof(record), 1, file) == 1)
        kept++;
    else
        lost++;
}

/* Takes a block if the kernel has handed it over; false if not. */
static bool take_block(struct tpacket_block_desc *block)
{
    const uint8_t *at = (const uint8_t *)block + block->hdr.bh1.offset_to_first_pkt;

    if (!(__atomic_load_n(&block->hdr.bh1.block_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER))
        return false;
    for (uint32_t i = 0; i < block->hdr.bh1.num_pkts; i++) {
        const struct tpacket3_hdr *packet = (const struct tpacket3_hdr *)(const void *)at;

        keep(packet);
        at += packet->tp_next_offset;
    }
    fflush(file);
    __atomic_store_n(&block->hdr.bh1.block_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
    return true;
}

int frames(const char *interface, const char *path)
{
    struct sigaction action = { .sa_handler = on_signal };
    struct tpacket_stats_v3 stats = { 0 };
    socklen_t size = sizeof(stats);
    struct pollfd p = { .events = POLLIN };
    uint8_t *ring = open_ring(interface, &p.fd);
    unsigned next = 0;

    file = fopen(path, "we");
    if (!ring || !file) {
        fprintf(stderr, "cannot record %s to %s: %s\n", interface, path, strerror(errno));
        return 1;
    }
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    printf("# recording\n");
    while (!ending) {
        poll(&p, 1, BLOCK_MS);
        while (take_block((void *)(ring + (size_t)next * BLOCK_BYTES)))
            next = (next + 1) % BLOCKS;
    }
    usleep(2 * BLOCK_MS * 1000); /* the block under way is handed over by then */
    while (take_block((void *)(ring + (size_t)next * BLOCK_BYTES)))
        next = (next + 1) % BLOCKS;
    getsockopt(p.fd, SOL_PACKET, PACKET_STATISTICS, &stats, &size);
    fclose(file);
    printf("{\"kept\":%lu,\"dropped\":%lu}\n", (unsigned long)kept,
           (unsigned long)(lost + stats.tp_drops));
    return 0;
}
