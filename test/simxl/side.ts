/**
 * One side of a copy over the hypervisor port, as a process of its own, because a process belongs
 * to one host. The stream goes through stdout and stdin; the last line on stderr is the result.
 *
 *     side.ts save NAME EPOCHS [own|stock] | side.ts restore CONFIG-FILE finish|discard
 */

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { SaveHelper } from '../../src/core/save-helper.ts';
import type { Hypervisor, SaveEnd, SaveEvent } from '../../src/hypervisor/port.ts';
import { openXen } from '../../src/hypervisor/xen/xen.ts';

const report = (value: unknown) => process.stderr.write(`${JSON.stringify(value)}\n`);

async function save(
  xen: Hypervisor,
  name: string,
  epochs: number,
  saveHelper: SaveHelper,
): Promise<void> {
  const guest = await xen.find(name);
  if (guest === null) throw new Error(`no domain ${name}`);
  const buffer = Buffer.alloc(1 << 20);
  let ended = 0;
  const end = await new Promise<SaveEnd>((resolve) => {
    const operation = xen.startSave(guest, {
      limitBytes: 1 << 30,
      saveHelper,
      barriers: [],
      onEvent,
    });
    function onEvent(event: SaveEvent): void {
      for (let n = operation.read(buffer); n > 0; n = operation.read(buffer)) {
        process.stdout.write(Buffer.from(buffer.subarray(0, n)));
      }
      if (event.kind === 'epoch-end') {
        ended += 1;
        if (ended < epochs) setTimeout(() => operation.checkpoint(), 5);
        else operation.abort();
      }
      if (event.kind === 'ended') resolve(event.end);
    }
  });
  const info = await xen.info(guest);
  report({ epochs: ended, end, shutdown: info?.state === 'ended', paused: info?.paused });
}

async function restore(xen: Hypervisor, file: string, how: string): Promise<void> {
  let wake = () => {};
  const ended = new Promise<object>((resolve) => {
    const operation = xen.startRestore(xen.readSpec(readFileSync(file)), {
      limitBytes: 64 << 20,
      onEvent(event) {
        if (event.kind === 'fed') wake();
        else if (event.kind !== 'log') resolve(event);
      },
    });
    const feed = async () => {
      for await (const data of process.stdin as AsyncIterable<Buffer>) {
        let position = operation.feed(data);
        while (position === null) {
          await new Promise<void>((fed) => {
            wake = fed;
          });
          position = operation.feed(data);
        }
        operation.apply(position.epochEnd);
      }
      if (how === 'finish') operation.finish();
      else operation.discard();
    };
    void feed();
  });
  const event = await ended;
  report(event);
}

const [role = '', subject = '', argument = '', helper = 'own'] = process.argv.slice(2);
const xen = await openXen(process.env);
if (role === 'save') {
  await save(xen, subject, Number(argument), helper === 'stock' ? 'stock' : 'own');
} else await restore(xen, subject, argument);
process.stdout.end();
if (process.stdout.writableLength > 0) await once(process.stdout, 'finish');
