/** Programs of test/output/plug that run in a host: on a real dom0's kernel, beside the product. */
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { bundleProgram } from '../fixtures/bundle.ts';
import { type HostId, type Lab, LabError } from './lab.ts';
import { checkoutDir } from './settings.ts';
import { pullFromGuest, setFlow } from './traffic.ts';

async function bundle(source: string): Promise<string> {
  const outfile = join(checkoutDir, 'native/build', basename(source).replace(/ts$/, 'mjs'));
  await bundleProgram(join(checkoutDir, source), outfile);
  return readFileSync(outfile, 'utf8');
}

export interface ProgramResult<Line> {
  readonly code: number;
  readonly stderr: string;
  /** The JSON lines that it printed. */
  readonly lines: readonly Line[];
}

/** Runs the program `source` (a path in the checkout) in a host, with arguments. */
export async function runInHost<Line>(
  lab: Lab,
  id: HostId,
  source: string,
  args: readonly string[],
  timeoutMs: number,
): Promise<ProgramResult<Line>> {
  // Beside dist/, from where it finds the native library and its packages.
  const path = `/opt/tsremus/${basename(source).replace(/ts$/, 'mjs')}`;
  const command = `cat >${path} && node ${path} ${args.join(' ')}`;
  const ran = await lab.ssh(id, command, { input: await bundle(source), timeoutMs });
  const lines = ran.stdout.split('\n').filter((line) => line.trim() !== '');
  return {
    code: ran.code ?? -1,
    stderr: ran.stderr,
    lines: lines.map((line) => JSON.parse(line) as Line),
  };
}

/** Microseconds of a barrier and of a release over so many interfaces. */
export interface PlugTimes {
  readonly interfaces: number;
  readonly barrier_us: number;
  readonly release_us: number;
}

/** Measures barrier and release in host A, through the FFI as the engine calls them. */
export async function measurePlug(lab: Lab): Promise<readonly PlugTimes[]> {
  const program = 'test/output/plug/real-main.ts';
  const { code, stderr, lines } = await runInHost<PlugTimes>(
    lab,
    'a',
    program,
    ['--times'],
    120_000,
  );
  if (code !== 0) throw new LabError(`cannot measure the plug: ${stderr.trim()}`);
  return lines;
}

/** What one epoch held of what a guest sent as fast as it could; see held-main.ts. */
export interface HeldFigures {
  readonly setUp: 'plain' | 'tap' | 'veth';
  readonly packets: number;
  readonly bytes: number;
  /** Nothing more came in the last half of the time. */
  readonly stalled: boolean;
}

/** What the guest sends: datagrams of so many bytes flat out, or one TCP connection's segments. */
export const heldLoads = { 'small packets': 128, 'large packets': 1400, segments: null } as const;
export type HeldLoad = keyof typeof heldLoads;

const heldSeconds = 3;

/** Holds all that `guest` in host A sends for some seconds, with each set-up. */
export async function measureHeld(
  lab: Lab,
  guest: string,
  load: HeldLoad,
): Promise<readonly HeldFigures[]> {
  const domid = (await lab.ssh('a', `xl domid ${guest}`)).stdout.trim();
  const bytes = heldLoads[load];
  const pulled = bytes === null ? pullFromGuest(guest, 40) : setFlow(guest, 'udp4', 'max', bytes);
  // It runs on beside what is measured; that it breaks then is no news.
  if (bytes === null) pulled.catch(() => {});
  else await pulled;
  const args = [domid, String(heldSeconds)];
  const program = 'test/output/plug/held-main.ts';
  const ran = await runInHost<HeldFigures>(lab, 'a', program, args, 120_000);
  if (ran.code !== 0) throw new LabError(`cannot measure what is held: ${ran.stderr.trim()}`);
  if (bytes === null) await pulled.catch(() => {});
  else await setFlow(guest, 'udp4', 0);
  return ran.lines;
}
