/** Builds libtsremus with a deliberate bug, from the product's own objects. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from '../command.ts';
import type { HostId, Lab } from '../lab.ts';
import { checkoutDir, labDir } from '../settings.ts';

/** A file beside this one without its ending: the bug stands in front of the stream's checker. */
export type Fault = 'lose-page' | 'late-barrier';

const warnings = ['-Wall', '-Wextra', '-Werror'];
const flags = ['-std=gnu11', '-D_GNU_SOURCE', '-O2', '-fPIC', '-fvisibility=hidden', ...warnings];

/** Programs and libraries of their own among the product's objects. */
const others = /^(pause\/|disk\/(guard|verdict)\.o)/;

/** Makes the library at `target`; the product's build must be there. */
async function build(fault: Fault, target: string): Promise<void> {
  const rooms = join(checkoutDir, 'native/build/rooms');
  const objects = readdirSync(rooms, { recursive: true, encoding: 'utf8' }).filter(
    (name) => name.endsWith('.o') && !others.test(name),
  );
  await run([
    ...['gcc', ...flags, '-shared', '-pthread', '-Wl,--wrap=tsr_parser_take', '-o', target],
    join(labDir, `faults/${fault}.c`),
    ...objects.map((name) => join(rooms, name)),
    '-ldl',
  ]);
}

/** Puts the library with this bug into a host; its path there, for TSREMUS_NATIVE. */
export async function installFault(lab: Lab, host: HostId, fault: Fault): Promise<string> {
  const dir = mkdtempSync(join(tmpdir(), 'tsremus-fault-'));
  // Beside the product's own, with what it finds there.
  const folder = `/opt/${fault}`;
  try {
    await build(fault, join(dir, 'lib.so'));
    const input = readFileSync(join(dir, 'lib.so')).toString('base64');
    const own = '$(dirname "$(readlink -f "$(command -v tsremus)")")/../native/build';
    const script =
      `mkdir -p ${folder} && cp -r "${own}"/. ${folder}/ && ` +
      `base64 -d >${folder}/libtsremus.so`;
    const put = await lab.ssh(host, script, { input });
    if (put.code !== 0) throw new Error(`cannot install the library with a bug: ${put.stderr}`);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
  return `${folder}/libtsremus.so`;
}
