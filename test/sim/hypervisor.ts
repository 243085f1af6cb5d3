/**
 * What runs the guests of a simulated host: domains, and the two operations whose native threads
 * are modelled here. A domain outlives every process of ours; an operation does not.
 */
import { OperationError } from '../../src/host/errors.ts';
import {
  type GuestInfo,
  type GuestRef,
  type GuestSpec,
  type Hypervisor,
  waitingName,
} from '../../src/hypervisor/port.ts';
import { Guest } from './guest.ts';
import type { SimHost } from './host.ts';
import type { SimProcess } from './process.ts';
import { SimRestore } from './restore.ts';
import { SimSave } from './save.ts';
import type { World } from './world.ts';

/** The guests that there are, and what they are called. */
export const guestUuids: Readonly<Record<string, string>> = {
  g1: '6ba7b810-9dad-11d1-80b4-00c04fd430c8',
  h1: '6ba7b811-9dad-11d1-80b4-00c04fd430c8',
};
export const guestMemoryBytes = 64 * 1024 ** 2;

/** What the guest is made of; the adapter's own bytes are its name. */
export function simSpec(name: string, uuid = guestUuids[name] ?? ''): GuestSpec {
  return {
    hypervisor: 'sim',
    name,
    uuid,
    memoryBytes: guestMemoryBytes,
    roomBytes: guestMemoryBytes,
    disks: ['xvda'],
    interfaces: [{ index: 0, mac: null, ips: [] }],
    writableDisks: [{ name: 'xvda', target: '/dev/xvda', format: 'raw', script: null }],
    features: { hidden: [], saved: [] },
    vcpus: null,
    refusals: [],
    onEnd: {
      poweroff: 'destroy',
      reboot: 'restart',
      crash: 'destroy',
      watchdog: 'destroy',
      'soft-reset': 'keep (soft-reset)',
      unknown: 'keep (unknown reason)',
    },
    config: Buffer.from(name),
  };
}

export interface Domain {
  readonly ref: GuestRef;
  /** Of the session that it is part of. */
  world: World;
  name: string;
  /** Null while a copy is only being received. */
  guest: Guest | null;
  /** Pauses are counted. */
  pauses: number;
  end: GuestInfo['end'];
}

export class SimHypervisor {
  readonly host: SimHost;
  readonly #domains = new Map<number, Domain>();
  #nextId = 1;
  readonly #saves = new Set<SimSave>();
  appliesLeftToFail = 0;
  buildsLeftToFail = 0;
  unpausesLeftToFail = 0;
  destroysLeftToFail = 0;

  constructor(host: SimHost) {
    this.host = host;
  }

  get domains(): readonly Domain[] {
    return [...this.#domains.values()];
  }

  named(name: string): Domain | undefined {
    return this.domains.find((domain) => domain.name === name);
  }

  domainOf(ref: GuestRef): Domain | undefined {
    const domain = this.#domains.get(ref.id);
    return domain?.ref.uuid === ref.uuid ? domain : undefined;
  }

  add(world: World, name: string, guest: Guest | null, pauses = 0): Domain {
    const ref = { uuid: world.guestUuid, id: this.#nextId };
    this.#nextId += 1;
    if (this.named(name) !== undefined) world.checker.fail('names', `${name} is there twice`);
    const domain: Domain = { ref, world, name, guest, pauses, end: null };
    this.#domains.set(ref.id, domain);
    return domain;
  }

  /** The guest ends by itself. */
  endGuest(domain: Domain, end: 'poweroff' | 'reboot'): void {
    domain.end = end;
    if (domain.guest !== null) domain.guest.isAlive = false;
    for (const save of this.#saves) save.guestEnded(domain);
  }

  remove(domain: Domain): void {
    this.#domains.delete(domain.ref.id);
    if (domain.guest !== null) domain.guest.isAlive = false;
  }

  /** The host went down, and its guests with it. */
  crash(): void {
    for (const domain of this.domains) this.remove(domain);
  }

  /** The processors of all guests stand still, or go on. */
  setFrozen(isFrozen: boolean): void {
    for (const { guest } of this.domains) if (guest !== null) guest.isFrozen = isFrozen;
  }

  setPauses(domain: Domain, pauses: number): void {
    domain.pauses = pauses;
    if (domain.guest !== null) domain.guest.isPaused = pauses > 0;
  }

  #info(domain: Domain): GuestInfo {
    const isSuspended = domain.guest?.isSuspended === true;
    return {
      ref: domain.ref,
      paused: domain.pauses > 0,
      state: domain.end !== null ? 'ended' : isSuspended ? 'suspended' : 'here',
      end: domain.end,
      memoryBytes: guestMemoryBytes,
    };
  }

  #must(ref: GuestRef, op: string): Domain {
    const domain = this.domainOf(ref);
    if (domain !== undefined) return domain;
    throw new OperationError('hypervisor', `cannot ${op} domain ${ref.id}: it is gone`, { op });
  }

  #unpause(ref: GuestRef): void {
    if (this.unpausesLeftToFail > 0) {
      this.unpausesLeftToFail -= 1;
      throw new OperationError('hypervisor', 'cannot unpause', { op: 'unpause' });
    }
    const domain = this.#must(ref, 'unpause');
    this.setPauses(domain, Math.max(0, domain.pauses - 1));
    domain.world.unpaused(this.host, domain);
  }

  #destroy(ref: GuestRef): void {
    if (this.destroysLeftToFail > 0) {
      this.destroysLeftToFail -= 1;
      throw new OperationError('hypervisor', 'cannot destroy', { op: 'destroy' });
    }
    const domain = this.domainOf(ref);
    if (domain === undefined) return;
    domain.world.destroying(this.host, domain);
    this.remove(domain);
  }

  /** As `process` reaches it. */
  portFor(process: SimProcess): Hypervisor {
    const { plan } = this.host.world;
    const quickMs = plan.delayMsMin;
    return {
      find: (name) => process.perform('find', quickMs, () => this.named(name)?.ref ?? null),
      numbered: (id) =>
        process.perform('numbered', quickMs, () => this.#domains.get(id)?.ref ?? null),
      withUuid: (uuid) =>
        process.perform('withUuid', quickMs, () =>
          this.domains.filter(({ ref }) => ref.uuid === uuid).map(({ ref }) => ref),
        ),
      info: (ref) =>
        process.perform('info', quickMs, () => {
          const domain = this.domainOf(ref);
          return domain === undefined ? null : this.#info(domain);
        }),
      spec: (ref) =>
        process.perform('spec', quickMs, () => simSpec(this.#must(ref, 'look at').name, ref.uuid)),
      withDisks: (spec, places) => ({
        ...spec,
        writableDisks: spec.writableDisks.map((disk) => {
          return { ...disk, target: places.get(disk.name) ?? disk.target };
        }),
      }),
      readSpec: (config) => simSpec(config.toString()),
      host: () =>
        process.perform('host', quickMs, () => ({
          version: 'sim',
          freeMemoryBytes: 1024 ** 4,
          cpus: null,
          features: [],
          own: {},
        })),
      pause: (ref) =>
        process.call('pause', () => {
          const domain = this.#must(ref, 'pause');
          this.setPauses(domain, domain.pauses + 1);
        }),
      unpause: (ref) => process.perform('unpause', quickMs, () => this.#unpause(ref)),
      resume: (ref) =>
        process.perform('resume', quickMs, () => {
          const { guest, world } = this.#must(ref, 'resume');
          if (world.save?.isBarrierSet) {
            world.checker.fail('order', 'the guest was resumed while its checkpoint was taken');
          }
          if (guest !== null) guest.isSuspended = false;
        }),
      rename: (ref, _from, to) =>
        process.perform('rename', quickMs, () => {
          this.#must(ref, 'rename').name = to;
        }),
      destroy: (ref) => {
        const domain = this.domainOf(ref);
        if (domain?.end === null) process.world.ordersDestroy(this.host);
        return process.perform('destroy', plan.buildMs / 4, () => this.#destroy(ref));
      },
      boot: (spec) =>
        process.perform('boot', plan.buildMs, () => {
          const side = process.world.sideOf(this.host);
          return this.add(process.world, spec.name, new Guest(side, 0, 0), 1).ref;
        }),
      startSave: (ref, options) => {
        const save = new SimSave(process, this.#must(ref, 'save'), options);
        this.#saves.add(save);
        process.world.save = save;
        return save;
      },
      startRestore: (spec, options) => {
        process.world.restoring(spec);
        const domain = this.add(process.world, waitingName(spec.name), null, 1);
        const restore = new SimRestore(this, process, domain, options);
        process.world.restore = restore;
        return restore;
      },
      lacks: async () => [],
      otherWatcher: () => null,
      otherSaver: () => null,
    };
  }
}
