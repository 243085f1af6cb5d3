import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Time } from '../../../src/host/clock.ts';
import { specOf } from '../../../src/hypervisor/xen/guest-config.ts';
import {
  type AnnounceTools,
  announce,
  type NicAddresses,
} from '../../../src/output/announce/announce.ts';
import {
  announcement,
  arpFrame,
  neighbourFrame,
  parseIp,
  parseMac,
  rarpFrame,
} from '../../../src/output/announce/frames.ts';
import { xlWords } from '../../fixtures/xl-words.ts';

const mac = '00:16:3e:01:02:03';
const macBytes = Buffer.from('00163e010203', 'hex');

function ip(text: string): Buffer {
  const bytes = parseIp(text);
  if (bytes === null) throw new Error(`${text} is no address`);
  return bytes;
}

describe('the frames', () => {
  it('are a RARP request of the guest to everybody', () => {
    const frame = rarpFrame(macBytes);
    expect(frame.length).toBe(60);
    expect(frame.toString('hex').replace(/(00)+$/, '')).toBe(
      `ffffffffffff00163e0102038035${'0001080006040003'}${'00163e01020300000000'}00163e010203`,
    );
  });

  // RFC 826 for the fields, RFC 5227 section 3: sender and target address are the same, the
  // target's hardware address is zero.
  it('are an ARP announcement for IPv4', () => {
    const frame = arpFrame(macBytes, ip('192.0.2.7'));
    expect(frame.toString('hex')).toBe(
      `ffffffffffff00163e0102030806${'0001080006040001'}${'00163e010203c0000207'}` +
        `${'000000000000c0000207'}${'00'.repeat(18)}`,
    );
  });

  // RFC 4861 sections 4.4 and 7.2.6. The checksum was computed by another program.
  it('are an unsolicited neighbour advertisement for IPv6', () => {
    const frame = neighbourFrame(macBytes, ip('2001:db8::1:2'));
    const [from, nodes] = ['20010db8000000000000000000010002', `ff02${'00'.repeat(13)}01`];
    expect(frame.toString('hex')).toBe(
      `33330000000100163e01020386dd${'60000000'}${'00203aff'}${from}${nodes}` +
        `${'8800bb0d20000000'}${from}${'020100163e010203'}`,
    );
  });

  // Proves: whoever checks the checksum takes the frame, whatever the addresses are.
  it('have a right checksum', () => {
    const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
    fc.assert(
      fc.property(bytes(6), bytes(16), (from, address) => {
        const frame = neighbourFrame(Buffer.from(from), Buffer.from(address));
        const pseudo = Buffer.concat([
          frame.subarray(22, 54),
          Buffer.from([0, 0, 0, 32, 0, 0, 0, 58]),
        ]);
        const all = Buffer.concat([pseudo, frame.subarray(54)]);
        let sum = 0;
        for (let at = 0; at < all.length; at += 2) sum += all.readUInt16BE(at);
        while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
        expect(sum).toBe(0xffff);
      }),
    );
  });

  it.each([
    ['2001:db8::1', '20010db8000000000000000000000001'],
    ['FE80::216:3eff:fe01:203', 'fe8000000000000002163efffe010203'],
    ['1:2:3:4:5:6:7:8', '00010002000300040005000600070008'],
    ['64:ff9b::192.0.2.1', '0064ff9b0000000000000000c0000201'],
    ['192.0.2.1', 'c0000201'],
  ])('know the address %s', (text, hex) => expect(ip(text).toString('hex')).toBe(hex));

  it.each([
    '',
    'x',
    '0.0.0.0',
    '127.0.0.1',
    '224.0.0.1',
    '255.255.255.255',
    '::',
    '::1',
    'ff02::1',
    'fe80::1%eth0',
    '192.0.2.1/24',
  ])('take %j for no address of a guest', (text) => {
    expect(parseIp(text)).toBeNull();
    expect(announcement(macBytes, [text])).toEqual([rarpFrame(macBytes)]);
  });

  it.each(['', 'x', '00:16:3e:01:02', '01:00:5e:00:00:01', '00:00:00:00:00:00'])(
    'take %j for no address of a device',
    (text) => expect(parseMac(text)).toBeNull(),
  );
});

it('takes the addresses from what the configuration gives each interface', () => {
  const nics = [
    { mac, ip: '192.0.2.7/24 2001:db8::7', devid: 0 },
    { mac: '00:16:3e:01:02:04', devid: 2 },
    { ip: '192.0.2.8' },
  ];
  expect(specOf({ nics }, xlWords).interfaces).toEqual([
    { index: 0, mac, ips: ['192.0.2.7', '2001:db8::7'] },
    { index: 2, mac: '00:16:3e:01:02:04', ips: [] },
    { index: 2, mac: null, ips: ['192.0.2.8'] },
  ]);
});

describe('an announcement', () => {
  interface Done {
    readonly sent: string[];
    readonly commands: string[];
    /** When frames were sent, ms from the first. */
    readonly rounds: Set<number>;
    readonly tools: AnnounceTools;
  }

  /** A clock that goes on by what is waited for, and by nothing else. */
  function waitedTime(): Time {
    let nowMs = 0;
    return {
      clock: { nowMs: () => nowMs, wall: () => new Date(nowMs) },
      timers: {
        after(delayMs, run) {
          nowMs += delayMs;
          queueMicrotask(run);
          return () => {};
        },
        soon: () => expect.fail('nothing waits for a turn'),
      },
    };
  }

  function bench(changes: Partial<AnnounceTools> = {}): Done {
    const [sent, commands]: [string[], string[]] = [[], []];
    const rounds = new Set<number>();
    const time = waitedTime();
    const guest = (name: string, devid: number, emulated = false) => {
      return { name, devid, emulated, index: devid + 1 };
    };
    const tools: AnnounceTools = {
      ...time,
      run: async (argv) => {
        commands.push(argv.join(' '));
        return { stdout: '', code: 0 };
      },
      ofGuest: () => [
        guest('vif3.0', 0),
        guest('vif3.0-emu', 0, true),
        guest('vif3.1', 1),
        guest('vif3.2', 2),
      ],
      bridgeOf: (name) => ({ 'vif3.0': 'xenbr0', 'vif3.2': 'xenbr1' })[name] ?? null,
      isLearning: () => true,
      sendFrame(name, frame) {
        sent.push(`${name} ${frame.toString('hex', 6, 14)}`);
        rounds.add(time.clock.nowMs());
      },
      ...changes,
    };
    return { sent, commands, rounds, tools };
  }

  const nics = new Map<number, NicAddresses>([
    [0, { mac, ips: ['192.0.2.7', '2001:db8::7'] }],
    [1, { mac: '00:16:3e:01:02:04', ips: [] }],
    [2, { mac: '00:16:3e:01:02:05', ips: [] }],
  ]);

  it('goes out on the bridge of each interface, several times, and tells the bridge', async () => {
    const { sent, commands, rounds, tools } = bench();
    expect(await announce(3, nics, tools)).toEqual([]);
    const round = [
      'xenbr0 00163e0102038035',
      'xenbr0 00163e0102030806',
      'xenbr0 00163e01020386dd',
      'xenbr1 00163e0102058035',
    ];
    expect(sent).toEqual([...round, ...round, ...round, ...round]);
    expect([...rounds]).toEqual([0, 150, 450, 1_000]);
    expect(commands).toEqual([
      `bridge fdb replace ${mac} dev vif3.0 master dynamic`,
      'bridge fdb replace 00:16:3e:01:02:05 dev vif3.2 master dynamic',
    ]);
  });

  // Proves: a port that does not learn yet would refuse (EPERM); it is told when it does.
  it('waits until the bridge would learn, and leaves it be where it never does', async () => {
    let looks = 0;
    const later = bench({ isLearning: (name) => name === 'vif3.0' && ++looks > 2 });
    expect(await announce(3, nics, later.tools)).toEqual([]);
    expect(later.commands).toEqual([`bridge fdb replace ${mac} dev vif3.0 master dynamic`]);
    expect(later.sent).toHaveLength(16);
  });

  // Proves: an HVM guest without PV drivers is reached at once, one with them by the right port.
  it('tells of the emulated interface while nothing drives the other one', async () => {
    const bridgeOf = (name: string) => (name.startsWith('vif3.0') ? 'xenbr0' : null);
    const alone = bench({ bridgeOf, isLearning: (name) => name === 'vif3.0-emu' });
    expect(await announce(3, nics, alone.tools)).toEqual([]);
    expect(alone.commands).toEqual([`bridge fdb replace ${mac} dev vif3.0-emu master dynamic`]);
    expect(alone.sent).toHaveLength(12);
    const both = bench({ bridgeOf });
    await announce(3, nics, both.tools);
    expect(both.commands).toEqual([`bridge fdb replace ${mac} dev vif3.0 master dynamic`]);
  });

  it('says what could not be done, and goes on', async () => {
    const { tools } = bench({
      sendFrame() {
        throw new Error('network is down');
      },
    });
    const problems = await announce(3, new Map([[0, { mac, ips: [] }]]), tools);
    expect(problems).toEqual(['cannot announce vif3.0: network is down']);
  });
});
