/** What `tsremus check` looks through, on either host. */
import type { CheckLine } from '../../core/check/line.ts';
import type { AnnouncedDisk, DiskDriver, DiskFacts } from '../../disk/port.ts';
import type { HostPorts } from '../../host/ports.ts';
import type { GuestSpec, HostInfo, Hypervisor } from '../../hypervisor/port.ts';
import type { Registry } from '../../registry/port.ts';
import type { Guest } from '../primary/preflight.ts';

/** How this host and the other one reach each other. */
export interface Way {
  /** The largest packet of the interface that leads there, bytes; null: it is not known. */
  readonly mtuBytes: number | null;
}

export interface CheckPorts extends HostPorts {
  readonly isRoot: boolean;
  /** What the processor calls itself; null: it does not. */
  readonly processor: string | null;
  /** What a session may use of this host's memory by its environment, bytes; null: a share. */
  readonly maxMemoryBytes: number | null;
  readonly registry: Registry;
  readonly disks: Pick<DiskDriver, 'refusals'>;
  /** What a session would tell the other host of the guest's disks. Rejects with OperationError. */
  describeDisks(spec: GuestSpec): Promise<readonly { readonly facts: DiskFacts }[]>;
  /** Why this host's disks cannot be those of the copy. Rejects with OperationError. */
  copyDiskRefusals(
    spec: GuestSpec,
    facts: readonly AnnouncedDisk[],
  ): Promise<readonly { readonly text: string; readonly next: string | null }[]>;
  openHypervisor(): Promise<Hypervisor>;
  /** What only the adapter knows that it needs, of a guest or (null) of any. Never rejects. */
  hypervisorLines(info: HostInfo, spec: GuestSpec | null): readonly CheckLine[];
  /** Whether the guest can be suspended. Never rejects. */
  suspendLine(guest: Guest): Promise<CheckLine>;
  /** Modules and programs of the output buffer, where that is needed. Never rejects. */
  bufferLines(isNeeded: boolean): Promise<readonly CheckLine[]>;
  /** The guest's interfaces. Never rejects. */
  interfacesLine(guest: Guest): Promise<CheckLine>;
  /** The way to an address; null: the address is not known. Never rejects. */
  way(address: string | null): Promise<Way>;
}
