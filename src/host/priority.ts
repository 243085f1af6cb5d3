/** How serious a line is, as whoever reads it is told. Pure. */

export type LogLevel = 'debug' | 'info' | 'warning' | 'error';

/** sd-daemon(3): SD_DEBUG, SD_INFO, SD_WARNING, SD_ERR. */
const priorities: Readonly<Record<LogLevel, number>> = { debug: 7, info: 6, warning: 4, error: 3 };

/** What begins each line for the journal (sd-daemon(3)). */
export function journalMark(level: LogLevel): string {
  return `<${priorities[level]}>`;
}
