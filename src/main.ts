#!/usr/bin/env -S node --max-old-space-size=65536 --single-threaded-gc
/** The whole program; what is installed begins it by scripts/launcher.cjs, but for `status`. */
import { nameProcess, processIo } from './app/process-io.ts';
import { buildProgram } from './cli/program.ts';
import { runCli } from './cli/run.ts';

const io = processIo();
nameProcess(io.argv);
const code = await runCli(io.argv, io, buildProgram);
// Not process.exitCode: a handle that a library left open must not keep a finished command alive.
process.exit(code);
