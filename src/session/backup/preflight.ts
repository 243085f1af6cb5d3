/** What must be so on the backup host before a session is accepted; each is a clear refusal. */
import { adviceCommand } from '../../core/texts/advice.ts';
import { OperationError } from '../../host/errors.ts';
import type { Hypervisor } from '../../hypervisor/port.ts';
import { copySuffix } from '../../hypervisor/xen/guest-config.ts';
import type { Hello } from '../../link/hello-message.ts';

/** Xen's own needs for a domain, and a little air, bytes. */
const memoryReserveBytes = 32 * 1024 * 1024;

/** Throws OperationError('limit') when Xen has no memory for the copy. */
export async function checkRoom(xen: Hypervisor, hello: Hello): Promise<void> {
  const { freeMemoryKb } = await xen.host();
  const need = hello.memoryBytes + memoryReserveBytes;
  if (freeMemoryKb === null || freeMemoryKb * 1024 >= need) return;
  const mib = (bytes: number) => Math.ceil(bytes / 1024 ** 2);
  throw new OperationError(
    'limit',
    `not enough free memory for a copy of ${hello.domain}: ${mib(need)} MiB are needed, ` +
      `${mib(freeMemoryKb * 1024)} MiB are free`,
    {
      op: 'check-memory',
      subject: hello.domain,
      hint: 'free some: xl list; xl mem-set Domain-0 ...',
    },
  );
}

/** A domain of that name here is another guest, or the same one: neither may be touched. */
export async function checkNames(xen: Hypervisor, hello: Hello): Promise<void> {
  const see = (domain: string) => `see it: ${adviceCommand({ kind: 'list-guest', domain })}`;
  if ((await xen.find(hello.domain)) !== null) {
    throw new OperationError('locked', `a domain called ${hello.domain} is on this host already`, {
      op: 'check-name',
      subject: hello.domain,
      hint: `${see(hello.domain)}; rename or destroy it if it is not needed`,
    });
  }
  const waiting = hello.domain + copySuffix;
  const domid = await xen.find(waiting);
  if (domid === null) return;
  // Our claim is the only one, so nobody holds this copy any more: a crashed session left it.
  const info = await xen.info(domid);
  if (info !== null && info.uuid === hello.uuid) return xen.destroy(domid);
  throw new OperationError('locked', `a domain called ${waiting} is on this host already`, {
    op: 'check-name',
    subject: waiting,
    hint: `${see(waiting)}; destroy it if it is not needed`,
  });
}
