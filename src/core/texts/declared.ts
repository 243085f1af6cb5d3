/** What is said of declared guests and their files. Pure. */

export interface SavedChange {
  readonly key: string;
  /** Null: it was not there. */
  readonly before: unknown;
  readonly now: unknown;
}

function changeWords({ key, before, now }: SavedChange): string {
  const value = `${key} = ${JSON.stringify(now)}`;
  return before === null ? value : `${value} (was ${JSON.stringify(before)})`;
}

/** Of `protect --save`; `isNew`: there was no such file before. */
export function savedText(path: string, changes: readonly SavedChange[], isNew: boolean): string {
  if (changes.length === 0) return `${path} says so already`;
  const what = changes.map(changeWords).join(', ');
  return `${path} is ${isNew ? 'written' : 'changed'}: ${what}`;
}

export function notSavedText(why: string): string {
  return `what was typed is not saved: ${why}`;
}

/** Why protection with nothing but a guest's name is refused. */
export function noPeerText(domain: string): string {
  const file = `guests.d/${domain}.toml`;
  return `missing required argument 'host': ${file} does not name a peer, or is not there`;
}

/** A declared guest without a session, a sentence; `why`: what is wrong with its file, too. */
export function missingText(path: string, why: string | null): string {
  const missing = `declared in ${path}, and no session here protects it or holds its copy`;
  return why === null ? missing : `${missing}; ${why}`;
}
