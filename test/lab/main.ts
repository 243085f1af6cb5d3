/**
 * The lab's command line: reads arguments, calls the library, prints. See README.md.
 */
import { existsSync, readdirSync } from 'node:fs';
import { type Asked, needsModel, takeAsked } from './asked.ts';
import { ensureBuilt } from './build.ts';
import { LabError } from './command.ts';
import { askGuest, createGuest, guestConfig, guestIp, guestKinds, parseKind } from './guest.ts';
import { emulatorPid } from './host.ts';
import { clean, currentImages, down, freeze, install, kill, ssh, thaw, up } from './lab.ts';
import { lockHolder, withLock } from './lock.ts';
import { requireRoot } from './machine.ts';
import { cut, cutFor, heal, networkExists, parseDirection } from './network.ts';
import { selftest } from './selftest.ts';
import { cacheDir, hostIds, hosts, parseHostId, runDir } from './settings.ts';
import { defaultSuite, suites } from './suites.ts';

const usage = `usage: npm run lab -- [--suite SUITE] [--kind KIND] COMMAND

  SUITE: ${suites.join(', ')}; KIND: ${guestKinds.join(', ')}; both are for build and up

  build                     make everything that a host needs; nothing is started
  selftest                  whether the lab's own checks find what they must
  up [a|b]                  boot the hosts that do not run
  down                      end all of it; only the cache stays
  status                    what runs
  ssh a|b [COMMAND...]      a shell in a host, or one command
  install                   push this checkout's build into the running hosts
  clean                     destroy all guests and copies, end tsremus in the hosts, heal
  kill a|b                  SIGKILL of that host's emulator
  freeze a|b, thaw a|b      stop that host for a while: its clock runs on
  cut [a-b|b-a|both] [MS]   drop packets between the hosts, until heal or for MS milliseconds
  heal                      let them pass again
  guest create a|b NAME pv|pvh|hvm [RATE [PAGES]]
  guest NAME state|verify|reset|rate N|runs N|beacon MS|poweroff|reboot|crash
  guest config NAME pv|pvh|hvm  print the configuration that xl would get
`;

type Command = (args: readonly string[], asked: Required<Asked>) => Promise<number>;

const say = (line: string) => {
  process.stdout.write(`${line}\n`);
};

const commands: Readonly<Record<string, Command>> = {
  build: async (_, { suite = defaultSuite, kind }) => {
    const model = needsModel(kind);
    const images = await withLock('lab build', () => ensureBuilt(suite, model, say));
    const { version, shadowPaging } = images.hypervisor;
    const kinds = [...(shadowPaging ? ['PV'] : []), 'PVH', ...(model ? ['HVM'] : [])];
    say(`${suite}: Xen ${version}; ${kinds.join(', ')}; ${images.accelerator}; cache ${cacheDir}`);
    return 0;
  },
  selftest: async () => ((await selftest(say)) === 0 ? 0 : 1),
  up: async ([id], asked) => {
    await up({ report: say, ...asked, ...(id ? { only: parseHostId(id) } : {}) });
    return 0;
  },
  down: async () => {
    await down();
    return 0;
  },
  status: async () => showStatus(),
  ssh: async ([id, ...words]) => {
    const host = parseHostId(id);
    const command = words.length > 1 ? words.join(' ') : (words[0] ?? '');
    const day = 24 * 3600 * 1000;
    const { code } = await ssh(host, command, { inherit: true, timeoutMs: day });
    return code;
  },
  install: () =>
    changing('lab install', async () => {
      const absent = await install();
      if (absent.length > 0) say(`not built yet, so not installed: ${absent.join(', ')}`);
    }),
  clean: () => changing('lab clean', () => clean()),
  kill: ([id]) =>
    changing('lab kill', async () => {
      await kill(parseHostId(id));
    }),
  freeze: ([id]) => changing('lab freeze', async () => freeze(parseHostId(id))),
  thaw: ([id]) => changing('lab thaw', async () => thaw(parseHostId(id))),
  cut: ([direction, ms]) =>
    changing('lab cut', async () => {
      if (!ms) return cut(parseDirection(direction));
      const times = await cutFor(parseDirection(direction), Number(ms));
      say(`cut for ${(times.toMs - times.fromMs).toFixed(1)} ms`);
    }),
  heal: () => changing('lab heal', heal),
  guest: async (args) => guestCommand(args),
};

async function changing(purpose: string, work: () => Promise<void>): Promise<number> {
  requireRoot();
  await withLock(purpose, work);
  return 0;
}

async function guestCommand(args: readonly string[]): Promise<number> {
  const [first, second, third, fourth, ...rest] = args;
  if (first === 'config') {
    process.stdout.write(guestConfig(second ?? 'g1', parseKind(third)));
    return 0;
  }
  const images = currentImages();
  if (first === 'create' && third) {
    const [rate, pages] = rest.map(Number);
    return changing('lab guest create', async () => {
      await createGuest(images, parseHostId(second), third, parseKind(fourth), {
        ...(rate === undefined ? {} : { rate }),
        ...(pages === undefined ? {} : { pages }),
      });
      say(`${third} answers at ${guestIp(third)}`);
    });
  }
  if (!first || !second) throw new LabError('guest: which, and what?', { hint: usage });
  const command = args.slice(1).join(' ');
  say(JSON.stringify(await askGuest(first, command, 30_000), null, 2));
  return 0;
}

function showStatus(): number {
  const holder = lockHolder();
  const user = holder && `${holder.purpose}, process ${holder.pid}, since ${holder.since}`;
  say(`lock     ${user ?? 'free'}`);
  say(`network  ${networkExists() ? 'up' : 'down'}`);
  for (const id of hostIds) {
    const pid = emulatorPid(id);
    const { name, lanIp, consoleLog } = hosts[id];
    say(`${name}    ${pid ? `up, process ${pid}, ${lanIp}, console ${consoleLog}` : 'down'}`);
  }
  if (existsSync(runDir)) say(`run      ${runDir}: ${readdirSync(runDir).join(' ')}`);
  return hostIds.every((id) => emulatorPid(id) !== undefined) ? 0 : 3;
}

async function main(argv: readonly string[]): Promise<number> {
  try {
    const { asked, rest } = takeAsked(argv);
    const command = commands[rest[0] ?? ''];
    if (!command) {
      process.stderr.write(usage);
      return 64;
    }
    return await command(rest.slice(1), asked);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    process.stderr.write(`lab: ${error.message}\n`);
    if (error instanceof LabError && error.hint) process.stderr.write(`Try: ${error.hint}\n`);
    if (!(error instanceof LabError) && process.env['DEBUG'])
      process.stderr.write(`${error.stack}\n`);
    return 1;
  }
}

// A reader that has seen enough (head, grep -q) is no error.
process.stdout.on('error', () => process.exit(0));
process.exitCode = await main(process.argv.slice(2));
