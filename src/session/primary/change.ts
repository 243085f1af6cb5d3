/** What has become of a guest since its copy was begun. Pure. */
import type { GuestSpec } from '../../hypervisor/port.ts';

type Compared = Pick<GuestSpec, 'disks' | 'interfaces' | 'memoryBytes' | 'refusals'>;

const interfaceWords = ({ interfaces }: Compared) =>
  interfaces.map(({ index, mac }) => `interface ${index}${mac === null ? '' : ` (${mac})`}`);
const diskWords = ({ disks }: Compared) => disks.map((disk) => `disk ${disk}`);

/**
 * The first difference that the copy would have, a clause; null: none. Memory that it has given
 * back is none: the copy may have more than that.
 */
export function changeOf(then: Compared, now: Compared, withInterfaces: boolean): string | null {
  const words = (spec: Compared) => [
    ...diskWords(spec),
    ...(withInterfaces ? interfaceWords(spec) : []),
  ];
  const [before, after] = [words(then), words(now)];
  const come = after.find((word) => !before.includes(word));
  if (come !== undefined) return `it has ${come} now`;
  const gone = before.find((word) => !after.includes(word));
  if (gone !== undefined) return `it has ${gone} no longer`;
  // What it was protected with, a person has allowed.
  const refused = now.refusals.find(({ key }) => then.refusals.every((one) => one.key !== key));
  if (refused !== undefined) return `${refused.text}, which is not copied`;
  if (now.memoryBytes <= then.memoryBytes) return null;
  const mib = ({ memoryBytes }: Compared) => Math.ceil(memoryBytes / 1024 ** 2);
  return `it may take ${mib(now)} MiB of memory now, its copy ${mib(then)}`;
}
