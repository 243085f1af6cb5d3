/**
 * Disks of guests: logical volumes of the same name on both hosts, of a volume group on the empty
 * disk that each host has.
 *
 * udev runs while they are there, as it does on a server: it and LVM look at what tsremus makes.
 */
import { hosts, type Lab, LabError } from './lab.ts';
import { type HostId, hostIds } from './settings.ts';

const group = 'vg0';

/** The path of a volume; the same on both hosts. */
export function volumePath(name: string): string {
  return `/dev/${group}/${name}`;
}

/** Each line as a shell would take it, up to the first that fails. */
async function each(lab: Lab, id: HostId, lines: readonly string[]): Promise<string> {
  const result = await lab.ssh(id, lines.join(' && '));
  if (result.code === 0) return result.stdout;
  throw new LabError(`disks of ${hosts[id].name}: ${result.stderr.trim()}`);
}

/** What a host needs after its boot. */
async function prepare(lab: Lab, id: HostId): Promise<void> {
  await each(lab, id, [
    '{ pidof systemd-udevd >/dev/null || /lib/systemd/systemd-udevd --daemon; }',
    'modprobe -a dm_mod dm_mirror dm_log nbd xen_blkback',
    'udevadm settle',
  ]);
}

/** Makes a volume of `mib` on both hosts, blank, in place of what was there. */
export async function makeVolume(lab: Lab, name: string, mib: number): Promise<string> {
  await Promise.all(
    hostIds.map(async (id) => {
      await prepare(lab, id);
      await each(lab, id, [
        `{ vgs ${group} >/dev/null 2>&1 || { pvcreate -q -ff -y /dev/vdc && vgcreate -q ${group} /dev/vdc; }; }`,
        `{ ! lvs ${group}/${name} >/dev/null 2>&1 || lvremove -q -y ${group}/${name}; }`,
        `lvcreate -q -y -Zn -Wn -L ${mib}M -n ${name} ${group}`,
        `dd if=/dev/zero of=${volumePath(name)} bs=1M count=${mib} oflag=direct status=none`,
      ]);
    }),
  );
  return volumePath(name);
}

/** The same with a file system on it, made on host A alone: host B's comes with the first copy. */
export async function makeFiles(lab: Lab, name: string, mib: number): Promise<string> {
  const path = await makeVolume(lab, name, mib);
  await each(lab, 'a', [`mke2fs -q -t ext4 -E nodiscard ${path}`]);
  return path;
}

/** What a file system that nobody has mounted is found to be: the end of what e2fsck says. */
export async function checkFiles(
  lab: Lab,
  id: HostId,
  name: string,
): Promise<{ readonly code: number; readonly said: string }> {
  const path = volumePath(name);
  // What a guest writes goes past what this host has cached of its disk.
  const script = `blockdev --flushbufs ${path}; e2fsck -f -n ${path}`;
  const { code, stdout, stderr } = await lab.ssh(id, script);
  return { code: code ?? -1, said: (stdout + stderr).slice(-1_000) };
}

/** How many lines of the files' journal follow each other there, read by another host. */
export async function filesJournalOn(
  lab: Lab,
  id: HostId,
  name: string,
  bootId: string,
): Promise<number> {
  const boot = bootId.slice(0, 16);
  const follows = `$1 + 0 != NR || $2 != "${boot}" { exit } { n = NR } END { print n + 0 }`;
  const read = `debugfs -R 'cat journal' ${volumePath(name)} 2>/dev/null`;
  return Number(await each(lab, id, [`${read} | awk '${follows}'`]));
}

/** The path of a disk that is a file; the same on both hosts, where Xen keeps such. */
export function filePath(name: string): string {
  return `/var/lib/xen/images/${name}.img`;
}

/** Makes a file of `mib` on both hosts, blank, and puts the script for it where Xen looks. */
export async function makeFile(lab: Lab, name: string, mib: number): Promise<string> {
  const path = filePath(name);
  await Promise.all(
    hostIds.map(async (id) => {
      await prepare(lab, id);
      await each(lab, id, [
        'modprobe loop',
        'cp /opt/tsremus/share/xen/block-tsremus /etc/xen/scripts/',
        'mkdir -p /var/lib/xen/images',
        `dd if=/dev/zero of=${path} bs=1M count=${mib} conv=fsync status=none`,
      ]);
    }),
  );
  return path;
}

/** Makes the volumes of a host that was booted again usable. */
export async function activateVolumes(lab: Lab, id: HostId): Promise<void> {
  await prepare(lab, id);
  await each(lab, id, [`vgchange -q --activate y ${group}`]);
}

/** A digest of all that a volume holds now, though it is put away. */
export async function digestVolume(lab: Lab, id: HostId, name: string): Promise<string> {
  const bringOut = `lvchange -q -ay -K ${group}/${name}`;
  const read = `dd if=${volumePath(name)} bs=1M iflag=direct status=none | sha256sum`;
  return (await each(lab, id, [bringOut, read])).split(' ')[0] as string;
}

/** How many entries of a guest's journal its disk holds, by the bytes that are there. */
export async function journalOn(
  lab: Lab,
  id: HostId,
  path: string,
  bootId: string,
): Promise<number> {
  return Number(await each(lab, id, [`labguest journal ${path} ${bootId}`]));
}
