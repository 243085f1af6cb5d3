/*
 * Tells the service manager how the process is: a datagram to the socket that it
 * named in NOTIFY_SOCKET (sd_notify(3) has the protocol). Here, because Node has no
 * datagrams of AF_UNIX, and a helper's would come from another process than the
 * service's main one, which is the only one that NotifyAccess=main believes.
 */
#include "common.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int tsr_notify(const char *address, const char *text)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    size_t length = strlen(address);
    socklen_t size;
    ssize_t sent;
    int fd, error;

    if (length < 2 || length >= sizeof(to.sun_path) ||
        (address[0] != '/' && address[0] != '@'))
        return tsr_fail(-EINVAL, "%.128s is no address of a socket", address);
    memcpy(to.sun_path, address, length);
    if (address[0] == '@')
        to.sun_path[0] = '\0';          /* abstract: unix(7) */
    size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);

    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return tsr_fail(-errno, "socket: %s", strerror(errno));
    sent = sendto(fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL,
                  (struct sockaddr *)&to, size);
    error = sent < 0 ? errno : 0;
    close(fd);
    if (error != 0)
        return tsr_fail(-error, "%s: %s", address, strerror(error));
    return 0;
}
