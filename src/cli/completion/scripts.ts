// biome-ignore-all lint/suspicious/noTemplateCurlyInString: they are the shells'
/**
 * What a shell has to be told once. Each script asks `tsremus __complete`, which prints a candidate
 * a line, and behind a tab what it is; `:files` alone: names of files.
 */

export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

/** What stands for the names of files; no word of ours begins so. */
export const filesLine = ':files';

// bash cuts its words at = and : (COMP_WORDBREAKS), so the line itself is handed over, and what
// stands before the last of those in the word is not said again. In quotes nothing is quoted.
const bash = [
  '# bash completion of tsremus',
  '_tsremus() {',
  '  local line=${COMP_LINE:0:COMP_POINT} head= raw word',
  '  raw=${line##*[[:space:]]}',
  '  [[ $raw == *[=:]* ]] && head=${raw%"${raw##*[=:]}"}',
  '  COMPREPLY=()',
  "  while IFS=$'\\t' read -r word _; do",
  "    if [[ $word == ':files' ]]; then",
  '      compopt -o default',
  '      return',
  '    fi',
  '    word=${word#"$head"}',
  '    [[ $word == *= ]] && compopt -o nospace',
  '    [[ ${COMP_WORDS[COMP_CWORD]} == [\\"\\\']* ]] || printf -v word %q "$word"',
  '    COMPREPLY+=("$word")',
  '  done < <(tsremus __complete --line "$line" 2>/dev/null)',
  '}',
  'complete -F _tsremus tsremus',
];

const zsh = [
  '#compdef tsremus',
  '_tsremus() {',
  '  local -a found open',
  '  local word about',
  "  while IFS=$'\\t' read -r word about; do",
  '    case $word in',
  "      '') ;;",
  "      ':files') _files; return ;;",
  '      *=) open+=("${word//:/\\\\:}:$about") ;;',
  '      *) found+=("${word//:/\\\\:}:$about") ;;',
  '    esac',
  '  done < <(tsremus __complete -- "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)',
  "  _describe -t words 'word' found -- open -S ''",
  '}',
  'if [[ $funcstack[1] == _tsremus ]]; then _tsremus "$@"; else compdef _tsremus tsremus; fi',
];

const fish = [
  '# fish completion of tsremus',
  'function __tsremus_complete',
  '    set -l typed (commandline -opc)',
  '    set -e typed[1]',
  '    set -l found (tsremus __complete -- $typed (commandline -ct) 2>/dev/null)',
  '    if test "$found" = \':files\'',
  '        __fish_complete_path (commandline -ct)',
  '    else',
  '        string join \\n -- $found',
  '    end',
  'end',
  "complete -c tsremus -f -a '(__tsremus_complete)'",
];

const scripts: Readonly<Record<Shell, readonly string[]>> = { bash, zsh, fish };

/** The script for a shell, which defines its completion when it is read. */
export function scriptFor(shell: Shell): string {
  return scripts[shell].map((line) => `${line}\n`).join('');
}
