/**
 * libxl's own words for how a guest ends and what is done then, as the library of this host says
 * them: which there are, and which action it takes where a configuration says nothing (libxl leaves
 * out what is its default, on_reboot="destroy" too; xl's own defaults are said aloud). Pure.
 */
import type { EndAction, LifeEvent } from '../port.ts';

export interface EndWords {
  /** libxl_action_on_shutdown. */
  readonly actions: readonly string[];
  /** libxl_shutdown_reason. */
  readonly reasons: readonly string[];
  /** By key of the configuration: the action that is meant where the key is left out. */
  readonly defaults: Readonly<Record<string, string>>;
}

/** libxl's word for each end of ours, and the key of the configuration that says what is done. */
const ends = {
  poweroff: { reason: 'poweroff', key: 'on_poweroff' },
  reboot: { reason: 'reboot', key: 'on_reboot' },
  crash: { reason: 'crash', key: 'on_crash' },
  watchdog: { reason: 'watchdog', key: 'on_watchdog' },
  'soft-reset': { reason: 'soft_reset', key: 'on_soft_reset' },
} as const satisfies Record<Exclude<LifeEvent, 'unknown'>, { reason: string; key: string }>;

/** From the JSON of tsr_end_words. Throws where it is none. */
export function endWords(json: string): EndWords {
  const { actions, reasons, defaults } = JSON.parse(json) as EndWords;
  if (!Array.isArray(actions) || !Array.isArray(reasons)) throw new Error('no words of libxl');
  return { actions, reasons, defaults };
}

/** A guest that shut down for this reason, in libxl's word; a reason that nobody knows: unknown. */
export function lifeEventOf(reason: unknown): LifeEvent {
  const found = Object.entries(ends).find(([, one]) => one.reason === reason);
  return (found?.[0] ?? 'unknown') as LifeEvent;
}

/**
 * What the configuration wants done when the guest ends so. What is neither `destroy` nor `restart`
 * (preserve, restart_rename, coredump_*, soft_reset), and what this libxl has no word for, is kept
 * to be looked at.
 */
export function endAction(
  config: { readonly [key: string]: unknown },
  event: LifeEvent,
  words: EndWords,
): EndAction {
  if (event === 'unknown') return 'keep (unknown reason)';
  const { key } = ends[event];
  const word = config[key] ?? words.defaults[key];
  if (typeof word !== 'string' || !words.actions.includes(word)) {
    return `keep (${typeof word === 'string' ? word : 'not said'})`;
  }
  return word === 'destroy' || word === 'restart' ? word : `keep (${word})`;
}
