/**
 * What the output buffer needs of a host, for `tsremus check`: a line each, by the same looks as
 * when a buffer is made. Nothing is made and nothing loaded, but by `fixModules`. Never rejects.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Environment } from '../../config/settings.ts';
import { type CheckLine, failLine, okLine, readOn, skipLine } from '../../core/check/line.ts';
import { adviceLine } from '../../core/texts/advice.ts';
import { errorText, OperationError } from '../../host/errors.ts';
import type { Store } from '../../host/store.ts';
import { openDevices } from './interfaces.ts';
import { findInterfaces, type InterfaceRequest, planned } from './set-up.ts';
import { findTool, loadModules, moduleNames, type Run, tcJson } from './tools.ts';

/** Where systemd finds what to load at a boot (modules-load.d(5)). */
export const modulesFile = '/etc/modules-load.d/tsremus.conf';

/** The host that is looked at; `root`: what its own files are below. */
export interface LookPlaces {
  readonly root: string;
  readonly sysfs: string;
  readonly procDir: string;
  readonly env: Environment;
  readonly run: Run;
  readonly store: Store;
}

function failed(name: 'modules' | 'tools' | 'interfaces', error: unknown): CheckLine {
  const hint = error instanceof OperationError ? error.hint : undefined;
  return failLine(name, errorText(error), hint ?? readOn(name));
}

const tools = ['ip', 'tc', 'modprobe'] as const;

async function toolsLine({ run, env }: LookPlaces): Promise<CheckLine> {
  const missing = tools.filter((name) => findTool(name, env) === null);
  if (missing.length > 0) {
    const packages = [
      ...(missing.includes('ip') || missing.includes('tc') ? ['iproute2'] : []),
      ...(missing.includes('modprobe') ? ['kmod'] : []),
    ];
    const next = adviceLine({ kind: 'install-packages', packages, why: null });
    return failLine('tools', `${missing.join(', ')} cannot be found`, next);
  }
  try {
    await tcJson(run, ['qdisc', 'show', 'dev', 'lo'], 'cannot look at a device');
    return okLine('tools', `${tools.join(', ')}, and tc speaks JSON`);
  } catch (error) {
    return failed('tools', error);
  }
}

/** What modprobe would load; what is built in or loaded it passes over. */
const wouldLoad = /^insmod \S*?([^/\s]+)\.ko/gm;

async function modulesLine(places: LookPlaces): Promise<CheckLine> {
  let said = '';
  const run: Run = async (argv, options) => {
    const done = await places.run(argv, options);
    said += done.stdout;
    return done;
  };
  try {
    await loadModules(run, 'look');
    const later = [...said.matchAll(wouldLoad)].map(([, name = '']) => name);
    const isLocked = read(join(places.procDir, 'sys/kernel/modules_disabled')) === '1';
    if (later.length > 0 && isLocked) {
      const text = `this kernel loads no module any more, and lacks: ${later.join(' ')}`;
      return failLine('modules', text, adviceLine({ kind: 'see-modules' }));
    }
    return okLine('modules', later.length === 0 ? 'loaded' : 'there, loaded when needed');
  } catch (error) {
    return failed('modules', error);
  }
}

function read(path: string): string | null {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return null;
  }
}

/** Modules and programs. `isNeeded`: false where the guest has nothing to be buffered. */
export async function bufferLooks(
  places: LookPlaces,
  isNeeded: boolean,
): Promise<readonly CheckLine[]> {
  const why = 'nothing of this guest is buffered';
  if (!isNeeded) return [skipLine('tools', why), skipLine('modules', why)];
  const toolsFound = await toolsLine(places);
  if (findTool('modprobe', places.env) === null) return [toolsFound];
  return [toolsFound, await modulesLine(places)];
}

/** Interfaces of a guest that is here and not protected yet. */
export async function interfacesLook(
  request: InterfaceRequest,
  places: LookPlaces,
): Promise<CheckLine> {
  if (request.interfaceCount === 0) return okLine('interfaces', 'the guest has none');
  try {
    const devices = openDevices(places.sysfs);
    const found = await findInterfaces(request, { devices, store: places.store });
    await planned(found, request.domid, places.run);
    return okLine('interfaces', found.map(({ name }) => name).join(', '));
  } catch (error) {
    return failed('interfaces', error);
  }
}

/**
 * Loads the modules, now and at every boot: so they are there when a later kernel has taken the
 * files of this one away. Harmless: they do nothing by themselves.
 */
export async function fixModules({ run, root, store }: LookPlaces): Promise<CheckLine> {
  try {
    const names = moduleNames(await loadModules(run));
    const path = join(root, modulesFile);
    await store.ensureDir(join(path, '..'));
    await store.writeDurably(
      path,
      `# What tsremus needs to hold a guest's output.\n${names.join('\n')}\n`,
    );
    return okLine('modules', `loaded; ${modulesFile} has them loaded at every boot`);
  } catch (error) {
    return failed('modules', error);
  }
}
