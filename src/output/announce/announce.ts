/**
 * Tells the network where a guest is after a failover.
 *
 * The copy has the guest's own MAC address, so what other machines remember of its IPv4 and IPv6
 * addresses stays true. What is wrong is where switches believe the MAC address to be: behind the
 * host that died. One broadcast frame with that source address corrects every switch. It is a
 * RARP request (RFC 903), which nobody answers, as virtual machine monitors send it after a
 * migration. Addresses that the guest's configuration gives an interface (`ip=`) are announced
 * beside it, IPv4 by gratuitous ARP, IPv6 by neighbour advertisement, for what learns from these
 * alone. Guests with Xen's Linux driver add their own.
 *
 * It goes out on the bridge that the interface hangs on, hence on each of its ports. The bridge
 * itself learns nothing from what it sends, so it is told (`bridge fdb replace`) as soon as it
 * would learn on that port: with EPERM it refuses where the port neither learns nor forwards
 * (net/bridge/br_fdb.c, fdb_add_entry), as while the guest's driver has not connected. Where that
 * takes longer it learns from the guest's own first frame. An HVM guest that has no such driver
 * hangs on the emulated interface, whose port learns from the beginning: that one is told of. An
 * interface that hangs on no bridge of the kernel's (routed, Open vSwitch) is left to what made it.
 */
import type { Environment } from '../../config/settings.ts';
import { sleep, type Time } from '../../host/clock.ts';
import { errorText } from '../../host/errors.ts';
import type { GuestInterface } from '../plug/interfaces.ts';
import type { Run } from '../plug/tools.ts';
import { announcement, parseMac } from './frames.ts';

/** Repeated, because one frame may be lost while a switch still settles. ms from the first. */
const atMs = [0, 150, 450, 1_000];

/** What the guest's configuration says of one interface. */
export interface NicAddresses {
  readonly mac: string;
  /** IPv4 and IPv6, as they were written; what is no address is left out. */
  readonly ips: readonly string[];
}

export interface AnnounceTools extends Time {
  readonly run: Run;
  readonly ofGuest: (domid: number) => readonly GuestInterface[];
  /** The bridge of the kernel's that an interface is a port of; null: none. */
  readonly bridgeOf: (name: string) => string | null;
  /** The bridge would learn from a frame on this port of its own. */
  readonly isLearning: (name: string) => boolean;
  readonly sendFrame: (name: string, frame: Buffer) => void;
}

/**
 * Announces every interface of the guest; `nics` by the number of the device. Never throws: what
 * could not be done is in the answer, in words.
 */
export async function announce(
  domid: number,
  nics: ReadonlyMap<number, NicAddresses>,
  tools: AnnounceTools,
): Promise<string[]> {
  const problems = new Set<string>();
  const tried = async (name: string, work: () => unknown) => {
    try {
      await work();
    } catch (error) {
      problems.add(`cannot announce ${name}: ${errorText(error)}`);
    }
  };
  const told = new Set<string>();
  const { clock, timers } = tools;
  const beganMs = clock.nowMs();
  for (const dueMs of atMs) {
    const waitMs = beganMs + dueMs - clock.nowMs();
    if (waitMs > 0) await sleep(timers, waitMs);
    const found = tools.ofGuest(domid);
    const isConnected = (devid: number) =>
      found.some((one) => one.devid === devid && !one.emulated && tools.isLearning(one.name));
    for (const { name, devid, emulated } of found) {
      const { mac: address, ips } = nics.get(devid) ?? { mac: '', ips: [] };
      const mac = parseMac(address);
      const bridge = tools.bridgeOf(name);
      if (mac === null || bridge === null || (emulated && isConnected(devid))) continue;
      for (const frame of emulated ? [] : announcement(mac, ips)) {
        await tried(name, () => tools.sendFrame(bridge, frame));
      }
      if (told.has(name) || !tools.isLearning(name)) continue;
      told.add(name);
      const learn = ['fdb', 'replace', address, 'dev', name, 'master', 'dynamic'];
      await tried(name, () => tools.run(['bridge', ...learn]));
    }
  }
  return [...problems];
}

/** What the tools are made of. */
export interface AnnounceHost extends Time {
  readonly env: Environment;
  /** Of libtsremus, where it is not beside us. */
  readonly nativePath?: string | undefined;
}

/** The tools of this host; loads FFI. */
export async function hostAnnounceTools(host: AnnounceHost): Promise<AnnounceTools> {
  const { clock, timers, env, nativePath } = host;
  const { existsSync, readFileSync, readlinkSync } = await import('node:fs');
  const { basename } = await import('node:path');
  const { PlugLibrary } = await import('../../native/plug.ts');
  const { openDevices } = await import('../plug/interfaces.ts');
  const { toolRunner } = await import('../plug/tools.ts');
  const native = new PlugLibrary(nativePath);
  return {
    ...{ clock, timers },
    run: toolRunner(env),
    ofGuest: openDevices().ofGuest,
    bridgeOf(name) {
      try {
        const master = basename(readlinkSync(`/sys/class/net/${name}/master`));
        return existsSync(`/sys/class/net/${master}/bridge`) ? master : null;
      } catch {
        return null;
      }
    },
    isLearning(name) {
      try {
        const state = readFileSync(`/sys/class/net/${name}/brport/state`, 'utf8').trim();
        return state === '2' || state === '3'; // BR_STATE_LEARNING, BR_STATE_FORWARDING
      } catch {
        return false;
      }
    },
    sendFrame: (name, frame) => native.sendFrame(name, frame),
  };
}
