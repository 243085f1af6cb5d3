/*
 * Frames of our own making, for one purpose: to tell a network where a guest is now.
 */
#include "../common/common.h"
#include "plug.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int tsr_send_frame(const char *interface, const uint8_t *frame, size_t size)
{
    struct sockaddr_ll address = {
        .sll_family = AF_PACKET,
        .sll_halen = ETH_ALEN,
    };
    int fd, rc = 0;

    if (!interface || !frame || size < ETH_HLEN || size > ETH_FRAME_LEN)
        return tsr_fail(-EINVAL, "a frame has %d to %d bytes", ETH_HLEN,
                        ETH_FRAME_LEN);
    address.sll_ifindex = (int)if_nametoindex(interface);
    if (!address.sll_ifindex)
        return tsr_fail(-ENODEV, "there is no network interface %s", interface);
    memcpy(address.sll_addr, frame, ETH_ALEN);
    /* Protocol 0: it receives nothing. */
    fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (fd < 0 || sendto(fd, frame, size, MSG_DONTWAIT, (void *)&address,
                         sizeof(address)) < 0)
        rc = tsr_fail(-errno, "cannot send on %s: %s", interface,
                      strerror(errno));
    if (fd >= 0)
        close(fd);
    return rc;
}
