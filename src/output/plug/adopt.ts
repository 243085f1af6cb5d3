/**
 * What a session left whose process died: its plugs are as closed as they were. Found by the state
 * that it wrote down, and where that is lost by the names of the devices; opened or dropped as
 * whoever has the permission decides. It may be half built, or half removed.
 */
import { OperationError } from '../../host/errors.ts';
import type { OutputBuffer } from '../port.ts';
import { PlugBuffer } from './buffer.ts';
import { type Devices, ownerOfQueue, queueNames } from './interfaces.ts';
import type { BufferTools } from './set-up.ts';
import { type BufferedInterface, type BufferState, readState } from './state-file.ts';
import { actionTargets, type Run, tcJson } from './tools.ts';

/**
 * The buffer left there; null: none. It can be opened or dropped, nothing else. `domid`: of the
 * guest, for a state that is lost or damaged; null: not known, then the state has to be there.
 */
export async function adoptBuffer(
  statePath: string,
  domid: number | null,
  openTools: () => Promise<BufferTools>,
): Promise<OutputBuffer | null> {
  const tools = await openTools();
  const state = await stateOf(statePath, domid, tools);
  if (state === null) return null;
  const parts = { limitBytes: 0, statePath, onNews() {}, classifier: 'matchall' as const };
  const buffer = new PlugBuffer(state, parts, tools.openPlug(parts.onNews), tools);
  const targets = await actionTargets(tools.run);
  const plugged = await pluggedDevices(tools.run);
  for (const plan of state.interfaces) {
    const queues = inOrder(plan, targets.get(plan.action ?? 0))
      // Without a plug it was never sent anything: its process died while it made the buffer.
      .filter((queue) => plugged.has(queue))
      .map((queue) => tools.devices.index(queue))
      .filter((index) => index !== null);
    if (queues.length === 0) continue;
    const { action } = plan;
    // A queue that somebody removed holds nothing: the other one alone is opened.
    buffer.add(plan, {
      interfaceIndex: null,
      queues,
      action: queues.length === 2 ? action : null,
      limitBytes: 0,
      how: 'adopt',
    });
  }
  return buffer;
}

/** The state as it was written down, or put together again from what the host has. */
async function stateOf(
  statePath: string,
  domid: number | null,
  { devices, run }: BufferTools,
): Promise<BufferState | null> {
  let isDamaged = false;
  let state: BufferState | null = null;
  try {
    state = await readState(statePath);
  } catch (error) {
    if (!(error instanceof OperationError) || domid === null) throw error;
    isDamaged = true;
  }
  if (domid === null) return state;
  const known = state?.interfaces ?? [];
  const written = known.flatMap(({ queues }) => queues);
  const interfaces = interfacesOf(domid, devices, await actionTargets(run));
  const others = interfaces.filter(({ queues }) => !queues.some((one) => written.includes(one)));
  if (state !== null) return { ...state, interfaces: [...known, ...others] };
  if (others.length === 0 && !isDamaged) return null;
  const unknown = { uuid: '', session: '', interfaces: others };
  return { schema: 1, domain: `domain ${domid}`, domid, ...unknown };
}

/** What devices of our names say of a guest's buffer. */
function interfacesOf(
  domid: number,
  devices: Devices,
  targets: ReadonlyMap<number, string>,
): BufferedInterface[] {
  const guests = devices.ofGuest(domid);
  const plans = new Map<string, BufferedInterface>();
  for (const device of devices.names()) {
    const owner = ownerOfQueue(device);
    if (owner?.domid !== domid) continue;
    const { devid, emulated } = owner;
    const queues = queueNames(domid, owner);
    if (plans.has(queues[0])) continue;
    const its = guests.find((one) => one.devid === devid && one.emulated === emulated);
    const action = [...targets].find(([, to]) => queues.includes(to))?.[0] ?? 0;
    const name = its?.name ?? `vif${domid}.${devid}${emulated ? '-emu' : ''}`;
    plans.set(queues[0], { name, devid, emulated, queues, action, script: null });
  }
  return [...plans.values()];
}

/** The devices with a plug on them. */
async function pluggedDevices(runs: Run): Promise<Set<string>> {
  const qdiscs = await tcJson(runs, ['qdisc', 'show'], 'cannot look at the output buffer');
  return new Set(qdiscs.filter(({ kind }) => kind === 'plug').map(({ dev }) => String(dev)));
}

/** The older queue first: the one to which the action does not point. */
function inOrder({ queues }: BufferedInterface, target: string | undefined): readonly string[] {
  return target === queues[0] ? [...queues].reverse() : queues;
}
