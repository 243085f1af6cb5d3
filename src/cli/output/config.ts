/** The settings of the next session as a table. Pure. */
import type { ShownSetting } from '../../config/settings-file.ts';
import { formatTable, printable } from './table.ts';

/** Name, value and where it was said. */
export function configText(settings: readonly ShownSetting[]): string {
  const columns = [{ title: 'SETTING' }, { title: 'VALUE' }, { title: 'FROM' }];
  const rows = settings.map(({ name, value, origin, where }) => {
    return [name, value, where ?? origin].map((text) => ({ text: printable(text) }));
  });
  return formatTable(columns, rows);
}
