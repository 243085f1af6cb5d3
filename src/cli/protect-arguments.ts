/**
 * The arguments of `tsremus protect` -> ProtectOptions, or a refusal that says why. Options keep
 * the letters and the meaning of `xl remus`; what is not built yet is refused, never ignored.
 */

import { bufferLimit, netbufScript } from '../config/buffer-limit.ts';
import { typedTable } from '../config/guest-file.ts';
import {
  awaitGuestSetting,
  blackholeDefault,
  type Environment,
  heartbeatTimeoutSetting,
  holdSetting,
  intervalOf,
  maxMemory,
  maxOverheadSetting,
  maxPendingSetting,
  nowhere,
  numberOf,
  saveHelper,
  sshCommand,
  withoutWitness,
} from '../config/settings.ts';
import { UsageError } from '../config/usage-error.ts';
import { adviceLine } from '../core/texts/advice.ts';
import { noPeerText } from '../core/texts/declared.ts';
import { OperationError } from '../host/errors.ts';
import type { ProtectOptions } from '../session/options.ts';
import { type DiskFlags, diskOptions } from './disk-arguments.ts';

/** As commander hands them over: what was typed, nothing converted. */
export interface ProtectFlags extends DiskFlags {
  readonly interval?: string;
  readonly maxOverhead?: string;
  readonly maxPending?: string;
  readonly maxMemory?: string;
  readonly heartbeatTimeout?: string;
  readonly hold?: string;
  readonly awaitGuest?: string;
  readonly withoutWitness?: string;
  readonly saveHelper?: string;
  readonly compression: boolean;
  readonly sshCommand?: string;
  readonly wait: boolean;
  readonly netbufScript?: string;
  readonly bufferLimit?: string;
  readonly forceUnsafe?: boolean;
  readonly blackhole?: boolean;
  readonly allow?: readonly string[];
  readonly network: boolean;
  readonly disk: boolean | readonly string[];
  readonly colo?: boolean;
  readonly userspaceProxy?: boolean;
  readonly save?: boolean;
  /** False with --no-check. Absent in tests that do not speak of it. */
  readonly check?: boolean;
}

/**
 * What was typed, over the variables, the file of the guest if it is declared, and the files of
 * this host. Throws as `protectOptions`, and for what the files say.
 */
export async function protectArguments(
  domain: string,
  host: string | undefined,
  typed: ProtectFlags,
  env: Environment,
): Promise<ProtectOptions> {
  const { underFiles } = await import('../app/settings-files.ts');
  const { flags, ...under } = await underFiles(domain, host, typed, env);
  const options = protectOptions(domain, under.host, flags, under.env);
  return typed.save ? { ...options, save: typedTable(host, typed) } : options;
}

/** What each unsafe option gives up, in the words of its refusal. */
function unsafeOptions(flags: ProtectFlags): { option: string; givesUp: string }[] {
  const given: { option: string; givesUp: string }[] = [];
  if (flags.blackhole) {
    given.push({ option: '--blackhole (-b)', givesUp: 'keeps no copy anywhere' });
  }
  if (!flags.network) {
    given.push({
      option: '--no-network (-n)',
      givesUp: 'lets packets out before the backup has the state that sent them',
    });
  }
  if (!flags.disk) {
    given.push({ option: '--no-disk (-d)', givesUp: 'leaves the disks of the guest uncopied' });
  }
  if (flags.allow !== undefined) {
    given.push({ option: '--allow', givesUp: 'copies a guest with what may not be in the copy' });
  }
  return given;
}

const readGuarantees = adviceLine({
  kind: 'read-page',
  page: 'tsremus-protect',
  why: 'GUARANTEES: what remains with it and -F',
});

function checkCombination(flags: ProtectFlags): void {
  const unsafe = unsafeOptions(flags);
  const first = unsafe[0];
  if (first !== undefined && !flags.forceUnsafe) {
    throw new UsageError(
      `${first.option} ${first.givesUp}: it needs --force-unsafe (-F) beside it`,
      readGuarantees,
    );
  }
  if (flags.initDisk !== undefined && flags.save) {
    throw new UsageError('--init-disk is for once: it cannot go with --save', {
      ...{ name: '--save', joint: ' ', value: null },
    });
  }
  if (flags.blackhole && flags.save) {
    throw new UsageError('--blackhole (-b) protects nothing: it cannot go with --save', {
      ...{ name: '--save', joint: ' ', value: null },
    });
  }
  if (flags.blackhole && flags.sshCommand !== undefined) {
    throw new UsageError('--blackhole (-b) goes to no host: it cannot go with --ssh-command (-s)');
  }
  for (const [option, value] of [
    ['--netbuf-script (-N)', flags.netbufScript],
    ['--buffer-limit', flags.bufferLimit],
  ]) {
    if (flags.network || value === undefined) continue;
    throw new UsageError(`${option} cannot go with --no-network (-n): nothing is buffered`);
  }
  for (const [option, value] of [
    ['--init-disk', flags.initDisk],
    ['--resync-rate', flags.resyncRate],
  ] as const) {
    if (flags.disk !== false || value === undefined) continue;
    throw new UsageError(`${option} cannot go with --no-disk (-d): no disk is copied`);
  }
  if (flags.userspaceProxy && !flags.colo) {
    throw new UsageError('--userspace-proxy (-p) belongs to --colo (-c)', {
      name: '--userspace-proxy',
      joint: ' ',
      value: null,
    });
  }
  if (!flags.colo) return;
  if (flags.interval !== undefined) {
    throw new UsageError('--colo (-c) has no interval: it cannot go with --interval (-i)');
  }
  if (first !== undefined) throw new UsageError(`--colo (-c) cannot go with ${first.option}`);
}

function checkBuilt(flags: ProtectFlags): void {
  const refuse = (option: string) => {
    throw new OperationError('not-built', `${option} is not built yet`, {
      op: 'read-arguments',
      subject: option,
      hint: adviceLine({ kind: 'read-page', page: 'tsremus-protect', why: 'what is built' }),
    });
  };
  if (flags.colo) refuse('--colo (-c)');
}

function checkNames(domain: string, host: string | null, command: string | null): void {
  if (domain === '') throw new UsageError('DOMAIN is empty', adviceLine({ kind: 'list-guests' }));
  if (host === null) return;
  if (host.trim() === '') throw new UsageError('HOST is empty');
  // ssh would take it for an option of its own. With -s '' HOST is a command, which may start so.
  if (command !== '' && host.startsWith('-')) {
    throw new UsageError(`HOST ${JSON.stringify(host)} starts with a dash`);
  }
}

/** The overhead that `auto` may reach, percent; a fixed interval leaves it unused. */
function overhead(flags: ProtectFlags, interval: number | 'auto', env: Environment): number {
  if (interval !== 'auto' && flags.maxOverhead !== undefined) {
    throw new UsageError(
      `--max-overhead is for --interval auto: with ${interval} ms nothing is left to choose`,
      { name: '--max-overhead', joint: ' ', value: null },
    );
  }
  return numberOf(maxOverheadSetting, flags.maxOverhead, env);
}

/**
 * Checks everything that can be checked without touching the guest. With -b, as with `xl remus`, a
 * host that is named is not used.
 */
export function protectOptions(
  domain: string,
  host: string | undefined,
  flags: ProtectFlags,
  env: Environment,
): ProtectOptions {
  const isMeasured = flags.blackhole ?? false;
  // As commander says it, who cannot know of -b.
  if (host === undefined && !isMeasured) {
    const hint = adviceLine({ kind: 'see-help', command: 'tsremus protect' });
    throw new UsageError(noPeerText(domain), hint);
  }
  const interval = intervalOf(flags.interval, env);
  const awaitGuestMs = 1_000 * numberOf(awaitGuestSetting, flags.awaitGuest, env);
  const options: ProtectOptions = {
    domain,
    host: isMeasured ? nowhere : (host ?? ''),
    interval,
    maxOverheadPercent: overhead(flags, interval, env),
    pendingMax: numberOf(maxPendingSetting, flags.maxPending, env),
    maxMemoryBytes: maxMemory(flags.maxMemory, env),
    heartbeatTimeoutMs: numberOf(heartbeatTimeoutSetting, flags.heartbeatTimeout, env),
    holdMs: numberOf(holdSetting, flags.hold, env),
    // Nobody is there who could go on instead.
    withoutWitness: isMeasured ? 'primary' : withoutWitness(flags.withoutWitness, env),
    saveHelper: saveHelper(flags.saveHelper, env),
    sshCommand: isMeasured ? null : sshCommand(flags.sshCommand, env),
    compression: flags.compression,
    wait: flags.wait,
    network: flags.network,
    netbufScript: netbufScript(flags.netbufScript),
    bufferLimitBytes: bufferLimit(flags.bufferLimit, env),
    disk: flags.disk !== false && !isMeasured,
    disks: diskOptions(flags),
    forceUnsafe: flags.forceUnsafe ?? false,
    ...(flags.check === false ? { check: false } : {}),
    ...(awaitGuestMs === 0 ? {} : { awaitGuestMs }),
    ...(flags.allow === undefined ? {} : { allow: flags.allow }),
    ...(isMeasured ? { blackhole: blackholeDefault } : {}),
  };
  checkNames(domain, isMeasured ? null : (host ?? ''), options.sshCommand);
  checkCombination(flags);
  checkBuilt(flags);
  return options;
}
