/**
 * The releases of Debian that the hosts can be, and where apt finds their packages.
 *
 * No mirror is written down: the machine's own sources are read, and the suite's name is put in
 * place of the machine's. So what a machine may reach is what the lab asks, and a machine with
 * one release has the lab with another one.
 */
import { LabError } from './command.ts';

export const suites = ['bookworm', 'trixie'] as const;
export type Suite = (typeof suites)[number];

export const defaultSuite: Suite = 'bookworm';

/** Of these Debian's own Node is new enough for tsremus; others get the one that runs the lab. */
export const suitesWithNode: readonly Suite[] = ['trixie'];

/** Reads a suite from a command line or the environment. */
export function parseSuite(text: string): Suite {
  const suite = suites.find((name) => name === text);
  if (suite !== undefined) return suite;
  const name = text === '' ? 'nothing' : text;
  throw new LabError(`${name} is no suite of the lab; there are: ${suites.join(', ')}`);
}

/** The suite that was asked for: the word behind --suite, else TSREMUS_LAB_SUITE, if any. */
export function askedSuite(word?: string): Suite | undefined {
  const text = word ?? process.env['TSREMUS_LAB_SUITE'];
  return text ? parseSuite(text) : undefined;
}

/** One source of apt's, as far as the lab needs it. */
interface Source {
  readonly uris: string;
  readonly suites: readonly string[];
  readonly components: readonly string[];
  /** The whole field, which may be a key of many lines. */
  readonly signedBy: string | null;
}

/** What a machine without any source of Debian's gets. */
const debianOrg: readonly Source[] = [
  { uris: 'http://deb.debian.org/debian', suites: ['stable', 'stable-updates'] },
  { uris: 'http://deb.debian.org/debian-security', suites: ['stable-security'] },
].map((source) => ({
  ...source,
  components: ['main'],
  signedBy: '/usr/share/keyrings/debian-archive-keyring.gpg',
}));

/**
 * A sources file for `suite` in deb822 format, made from the texts of the machine's own sources
 * (sources.list and *.list by lines, *.sources by stanzas). `codename` is the machine's release.
 */
export function sourcesFor(
  suite: Suite,
  machine: readonly { readonly path: string; readonly text: string }[],
  codename: string,
): string {
  const found = machine.flatMap(({ path, text }) =>
    path.endsWith('.sources') ? stanzasOf(text) : linesOf(text),
  );
  const own = stanzasFor(suite, found, codename);
  const all = own.length > 0 ? own : stanzasFor(suite, debianOrg, codename);
  return `${all.join('\n\n')}\n`;
}

function stanzasFor(suite: Suite, sources: readonly Source[], codename: string): string[] {
  const known = [codename, ...suites, 'stable', 'oldstable', 'testing'];
  const renamed = (name: string) =>
    ['', '-updates', '-security']
      .filter((place) => known.some((base) => name === `${base}${place}`))
      .map((place) => `${suite}${place}`);
  const stanzas = sources
    .filter(({ components }) => components.includes('main'))
    .flatMap(({ uris, suites: names, signedBy }) => {
      const wanted = [...new Set(names.flatMap(renamed))];
      if (wanted.length === 0) return [];
      const fields = { Types: 'deb', URIs: uris, Suites: wanted.join(' '), Components: 'main' };
      const named = Object.entries({ ...fields, ...(signedBy && { 'Signed-By': signedBy }) });
      return [named.map(([name, value]) => `${name}: ${value}`.replace(': \n', ':\n')).join('\n')];
    });
  return [...new Set(stanzas)];
}

/** sources.list(5), "one-line-style": `deb [ option=value … ] URI SUITE COMPONENT…`. */
function linesOf(text: string): Source[] {
  return text.split('\n').flatMap((line) => {
    const [, options = '', uris, name, components] =
      /^\s*deb\s+(?:\[([^\]]*)\]\s*)?(\S+)\s+(\S+)\s+([^#]+)/.exec(line) ?? [];
    if (uris === undefined || uris.startsWith('cdrom:')) return [];
    const signedBy = /(?:^|\s)signed-by=(\S+)/.exec(options)?.[1] ?? null;
    const words = (components ?? '').trim().split(/\s+/);
    return [{ uris, suites: [name as string], components: words, signedBy }];
  });
}

/** sources.list(5), "deb822-style": fields, of which each may go on in lines that begin blank. */
function stanzasOf(text: string): Source[] {
  const plain = text.replace(/^#.*\n?/gm, '');
  return plain.split(/\n\s*\n/).flatMap((stanza) => {
    const field = (name: string) =>
      new RegExp(`^${name}:[ \\t]*(.*(?:\\n[ \\t].*)*)`, 'im').exec(stanza)?.[1]?.trimEnd() ?? '';
    const words = (name: string) => field(name).split(/\s+/).filter(Boolean);
    if (!words('Types').includes('deb') || /^no$/i.test(field('Enabled'))) return [];
    return [
      {
        uris: words('URIs').join(' '),
        suites: words('Suites'),
        components: words('Components'),
        signedBy: field('Signed-By') || null,
      },
    ];
  });
}
