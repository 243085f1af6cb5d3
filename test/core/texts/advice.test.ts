/**
 * Every kind of advice with its line, as people see it; and that a shell and the program understand
 * each of them, whatever the guest is called. The tables are total: a kind without a line here does
 * not compile.
 */
import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { newContext } from '../../../src/cli/context.ts';
import { buildProgram } from '../../../src/cli/program.ts';
import {
  type Advice,
  type AdviceKind,
  adviceCommand,
  adviceLine,
  askClause,
  hints,
  neverRan,
  vouchClause,
} from '../../../src/core/texts/advice.ts';
import { fakeIo } from '../../cli/fake-io.ts';

const settings = ['interval=auto', 'max-overhead=10'];

/** One piece of advice of each kind, on a guest. */
function adviceOn(domain: string, peer: string): readonly Advice[] {
  const all: { readonly [Kind in AdviceKind]: Omit<Extract<Advice, { kind: Kind }>, 'kind'> } = {
    again: { argv: ['protect', '-s', 'ssh -p 22', domain, 'hostb'] },
    'again-of': { argv: ['stop', domain], who: 'web1, number 2' },
    protect: { domain },
    'show-all': {},
    show: { domain },
    'show-there': { domain, peer },
    stop: { domain },
    'stop-retry': { domain },
    'stop-ask-again': { domain, peer },
    'stop-ask-and-clear': { domain, peer },
    'stop-clear': { domain },
    'stop-find-out': { domain },
    'stop-vouch': { domain, peer },
    'stop-vouch-name': { domain },
    'stop-lost-here': { domain, peer },
    'stop-lost-there': { domain, peer },
    'stop-lost-name': { domain },
    'stop-destroy': { domain },
    'stop-destroy-copy': { domain, peer },
    'stop-destroy-copy-there': { domain, peer },
    'stop-seen': { domain },
    'stop-leave-so': { domain },
    'stop-to-plug-in': { domain },
    'stop-here': { domain },
    'stop-there': { domain, peer },
    'stop-if-there': { domain, peer },
    'failover-yes': { domain },
    'failover-here': { domain },
    'failover-there': { domain, peer },
    'failover-if-dead': { domain, peer },
    'failover-look': { domain, peer },
    'failover-vouch': { domain, peer },
    'protect-there': { domain, peer },
    'set-there': { domain, peer, settings },
    'list-guests': {},
    'list-uuids': {},
    'list-guest': { domain },
    'unpause-guest': { domain },
    'see-process': { pid: 42 },
    'end-process': { pid: 42 },
    'free-record': { dir: '/var/lib/tsremus' },
  };
  return Object.entries(all).map(([kind, about]) => ({ kind, ...about }) as Advice);
}

const lines: Readonly<Record<AdviceKind, string>> = {
  again: "tsremus protect -s 'ssh -p 22' web1 hostb",
  'again-of': 'tsremus stop web1  # web1, number 2',
  protect: 'tsremus protect web1 HOST',
  'show-all': 'tsremus status',
  show: 'tsremus status web1',
  'show-there': 'tsremus status web1  # on hostb',
  stop: 'tsremus stop web1',
  'stop-retry': 'tsremus stop web1  # tries again; it may go on here',
  'stop-ask-again': 'tsremus stop web1  # asks hostb once more',
  'stop-ask-and-clear': 'tsremus stop web1  # asks hostb, and clears what is left here',
  'stop-clear': 'tsremus stop web1  # clears what is left here',
  'stop-find-out':
    'tsremus stop web1  # clears it if the guest is gone; else says what may be done',
  'stop-vouch':
    'tsremus stop --force-unsafe web1  # only if the copy on hostb never ran and never will',
  'stop-vouch-name': 'tsremus stop --force-unsafe --vouch web1 web1',
  'stop-lost-here': 'tsremus stop --lost web1  # here: hostb may go on with what it has',
  'stop-lost-there': 'tsremus stop --lost web1  # on hostb, if it will not run there again',
  'stop-lost-name': 'tsremus stop --lost --vouch web1 web1',
  'stop-destroy': 'tsremus stop --destroy web1  # drops what is held, destroys the guest',
  'stop-destroy-copy': 'tsremus stop --destroy web1  # here: give it up, if hostb goes on',
  'stop-destroy-copy-there':
    'tsremus stop --destroy web1  # on hostb, if the guest here is the one',
  'stop-seen': 'tsremus stop web1  # here: seen',
  'stop-leave-so': 'tsremus stop web1  # seen, leave it so',
  'stop-to-plug-in': 'tsremus stop web1  # then protect it again, with all its interfaces',
  'stop-here': 'tsremus stop web1  # here: end protection',
  'stop-there': 'tsremus stop web1  # on hostb: end protection there',
  'stop-if-there': 'tsremus stop web1  # on hostb, if the guest runs there',
  'failover-yes': 'tsremus failover --yes web1',
  'failover-here': 'tsremus failover web1  # here: run the copy',
  'failover-there': 'tsremus failover web1  # on hostb',
  'failover-if-dead': 'tsremus failover web1  # here, if hostb is dead',
  'failover-look': 'tsremus failover web1  # here, if hostb is dead: looks, and runs it if whole',
  'failover-vouch':
    'tsremus failover --force-unsafe web1  # on your word that hostb does not run it',
  'protect-there': 'tsremus protect web1 HOST  # on hostb, if the guest runs there',
  'set-there': 'tsremus set web1 interval=auto max-overhead=10  # on hostb',
  'list-guests': 'xl list',
  'list-uuids': 'xl vm-list  # shows the UUID of each: type that',
  'list-guest': 'xl list web1',
  'unpause-guest': 'xl unpause web1',
  'see-process': 'ps -o pid,stat,wchan:20,cmd -p 42',
  'end-process': 'kill 42  # then again; a second time if it stays held',
  'free-record': 'df -h /var/lib/tsremus  # the decision is recorded there',
};

it.each(adviceOn('web1', 'hostb'))('$kind', (advice) => {
  expect(adviceLine(advice)).toBe(lines[advice.kind]);
  expect(adviceCommand(advice)).toBe(lines[advice.kind].replace(/ {2}#.*$/, ''));
});

/** The words that a shell makes of a line. */
function wordsOf(line: string): string[] {
  const script = `set -- ${line}\nprintf '%s\\0' "$@"`;
  const { stdout, stderr } = spawnSync('sh', ['-c', script], { encoding: 'utf8' });
  expect(stderr).toBe('');
  return stdout.split('\0').slice(0, -1);
}

/** What the program's own parser makes of `argv`; throws what it has against it. */
async function parsed(argv: readonly string[]) {
  const program = buildProgram(newContext(fakeIo()));
  let found: { name: string; args: readonly string[] } | null = null;
  for (const command of program.commands) {
    command.action(() => {
      found = { name: command.name(), args: command.args };
    });
  }
  await program.parseAsync(argv, { from: 'user' });
  return found;
}

describe.each(['web1', 'a guest', "it's", 'grün', '$HOME', '#1', '`id`; "x"\\'])(
  'on %j',
  (domain) => {
    it.each(adviceOn(domain, 'hostb'))('$kind is understood', async (advice) => {
      const [tool, ...argv] = wordsOf(adviceLine(advice));
      // Nothing of the comment is left, and the name is one word.
      expect(argv).not.toContain('#');
      if ('domain' in advice) expect(argv).toContain(domain);
      if (tool !== 'tsremus') return expect(['xl', 'ps', 'kill', 'df']).toContain(tool);
      const settingsSaid = 'settings' in advice ? advice.settings : [];
      const hostSaid = argv.includes('HOST') ? ['HOST'] : [];
      const args = 'domain' in advice ? [domain, ...hostSaid, ...settingsSaid] : [];
      const ofAgain = { again: [domain, 'hostb'], 'again-of': [domain] };
      const expected = ofAgain[advice.kind as keyof typeof ofAgain] ?? args;
      expect(await parsed(argv)).toEqual({ name: argv[0], args: expected });
    });
  },
);

it('names no host by a command that leads to it', () => {
  for (const advice of adviceOn('web1', 'ssh hostb\nreboot')) {
    expect(adviceLine(advice)).toBe(
      lines[advice.kind]
        .replace('# on hostb', '# on the other host')
        .replace('here: hostb', 'here: the other host')
        .replace('asks hostb', 'asks the other host')
        .replace('copy on hostb', 'copy on the other host')
        .replace('if hostb', 'if the other host')
        .replace('that hostb', 'that the other host'),
    );
  }
});

it('says in a sentence what one vouches for', () => {
  expect(neverRan()).toBe('the copy never ran and never will');
  expect(askClause('a b')).toBe("to ask once more, type: tsremus stop 'a b'");
  expect(vouchClause('a b', 'hostb')).toBe(
    "if the copy on hostb never ran and never will, type: tsremus stop --force-unsafe 'a b'",
  );
});

it('has hints that are sentences', () => {
  expect(hints).toEqual({
    protectAnew: 'tsremus protect DOMAIN HOST makes a new copy of the memory from the start',
    nameBackup: 'name the backup as ssh knows it: tsremus protect DOMAIN HOST',
    withoutDisks: 'tsremus protect -F -d ... does without it; see tsremus-protect(8) for the risk',
    notTyped: 'this command is started by tsremus protect on the other host',
  });
});
