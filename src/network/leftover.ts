/**
 * What a session left whose process died: its plugs are as closed as they were. Found by the state
 * that it wrote down; opened or dropped as whoever has the permission decides.
 */
import type { OutputBuffer } from './output-buffer.ts';
import { PlugBuffer } from './plug-buffer.ts';
import type { BufferTools } from './set-up.ts';
import { type BufferedInterface, readState } from './state-file.ts';
import { actionTargets } from './tools.ts';

/** The buffer left there; null: none. It can be opened or dropped, nothing else. */
export async function adoptBuffer(
  statePath: string,
  openTools: () => Promise<BufferTools>,
): Promise<OutputBuffer | null> {
  const state = await readState(statePath);
  if (state === null) return null;
  const tools = await openTools();
  const parts = { limitBytes: 0, statePath, onNews() {} };
  const buffer = new PlugBuffer(state, parts, tools.openPlug(), tools);
  const targets = await actionTargets(tools.run);
  for (const plan of state.interfaces) {
    const queues = inOrder(plan, targets.get(plan.action ?? 0))
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

/** The older queue first: the one to which the action does not point. */
function inOrder({ queues }: BufferedInterface, target: string | undefined): readonly string[] {
  return target === queues[0] ? [...queues].reverse() : queues;
}
