/**
 * The command tree. Building it has no side effects and loads nothing heavy: sessions come by
 * dynamic import, inside the action that needs it.
 */
import type { Command } from 'commander';
import { addCheck } from './commands/check.ts';
import { addCompletion } from './commands/completion.ts';
import { addDrill } from './commands/drill.ts';
import { addEvents } from './commands/events.ts';
import { addFailover } from './commands/failover.ts';
import { addGuard } from './commands/guard.ts';
import { addProtect } from './commands/protect.ts';
import { addReceive } from './commands/receive.ts';
import { addReport } from './commands/report.ts';
import { addResync } from './commands/resync.ts';
import { addSession } from './commands/session.ts';
import { addSet } from './commands/set.ts';
import { addStatus } from './commands/status.ts';
import { addStop } from './commands/stop.ts';
import type { Context } from './context.ts';
import { rootProgram } from './root.ts';

/** The whole command line of tsremus. */
export function buildProgram(context: Context): Command {
  const program = rootProgram(context);
  addCheck(program, context);
  addProtect(program, context);
  addStop(program, context);
  addSet(program, context);
  addFailover(program, context);
  addStatus(program, context);
  addEvents(program, context);
  addReport(program, context);
  addDrill(program, context);
  addResync(program, context);
  addReceive(program, context);
  addCompletion(program, context);
  addGuard(program, context);
  addSession(program, context);
  return program;
}
