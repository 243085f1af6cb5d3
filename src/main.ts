#!/usr/bin/env node
import { processIo } from './cli/io.ts';
import { runCli } from './cli/run.ts';

const code = await runCli(process.argv.slice(2), processIo());
// Not process.exitCode: a handle that a library left open must not keep a finished command alive.
process.exit(code);
