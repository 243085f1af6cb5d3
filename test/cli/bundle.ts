/** The program as it is released, built into a folder of a test's own. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build, type Metafile } from 'esbuild';

export const repository = join(import.meta.dirname, '../..');
export const nativePackages = ['ffi-napi', 'ref-napi', 'zstd-codec'];

/** Bundles src/main.ts into FOLDER/dist as scripts/build.mjs does, and says of what. */
export async function bundleProgram(folder: string): Promise<Metafile> {
  const built = await build({
    absWorkingDir: repository,
    entryPoints: ['src/main.ts'],
    outdir: join(folder, 'dist'),
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    external: nativePackages,
    define: { __TSREMUS_VERSION__: '"1.2.3"' },
    banner: {
      js: "import { createRequire as __cr } from 'node:module'; const require = __cr(import.meta.url);",
    },
    metafile: true,
  });
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
  return built.metafile;
}
