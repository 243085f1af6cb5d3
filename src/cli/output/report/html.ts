/** HTML by templates: whatever is put in is text, and escaped, unless it is HTML already. Pure. */
import { printable } from '../table.ts';

export class Html {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

export type Shown = Html | string | number | readonly (Html | string | number)[];

const entities: Readonly<Record<string, string>> = {
  ...{ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' },
};

function escaped(text: string): string {
  return printable(text).replace(/[&<>"']/g, (character) => entities[character] ?? character);
}

function textOf(shown: Shown): string {
  if (shown instanceof Html) return shown.text;
  if (typeof shown === 'string') return escaped(shown);
  return typeof shown === 'number' ? String(shown) : shown.map(textOf).join('');
}

/** html`<b>${name}</b>` */
export function html(parts: TemplateStringsArray, ...shown: readonly Shown[]): Html {
  const texts = parts.map((part, at) => part + textOf(shown[at] ?? ''));
  return new Html(texts.join(''));
}

export const nothing = new Html('');
