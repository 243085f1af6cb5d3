/*
 * labguest: the one static program of the lab.
 *
 *   as process 1 of a guest   (lab.name= and lab.ip= on the kernel's command line): a counter and
 *                             a boot id in memory, a pattern of pages rewritten at a set rate, a
 *                             beacon, echoes, and a query service; see server.c
 *   as process 1 of a host's  (lab.host=): loads the disk's modules, switches to the root disk
 *   initramfs                 (lab.probe=): says that Xen got this far, and powers off
 *   labguest ask IP TIMEOUT_MS COMMAND...
 *   labguest ping IP udp|tcp INTERVAL_MS SECONDS
 *   labguest capture LABEL=INTERFACE...
 *   labguest talk IP INTERVAL_US WINDOW           numbers, asked for over one TCP connection
 *   labguest pull IP SECONDS                      what the guest can send over TCP
 *   labguest sink                                 takes the flows' datagrams
 *   labguest flood INTERFACE GUEST_MAC GUEST_IP GUEST_IP6 PER_SECOND
 *   labguest frames INTERFACE FILE                records the guests' frames
 *   labguest serve NAME IP                        the guest's main loop as a plain process
 *   labguest journal DEVICE BOOT_ID               durable entries on a guest's disk
 *   labguest selftest                             whether the checks find what they must
 *   labguest spawn COUNT PROGRAM [ARGUMENT...]    what fork and exec cost here
 */
#define _GNU_SOURCE
#include "labguest.h"
#include "traffic.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int be_process_one(void)
{
    char name[NAME_MAX_BYTES] = "guest", ip[32] = "10.77.0.100";
    const char *value;

    boot_prepare();
    if (boot_parameter("lab.probe")) {
        printf("LAB probe passed\n");
        sleep(1); /* let the console drain */
        boot_end("poweroff");
    }
    if (boot_parameter("lab.host")) {
        printf("LAB initramfs\n");
        boot_switch_root("/dev/vda", "/sbin/lab-init");
        for (;;)
            pause();
    }
    value = boot_parameter("lab.name");
    if (value)
        snprintf(name, sizeof(name), "%.*s", NAME_MAX_BYTES - 1, value);
    value = boot_parameter("lab.pages");
    if (pattern_init(value ? (uint32_t)strtoul(value, NULL, 10) : 12288))
        printf("LAB failed: no memory for the pattern\n");
    value = boot_parameter("lab.ip");
    if (value)
        snprintf(ip, sizeof(ip), "%.*s", (int)sizeof(ip) - 1, value);
    value = boot_parameter("lab.vifs");
    boot_network(ip, value ? atoi(value) : 1);
    printf("LAB guest %s at %s\n", name, ip);
    serve(name, ip);
}

static int join_words(int count, char **words, char *out, size_t size)
{
    out[0] = 0;
    for (int i = 0; i < count; i++) {
        if (strlen(out) + strlen(words[i]) + 2 > size)
            return -1;
        if (i)
            strcat(out, " ");
        strcat(out, words[i]);
    }
    return 0;
}

static int spawn_many(int count, char **argv)
{
    struct timespec t0, t1;

    clock_gettime(CLOCK_MONOTONIC, &t0);
    for (int i = 0; i < count; i++) {
        pid_t child = fork();

        if (child == 0) {
            execvp(argv[0], argv);
            _exit(127);
        }
        waitpid(child, NULL, 0);
    }
    clock_gettime(CLOCK_MONOTONIC, &t1);
    printf("%.2f ms each\n", ((double)(t1.tv_sec - t0.tv_sec) * 1e3 +
                              (double)(t1.tv_nsec - t0.tv_nsec) / 1e6) / count);
    return 0;
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    char command[256];

    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGPIPE, SIG_IGN);
    if (getpid() == 1)
        return be_process_one();
    if (!strcmp(mode, "ask") && argc > 4 && !join_words(argc - 4, argv + 4, command, sizeof(command)))
        return client_ask(argv[2], atoi(argv[3]), command);
    if (!strcmp(mode, "ping") && argc == 6)
        return client_ping(argv[2], argv[3], atoi(argv[4]), atoi(argv[5]));
    if (!strcmp(mode, "capture") && argc > 2)
        return capture(argc - 2, argv + 2);
    if (!strcmp(mode, "talk") && argc == 5)
        return talk(argv[2], atoi(argv[3]), atoi(argv[4]));
    if (!strcmp(mode, "pull") && argc == 4)
        return pull(argv[2], atoi(argv[3]));
    if (!strcmp(mode, "sink"))
        return sink();
    if (!strcmp(mode, "flood") && argc == 7)
        return flood(argv + 2);
    if (!strcmp(mode, "frames") && argc == 4)
        return frames(argv[2], argv[3]);
    if (!strcmp(mode, "serve") && argc == 4 && !pattern_init(64))
        serve(argv[2], argv[3]);
    if (!strcmp(mode, "journal") && argc == 4)
        return disk_journal(argv[2], argv[3]);
    if (!strcmp(mode, "selftest"))
        return selftest();
    if (!strcmp(mode, "spawn") && argc > 3 && atoi(argv[2]) > 0)
        return spawn_many(atoi(argv[2]), argv + 3);
    fprintf(stderr, "usage: labguest ask|ping|capture|talk|pull|sink|flood|frames|serve|journal|selftest|"
                    "spawn ...\n");
    return 64;
}
