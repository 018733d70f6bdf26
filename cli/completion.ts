/**
 * `stepvault completion`: scripts that complete commands, options and their values, made from the table. They hold words only
 * and start nothing, so that a key press costs nothing; ids are therefore not completed.
 */
import { bashCompletion } from "./completion/bash.ts";
import { fishCompletion } from "./completion/fish.ts";
import { zshCompletion } from "./completion/zsh.ts";
import type { Given } from "./given.ts";
import { data } from "./terminal.ts";

const scripts: Readonly<Record<string, () => string>> = {
  bash: bashCompletion,
  zsh: zshCompletion,
  fish: fishCompletion,
};

export async function completionCommand(given: Given): Promise<void> {
  data(scripts[given.required("SHELL")]!());
}
