/**
 * Builds dist/ (one bundle, split so that `--help` and `status` load no FFI) and native/build.
 * ffi-napi, ref-napi and zstd-codec stay outside the bundle: they find files by their own path.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

/** Builds the bundle; returns when dist/ is complete. */
export async function buildBundle() {
  rmSync(join(root, 'dist'), { recursive: true, force: true });
  await build({
    absWorkingDir: root,
    entryPoints: ['src/main.ts'],
    outdir: 'dist',
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    external: ['ffi-napi', 'ref-napi', 'zstd-codec'],
    define: { __TSREMUS_VERSION__: JSON.stringify(version) },
    banner: {
      // commander is CommonJS; inside an ESM bundle it needs a require of its own.
      js: "import { createRequire as __cr } from 'node:module'; const require = __cr(import.meta.url);",
    },
    logLevel: 'warning',
  });
  chmodSync(join(root, 'dist/main.js'), 0o755);
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
