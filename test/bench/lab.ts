/**
 * `npm run bench:lab`: stock `xl remus` and tsremus on two real Xen hosts, in the same boot, with
 * the same guest and the same ssh. Waits for its turn where somebody else uses the lab. Under
 * emulation every time is long; what counts are the ratios.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { benchNetwork } from '../lab/bench-net.ts';
import type { GuestKind } from '../lab/guest.ts';
import { isRunning } from '../lab/host.ts';
import {
  type HeldFigures,
  type HeldLoad,
  heldLoads,
  measureHeld,
  measurePlug,
} from '../lab/host-program.ts';
import { down, type Lab, openLab } from '../lab/lab.ts';
import { acquireInTurn } from '../lab/lock.ts';
import { hostIds } from '../lab/settings.ts';
import { labReport } from './lab-report.ts';
import {
  freshGuest,
  type LabRun,
  type LinkKind,
  ours,
  oursStock,
  setLink,
  shaping,
  stock,
  type Tool,
} from './lab-tools.ts';
import { guestName, measureWindow, type Window } from './lab-window.ts';

/** As xl's default, and given to both. */
const intervalArgs = ['-i', '200'];
const rates = [0, 2000, 20_000];
/** Lets buffers, caches and the scheduler come to rest after the seed. */
const windowSeconds = { full: 20, quick: 6 };

function say(text: string): void {
  console.log(`${new Date().toISOString().slice(11, 19)}  ${text}`);
}

async function runTool(
  lab: Lab,
  kind: GuestKind,
  tool: Tool,
  link: LinkKind,
  plan: { readonly args: readonly string[]; readonly rates: readonly number[]; seconds: number },
): Promise<LabRun> {
  await freshGuest(lab, kind);
  await setLink(lab, link);
  const seedMs = await tool.start(lab, plan.args);
  say(`${tool.name}, ${link} link: first copy after ${(seedMs / 1000).toFixed(1)} s`);
  const windows: Window[] = [];
  for (const rate of plan.rates) {
    const window = await measureWindow(lab, rate, plan.seconds);
    const { pauses, rewritesPerSecond } = window;
    say(
      `  ${rate} pages/s: ${pauses.count} pauses, ${pauses.mean.toFixed(0)} ms each, ` +
        `${rewritesPerSecond.toFixed(0)} pages/s rewritten`,
    );
    windows.push(window);
  }
  return { tool: tool.name, link, args: plan.args, seedMs, windows };
}

async function measureAll(lab: Lab, kind: GuestKind, seconds: number, links: readonly LinkKind[]) {
  await freshGuest(lab, kind);
  const baseline: Window[] = [];
  for (const rate of rates) baseline.push(await measureWindow(lab, rate, seconds));
  const runs: LabRun[] = [];
  const plan = { args: intervalArgs, rates, seconds };
  for (const link of links) {
    for (const tool of [stock, oursStock, ours]) {
      runs.push(await runTool(lab, kind, tool, link, plan));
    }
  }
  runs.push(await runTool(lab, kind, ours, 'free', { args: [], rates: [0], seconds }));
  return { baseline, runs };
}

/** What a client sees, and what the buffer costs and holds. */
async function measureNetwork(lab: Lab, kind: GuestKind, seconds: number) {
  const network = await benchNetwork(lab, { seconds: seconds / 2, say });
  await freshGuest(lab, kind);
  const held: (HeldFigures & { readonly load: HeldLoad })[] = [];
  for (const load of Object.keys(heldLoads) as HeldLoad[]) {
    const figures = await measureHeld(lab, guestName, load);
    held.push(...figures.map((one) => ({ load, ...one })));
  }
  return { network, held, plug: await measurePlug(lab) };
}

const usage = `usage: npm run bench:lab -- [--quick] [--json FILE] [--link free|shaped] [--net]
                            [--kind pv|pvh]
--net: besides, what a client sees of the guest at each interval, and what the output buffer
costs and holds`;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      json: { type: 'string' },
      link: { type: 'string' },
      kind: { type: 'string', default: 'pvh' },
      net: { type: 'boolean', default: false },
    },
  });
  if (values.link !== undefined && values.link !== 'free' && values.link !== 'shaped') {
    console.error(`--link is free or shaped, not ${values.link}\n${usage}`);
    process.exit(64);
  }
  const { kind } = values;
  if (kind !== 'pv' && kind !== 'pvh') {
    console.error(`--kind is pv or pvh, not ${kind}\n${usage}`);
    process.exit(64);
  }
  const links: LinkKind[] = values.link === undefined ? ['free', 'shaped'] : [values.link];
  const startedAt = new Date();
  const release = await acquireInTurn('benchmark', say);
  const keep = hostIds.some(isRunning);
  const lab = await openLab('benchmark', say);
  try {
    await lab.install();
    const seconds = values.quick ? windowSeconds.quick : windowSeconds.full;
    const compared = await measureAll(lab, kind, seconds, links);
    await setLink(lab, 'free');
    const none = { network: [], held: [], plug: [] };
    const found = {
      ...compared,
      ...(values.net ? await measureNetwork(lab, kind, seconds) : none),
    };
    const report = labReport(found, {
      scale: values.quick ? 'quick' : 'full',
      startedAt,
      lab: {
        kind,
        xen: lab.images.hypervisor.version,
        accelerator: lab.images.accelerator,
        shaping,
      },
    });
    console.log(report.text);
    if (values.json !== undefined) {
      writeFileSync(values.json, `${JSON.stringify(report.document, null, 2)}\n`);
    }
    await lab.clean();
  } finally {
    lab.close();
    if (!keep) await down();
    release();
  }
}

await main();
