/** Builds libtsremus with a deliberate bug, from the product's own objects. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../command.ts';
import { checkoutDir, labDir } from '../settings.ts';

/** Makes the library at `target`; the product's build must be there. */
export async function buildLosingLibrary(target: string): Promise<void> {
  const build = join(checkoutDir, 'native/build/rooms');
  const objects = readdirSync(build, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.o'),
  );
  const source = join(labDir, 'faults/lose-page.c');
  const wrap = '-Wl,--wrap=tsr_parser_take';
  await run([
    ...[
      'gcc',
      '-std=gnu11',
      '-D_GNU_SOURCE',
      '-O2',
      '-fPIC',
      '-fvisibility=hidden',
      '-Wall',
      '-Wextra',
      '-Werror',
    ],
    ...['-shared', '-pthread', wrap, '-o', target, source],
    ...objects.map((name) => join(build, name)),
    '-ldl',
  ]);
}
