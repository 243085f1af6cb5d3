/**
 * KVM or emulation: decided by a probe, once per machine and hypervisor, and remembered.
 *
 * A nested KVM may kill Xen ("KVM internal error. Suberror: 1"), so its presence proves nothing:
 * KVM is used only after Xen booted in it as far as the first program of its dom0.
 * TSREMUS_LAB_ACCEL=tcg|kvm overrules the probe.
 */
import { accessSync, constants, readFileSync, writeFileSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { artifact } from './cache.ts';
import { execute } from './command.ts';
import type { Suite } from './suites.ts';

export type Accelerator = 'tcg' | 'kvm';

const probeTimeoutMs = 25_000;

/** What the hosts run with on this machine. */
export async function ensureAccelerator(
  suite: Suite,
  xen: string,
  kernel: string,
  initramfs: string,
): Promise<Accelerator> {
  const wish = process.env['TSREMUS_LAB_ACCEL'];
  if (wish === 'tcg' || wish === 'kvm') return wish;
  if (!canOpen('/dev/kvm')) return 'tcg';
  const model = /^model name.*$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[0] ?? '';
  const bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8');
  const dir = await artifact(`kvm-${suite}`, [model, release(), bootId, xen], async (target) => {
    const passed = await probe(xen, kernel, initramfs);
    writeFileSync(join(target, 'result'), passed ? 'kvm' : 'tcg');
  });
  return readFileSync(join(dir, 'result'), 'utf8') as Accelerator;
}

async function probe(xen: string, kernel: string, initramfs: string): Promise<boolean> {
  const result = await execute(
    [
      'qemu-system-x86_64',
      '-accel',
      'kvm',
      '-machine',
      'pc',
      '-cpu',
      cpuModel('kvm'),
      '-m',
      '1024',
      '-nodefaults',
      '-display',
      'none',
      '-no-reboot',
      '-serial',
      'stdio',
      '-kernel',
      xen,
      '-append',
      `${xenArguments} dom0_mem=512M,max:512M`,
      '-initrd',
      `${kernel} console=hvc0 lab.probe=1,${initramfs}`,
    ],
    // After an internal error of KVM's the emulator does not end: it waits for a debugger.
    { timeoutMs: probeTimeoutMs, until: /KVM internal error|Panic on CPU|LAB probe passed/ },
  );
  return result.stdout.includes('LAB probe passed');
}

function canOpen(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** Arguments of the hypervisor that save time under emulation and cost no truth. */
export const xenArguments =
  'com1=115200 console=com1 dom0_max_vcpus=1 spec-ctrl=no xpti=off smep=0 smap=0 pv-l1tf=no ' +
  'loglvl=warning guest_loglvl=warning noreboot cpuidle=0';

/**
 * The processor that Xen sees. Under emulation, what is left out matters: with `monitor` Xen
 * panics in mwait_idle, and with xsave and what it saves, processes of PV guests crash at random.
 * svm stays in: emulated, it carries PVH guests.
 */
export function cpuModel(accelerator: Accelerator): string {
  if (accelerator === 'kvm') return 'host';
  return 'EPYC,-monitor,-xsave,-avx,-avx2,-fma,-f16c,-fsgsbase';
}
