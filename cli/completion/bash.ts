/** The completion script for bash, which works without the package bash-completion. */
import { commandTable } from "../table/table.ts";
import { actionNames, commandNames, optionWords, places, type Place } from "./words.ts";

export function bashCompletion(): string {
  const actions = commandTable.filter((command) => actionNames(command).length > 0);
  return `# bash completion for stepvault; load it with: source <(stepvault completion bash)
_stepvault() {
  local current=\${COMP_WORDS[COMP_CWORD]} at=$COMP_CWORD before="" words="" kind=""
  # bash breaks words at : as well, so that read:runs is three of them. It keeps what is before the last one.
  if [[ $current == ":" ]]; then current=""; before="\${COMP_WORDS[--at]}:"
  elif [[ \${COMP_WORDS[at-1]} == ":" ]]; then ((at -= 2)); before="\${COMP_WORDS[at]}:"; fi
  local previous=\${COMP_WORDS[at-1]}
  # And at =, so that --option=value is three of them.
  if [[ $current == "=" ]]; then current=""
  elif [[ $previous == "=" ]]; then previous=\${COMP_WORDS[at-2]}; fi
  COMPREPLY=()
  if (( COMP_CWORD == 1 )); then
    COMPREPLY=($(compgen -W "${commandNames.join(" ")} --help --version" -- "$current"))
    return
  fi
  local place=\${COMP_WORDS[1]} action=2
  if [[ $place == help ]] && (( COMP_CWORD > 2 )); then place=\${COMP_WORDS[2]}; action=3; fi
  case $place in
${actions.map((command) => `    ${command.name}) words="${actionNames(command).join(" ")}" ;;`).join("\n")}
  esac
  if [[ -n $words ]]; then
    if (( COMP_CWORD == action )); then
      COMPREPLY=($(compgen -W "$words --help" -- "$current"))
      return
    fi
    place="$place \${COMP_WORDS[2]}"
    words=""
  fi
  (( action == 2 )) || return
  case "$place $previous" in
${places.flatMap(valueCases).join("\n")}
    *)
      case $place in
${places.map(placeCase).join("\n")}
      esac ;;
  esac
  if [[ $kind == files ]]; then
    compopt -o filenames 2>/dev/null
    # A name may have blanks in it.
    local IFS=$'\\n'
    COMPREPLY=($(compgen -f -- "$before$current"))
  elif [[ $kind != none ]]; then
    COMPREPLY=($(compgen -W "$words" -- "$before$current"))
  fi
  COMPREPLY=("\${COMPREPLY[@]#"$before"}")
}
complete -F _stepvault stepvault
`;
}

/** What follows an option that takes a value. */
function valueCases({ path, options }: Place): string[] {
  return options
    .filter(({ value }) => value !== undefined)
    .map(({ name, values }) => {
      const then = Array.isArray(values)
        ? `words="${values.join(" ")}"`
        : `kind=${values === "files" ? "files" : "none"}`;
      return `    "${path} --${name}") ${then} ;;`;
    });
}

function placeCase(place: Place): string {
  const { path, operands } = place;
  const words = [...(Array.isArray(operands) ? operands : []), ...optionWords(place)];
  const files = operands === "files" ? "; [[ $current == -* ]] || kind=files" : "";
  return `        "${path}") words="${words.join(" ")}"${files} ;;`;
}
