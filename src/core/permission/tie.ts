/**
 * Who goes on when the other host cannot be asked. The one place that decides a tie; a witness will
 * be asked here. Pure.
 *
 * Without a witness both hosts agree beforehand on one side that goes on by itself, or on none:
 *
 *     agreed    the backup's copy runs             the primary lets everything out
 *     backup    by itself                          on a person's word
 *     primary   on a person's word                 by itself: its promise is given in advance
 *     manual    on a person's order                on a person's word
 *
 *   T1  at most one side goes on by itself
 *   T2  a side that goes on by itself makes the other one need a person's word that its guest is
 *       dead; an order is enough only where the other side stays mute by construction
 *
 * What the other host answers when it is asked is no tie, and needs none of this.
 */

/** The agreements there are; words of the command line, of HELLO and of the record. */
export const agreements = ['backup', 'primary', 'manual'] as const;

/** Which side goes on without being able to ask: `--without-witness`. */
export type Agreement = (typeof agreements)[number];

/** Without other orders; what sessions had before there was a choice. */
export const agreementDefault: Agreement = 'backup';

/**
 * What a person has said: nothing, an order to go on here, or beside it, on his word, that the
 * guest does not run on the other side.
 */
export type Said = 'nothing' | 'order' | 'word';

const weight: Readonly<Record<Said, number>> = { nothing: 0, order: 1, word: 2 };

/** What has to be said before the copy may run. */
const activationNeeds: Readonly<Record<Agreement, Said>> = {
  backup: 'nothing',
  primary: 'word',
  manual: 'order',
};

/** What has to be said before the primary may let everything out, unanswered. */
const openingNeeds: Readonly<Record<Agreement, Said>> = {
  backup: 'word',
  primary: 'nothing',
  manual: 'word',
};

/** True when the backup may run its copy although the primary cannot be asked. */
export function mayActivate(agreed: Agreement, said: Said): boolean {
  return weight[said] >= weight[activationNeeds[agreed]];
}

/** True when the primary may let everything out although the backup cannot be asked. */
export function mayOpenUnanswered(agreed: Agreement, said: Said): boolean {
  return weight[said] >= weight[openingNeeds[agreed]];
}

/** What a person has to say before the copy runs; `nothing`: it needs no person. */
export function neededToActivate(agreed: Agreement): Said {
  return activationNeeds[agreed];
}
