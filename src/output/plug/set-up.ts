/**
 * Makes an output buffer: for every interface of the guest two ifb devices of our own, an ingress
 * qdisc with a filter that takes every frame (IPv4, IPv6, ARP, tagged ones), and the plugs.
 *
 *     vif3.0 ── ingress ── matchall ── mirred (one action, turned at each barrier)
 *                                        ├──► tsr3.0a [plug] ┐ ifb: back to where the
 *                                        └──► tsr3.0b [plug] ┘ frame came from, vif3.0
 *
 * A kernel without matchall has u32 in its place (every-frame.ts).
 * The names say whose the devices are: tsr, the domain, the guest's device, `e` for an emulated
 * one, a or b. Nothing that somebody else made is touched.
 */
import type { Environment } from '../../config/settings.ts';
import { adviceLine } from '../../core/texts/advice.ts';
import type { Time } from '../../host/clock.ts';
import { OperationError } from '../../host/errors.ts';
import type { Store } from '../../host/store.ts';
import { PlugBuffer, type PlugBufferTools } from './buffer.ts';
import { aliasOf } from './device-note.ts';
import type { PlugDriver } from './driver.ts';
import {
  type Devices,
  type GuestInterface,
  openDevices,
  ownerOfQueue,
  queueNames,
} from './interfaces.ts';
import { linkListener } from './link-listener.ts';
import { queueLines, redirectWords } from './parts.ts';
import { scriptSetup } from './script.ts';
import {
  type BufferedInterface,
  type BufferPeer,
  type BufferState,
  readState,
  writeState,
} from './state-file.ts';
import {
  actionTargets,
  batch,
  findTool,
  loadModules,
  type Run,
  tcJson,
  toolRunner,
} from './tools.ts';

export interface BufferRequest {
  readonly domain: string;
  readonly domid: number;
  readonly uuid: string;
  readonly session: string;
  /** For whoever finds the buffer without its session: whom to ask, and -e. */
  readonly peer?: BufferPeer;
  readonly watch?: boolean;
  /** Interfaces that the guest's configuration has; as many must be found here. */
  readonly interfaceCount: number;
  /** Memory of dom0 that the frames held for one interface may take. */
  readonly limitBytes: number;
  /** -N; null: we do it. */
  readonly script: string | null;
  /** Where the state is written down. */
  readonly statePath: string;
  /** Interfaces appeared, vanished, or could not be looked at. */
  readonly onNews: (text: string) => void;
}

export interface BufferTools extends PlugBufferTools {
  /** `onNews`: it is not driven as it should be. */
  readonly openPlug: (onNews: (text: string) => void) => PlugDriver;
}

/**
 * Actions are numbered per host, and guests may be protected at the same moment: so an interface's
 * action has the kernel's own number of the interface, which no other device has or had. Far from
 * what `tc` gives out by itself, which begins at 1.
 */
const actionFirst = 0x4000_0000;
const interfacesMax = 0x2000_0000;

const noMatchall = 'this kernel has no cls_matchall: u32 takes every frame instead';

/** What of a request says whose interfaces are meant. */
export type InterfaceRequest = Pick<
  BufferRequest,
  'domain' | 'domid' | 'interfaceCount' | 'statePath'
>;

/** The guest's interfaces; throws where one is missing, or something is left of a session. */
export async function findInterfaces(
  request: InterfaceRequest,
  { devices, store }: Pick<BufferTools, 'devices' | 'store'>,
): Promise<GuestInterface[]> {
  const { domain, domid, statePath } = request;
  const isLeft = devices.names().some((name) => ownerOfQueue(name)?.domid === domid);
  if (isLeft || (await readState(store, statePath)) !== null) throw leftError(domain);
  const guests = devices.ofGuest(domid);
  checkFound(request, guests);
  return guests;
}

/** Sets a buffer up that lets everything through until the first barrier. */
export async function setUpBuffer(request: BufferRequest, tools: BufferTools): Promise<PlugBuffer> {
  const { domid, domain, uuid, session, statePath, script } = request;
  const guests = await findInterfaces(request, tools);
  const classifier = script === null ? await loadModules(tools.run) : 'matchall';
  if (classifier === 'u32') request.onNews(noMatchall);
  const plans = script === null ? await planned(guests, domid, tools.run) : [];
  const { peer = null, watch = true } = request;
  const whose = { schema: 1, domain, domid, uuid, session, peer, watch } as const;
  const state: BufferState = { ...whose, interfaces: plans };
  const driver = tools.openPlug(request.onNews);
  const buffer = new PlugBuffer(state, { ...request, classifier }, driver, tools);
  try {
    await writeState(tools.store, statePath, state);
    for (const [at, guest] of guests.entries()) {
      const plan = plans[at];
      if (plan !== undefined) await makeOne(buffer, plan, guest, request, tools);
      else await takeScripts(buffer, guest, request, tools);
    }
    buffer.watch();
  } catch (error) {
    await buffer.open().catch(() => {});
    throw error;
  }
  return buffer;
}

/** A session that died is refused before (its leftover): of this one nothing else is known. */
function leftError(domain: string): OperationError {
  return new OperationError('locked', `an output buffer of ${domain} is left from before`, {
    op: 'set-up-buffer',
    subject: domain,
    hint: adviceLine({ kind: 'stop', domain }),
  });
}

function checkFound({ domain, interfaceCount }: InterfaceRequest, guests: GuestInterface[]) {
  const real = guests.filter(({ emulated }) => !emulated).length;
  if (real >= interfaceCount) return;
  const many =
    interfaceCount === 1 ? '1 network interface' : `${interfaceCount} network interfaces`;
  const found = real === 0 ? 'none' : `only ${real}`;
  throw new OperationError('no-buffer', `${domain} has ${many}, dom0 has ${found} of them`, {
    op: 'find-interfaces',
    subject: domain,
    hint: adviceLine({ kind: 'see-interfaces' }),
  });
}

/** What is to be made, after a look that nothing of it is there, nor anybody's filters. */
export async function planned(
  guests: readonly GuestInterface[],
  domid: number,
  runs: Run,
): Promise<BufferedInterface[]> {
  const doing = 'cannot look at the interfaces of the guest';
  if (guests.length === 0) return [];
  const qdiscs = await tcJson(runs, ['qdisc', 'show'], doing);
  for (const { name } of guests) {
    const theirs = qdiscs.find(
      ({ dev, kind }) => dev === name && (kind === 'ingress' || kind === 'clsact'),
    );
    if (theirs === undefined) continue;
    throw new OperationError(
      'no-buffer',
      `${name} has an ingress qdisc already (${String(theirs['kind'])}) that is not ours`,
      {
        op: 'set-up-buffer',
        subject: name,
        hint: adviceLine({ kind: 'see-ingress', name }),
      },
    );
  }
  return guests.map(({ name, devid, emulated, index }) => {
    const queues = queueNames(domid, { devid, emulated });
    const action = actionFirst + (index % interfacesMax);
    return { name, devid, emulated, queues, action, script: null };
  });
}

async function makeOne(
  buffer: PlugBuffer,
  plan: BufferedInterface,
  guest: GuestInterface,
  request: BufferRequest,
  { run, devices }: BufferTools,
): Promise<void> {
  const doing = `cannot buffer the output of ${plan.name}`;
  const alias = aliasOf({ schema: 1, ...request, interfaces: [] });
  await batch(
    run,
    'ip',
    plan.queues.flatMap((queue) => queueLines(queue, alias)),
    doing,
  );
  const queues = plan.queues.map((queue) => indexOf(queue, devices));
  const limitBytes = Math.floor(request.limitBytes / 2);
  const { action } = plan;
  buffer.add(plan, { interfaceIndex: guest.index, queues, action, limitBytes, how: 'make' });
  await buffer.everyFrame.add(plan.name, redirectWords(plan, 0), doing);
  // Had there been an action of this number, the filter would now have that one.
  const target = (await actionTargets(run)).get(action ?? 0);
  if (target === plan.queues[0]) return buffer.holdTwice(plan);
  throw new OperationError('no-buffer', `${doing}: its action ${action} goes to ${target}`, {
    op: 'set-up-buffer',
    subject: plan.name,
    hint: adviceLine({ kind: 'see-actions' }),
  });
}

async function takeScripts(
  buffer: PlugBuffer,
  guest: GuestInterface,
  request: BufferRequest,
  { run, devices }: BufferTools,
): Promise<void> {
  const script = request.script ?? '';
  const ifb = await scriptSetup(run, script, request.domid, guest);
  const { name, devid, emulated } = guest;
  await buffer.addToState({ name, devid, emulated, queues: [ifb], action: null, script });
  const qdiscs = await tcJson(run, ['qdisc', 'show', 'dev', ifb], `cannot look at ${ifb}`);
  const how = qdiscs.some(({ kind }) => kind === 'plug') ? 'made' : 'make';
  const limitBytes = request.limitBytes;
  const plan = { name, devid, emulated, queues: [ifb], action: null, script };
  const queues = [indexOf(ifb, devices)];
  buffer.add(plan, { interfaceIndex: guest.index, queues, action: null, limitBytes, how });
}

function indexOf(name: string, devices: Devices): number {
  const index = devices.index(name);
  if (index !== null) return index;
  throw new OperationError('no-buffer', `there is no network device ${name}`, {
    op: 'set-up-buffer',
    subject: name,
  });
}

/** What the tools are made of. */
export interface PlugHost extends Time {
  readonly store: Store;
  readonly env: Environment;
  /** Of libtsremus, where it is not beside us. */
  readonly nativePath?: string | undefined;
}

/** The tools of this host; loads FFI. */
export async function hostTools(host: PlugHost): Promise<BufferTools> {
  const { clock, timers, store, env, nativePath } = host;
  const { openPlug } = await import('./driver.ts');
  return {
    ...{ clock, timers, store },
    run: toolRunner(env),
    openPlug: (onNews) => openPlug({ tc: findTool('tc', env), nativePath }, onNews),
    devices: openDevices(),
    listen: linkListener(env),
  };
}
