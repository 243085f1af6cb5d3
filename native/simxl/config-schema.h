/*
 * The members of libxl_domain_config (Xen 4.17, tools/libs/light's IDL), as
 * far as a toolstack for PV, PVH and plain HVM guests meets them.
 *
 * Types: i integer (def: its default, 0 if none), s string, b boolean,
 * d defbool, e enumeration (def: its values, the default first, that is the one of
 * init_val or 0; "*" stands for all that do not matter here), U uuid, m mac,
 * N array of integers (bitmaps), L list of strings, K map of strings,
 * S struct, A array of structs, * anything. A name with a dot is a member of
 * a union.
 */
#define MEMKB "18446744073709551615"
#define U32 "4294967295"
#define ACTIONS "destroy|restart|restart_rename|preserve|" \
    "coredump_destroy|coredump_restart|soft_reset"

struct field {
    const char *name;
    char type;
    const char *def;
    const struct field *sub;
};

static const struct field create_info[] = {
    { "type", 'e', "invalid|hvm|pv|pvh", 0 }, { "hap", 'd', 0, 0 },
    { "oos", 'd', 0, 0 }, { "ssidref", 'i', 0, 0 },
    { "ssid_label", 's', 0, 0 }, { "name", 's', 0, 0 },
    { "domid", 'i', 0, 0 }, { "uuid", 'U', 0, 0 }, { "xsdata", 'K', 0, 0 },
    { "platformdata", 'K', 0, 0 }, { "poolid", 'i', 0, 0 },
    { "pool_name", 's', 0, 0 }, { "run_hotplug_scripts", 'd', 0, 0 },
    { "driver_domain", 'd', 0, 0 }, { "passthrough", 'e', "default|*", 0 },
    { "xend_suspend_evtchn_compat", 'd', 0, 0 }, { 0, 0, 0, 0 }
};

static const struct field vnode_info[] = {
    { "memkb", 'i', MEMKB, 0 }, { "distances", 'N', 0, 0 },
    { "pnode", 'i', 0, 0 }, { "vcpus", 'N', 0, 0 }, { 0, 0, 0, 0 }
};

static const struct field sched_params[] = {
    { "sched", 'e', "unknown|*", 0 }, { "weight", 'i', "-1", 0 },
    { "cap", 'i', "-1", 0 }, { "period", 'i', "-1", 0 },
    { "budget", 'i', "-1", 0 }, { "extratime", 'i', "-1", 0 },
    { "slice", 'i', "-1", 0 }, { "latency", 'i', "-1", 0 }, { 0, 0, 0, 0 }
};

static const struct field pv[] = {
    { "kernel", 's', 0, 0 }, { "slack_memkb", 'i', MEMKB, 0 },
    { "bootloader", 's', 0, 0 }, { "bootloader_args", 'L', 0, 0 },
    { "cmdline", 's', 0, 0 }, { "ramdisk", 's', 0, 0 },
    { "features", 's', 0, 0 }, { "e820_host", 'd', 0, 0 }, { 0, 0, 0, 0 }
};

static const struct field pvh[] = {
    { "pvshim", 'd', 0, 0 }, { "pvshim_path", 's', 0, 0 },
    { "pvshim_cmdline", 's', 0, 0 }, { "pvshim_extra", 's', 0, 0 },
    { 0, 0, 0, 0 }
};

static const struct field nothing[] = { { 0, 0, 0, 0 } };

static const struct field arch_arm[] = {
    { "gic_version", 'e', "default|*", 0 }, { "vuart", 'e', "unknown|*", 0 }, { 0, 0, 0, 0 }
};

static const struct field arch_x86[] = {
    { "msr_relaxed", 'd', 0, 0 }, { 0, 0, 0, 0 }
};

static const struct field build_info[] = {
    { "max_vcpus", 'i', 0, 0 }, { "avail_vcpus", 'N', 0, 0 },
    { "cpumap", 'N', 0, 0 }, { "nodemap", 'N', 0, 0 },
    { "vcpu_hard_affinity", '*', 0, 0 }, { "vcpu_soft_affinity", '*', 0, 0 },
    { "numa_placement", 'd', 0, 0 }, { "tsc_mode", 'e', "default|*", 0 },
    { "max_memkb", 'i', MEMKB, 0 }, { "target_memkb", 'i', MEMKB, 0 },
    { "video_memkb", 'i', MEMKB, 0 }, { "shadow_memkb", 'i', MEMKB, 0 },
    { "iommu_memkb", 'i', MEMKB, 0 }, { "rtc_timeoffset", 'i', 0, 0 },
    { "exec_ssidref", 'i', 0, 0 }, { "exec_ssid_label", 's', 0, 0 },
    { "localtime", 'd', 0, 0 }, { "disable_migrate", 'd', 0, 0 },
    { "cpuid", '*', 0, 0 }, { "blkdev_start", 's', 0, 0 },
    { "vnuma_nodes", 'A', 0, vnode_info },
    { "max_grant_frames", 'i', U32, 0 },
    { "max_maptrack_frames", 'i', U32, 0 },
    { "max_grant_version", 'i', "-1", 0 },
    { "device_model_version", 'e', "unknown|*", 0 },
    { "device_model_stubdomain", 'd', 0, 0 },
    { "stubdomain_memkb", 'i', MEMKB, 0 },
    { "stubdomain_kernel", 's', 0, 0 }, { "stubdomain_cmdline", 's', 0, 0 },
    { "stubdomain_ramdisk", 's', 0, 0 }, { "device_model", 's', 0, 0 },
    { "device_model_ssidref", 'i', 0, 0 },
    { "device_model_ssid_label", 's', 0, 0 },
    { "device_model_user", 's', 0, 0 }, { "extra", 'L', 0, 0 },
    { "extra_pv", 'L', 0, 0 }, { "extra_hvm", 'L', 0, 0 },
    { "sched_params", 'S', 0, sched_params }, { "ioports", '*', 0, 0 },
    { "irqs", 'N', 0, 0 }, { "iomem", '*', 0, 0 },
    { "claim_mode", 'd', 0, 0 }, { "event_channels", 'i', 0, 0 },
    { "kernel", 's', 0, 0 }, { "cmdline", 's', 0, 0 },
    { "ramdisk", 's', 0, 0 }, { "device_tree", 's', 0, 0 },
    { "acpi", 'd', 0, 0 }, { "bootloader", 's', 0, 0 },
    { "bootloader_args", 'L', 0, 0 }, { "timer_mode", 'e', "unknown|*", 0 },
    { "nested_hvm", 'd', 0, 0 }, { "apic", 'd', 0, 0 },
    { "dm_restrict", 'd', 0, 0 }, { "tee", 'e', "none|*", 0 },
    { "type.hvm", '*', 0, 0 }, { "type.pv", 'S', 0, pv },
    { "type.pvh", 'S', 0, pvh }, { "type.invalid", 'S', 0, nothing },
    { "arch_arm", 'S', 0, arch_arm }, { "arch_x86", 'S', 0, arch_x86 },
    { "altp2m", 'e', "disabled|*", 0 }, { "vmtrace_buf_kb", 'i', 0, 0 },
    { "vpmu", 'd', 0, 0 }, { 0, 0, 0, 0 }
};

static const struct field device_disk[] = {
    { "backend_domid", 'i', 0, 0 }, { "backend_domname", 's', 0, 0 },
    { "pdev_path", 's', 0, 0 }, { "vdev", 's', 0, 0 },
    { "backend", 'e', "unknown|*", 0 }, { "format", 'e', "unknown|*", 0 },
    { "script", 's', 0, 0 }, { "removable", 'i', 0, 0 },
    { "readwrite", 'i', 0, 0 }, { "is_cdrom", 'i', 0, 0 },
    { "direct_io_safe", 'b', 0, 0 }, { "discard_enable", 'd', 0, 0 },
    { "specification", 'e', "unknown|*", 0 }, { "transport", 'e', "unknown|*", 0 },
    { "irq", 'i', 0, 0 }, { "base", 'i', 0, 0 },
    { "colo_enable", 'd', 0, 0 }, { "colo_restore_enable", 'd', 0, 0 },
    { "colo_host", 's', 0, 0 }, { "colo_port", 'i', 0, 0 },
    { "colo_export", 's', 0, 0 }, { "active_disk", 's', 0, 0 },
    { "hidden_disk", 's', 0, 0 }, { "trusted", 'd', 0, 0 }, { 0, 0, 0, 0 }
};

static const struct field device_nic[] = {
    { "backend_domid", 'i', 0, 0 }, { "backend_domname", 's', 0, 0 },
    { "devid", 'i', "-1", 0 }, { "mtu", 'i', 0, 0 }, { "model", 's', 0, 0 },
    { "mac", 'm', 0, 0 }, { "ip", 's', 0, 0 }, { "bridge", 's', 0, 0 },
    { "ifname", 's', 0, 0 }, { "script", 's', 0, 0 },
    { "nictype", 'e', "unknown|*", 0 }, { "rate_bytes_per_interval", 'i', 0, 0 },
    { "rate_interval_usecs", 'i', 0, 0 }, { "gatewaydev", 's', 0, 0 },
    { "trusted", 'd', 0, 0 }, { 0, 0, 0, 0 }
};

static const struct field device_pci[] = {
    { "func", 'i', 0, 0 }, { "dev", 'i', 0, 0 }, { "bus", 'i', 0, 0 },
    { "domain", 'i', 0, 0 }, { "vdevfn", 'i', 0, 0 },
    { "vfunc_mask", 'i', 0, 0 }, { "msitranslate", 'b', 0, 0 },
    { "power_mgmt", 'b', 0, 0 }, { "permissive", 'b', 0, 0 },
    { "seize", 'b', 0, 0 }, { "rdm_policy", 'e', "invalid|*", 0 },
    { "name", 's', 0, 0 }, { 0, 0, 0, 0 }
};

/* Devices of which only the backend matters to a toolstack like ours. */
static const struct field device_any[] = {
    { "backend_domid", 'i', 0, 0 }, { "backend_domname", 's', 0, 0 },
    { "devid", 'i', "-1", 0 }, { "tag", 's', 0, 0 }, { "path", 's', 0, 0 },
    { "security_model", 's', 0, 0 }, { "type", 'e', "auto|*", 0 },
    { "version", 'i', 0, 0 }, { "ports", 'i', 0, 0 },
    { "backend_type", 'e', "unknown|*", 0 }, { "unique_id", 's', 0, 0 },
    { "keymap", 's', 0, 0 }, { "uuid", 'U', 0, 0 }, { "name", 's', 0, 0 },
    { "vnc", '*', 0, 0 }, { "sdl", '*', 0, 0 }, { "ctrl", 'i', "-1", 0 },
    { "port", 'i', 0, 0 }, { "type.hostdev", '*', 0, 0 },
    { "connection.pty", '*', 0, 0 }, { "connection.socket", '*', 0, 0 },
    { 0, 0, 0, 0 }
};

static const struct field device_dt[] = {
    { "path", 's', 0, 0 }, { 0, 0, 0, 0 }
};

static const struct field domain_config[] = {
    { "c_info", 'S', 0, create_info }, { "b_info", 'S', 0, build_info },
    { "disks", 'A', 0, device_disk }, { "nics", 'A', 0, device_nic },
    { "pcidevs", 'A', 0, device_pci }, { "rdms", '*', 0, 0 },
    { "dtdevs", 'A', 0, device_dt }, { "vfbs", 'A', 0, device_any },
    { "vkbs", 'A', 0, device_any }, { "vtpms", 'A', 0, device_any },
    { "p9s", 'A', 0, device_any }, { "pvcallsifs", 'A', 0, device_any },
    { "vdispls", 'A', 0, device_any }, { "vsnds", 'A', 0, device_any },
    { "channels", 'A', 0, device_any }, { "usbctrls", 'A', 0, device_any },
    { "usbdevs", 'A', 0, device_any }, { "on_poweroff", 'e', ACTIONS, 0 },
    { "on_reboot", 'e', ACTIONS, 0 }, { "on_watchdog", 'e', ACTIONS, 0 },
    { "on_crash", 'e', ACTIONS, 0 }, { "on_soft_reset", 'e', ACTIONS, 0 },
    { 0, 0, 0, 0 }
};
