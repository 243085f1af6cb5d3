/** The frames that tell a network where an address is now. Pure. */
import { isIPv4, isIPv6 } from 'node:net';

const etherTypeRarp = 0x8035;
const etherTypeArp = 0x0806;
const etherTypeIpv6 = 0x86dd;
const frameBytesMin = 60;
const ethernetBytes = 14;
const broadcast = Buffer.alloc(6, 0xff);

/** The six bytes of 00:16:3e:.., or null for what is no address of one device. */
export function parseMac(text: string): Buffer | null {
  if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(text)) return null;
  const mac = Buffer.from(text.replaceAll(':', ''), 'hex');
  const isGroup = ((mac[0] ?? 0) & 1) === 1;
  return isGroup || mac.every((byte) => byte === 0) ? null : mac;
}

/** The four or sixteen bytes of an address of one device; null for anything else. */
export function parseIp(text: string): Buffer | null {
  const bytes = isIPv4(text) ? ipv4(text) : isIPv6(text) && !text.includes('%') ? ipv6(text) : null;
  if (bytes === null) return null;
  const [first = 0] = bytes;
  const isUnicast =
    bytes.length === 4
      ? first !== 0 && first !== 127 && first < 224
      : first !== 0xff && bytes.subarray(0, 15).some((byte) => byte !== 0);
  return isUnicast ? bytes : null;
}

function ipv4(text: string): Buffer {
  return Buffer.from(text.split('.').map(Number));
}

function ipv6(text: string): Buffer {
  // The parser of URLs writes an IPv4 tail as two groups, too.
  const groups = new URL(`http://[${text}]`).hostname.slice(1, -1).split('::');
  const [head = [], tail = []] = groups.map((part) => part.split(':').filter(Boolean));
  const zeros = Array.from({ length: 8 - head.length - tail.length }, () => '0');
  const out = Buffer.alloc(16);
  for (const [at, word] of [...head, ...zeros, ...tail].entries()) {
    out.writeUInt16BE(Number.parseInt(word, 16), at * 2);
  }
  return out;
}

function ethernet(to: Buffer, mac: Buffer, type: number, bytes: number): Buffer {
  const frame = Buffer.alloc(Math.max(frameBytesMin, ethernetBytes + bytes));
  to.copy(frame, 0);
  mac.copy(frame, 6);
  frame.writeUInt16BE(type, 12);
  return frame;
}

/** The body that ARP (RFC 826) and RARP (RFC 903) share, of `mac` about itself. */
function arpBody(frame: Buffer, mac: Buffer, operation: number): void {
  frame.writeUInt16BE(1, 14); // Ethernet
  frame.writeUInt16BE(0x0800, 16); // IPv4
  frame[18] = 6;
  frame[19] = 4;
  frame.writeUInt16BE(operation, 20);
  mac.copy(frame, 22);
}

/** A RARP request of `mac` for its own address, as a broadcast. */
export function rarpFrame(mac: Buffer): Buffer {
  const frame = ethernet(broadcast, mac, etherTypeRarp, 28);
  arpBody(frame, mac, 3); // request reverse
  mac.copy(frame, 32);
  return frame;
}

/** An ARP announcement (RFC 5227, section 3): a request that asks for the sender's own address. */
export function arpFrame(mac: Buffer, ip: Buffer): Buffer {
  const frame = ethernet(broadcast, mac, etherTypeArp, 28);
  arpBody(frame, mac, 1); // request
  ip.copy(frame, 28);
  ip.copy(frame, 38);
  return frame;
}

/**
 * An unsolicited neighbour advertisement (RFC 4861, sections 4.4 and 7.2.6): from the address
 * itself to all nodes, with the override flag and the link-layer address.
 */
export function neighbourFrame(mac: Buffer, ip: Buffer): Buffer {
  const allNodes = Buffer.from('ff020000000000000000000000000001', 'hex');
  const icmpBytes = 32;
  const frame = ethernet(Buffer.from('333300000001', 'hex'), mac, etherTypeIpv6, 40 + icmpBytes);
  frame[14] = 0x60;
  frame.writeUInt16BE(icmpBytes, 18);
  frame[20] = 58; // ICMPv6
  frame[21] = 255; // else nobody takes it
  ip.copy(frame, 22);
  allNodes.copy(frame, 38);
  const icmp = frame.subarray(54);
  icmp[0] = 136; // neighbour advertisement
  icmp[4] = 0x20; // override
  ip.copy(icmp, 8);
  icmp[24] = 2; // target link-layer address
  icmp[25] = 1; // of eight bytes
  mac.copy(icmp, 26);
  icmp.writeUInt16BE(icmpChecksum(ip, allNodes, icmp), 2);
  return frame;
}

/** RFC 8200, section 8.1, over the pseudo-header; the field itself is still zero. */
function icmpChecksum(from: Buffer, to: Buffer, icmp: Buffer): number {
  const tail = Buffer.from([0, 0, 0, icmp.length, 0, 0, 0, 58]);
  const all = Buffer.concat([from, to, tail, icmp]);
  let sum = 0;
  for (let at = 0; at < all.length; at += 2) sum += all.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** Everything that is sent for one device, the frame that needs no address first. */
export function announcement(mac: Buffer, ips: readonly string[]): Buffer[] {
  const frames = [rarpFrame(mac)];
  for (const text of ips) {
    const ip = parseIp(text);
    if (ip !== null) frames.push(ip.length === 4 ? arpFrame(mac, ip) : neighbourFrame(mac, ip));
  }
  return frames;
}
