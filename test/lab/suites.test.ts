/**
 * Where the packages of a suite come from: the machine's own mirrors, whatever release it has and
 * in whichever of apt's two formats it names them; and which suite and kind of guest a command
 * line or the environment asks for.
 */
import { afterEach, expect, it, vi } from 'vitest';
import { needsModel, takeAsked } from './asked.ts';
import { guestConfig, requireKind } from './guest.ts';
import type { Lab } from './lab.ts';
import { randomOf } from './scenarios/random.ts';
import { Trial } from './scenarios/trial.ts';
import { askedSuite, sourcesFor } from './suites.ts';
import { parseTestOptions } from './test-options.ts';

const stanzas = `Types: deb deb-src
# http://snapshot.example/20250520T000000Z
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates bookworm-backports
Components: main contrib
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mDMEZ
 -----END PGP PUBLIC KEY BLOCK-----

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main

Types: deb
URIs: http://node.example/node
Suites: nodistro
Components: main

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main
`;

afterEach(() => {
  vi.unstubAllEnvs();
});

it("puts the suite in place of the machine's, and keeps mirror and key", () => {
  const sources = [{ path: '/etc/apt/sources.list.d/debian.sources', text: stanzas }];
  expect(sourcesFor('trixie', sources, 'bookworm')).toBe(`Types: deb
URIs: http://mirror.example/debian
Suites: trixie trixie-updates
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mDMEZ
 -----END PGP PUBLIC KEY BLOCK-----

Types: deb
URIs: http://mirror.example/debian-security
Suites: trixie-security
Components: main
`);
});

it('reads the one-line format, with options, and leaves out what is no archive of Debian', () => {
  const text = `# the mirror next door
deb [arch=amd64 signed-by=/usr/share/keyrings/d.gpg] https://mirror.example/debian forky main # yes
deb-src https://mirror.example/debian forky main
deb cdrom:[Debian]/ forky main
deb https://packages.example/apt cloud-sdk-forky main
deb https://mirror.example/debian-security forky-security contrib
`;
  expect(sourcesFor('bookworm', [{ path: '/etc/apt/sources.list', text }], 'forky')).toBe(
    `Types: deb
URIs: https://mirror.example/debian
Suites: bookworm
Components: main
Signed-By: /usr/share/keyrings/d.gpg
`,
  );
});

it("asks Debian's own archive where the machine has none of Debian's", () => {
  const text = 'deb http://archive.ubuntu.example/ubuntu noble main\n';
  const sources = sourcesFor('trixie', [{ path: '/etc/apt/sources.list', text }], '');
  expect(sources).toContain('URIs: http://deb.debian.org/debian\nSuites: trixie trixie-updates\n');
  expect(sources).toContain('debian-security\nSuites: trixie-security\n');
  expect(sources).not.toContain('ubuntu');
});

it('takes suite and kind from the begin of a command line, else the environment', () => {
  const takeSuite = (words: readonly string[]) => {
    const { asked, rest } = takeAsked(words);
    return { suite: asked.suite, rest };
  };
  vi.stubEnv('TSREMUS_LAB_SUITE', 'bookworm');
  expect(takeSuite(['--suite', 'trixie', 'up'])).toEqual({ suite: 'trixie', rest: ['up'] });
  expect(takeSuite(['--suite=trixie', 'up'])).toEqual({ suite: 'trixie', rest: ['up'] });
  const command = ['ssh', 'a', 'grep', '--suite', 'x'];
  expect(takeSuite(command)).toEqual({ suite: 'bookworm', rest: command });
  const asked = { suite: 'trixie', kind: 'hvm' };
  expect(takeAsked(['--kind=hvm', '--suite', 'trixie', 'up'])).toEqual({ asked, rest: ['up'] });
  expect(() => takeAsked(['--kind'])).toThrow('expected pv, pvh, hvm, not nothing');
  expect(askedSuite('trixie')).toBe('trixie');
  vi.stubEnv('TSREMUS_LAB_SUITE', '');
  expect(askedSuite()).toBe(undefined);
  vi.stubEnv('TSREMUS_LAB_SUITE', 'buster');
  const refused = 'buster is no suite of the lab; there are: bookworm, trixie';
  expect(() => askedSuite()).toThrow(refused);
  expect(() => takeSuite(['--suite'])).toThrow('nothing is no suite of the lab');
});

it('refuses by name the kinds that the hosts cannot have', () => {
  const { names, suite, kind } = parseTestOptions(['kill', '--suite', 'trixie', '--kind', 'pvh']);
  expect({ names, suite, kind }).toEqual({ names: ['kill'], suite: 'trixie', kind: 'pvh' });
  expect(parseTestOptions(['--vcpus', '2']).vcpus).toBe(2);
  expect(guestConfig('h1', 'pvh', { vcpus: 2 })).toContain('\nvcpus = 2\n');
  expect(() => parseTestOptions(['--kind', 'vmx'])).toThrow('expected pv, pvh, hvm, not vmx');
  expect(['pv', 'pvh', 'hvm', null].map((one) => needsModel(one as never))).toEqual([
    false,
    false,
    true,
    false,
  ]);
  expect(() => requireKind(imagesOf(true), 'hvm')).toThrow('no device model');
  expect(() => requireKind({ ...imagesOf(false), deviceModel: true }, 'hvm')).not.toThrow();
  expect(() => requireKind(imagesOf(false), 'pv')).toThrow(/no PV guests on trixie.*XSA-495/);
  expect(() => requireKind(imagesOf(true), 'pv')).not.toThrow();
  expect(() => requireKind(imagesOf(false), 'pvh')).not.toThrow();
});

it('gives a trial the kind that was asked for, else its own as far as the hosts can', () => {
  const trial = (shadowPaging: boolean, kind: 'pv' | 'pvh' | null) =>
    new Trial(
      { images: imagesOf(shadowPaging) } as unknown as Lab,
      randomOf(1, 'kinds'),
      { soak: false, kind },
      () => {},
    );
  expect(trial(true, null).kindFor('pv')).toBe('pv');
  expect(trial(false, null).kindFor('pv')).toBe('pvh');
  expect(trial(true, null).kindFor('pvh')).toBe('pvh');
  expect(trial(true, 'pvh').kindFor('pv')).toBe('pvh');
  expect(trial(true, 'pv').kindFor('pvh')).toBe('pv');
});

function imagesOf(shadowPaging: boolean) {
  const version = shadowPaging ? '4.17.5' : '4.20.4';
  const hypervisor = { series: '', path: '', version, shadowPaging };
  return { hypervisor, suite: shadowPaging ? 'bookworm' : 'trixie', deviceModel: false } as const;
}
