/** All scenarios in their order: what takes the longest to diagnose comes first. */

import type { GuestKind } from '../lab.ts';
import { backupLacksTest } from './backup-lacks.ts';
import { bufferLost } from './buffer-lost.ts';
import { checkTest } from './check.ts';
import { cutLong, cutShort, enduranceTest } from './cut.ts';
import { cutLoad } from './cut-load.ts';
import { diskCommit, diskFile, diskReturn } from './disk-commit.ts';
import { diskProcesses } from './disk-processes.ts';
import { drill } from './drill.ts';
import { emulatedTest } from './emulated.ts';
import { flood, floodLate, floodWithout } from './flood.ts';
import { guestEnds, guestReboots } from './guest-ends.ts';
import { installTest } from './install.ts';
import { keptCopy } from './kept-copy.ts';
import { kill, killSeed } from './kill.ts';
import { lateSuspend } from './late-suspend.ts';
import { lostPage } from './lost-page.ts';
import { messagesTest } from './messages.ts';
import { protectMuted } from './muted.ts';
import { netbufScript } from './netbuf-script.ts';
import { oppositeDirections } from './opposite.ts';
import { outputCommit, outputUnbuffered } from './output-commit.ts';
import { heldSlots, plugContract, plugContractFallback } from './plug-contract.ts';
import { backupHostDies, failover, protectDies, receiveDies, stop } from './processes.ts';
import { helpersDie, hostsParted } from './safety.ts';
import type { Scenario } from './scenario.ts';
import { twoGuestsNet } from './two-guests-net.ts';
import { windowLost } from './window-lost.ts';

export const scenarios: readonly Scenario[] = [
  kill,
  diskCommit,
  diskProcesses,
  diskReturn,
  diskFile,
  plugContract,
  plugContractFallback,
  bufferLost,
  heldSlots,
  outputCommit,
  outputUnbuffered,
  flood,
  floodWithout,
  floodLate,
  protectMuted,
  netbufScript,
  twoGuestsNet,
  emulatedTest,
  cutLoad,
  killSeed,
  lostPage,
  cutShort,
  cutLong,
  enduranceTest,
  receiveDies,
  backupHostDies,
  protectDies,
  helpersDie,
  hostsParted,
  windowLost,
  failover,
  drill,
  keptCopy,
  oppositeDirections,
  messagesTest,
  backupLacksTest,
  checkTest,
  installTest,
  stop,
  guestEnds,
  guestReboots,
  lateSuspend,
];

/**
 * The scenarios that `names` choose: `cut` means cut-short and cut-long; none means all. Without
 * those that need guests of another kind than `kind`.
 */
export function chooseScenarios(
  names: readonly string[],
  soak: boolean,
  kind: GuestKind | null,
): Scenario[] {
  return named(names, soak).filter((scenario) => {
    if (scenario.kind === undefined || scenario.kind === kind) return true;
    if (!names.includes(scenario.name)) return false;
    throw new Error(`${scenario.name} is for other guests: add --kind ${scenario.kind}`);
  });
}

function named(names: readonly string[], soak: boolean): Scenario[] {
  const isMeant = (scenario: Scenario, name: string) =>
    scenario.name === name || scenario.name.startsWith(`${name}-`);
  for (const name of names) {
    if (scenarios.some((scenario) => isMeant(scenario, name))) continue;
    const known = scenarios.map((scenario) => scenario.name).join(', ');
    throw new Error(`no lab test is called ${name}; there are: ${known}`);
  }
  if (names.length === 0 && !soak) return scenarios.filter(({ tier }) => tier !== 'soak');
  return scenarios.filter(
    (scenario) => names.length === 0 || names.some((name) => isMeant(scenario, name)),
  );
}
