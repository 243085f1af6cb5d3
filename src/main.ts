#!/usr/bin/env -S node --max-old-space-size=65536 --single-threaded-gc
// ffi-napi tells V8 of a gigabyte for each pointer it wraps. Under the usual ceiling V8 answers
// most of them with a full collection, which is half of what loading costs (docs/BENCHMARKS.md).
// The heap itself stays at some megabytes, for which one collecting thread is enough.
import { nameProcess, processIo } from './app/process-io.ts';
import { runCli } from './cli/run.ts';

const io = processIo();
nameProcess(io.argv);
const code = await runCli(io.argv, io);
// Not process.exitCode: a handle that a library left open must not keep a finished command alive.
process.exit(code);
