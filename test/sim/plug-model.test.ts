/**
 * What a plug lets out, command by command: the facts on which the driver's order rests. Each
 * line is a letter per frame, `|` for BUFFER, `1` for RELEASE_ONE, `*` for RELEASE_INDEFINITE.
 */
import { describe, expect, it } from 'vitest';
import { PlugModel } from './plug-model.ts';

interface Letter {
  readonly name: string;
  readonly bytes: number;
}

function play(commands: string, limitBytes = 1_000) {
  let sent = '';
  const plug = new PlugModel<Letter>(limitBytes, ({ name }) => {
    sent += name;
  });
  for (const command of commands) {
    if (command === '|') plug.change('buffer');
    else if (command === '1') plug.change('release-one');
    else if (command === '*') plug.change('release-indefinite');
    else plug.enqueue({ name: command, bytes: 100 });
  }
  return { sent, held: plug.queue.map(({ name }) => name).join(''), drops: plug.drops, plug };
}

describe('sch_plug', () => {
  it.each([
    ['is closed when new', 'ab', '', 'ab'],
    ['passes through once released for good', '*ab', 'ab', ''],
    ['holds from the first BUFFER on', '*a|bc', 'a', 'bc'],
    ['lets one epoch go', '*|ab|cd1', 'ab', 'cd'],
    ['lets nothing of the running epoch go', '*|ab1', '', 'ab'],
    ['lets a sealed epoch go once', '*|ab|cd11', 'ab', 'cd'],
    ['goes on with the next', '*|ab|cd1|ef1', 'abcd', 'ef'],
    ['keeps what was sent after the release behind what is held', '*|ab|cd1e', 'ab', 'cde'],
    // The reason for "no second barrier while a sealed epoch is unreleased".
    [
      'forgets an epoch at a second BUFFER and then releases the wrong frames',
      '|a|bcd|1',
      'abc',
      'd',
    ],
    ['and never gets them in step again', '|a|bcd|1ef|1', 'abcde', 'f'],
    ['lets all go in order in the end', '*|ab|cd1ef*g', 'abcdefg', ''],
  ])('%s', (_, commands, sent, held) => {
    expect(play(commands)).toMatchObject({ sent, held });
  });

  it('refuses frames beyond its limit, counts them, and releases only what it took', () => {
    expect(play('*|abc|d1e', 300)).toMatchObject({ sent: 'abc', held: 'e', drops: 1 });
  });

  it('frees what it holds when its device goes down, and then releases what came later', () => {
    const names: string[] = [];
    const plug = new PlugModel<Letter>(1_000, ({ name }) => names.push(name));
    for (const name of ['a', 'b']) plug.enqueue({ name, bytes: 100 });
    expect(plug.reset().length).toBe(2);
    expect(plug.backlogBytes).toBe(0);
    plug.change('buffer');
    for (const name of ['c', 'd']) plug.enqueue({ name, bytes: 100 });
    plug.change('release-one');
    expect(names).toEqual(['c', 'd']);
  });
});
