/** The completion script for zsh, as a file of its function path or loaded by source. */
import { commandTable } from "../table/table.ts";
import { actionNames, places, type Place } from "./words.ts";

export function zshCompletion(): string {
  return `#compdef stepvault
# zsh completion for stepvault: a file _stepvault in a folder of $fpath, or source <(stepvault completion zsh)
_stepvault() {
  local place=$words[2] previous=$words[CURRENT-1] current=$words[CURRENT]
  local -a found
  if (( CURRENT == 2 )); then
    found=(${commandTable.map(({ name, summary }) => described(name, summary)).join(" ")})
    _describe command found
    return
  fi
  case $place in
${commandTable
  .filter((command) => actionNames(command).length > 0)
  .map((command) => {
    const summaries = new Map(command.actions.map(({ name, summary }) => [name, summary]));
    const words = actionNames(command).map((name) => described(name, summaries.get(name) ?? ""));
    return `    ${command.name}) found=(${words.join(" ")}) ;;`;
  })
  .join("\n")}
  esac
  if (( $#found )); then
    if (( CURRENT == 3 )); then
      _describe action found
      return
    fi
    [[ $place == help ]] || place="$place $words[3]"
    found=()
  fi
  if [[ $current == --*=* ]]; then
    previous=\${current%%=*}
    compset -P '*='
    current=\${current#*=}
  fi
  case "$place $previous" in
${places.flatMap(valueCases).join("\n")}
  esac
  case $place in
${places.map(placeCase).join("\n")}
  esac
}
if [[ $funcstack[1] == _stepvault ]]; then _stepvault "$@"; else compdef _stepvault stepvault; fi
`;
}

function valueCases({ path, options }: Place): string[] {
  return options
    .filter(({ value }) => value !== undefined)
    .map(({ name, values }) => {
      const then = Array.isArray(values)
        ? `compadd -- ${values.map(quoted).join(" ")}`
        : values === "files"
          ? "_files"
          : "true";
      return `    ${quoted(`${path} --${name}`)}) ${then}; return ;;`;
    });
}

function placeCase({ path, options, operands }: Place): string {
  const found = options.map(({ name, help }) => described(`--${name}`, help));
  const words = Array.isArray(operands) ? `compadd -- ${operands.map(quoted).join(" ")};` : "";
  const files = operands === "files" ? "[[ $current == -* ]] || _files;" : "";
  return `    ${quoted(path)}) ${words} ${files} found=(${found.join(" ")}); _describe option found ;;`;
}

function described(word: string, text: string): string {
  return quoted(`${word}:${text.replaceAll(":", "\\:")}`);
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
