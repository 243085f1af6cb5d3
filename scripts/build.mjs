/**
 * Builds native/build and dist/: the program, split so that only what is done is loaded, `status`
 * as one file for itself, and the launcher that chooses.
 * ffi-napi, ref-napi and zstd-codec stay outside the bundle: they find files by their own path.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

/**
 * Builds the program into the folder `dist`, which is emptied. Returns esbuild's metafiles: of the
 * whole program, and of `status` alone.
 */
export async function bundleInto(dist, called) {
  rmSync(dist, { recursive: true, force: true });
  const common = {
    absWorkingDir: root,
    bundle: true,
    platform: 'node',
    target: 'node20',
    external: ['ffi-napi', 'ref-napi', 'zstd-codec'],
    metafile: true,
    logLevel: 'warning',
  };
  const define = { __TSREMUS_VERSION__: JSON.stringify(called) };
  const program = await build({
    ...common,
    entryPoints: { tsremus: 'src/main.ts' },
    outdir: dist,
    outExtension: { '.js': '.mjs' },
    splitting: true,
    format: 'esm',
    define,
    banner: {
      // commander is CommonJS; inside an ESM bundle it needs a require of its own.
      js: "import { createRequire as __cr } from 'node:module'; const require = __cr(import.meta.url);",
    },
  });
  const status = await build({
    ...common,
    entryPoints: ['src/status.ts'],
    outfile: join(dist, 'status.cjs'),
    format: 'cjs',
    // What else is loaded lies beside this file, as it lies beside those of the program.
    define: { ...define, 'import.meta.url': '__url' },
    banner: { js: "const __url = require('node:url').pathToFileURL(__filename).href;" },
  });
  const main = join(dist, 'main.js');
  copyFileSync(join(root, 'scripts/launcher.cjs'), main);
  chmodSync(main, 0o755);
  // This folder's only .js is CommonJS, whatever package it is in.
  writeFileSync(join(dist, 'package.json'), '{"type":"commonjs"}\n');
  return { program: program.metafile, status: status.metafile };
}

/** Builds dist/; returns when it is complete. */
export async function buildBundle() {
  await bundleInto(join(root, 'dist'), version);
}

/** Builds native/build/libtsremus.so and the stand-in library for tests. */
export function buildNative() {
  const jobs = `-j${availableParallelism()}`;
  const made = spawnSync('make', ['-s', jobs, '-C', join(root, 'native')], { stdio: 'inherit' });
  if (made.status !== 0) throw new Error('make -C native failed');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  buildNative();
  await buildBundle();
}
