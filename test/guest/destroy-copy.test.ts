/** What counts as left of a copy, on a host that a test plays. */
import { expect, it } from 'vitest';
import { destroyCopy } from '../../src/guest/destroy-copy.ts';
import { type Hypervisor, waitingName } from '../../src/hypervisor/port.ts';

interface Here {
  readonly uuid: string;
  readonly paused: boolean;
}

/** The names that are destroyed of those that are here. */
async function destroyed(
  here: Readonly<Record<string, Here>>,
  which: 'waiting' | 'waiting-or-built',
): Promise<string[]> {
  const names = Object.keys(here);
  const gone: string[] = [];
  const hypervisor = {
    find: async (name: string) =>
      here[name] === undefined ? null : { uuid: here[name].uuid, id: names.indexOf(name) },
    info: async ({ id }: { id: number }) => ({ paused: here[names[id] ?? '']?.paused ?? false }),
    destroy: async ({ id }: { id: number }) => gone.push(names[id] ?? ''),
  } as unknown as Hypervisor;
  await destroyCopy(hypervisor, { name: 'web1', uuid: 'u1' }, which);
  return gone;
}

const waiting = waitingName('web1');
const paused = { uuid: 'u1', paused: true };

it('is the domain that waits, and what stands built and paused where that may be', async () => {
  const here = { [waiting]: paused, web1: paused };
  expect(await destroyed(here, 'waiting')).toEqual([waiting]);
  expect(await destroyed(here, 'waiting-or-built')).toEqual([waiting, 'web1']);
});

it('is never a guest that runs, nor another one of that name', async () => {
  expect(await destroyed({ web1: { uuid: 'u1', paused: false } }, 'waiting-or-built')).toEqual([]);
  const others = { [waiting]: { uuid: 'u2', paused: true }, web1: { uuid: 'u2', paused: true } };
  expect(await destroyed(others, 'waiting-or-built')).toEqual([]);
});
