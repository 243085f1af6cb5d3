/**
 * `tsremus@.service` under a real systemd (host.ts), with simulated guests: what systemd does to a
 * session, its guard and the owner of its copy.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { main, nativeFile, repository } from '../e2e/built.ts';
import { cleanUp, noticing, Pair, prepare, silenceMs } from '../e2e/pair.ts';
import { isRunning, until } from '../e2e/process.ts';
import type { SimDomain } from '../simxl/sim-host.ts';
import { noSystemdHere, SystemdHost } from './host.ts';

beforeAll(prepare);
afterAll(cleanUp);

const guest = 'g1';
const service = `tsremus@${guest}.service`;

/** The unit that is shipped, with the paths of this checkout; nothing else of it is changed. */
function shippedUnit(dir: string): string {
  const text = readFileSync(join(repository, 'share/systemd/tsremus@.service'), 'utf8');
  const words = `StandardError=append:${join(dir, 'words')}`;
  return text
    .replaceAll('/usr/sbin/tsremus', main)
    .replaceAll('/etc/tsremus', dir)
    .replace('[Service]', `[Service]\n${words}`);
}

/** The file of the guest, whose backup a command leads to. */
function declared(command: string): string {
  const settings = {
    ...{ peer: command, 'ssh-command': '', interval: 50, 'heartbeat-timeout': silenceMs },
    ...{ 'force-unsafe': true, 'no-network': true, 'no-disk': true },
  };
  const lines = Object.entries(settings).map(([key, value]) => `${key} = ${JSON.stringify(value)}`);
  return `${lines.join('\n')}\n`;
}

class Bench {
  readonly pair = new Pair();
  readonly host = new SystemdHost();
  /** As they are typed after `tsremus protect`, before the guest. */
  readonly options = ['-F', '-n', '-d', '-i', '50', ...noticing, '-s', ''];
  /** What is typed for the other host. */
  get peer(): string {
    return `sh ${join(this.pair.dir, 'login')}`;
  }

  async begin(): Promise<void> {
    const { pair, host } = this;
    const env = Object.entries(pair.a.env).map(([name, value]) => `${name}=${value}`);
    // The other host's end, as if its sshd had started it in a login.
    const login = 'exec systemd-run --quiet --scope --unit=login-b-$$';
    const command = join(pair.dir, 'login');
    writeFileSync(command, `${login} ${pair.wire.command(pair.receive(pair.b)).slice(5)}\n`);
    const lines = [...env, `TSREMUS_CONFIG_DIR=${host.dir}`];
    writeFileSync(join(host.dir, `${guest}.env`), `${lines.join('\n')}\n`);
    mkdirSync(join(host.dir, 'guests.d'));
    writeFileSync(join(host.dir, `guests.d/${guest}.toml`), declared(this.peer));
    host.unit('tsremus@.service', shippedUnit(host.dir));
    await host.start();
    await this.sim('create', guest, '--type', 'pvh', '--memory', '16', '--rate', '1000');
  }

  async close(): Promise<void> {
    await this.host.close();
    this.pair.close();
  }

  /** simxl in there: it knows a guest by its process. */
  async sim(...words: string[]): Promise<string> {
    const { code, out, err } = await this.host.run(
      ...[nativeFile('simxl'), '--host', this.pair.a.sim.dir, ...words],
    );
    if (code !== 0) throw new Error(`simxl ${words.join(' ')}: ${err}`);
    return out;
  }

  /** How the guest is on the primary. */
  async state(): Promise<string | undefined> {
    const all = JSON.parse(await this.sim('list', '--json')) as SimDomain[];
    return all.find(({ name, state }) => name === guest && state !== 'dead')?.state;
  }

  /** A command of the program on the primary. */
  tsremus(...words: string[]) {
    const env = Object.entries(this.pair.a.env).map(([name, value]) => `${name}=${value}`);
    return this.host.run('env', ...env, main, ...words);
  }

  said(): string {
    const path = join(this.host.dir, 'words');
    return existsSync(path) ? readFileSync(path, 'utf8') : '';
  }
}

function check(what: string, holds: boolean, found: unknown): void {
  expect(holds, `${what}: found ${JSON.stringify(found)}`).toBe(true);
}

const stories: Record<string, (bench: Bench) => Promise<void>> = {
  // Proves: ready is protected; the guard and the copy's owner get units of their own; SIGHUP is
  // for the log; the stop is an order, carried out.
  async 'start, reload, stop'(bench) {
    const { pair, host } = bench;
    const started = await host.run('systemctl', 'start', service);
    check('systemctl start ends well', started.code === 0, started);
    // Its log may lag behind what it says.
    await until('ready is protected', () => / ack 0$/m.test(pair.a.log(guest)));
    const shown = await host.show(service, 'StatusText', 'ActiveState', 'WatchdogUSec');
    check('it says how it is', /protected by/.test(shown['StatusText'] ?? ''), shown);
    const scopes = await until('both scopes are there', async () => {
      const names = await host.scopes('tsremus-');
      return names.length === 2 ? names : null;
    });
    check('the guard and the copy are in scopes', scopes.length === 2, scopes);
    const refusals = [pair.a, pair.b].flatMap((one) => one.session(guest)?.host_refusals ?? []);
    const ofUnits = refusals.filter((text) => text.includes('unit'));
    check('no unit was refused', ofUnits.length === 0, refusals);
    const reloaded = await host.run('systemctl', 'reload', service);
    check('reload ends nothing', reloaded.code === 0, reloaded);
    await pair.moreEpochs(pair.a, guest, 3);
    const stopped = await host.run('systemctl', 'stop', service);
    check('systemctl stop ends well', stopped.code === 0, stopped);
    const after = await host.show(service, 'ActiveState', 'Result', 'ExecMainStatus');
    check('the unit has not failed', after['ActiveState'] === 'inactive', after);
    check('the guest runs on', (await bench.state()) === 'running', await bench.state());
    check('by the promise', pair.b.record('').includes('promised'), pair.b.record(''));
    // The guest's own end is the guard's to see to, now that no session does.
    await until('its guard is all that is left', async () => {
      const left = await host.scopes('tsremus-');
      return left.length === 1 && left[0]?.startsWith('tsremus-guard-');
    });
    await bench.sim('destroy', guest);
    await until('nothing of it is left', async () => (await host.scopes('tsremus-')).length === 0);
  },

  // Proves: what a person starts in a login has a unit of its own, out of swap, which is stopped in
  // order: after what it needs has begun, before its guard, and without ending the transport first.
  async 'a session that is typed in a login'(bench) {
    const { pair, host, options, peer } = bench;
    const env = Object.entries(pair.a.env).map(([name, value]) => `${name}=${value}`);
    const login = ['systemd-run', '--quiet', '--scope', '--unit=login-a'];
    const typed = host.run('env', ...env, ...login, main, 'protect', ...options, guest, peer);
    const scope = await until('the session has its scope', async () => {
      return (await host.scopes('tsremus-protect-'))[0];
    });
    await until('it protects', () => / ack 0$/m.test(pair.a.log(guest)));
    const shown = await host.show(scope, 'MemorySwapMax', 'After', 'Before');
    check('it is not swapped out', shown['MemorySwapMax'] === '0', shown);
    const guard = (await host.scopes('tsremus-guard-'))[0] ?? 'none';
    check('its guard is stopped after it', shown['After']?.includes(guard) === true, shown);
    const refusals = pair.a.session(guest)?.host_refusals ?? [];
    check('no unit was refused', !refusals.some((text) => text.includes('unit')), refusals);
    await host.run('systemctl', 'stop', scope);
    const { code } = await typed;
    check('the window ends as by SIGTERM', code === 143, code);
    check('by the promise', pair.b.record('').includes('promised'), pair.b.record(''));
    check('asked over the link', /answer #1 \(link\)/.test(pair.b.log(guest)), pair.b.log(guest));
    check('the guest runs on', (await bench.state()) === 'running', await bench.state());
  },

  // Proves: the guard outlives a session that is killed, and the restart begins no old session.
  async 'a killed session'(bench) {
    const { pair, host } = bench;
    await host.run('systemctl', 'start', service);
    const guard = (): number => {
      const pid = pair.guards()[0];
      if (pid === undefined) throw new Error('no guard');
      return pid;
    };
    const its = guard();
    await host.run('systemctl', 'kill', '--kill-whom=main', '--signal=KILL', service);
    await until('systemd sees it', async () => {
      return (await host.show(service, 'Result'))['Result'] !== 'success';
    });
    check('its guard lives', isRunning(its), its);
    const failed = await until('its one restart is refused', async () => {
      const shown = await host.show(service, 'ActiveState', 'ExecMainStatus', 'NRestarts');
      return shown['ActiveState'] === 'failed' ? shown : null;
    });
    check('because an old session is there', failed['ExecMainStatus'] === '11', failed);
    check('the guard lives yet', isRunning(its), its);
    check('the guest runs', (await bench.state()) === 'running', await bench.state());
    const stopped = await bench.tsremus('stop', guest);
    check('tsremus stop settles it', stopped.code === 0, stopped);
  },

  // Proves: a session that hangs is ended, and its guest does not stay suspended.
  async 'a session that hangs'(bench) {
    const { host } = bench;
    await host.run('systemctl', 'start', service);
    await host.run('systemctl', 'kill', '--kill-whom=main', '--signal=STOP', service);
    await until('the watchdog ends it', async () => {
      const shown = await host.show(service, 'Result', 'ActiveState', 'NRestarts');
      return shown['Result'] === 'watchdog' || shown['NRestarts'] !== '0';
    });
    await until('the guest runs', async () => (await bench.state()) === 'running');
    check('the guest runs', true, null);
  },

  // Proves: at a shutdown of the backup's host the owner of the copy is ended before the login is,
  // and has promised by then; the restore is not ended under it.
  async 'a shutdown of the backup'(bench) {
    const { pair, host } = bench;
    await host.run('systemctl', 'start', service);
    const scope = await until('the copy has its scope', async () => {
      return (await host.scopes('tsremus-receive-'))[0];
    });
    const login = (await host.scopes('login-b-'))[0] ?? '';
    const shown = await host.show(scope, 'After', 'KillSignal', 'TimeoutStopUSec');
    check(
      'it is stopped before the login',
      (shown['After'] ?? '').split(' ').includes(login),
      shown,
    );
    // As an installation of any package does meanwhile.
    await host.run('systemctl', 'daemon-reload');
    // One transaction, as a shutdown is; `systemctl stop A B` is two, and the first begins at once.
    host.unit('down.target', `[Unit]\nConflicts=${login} ${scope}\n`);
    const down = await host.run('systemctl', 'start', 'down.target');
    check('both are told to end', down.code === 0, down);
    await until('both have ended', async () => {
      const left = await host.scopes('');
      return !left.includes(login) && !left.includes(scope);
    });
    const order = host.log.indexOf(`Stopped ${scope}`);
    // The login may end by itself once the copy has: then nobody has to stop it.
    const isToldTo = host.log.includes(`Stopping ${login}`);
    const then = host.log.indexOf(`${isToldTo ? 'Stopping' : 'Stopped'} ${login}`);
    check('the copy was stopped before the login', order >= 0 && order < then, host.log);
    check('the record is promised', pair.b.record('').includes('promised'), pair.b.record(''));
    await until('it was asked over the link', () => {
      return /answer #\d+ \(link\): promised/.test(pair.b.log(guest));
    });
    await until('the guest goes on, unprotected', () => {
      return /"kind":"unprotected"/.test(pair.a.log(guest));
    });
    await until('it is protected again', () => {
      return (pair.a.log(guest).match(/ protected by /g) ?? []).length === 2;
    });
    // In a checkpoint it is suspended.
    await until('the guest runs on', async () => (await bench.state()) === 'running');
  },
};

it.for(Object.keys(stories))('%s', async (name, { skip }) => {
  const lacking = noSystemdHere();
  skip(lacking !== null, lacking ?? '');
  const bench = new Bench();
  try {
    await bench.begin();
    await stories[name]?.(bench);
  } catch (error) {
    const { pair, host } = bench;
    console.log(bench.said(), host.log, pair.a.log(), pair.b.log());
    throw error;
  } finally {
    await bench.close();
  }
});
