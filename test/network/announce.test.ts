import { describe, expect, it } from 'vitest';
import { type AnnounceTools, announce, parseMac, rarpFrame } from '../../src/network/announce.ts';

const mac = '00:16:3e:01:02:03';

describe('an announcement', () => {
  it('is a RARP request of the guest to everybody', () => {
    const frame = rarpFrame(parseMac(mac) ?? Buffer.alloc(0));
    expect(frame.length).toBe(60);
    expect(frame.toString('hex').replace(/(00)+$/, '')).toBe(
      'ffffffffffff' +
        '00163e010203' +
        '8035' +
        '0001080006040003' +
        '00163e01020300000000' +
        '00163e010203',
    );
  });

  it.each(['', 'x', '00:16:3e:01:02', '01:00:5e:00:00:01', '00:00:00:00:00:00'])(
    'takes %j for no address',
    (text) => expect(parseMac(text)).toBeNull(),
  );

  function tools(sent: string[], commands: string[]): AnnounceTools {
    const guest = (name: string, devid: number, emulated = false) => {
      return { name, devid, emulated, index: devid + 1 };
    };
    return {
      run: async (argv) => {
        commands.push(argv.join(' '));
        return { stdout: '', code: 0 };
      },
      ofGuest: () => [guest('vif3.0', 0), guest('vif3.0-emu', 0, true), guest('vif3.1', 1)],
      bridgeOf: (name) => (name === 'vif3.1' ? null : 'xenbr0'),
      sendFrame: (name, frame) => void sent.push(`${name} ${frame.toString('hex', 6, 12)}`),
    };
  }

  it('goes out on the bridge of each interface, several times, and tells the bridge', async () => {
    const [sent, commands]: [string[], string[]] = [[], []];
    const macs = new Map([
      [0, mac],
      [1, '00:16:3e:01:02:04'],
    ]);
    expect(await announce(3, macs, tools(sent, commands))).toEqual([]);
    expect(sent).toEqual(Array.from({ length: 4 }, () => 'xenbr0 00163e010203'));
    expect(commands).toEqual([`bridge fdb replace ${mac} dev vif3.0 master dynamic`]);
  });

  it('says what could not be done, and goes on', async () => {
    const broken: AnnounceTools = {
      ...tools([], []),
      sendFrame() {
        throw new Error('network is down');
      },
    };
    const problems = await announce(3, new Map([[0, mac]]), broken);
    expect(problems).toEqual(['cannot announce vif3.0: network is down']);
  });
});
