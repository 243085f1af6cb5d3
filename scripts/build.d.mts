import type { Metafile } from 'esbuild';

export function bundleInto(
  dist: string,
  called: string,
): Promise<{ readonly program: Metafile; readonly status: Metafile }>;
