/**
 * Tells the network where a guest is after a failover.
 *
 * The copy has the guest's own MAC address, so what other machines remember of its IPv4 and IPv6
 * addresses stays true, and need not be known here. What is wrong is where switches believe the MAC
 * address to be: behind the host that died. One broadcast frame with that source address corrects
 * every switch of the network. It is a RARP request (RFC 903), which nobody answers, as virtual
 * machine monitors send it after a migration; guests with Xen's Linux driver add their own
 * gratuitous ARP and neighbour advertisements.
 *
 * It goes out on the bridge that the interface hangs on, hence on each of its ports. The bridge
 * itself learns nothing from what it sends, so it is told (`bridge fdb replace`). An interface that
 * hangs on no bridge of the kernel's (routed, Open vSwitch) is left to what made it.
 */
import { errorText } from '../host/errors.ts';
import type { GuestInterface } from './interfaces.ts';
import type { Run } from './tools.ts';

/** Repeated, because one frame may be lost while a switch still settles. ms from the first. */
const atMs = [0, 150, 450, 1_000];

const etherTypeRarp = 0x8035;
const frameBytesMin = 60;
const broadcast = Buffer.alloc(6, 0xff);

/** The six bytes of 00:16:3e:.., or null for what is no address of one device. */
export function parseMac(text: string): Buffer | null {
  if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(text)) return null;
  const mac = Buffer.from(text.replaceAll(':', ''), 'hex');
  const isGroup = ((mac[0] ?? 0) & 1) === 1;
  return isGroup || mac.every((byte) => byte === 0) ? null : mac;
}

/** A RARP request of `mac` for its own address, as a broadcast. */
export function rarpFrame(mac: Buffer): Buffer {
  const frame = Buffer.alloc(frameBytesMin);
  broadcast.copy(frame, 0);
  mac.copy(frame, 6);
  frame.writeUInt16BE(etherTypeRarp, 12);
  frame.writeUInt16BE(1, 14); // Ethernet
  frame.writeUInt16BE(0x0800, 16); // IPv4
  frame[18] = 6;
  frame[19] = 4;
  frame.writeUInt16BE(3, 20); // request reverse
  mac.copy(frame, 22);
  mac.copy(frame, 32);
  return frame;
}

export interface AnnounceTools {
  readonly run: Run;
  readonly ofGuest: (domid: number) => readonly GuestInterface[];
  /** The bridge of the kernel's that an interface is a port of; null: none. */
  readonly bridgeOf: (name: string) => string | null;
  readonly sendFrame: (name: string, frame: Buffer) => void;
}

/**
 * Announces every interface of the guest; `macs` by the number of the device. Never throws: what
 * could not be done is in the answer, in words.
 */
export async function announce(
  domid: number,
  macs: ReadonlyMap<number, string>,
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
  const beganMs = performance.now();
  for (const [turn, dueMs] of atMs.entries()) {
    const waitMs = beganMs + dueMs - performance.now();
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
    for (const { name, devid, emulated } of tools.ofGuest(domid)) {
      const mac = parseMac(macs.get(devid) ?? '');
      const bridge = tools.bridgeOf(name);
      if (mac === null || bridge === null || emulated) continue;
      await tried(name, () => tools.sendFrame(bridge, rarpFrame(mac)));
      if (turn > 0) continue;
      const address = macs.get(devid) ?? '';
      const learn = ['fdb', 'replace', address, 'dev', name, 'master', 'dynamic'];
      await tried(name, () => tools.run(['bridge', ...learn]));
    }
  }
  return [...problems];
}

/** The tools of this host. */
export async function hostAnnounceTools(): Promise<AnnounceTools> {
  const { existsSync, readlinkSync } = await import('node:fs');
  const { basename } = await import('node:path');
  const { NativeLibrary } = await import('../native/library.ts');
  const { openDevices } = await import('./interfaces.ts');
  const { runTool } = await import('./tools.ts');
  const native = new NativeLibrary();
  return {
    run: runTool,
    ofGuest: openDevices().ofGuest,
    bridgeOf(name) {
      try {
        const master = basename(readlinkSync(`/sys/class/net/${name}/master`));
        return existsSync(`/sys/class/net/${master}/bridge`) ? master : null;
      } catch {
        return null;
      }
    },
    sendFrame: (name, frame) => native.sendFrame(name, frame),
  };
}
