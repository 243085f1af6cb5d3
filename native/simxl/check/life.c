/* The short calls, configurations, and what becomes of domains. */
#define _GNU_SOURCE
#include "pair.h"
#include "tests.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static uint32_t id_of(libxl_ctx *ctx, const char *name)
{
    uint32_t domid = 0;

    CHECK(libxl_name_to_domid(ctx, name, &domid) == 0);
    return domid;
}

static void test_pause_counts(void)
{
    libxl_ctx *ctx = open_ctx(host_a);
    uint32_t d;

    tool(host_a, "create g --memory 4 --paused");
    d = id_of(ctx, "g");
    CHECK(in_state(host_a, "g", "paused"));
    CHECK(libxl_domain_pause(ctx, d, NULL) == 0);
    CHECK(libxl_domain_unpause(ctx, d, NULL) == 0);
    CHECK(in_state(host_a, "g", "paused")); /* paused twice, unpaused once */
    CHECK(libxl_domain_unpause(ctx, d, NULL) == 0);
    CHECK(in_state(host_a, "g", "running"));
    CHECK(libxl_domain_unpause(ctx, d, NULL) == ERROR_FAIL);
    CHECK(libxl_domain_resume(ctx, d, 1, NULL) == ERROR_FAIL);
    tool(host_a, "suspend g");
    CHECK(libxl_domain_resume(ctx, d, 1, NULL) == 0);
    CHECK(libxl_domain_pause(ctx, 4711, NULL) == ERROR_FAIL);
    libxl_ctx_free(ctx);
}

static void test_rename(void)
{
    libxl_ctx *ctx = open_ctx(host_a);
    uint32_t d, other;

    tool(host_a, "create g--incoming --memory 4");
    tool(host_a, "create h --memory 4");
    tool(host_a, "create h --memory 4 2>/dev/null");
    CHECK(tool_exit == 1); /* the name is taken */
    d = id_of(ctx, "g--incoming");
    CHECK(libxl_domain_rename(ctx, d, "x", "g") == ERROR_FAIL);
    CHECK(libxl_domain_rename(ctx, d, "g--incoming", "h") == ERROR_INVAL);
    CHECK(libxl_domain_rename(ctx, d, "g--incoming", "g") == 0);
    CHECK(libxl_name_to_domid(ctx, "g--incoming", &other) == ERROR_INVAL);
    CHECK(id_of(ctx, "g") == d);
    libxl_ctx_free(ctx);
}

static void test_configuration(void)
{
    libxl_ctx *ctx = open_ctx(host_a);
    libxl_domain_config c, again;
    char *text, *copy;
    uint32_t d;

    tool(host_a, "create g --type pv --memory 4 --nic --disk --ro-disk");
    d = id_of(ctx, "g");
    CHECK(libxl_domain_rename(ctx, d, NULL, "renamed") == 0);
    libxl_domain_config_init(&c);
    CHECK(libxl_retrieve_domain_configuration(ctx, d, &c, NULL) == 0);
    text = libxl_domain_config_to_json(ctx, &c);
    CHECK(strstr(text, "\"name\": \"renamed\""));
    CHECK(strstr(text, "\"max_memkb\": 4096"));
    CHECK(strstr(text, "\"type.pv\": {"));
    CHECK(strstr(text, "\"readwrite\": 1"));
    CHECK(strstr(text, "\"on_reboot\": \"restart\""));
    libxl_domain_config_init(&again);
    CHECK(libxl_domain_config_from_json(ctx, &again, text) == 0);
    copy = libxl_domain_config_to_json(ctx, &again);
    CHECK(!strcmp(text, copy));
    free(text);
    free(copy);
    libxl_domain_config_dispose(&c);
    libxl_domain_config_dispose(&again);
    libxl_ctx_free(ctx);
}

/* What libxl ignores, refuses and leaves out. */
static void test_odd_configuration(void)
{
    libxl_ctx *ctx = open_ctx(host_a);
    libxl_domain_config c;
    char *text;

    libxl_domain_config_init(&c);
    CHECK(libxl_domain_config_from_json(ctx, &c, "{\"c_info\": ") < 0);
    CHECK(libxl_domain_config_from_json(
        ctx, &c, "{\"c_info\": {\"name\": 5}}") == ERROR_FAIL);
    CHECK(libxl_domain_config_from_json(
        ctx, &c, "{\"on_poweroff\": \"explode\"}") == ERROR_FAIL);
    CHECK(libxl_domain_config_from_json(
        ctx, &c, "{\"c_info\": {\"nmae\": \"x\", \"hap\": \"<default>\"},"
        " \"nics\": [], \"b_info\": {\"max_memkb\": 1024}}") == 0);
    text = libxl_domain_config_to_json(ctx, &c);
    CHECK(!strstr(text, "nmae") && !strstr(text, "hap"));
    CHECK(!strstr(text, "nics") && strstr(text, "\"arch_x86\": {"));
    free(text);
    libxl_domain_config_dispose(&c);
    libxl_ctx_free(ctx);
    CHECK(strstr(tool(host_a, "create x --print --pci --vnuma --9pfs --usb"
                      " --disk --backend dd"), "pcidevs"));
}

static void test_info(void)
{
    libxl_ctx *ctx = open_ctx(host_a);
    libxl_dominfo info;
    char *text;

    tool(host_a, "create g --type pvh --memory 4");
    libxl_dominfo_init(&info);
    CHECK(libxl_domain_info(ctx, &info, id_of(ctx, "g")) == 0);
    text = libxl_dominfo_to_json(ctx, &info);
    CHECK(strstr(text, "\"running\": true"));
    CHECK(strstr(text, "\"domain_type\": \"hvm\""));
    CHECK(!strstr(text, "paused") && !strstr(text, "shutdown"));
    free(text);
    tool(host_a, "crash g");
    CHECK(libxl_domain_info(ctx, &info, info.domid) == 0);
    text = libxl_dominfo_to_json(ctx, &info);
    CHECK(strstr(text, "\"shutdown\": true"));
    CHECK(strstr(text, "\"shutdown_reason\": \"crash\""));
    free(text);
    libxl_dominfo_dispose(&info);
    CHECK(libxl_domain_info(ctx, NULL, 99) == ERROR_DOMAIN_NOTFOUND);
    libxl_ctx_free(ctx);
}

/* A host that lost its power has no domains, whatever lies in its folder. */
static void test_killed_runner(void)
{
    libxl_ctx *ctx = open_ctx(host_a);
    uint32_t d;
    char *text;

    tool(host_a, "create g --memory 4");
    d = id_of(ctx, "g");
    text = strstr(tool(host_a, "info g"), "\"pid\": ");
    CHECK(text != NULL);
    kill((pid_t)atol(text + 7), SIGKILL);
    for (int i = 0; i < 30000 && !libxl_domain_info(ctx, NULL, d); i++)
        usleep(10000);
    CHECK(libxl_domain_info(ctx, NULL, d) == ERROR_DOMAIN_NOTFOUND);
    CHECK(libxl_name_to_domid(ctx, "g", &d) == ERROR_INVAL);
    CHECK(strstr(tool(host_a, "list"), "dead"));
    tool(host_a, "create g --memory 4");
    CHECK(tool_exit == 0); /* its name is free again */
    tool(host_a, "destroy-all");
    CHECK(!strcmp(tool(host_a, "list --json"), "[\n]\n"));
    libxl_ctx_free(ctx);
}

/* What libxl hands back creates the same guest again. */
static void test_create_new(void)
{
    libxl_ctx *ctx = open_ctx(host_a);
    libxl_domain_config c;
    uint32_t d;

    tool(host_a, "create g --type pv --memory 4 --rate 5000");
    libxl_domain_config_init(&c);
    CHECK(libxl_retrieve_domain_configuration(ctx, id_of(ctx, "g"), &c,
                                              NULL) == 0);
    CHECK(libxl_domain_create_new(ctx, &c, &d, NULL, NULL) < 0);
    CHECK(libxl_domain_destroy(ctx, id_of(ctx, "g"), NULL) == 0);
    CHECK(libxl_domain_create_new(ctx, &c, &d, NULL, NULL) == 0);
    CHECK(in_state(host_a, "g", "paused"));
    CHECK(says(host_a, "g", "\"rate\": 5000"));
    libxl_domain_config_dispose(&c);
    libxl_ctx_free(ctx);
}

/* Numbers go up by one, also across a copy, and only one host is heard. */
static void test_beacons(void)
{
    struct sockaddr_in to = { .sin_family = AF_INET };
    socklen_t size = sizeof(to);
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    char port[16], packet[2048];
    long seq = 0;

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(bind(s, (struct sockaddr *)&to, sizeof(to)) == 0);
    CHECK(getsockname(s, (struct sockaddr *)&to, &size) == 0);
    snprintf(port, sizeof(port), "%d", ntohs(to.sin_port));
    setenv("SIMXL_LAN", port, 1);
    tool(host_a, "create g --memory 4 --beacon 1");
    unsetenv("SIMXL_LAN");
    for (int i = 0; i < 50; i++) {
        ssize_t n = recv(s, packet, sizeof(packet) - 1, 0);
        char *at;

        CHECK(n > 0);
        packet[n] = 0;
        at = strstr(packet, "\"seq\":");
        CHECK(at && strstr(packet, "\"host\":\"a\""));
        CHECK(seq == 0 || atol(at + 6) == seq + 1);
        seq = atol(at + 6);
    }
    close(s);
}

const struct test life_tests[] = {
    { "pause counts", test_pause_counts },
    { "rename", test_rename },
    { "configuration", test_configuration },
    { "odd configuration", test_odd_configuration },
    { "info", test_info },
    { "killed runner", test_killed_runner },
    { "create new", test_create_new },
    { "beacons", test_beacons },
    { 0, 0 }
};
