/**
 * Who else has a guest suspended? Resuming one that `xl save` or `xl migrate` is at would tear what
 * they write. libxl saves by a child, `libxl-save-helper --save-domain FD BACK DOMID ...`
 * (libxl_save_callout.c, run_helper), and its caller destroys the domain after that has gone; so a
 * save is known by the child, and that of xl by its own command line, too. A helper whose caller is
 * gone, or is this program (it has libtsremus in its memory), suspends nobody any more.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface SavedGuest {
  readonly domid: number;
  readonly name: string;
}

/** A process that ends while it is looked at is none. */
function read(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}

/** Subcommands of xl that suspend a guest and are not done when it is. */
const savingVerbs: readonly string[] = ['save', 'migrate', 'remus'];

class ProcessDir {
  readonly #dir: string;

  constructor(procDir: string, pid: string) {
    this.#dir = join(procDir, pid);
  }

  get argv(): string[] {
    return read(join(this.#dir, 'cmdline')).split('\0');
  }

  get name(): string {
    return read(join(this.#dir, 'comm')).trim();
  }

  get parent(): string {
    const stat = read(join(this.#dir, 'stat'));
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1] ?? '0';
  }

  get isOurs(): boolean {
    return read(join(this.#dir, 'maps')).includes('libtsremus');
  }
}

function isHelperOf(argv: readonly string[], domid: number): boolean {
  const [program = '', mode, , , id] = argv;
  return program.endsWith('libxl-save-helper') && mode === '--save-domain' && id === `${domid}`;
}

/** The process in words; null: it saves nobody. */
function saver(procDir: string, pid: string, { domid, name }: SavedGuest): string | null {
  const one = new ProcessDir(procDir, pid);
  const { argv } = one;
  if (isHelperOf(argv, domid)) {
    const caller = new ProcessDir(procDir, one.parent);
    if (one.parent === '1' || one.parent === '0' || caller.isOurs) return null;
    return `${caller.name || 'another program'} (process ${one.parent})`;
  }
  if (one.name !== 'xl') return null;
  const verb = savingVerbs.find((word) => argv.includes(word));
  const isMeant = argv.includes(name) || argv.includes(`${domid}`);
  return verb !== undefined && isMeant ? `xl ${verb} (process ${pid})` : null;
}

/** Who saves the guest now, in words; null: nobody that is known. */
export function otherSaver(guest: SavedGuest, procDir = '/proc'): string | null {
  let pids: string[];
  try {
    pids = readdirSync(procDir).filter((entry) => /^\d+$/.test(entry));
  } catch {
    return null;
  }
  // By its own words first: they say more than whose child it is.
  const found = pids.map((pid) => saver(procDir, pid, guest)).filter((one) => one !== null);
  return found.find((one) => one.startsWith('xl ')) ?? found[0] ?? null;
}
