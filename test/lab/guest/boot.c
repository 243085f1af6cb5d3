/*
 * Duties of process 1, in a guest and in a host's initramfs: mounts, modules, addresses.
 * What fails here is said on the console; there is nobody else to tell.
 */
#define _GNU_SOURCE
#include "labguest.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/reboot.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TRANSMIT_QUEUE 10000

static char command_line[4096];

static void complain(const char *what)
{
    printf("LAB failed: %s: %s\n", what, strerror(errno));
}

static void load_module(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST))
        complain(path);
    if (fd >= 0)
        close(fd);
}

static void load_modules(void)
{
    char line[256];
    FILE *list = fopen("/modules", "re");

    if (!list)
        return;
    while (fgets(line, sizeof(line), list)) {
        line[strcspn(line, "\n")] = 0;
        if (line[0])
            load_module(line);
    }
    fclose(list);
}

void boot_prepare(void)
{
    int fd;

    if (mount("proc", "/proc", "proc", 0, NULL) || mount("sysfs", "/sys", "sysfs", 0, NULL))
        complain("mount");
    if (mount("dev", "/dev", "devtmpfs", 0, NULL) && errno != EBUSY)
        complain("mount /dev");
    fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t n = read(fd, command_line, sizeof(command_line) - 1);

        command_line[n > 0 ? n : 0] = 0;
        command_line[strcspn(command_line, "\n")] = 0;
        close(fd);
    }
    load_modules();
}

const char *boot_parameter(const char *key)
{
    static char value[256];
    size_t length = strlen(key);

    for (const char *at = command_line; *at;) {
        size_t word = strcspn(at, " ");

        if (word > length && !strncmp(at, key, length) && at[length] == '=') {
            snprintf(value, sizeof(value), "%.*s", (int)(word - length - 1), at + length + 1);
            return value;
        }
        at += word;
        at += strspn(at, " ");
    }
    return NULL;
}

/* Before it is up: with the usual thousand a guest that sends flat out would drop its own. */
static void set_queue(int fd, const char *interface)
{
    struct ifreq request = { 0 };

    snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", interface);
    request.ifr_qlen = TRANSMIT_QUEUE;
    if (ioctl(fd, SIOCSIFTXQLEN, &request))
        complain(interface);
}

static void set_flags_up(int fd, const char *interface)
{
    struct ifreq request = { 0 };

    snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", interface);
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    if (ioctl(fd, SIOCSIFFLAGS, &request))
        complain(interface);
}

static void set_address(int fd, const char *interface, unsigned long what, const char *ip)
{
    struct ifreq request = { 0 };
    struct sockaddr_in address = { .sin_family = AF_INET };

    inet_pton(AF_INET, ip, &address.sin_addr);
    snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", interface);
    memcpy(&request.ifr_addr, &address, sizeof(address));
    if (ioctl(fd, what, &request))
        complain(interface);
}

/* linux/ipv6.h has this, and much that libc's headers have as well. */
struct address6 {
    struct in6_addr address;
    uint32_t prefix_bits;
    int interface;
};

static void set_address6(const char *interface, const char *ip)
{
    struct address6 request = { .prefix_bits = 64, .interface = (int)if_nametoindex(interface) };
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    inet_pton(AF_INET6, ip, &request.address);
    if (fd < 0 || ioctl(fd, SIOCSIFADDR, &request))
        complain(ip);
    if (fd >= 0)
        close(fd);
}

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        complain(path);
    if (fd >= 0)
        close(fd);
}

/*
 * What asks for a neighbour's place, and what waits meanwhile, may be held for an epoch, which takes
 * seconds on a busy machine: the defaults, three questions in three seconds and 200 KB, would lose
 * frames that tsremus did not.
 */
static void be_patient(const char *interface)
{
    static const char *const settings[][2] = {
        { "mcast_solicit", "120" },
        { "ucast_solicit", "120" },
        { "unres_qlen_bytes", "16777216" },
    };
    char path[80];

    for (size_t i = 0; i < sizeof(settings) / sizeof(*settings); i++)
        for (int version = 4; version <= 6; version += 2) {
            snprintf(path, sizeof(path), "/proc/sys/net/ipv%d/neigh/%s/%s", version, interface,
                     settings[i][0]);
            write_file(path, settings[i][1]);
        }
}

void boot_network(const char *ip, int count)
{
    const char *last = strrchr(ip, '.');
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || !last) {
        complain("network");
        return;
    }
    set_flags_up(fd, "lo");
    /* Each address on its own interface only, although all are on one network. */
    write_file("/proc/sys/net/ipv4/conf/all/arp_ignore", "1");
    for (int n = 0; n < count; n++) {
        char interface[16], path[64], address[32];

        snprintf(interface, sizeof(interface), "eth%d", n);
        snprintf(path, sizeof(path), "/sys/class/net/%s", interface);
        for (int i = 0; i < 500 && access(path, F_OK); i++)
            usleep(10000);
        /* An address is to be of use at once: nobody else has it. */
        snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/accept_dad", interface);
        write_file(path, "0");
        be_patient(interface);
        snprintf(address, sizeof(address), "10.77.%d%s", n, last);
        set_address(fd, interface, SIOCSIFADDR, address);
        set_address(fd, interface, SIOCSIFNETMASK, "255.255.255.0");
        set_queue(fd, interface);
        set_flags_up(fd, interface);
        if (n == 0) {
            snprintf(address, sizeof(address), "fd77::%s", last + 1);
            set_address6(interface, address);
        }
    }
    close(fd);
}

void boot_switch_root(const char *device, const char *init)
{
    for (int i = 0; i < 1000 && access(device, F_OK); i++)
        usleep(10000);
    if (mount(device, "/root", "ext4", MS_NOATIME, NULL)) {
        complain(device);
        return;
    }
    umount("/sys");
    umount("/proc");
    if (mount("/dev", "/root/dev", NULL, MS_MOVE, NULL) || chdir("/root") ||
        mount(".", "/", NULL, MS_MOVE, NULL) || chroot(".") || chdir("/"))
        complain("switch to the root disk");
    execl(init, init, (char *)NULL);
    complain(init);
}

void boot_end(const char *how)
{
    sync();
    if (!strcmp(how, "crash")) {
        int fd = open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC);

        if (fd < 0 || write(fd, "c", 1) != 1)
            complain("crash");
    }
    syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2,
            !strcmp(how, "reboot") ? LINUX_REBOOT_CMD_RESTART : LINUX_REBOOT_CMD_POWER_OFF, NULL);
}
