/**
 * `tsremus status` alone, for the file of its own that the build makes of it (scripts/build.mjs):
 * administrators, cron and monitors run it far more often than all else, and loading the other
 * commands takes longer than what it does.
 */
import { nameProcess, processIo } from './app/process-io.ts';
import { addStatus } from './cli/commands/status.ts';
import { rootProgram } from './cli/root.ts';
import { runCli } from './cli/run.ts';

const io = processIo();
nameProcess(io.argv);
runCli(io.argv, io, (context) => {
  const program = rootProgram(context);
  addStatus(program, context);
  return program;
}).then((code) => process.exit(code));
