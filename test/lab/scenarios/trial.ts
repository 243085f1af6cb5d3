/**
 * One trial of a scenario: what it may do with the lab, what it expected and did not see, what it
 * measured. An expectation that fails is noted and the trial goes on, so that a report shows all
 * that was wrong; a step without which the rest means nothing throws.
 */
import { isRunning } from '../host.ts';
import {
  type Beacon,
  type BeaconCapture,
  captureBeacons,
  findTwoSpeakers,
  type GuestKind,
  type GuestOptions,
  type GuestState,
  guestState,
  type HostId,
  hangMs,
  hosts,
  type Lab,
  LabError,
  otherHost,
  sleep,
  verifyGuest,
} from '../lab.ts';
import {
  type ProtectOptions,
  protect,
  type StatusEntry,
  silences,
  waitForEpoch,
} from '../session.ts';
import { hostIds } from '../settings.ts';
import type { TestOptions } from '../test-options.ts';
import type { Random } from './random.ts';

export type Mode = 'ci' | 'soak';

/** How a guest is known by habit: g… is PV, h… is PVH or HVM. */
const firstName: Readonly<Record<GuestKind, string>> = { pv: 'g1', pvh: 'h1', hvm: 'h1' };

export class Trial {
  readonly lab: Lab;
  readonly random: Random;
  readonly mode: Mode;
  /** Every measured time or size, by name with its unit; a name may be measured repeatedly. */
  readonly figures: Record<string, number[]> = {};
  readonly problems: string[] = [];
  readonly #kind: GuestKind | null;
  readonly #vcpus: number | null;
  readonly #say: (text: string) => void;
  readonly #revived: Promise<void>[] = [];
  readonly #dead = new Set<HostId>();
  readonly #atEnd: (() => Promise<void>)[] = [];
  #capture: BeaconCapture | null = null;
  #begunMs = Number.POSITIVE_INFINITY;
  /** By a person's word the guest goes on from where it had been left. */
  #returnedMs = Number.POSITIVE_INFINITY;
  #void: string | null = null;

  constructor(
    lab: Lab,
    random: Random,
    options: Pick<TestOptions, 'soak' | 'kind'> & Partial<Pick<TestOptions, 'vcpus'>>,
    say: (text: string) => void,
  ) {
    this.lab = lab;
    this.random = random;
    this.mode = options.soak ? 'soak' : 'ci';
    this.#kind = options.kind;
    this.#vcpus = options.vcpus ?? null;
    this.#say = say;
  }

  say(text: string): void {
    this.#say(text);
  }

  /** Notes a problem unless it holds; `seen` is what was there instead. */
  check(expected: string, holds: boolean, seen: unknown): void {
    if (holds) return;
    const text = typeof seen === 'string' ? seen : JSON.stringify(seen);
    const problem = `expected ${expected}; seen: ${text}`;
    this.problems.push(problem);
    this.say(`NOT AS EXPECTED: ${problem}`);
  }

  checkEqual(what: string, seen: unknown, expected: unknown): void {
    this.check(`${what} ${JSON.stringify(expected)}`, seen === expected, seen);
  }

  measure(name: string, value: number): void {
    const values = this.figures[name] ?? [];
    values.push(Math.round(value * 10) / 10);
    this.figures[name] = values;
  }

  /** Both hosts as after boot, and a capture of all beacons begun. */
  async begin(): Promise<void> {
    // A trial that was interrupted may have left its full file system.
    await this.lab.ssh('b', 'umount /var/lib/tsremus 2>/dev/null; true');
    await this.lab.clean();
    const forget = 'rm -rf /var/log/tsremus /run/protect-* /var/log/xen/guest-*';
    await Promise.all([this.lab.ssh('a', forget), this.lab.ssh('b', forget)]);
    this.#capture = await captureBeacons();
  }

  get beacons(): readonly Beacon[] {
    return this.capture.beacons;
  }

  /** For the report of a trial that may not even have begun. */
  get beaconsSoFar(): readonly Beacon[] {
    return this.#capture?.beacons ?? [];
  }

  get capture(): BeaconCapture {
    if (this.#capture === null) throw new Error('the trial has not begun');
    return this.#capture;
  }

  /**
   * The kind of a guest: the only one that is meant (--kind), else `wish`, but PVH where the hosts
   * cannot copy a PV guest. `createGuest` asks by itself.
   */
  kindFor(wish: GuestKind): GuestKind {
    if (this.#kind !== null) return this.#kind;
    return wish === 'pv' && !this.lab.images.hypervisor.shadowPaging ? 'pvh' : wish;
  }

  /** Creates a guest, of the kind that `kindFor` says; the answer is its name. */
  async createGuest(
    host: HostId,
    wish: GuestKind,
    rate: number,
    given?: string,
    options: GuestOptions = {},
  ): Promise<string> {
    const kind = this.kindFor(wish);
    const name = given ?? firstName[kind];
    const vcpus = this.#vcpus === null ? {} : { vcpus: this.#vcpus };
    await this.lab.createGuest(host, name, kind, { rate, ...vcpus, ...options });
    return name;
  }

  /** Protects the guest and waits until `epochs` epochs after the seed are acknowledged. */
  async protect(
    host: HostId,
    guest: string,
    epochs = 2,
    options: ProtectOptions = {},
  ): Promise<StatusEntry> {
    const beganMs = performance.now();
    await protect(this.lab, host, guest, options);
    await waitForEpoch(this.lab, host, guest, 0);
    this.measure('protect_to_protected_ms', performance.now() - beganMs);
    return waitForEpoch(this.lab, host, guest, epochs, hangMs + epochs * 10_000);
  }

  /** What the trial is about begins now: from now on a host may fall silent. */
  begins(atMs = Date.now()): number {
    this.#begunMs = Math.min(this.#begunMs, atMs);
    return atMs;
  }

  /** What was to be shown did not come about, by no fault of what is tested. */
  isVoid(why: string): void {
    this.#void = why;
  }

  /**
   * Why this trial shows nothing and has to begin again; null: it counts. A side that heard nothing
   * for too long, by its own clock, takes over or gives up, rightly; before anything was done to
   * the other one that means that a host of this busy machine stood still.
   */
  async voidBecause(): Promise<string | null> {
    if (this.#void !== null) return this.#void;
    if (this.problems.length === 0) return null;
    for (const host of hostIds.filter(isRunning)) {
      const early = (await silences(this.lab, host)).find(({ timeMs }) => timeMs < this.#begunMs);
      if (early !== undefined) return `${hosts[host].name} heard nothing: ${early.text}`;
    }
    return null;
  }

  /** SIGKILL of a host; the answer is when. */
  async kill(host: HostId): Promise<number> {
    const killedMs = this.begins(await this.lab.kill(host));
    this.#dead.add(host);
    return killedMs;
  }

  /**
   * Begins to boot the host that was killed while the trial goes on. Not before everything is
   * measured: a booting host takes half of the machine.
   */
  reviveInBackground(host: HostId): void {
    if (!this.#dead.delete(host)) return;
    const booted = this.lab.restart(host);
    booted.catch(() => {}); // reported by `end`
    this.#revived.push(booted);
  }

  /** Boots the host that was killed, from the disk that it left. */
  async bootAgain(host: HostId): Promise<void> {
    await this.lab.start(host);
    this.#dead.delete(host);
  }

  /** A person said that the guest is lost where it ran: from now on the other host may speak. */
  returns(): void {
    this.#returnedMs = Date.now();
  }

  /** To be done at the end, whatever the end is; twice must be no harm. */
  atEnd(work: () => Promise<void>): void {
    this.#atEnd.push(work);
  }

  /** Ends the capture, boots what is dead. Two speakers are wrong in every scenario. */
  async end(): Promise<void> {
    for (const host of [...this.#dead]) this.reviveInBackground(host);
    for (const work of this.#atEnd.splice(0)) {
      await work().catch((error) => this.problems.push(String(error)));
    }
    if (this.#capture !== null) {
      const beacons = await this.#capture.stop();
      const isEarly = ({ timeMs }: Beacon) => timeMs < this.#returnedMs;
      const two = [
        ...findTwoSpeakers(beacons.filter(isEarly)),
        ...findTwoSpeakers(beacons.filter((beacon) => !isEarly(beacon))),
      ];
      const [first] = two;
      this.check('that no two hosts speak for one guest', two.length === 0, {
        times: two.length,
        first,
      });
    }
    await Promise.all(this.#revived);
  }

  /** Waits until a guest answers, as precisely as can be: a question goes out every 100 ms. */
  async firstAnswer(
    guest: string,
    timeoutMs = hangMs,
  ): Promise<{ atMs: number; state: GuestState }> {
    const endMs = performance.now() + timeoutMs;
    let answer: { atMs: number; state: GuestState } | undefined;
    const ask = () =>
      guestState(guest, 3000).then(
        (state) => {
          answer ??= { atMs: Date.now(), state };
        },
        () => {}, // not yet
      );
    let last = Promise.resolve();
    while (answer === undefined && performance.now() < endMs) {
      last = ask();
      await sleep(100);
    }
    if (answer === undefined) await last;
    if (answer === undefined) throw new LabError(`no answer of ${guest} within ${timeoutMs} ms`);
    return answer;
  }

  /** The guest's memory is whole, it is the same boot as `before`, and its counter goes on. */
  async checkContinues(guest: string, before: GuestState, after: GuestState): Promise<void> {
    this.checkEqual(`${guest}: boot id`, after.boot, before.boot);
    const verified = await verifyGuest(guest);
    this.check(`${guest}: memory of one moment`, verified.ok, verified);
    const later = await guestState(guest);
    this.check(`${guest}: a counter that grows`, later.counter > after.counter, {
      before: after.counter,
      now: later.counter,
    });
  }

  /** Beacons of the guest that came from one host. */
  spoken(guest: string, host: HostId): readonly Beacon[] {
    return this.beacons.filter((beacon) => beacon.guest === guest && beacon.host === host);
  }

  /** Checks that the guest speaks from this host now. */
  async checkSpeaks(guest: string, host: HostId, timeoutMs = hangMs): Promise<void> {
    const fromMs = Date.now();
    try {
      await this.capture.waitFor(
        (beacon) => beacon.guest === guest && beacon.host === host && beacon.timeMs >= fromMs,
        timeoutMs,
      );
    } catch {
      const last = this.beacons.filter((beacon) => beacon.guest === guest).at(-1);
      const seen = { last, silentMs: last ? Math.round(Date.now() - last.timeMs) : null };
      this.check(`beacons of ${guest} from ${hosts[host].name}`, false, seen);
    }
  }

  /** Names of the domains of a host, without Domain-0. */
  async domains(host: HostId): Promise<string[]> {
    const { stdout } = await this.lab.ssh(host, 'xl list');
    const names = stdout.split('\n').slice(1).filter(Boolean);
    return names.map((line) => line.split(/\s+/)[0] as string).filter((n) => n !== 'Domain-0');
  }

  /** Waits until a host has exactly these domains; a copy needs a moment to go. */
  async checkDomains(host: HostId, expected: readonly string[], timeoutMs = hangMs): Promise<void> {
    const wanted = [...expected].sort().join(' ');
    const endMs = performance.now() + timeoutMs;
    let seen = '';
    do {
      seen = (await this.domains(host)).sort().join(' ');
      if (seen === wanted) return;
      await sleep(500);
    } while (performance.now() < endMs);
    this.check(`on ${hosts[host].name} the domains [${wanted}]`, false, `[${seen}]`);
  }
}

/** `hostb-r` for a: where its copies go. */
export function backupOf(host: HostId): string {
  return `${hosts[otherHost(host)].name}-r`;
}
