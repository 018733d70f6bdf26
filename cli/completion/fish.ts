/** The completion script for fish: a file in its folder of completions, or loaded by source. */
import { commandTable } from "../table/table.ts";
import { actionNames, type Place, places } from "./words.ts";

export function fishCompletion(): string {
  const lines = [
    ...commandTable.map(
      ({ name, summary }) => `complete -c stepvault -n '__stepvault_at 0' -a ${name} -d ${quoted(summary)}`,
    ),
    ...commandTable.flatMap((command) => {
      const summaries = new Map(command.actions.map(({ name, summary }) => [name, summary]));
      return actionNames(command).map(
        (name) =>
          `complete -c stepvault -n '__stepvault_at 1 ${command.name}' -a ${name} -d ${quoted(summaries.get(name) ?? "")}`,
      );
    }),
    ...places.flatMap(linesOf),
  ];
  return `# fish completion for stepvault: ~/.config/fish/completions/stepvault.fish, or stepvault completion fish | source
# Whether the words before the cursor begin with these, and, for a number, are so many.
function __stepvault_at
  set -l words (commandline -opc)[2..-1]
  set -l wanted $argv
  if string match -qr '^[0-9]+$' -- $wanted[1]
    test (count $words) -eq $wanted[1]; or return 1
    set -e wanted[1]
  end
  for index in (seq (count $wanted))
    test "$words[$index]" = "$wanted[$index]"; or return 1
  end
  return 0
end
complete -c stepvault -f
${lines.join("\n")}
`;
}

function linesOf({ path, options, operands }: Place): string[] {
  const at = `complete -c stepvault -n '__stepvault_at ${path}'`;
  const first =
    operands === "files" ? [`${at} -F`] : Array.isArray(operands) ? [`${at} -a ${quoted(operands.join(" "))}`] : [];
  return [
    ...first,
    ...options.map(({ name, value, values, short, help }) => {
      const letter = short === undefined ? "" : ` -s ${short}`;
      const takes = value === undefined ? "" : values === "files" ? " -r -F" : " -x";
      const words = Array.isArray(values) ? ` -a ${quoted(values.join(" "))}` : "";
      return `${at} -l ${name}${letter}${takes}${words} -d ${quoted(help)}`;
    }),
  ];
}

function quoted(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", String.raw`\'`)}'`;
}
