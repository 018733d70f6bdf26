/**
 * Parses JavaScript as the body of an async function and turns acorn's errors into ours. A message of acorn's may quote
 * the code; what leaves here does not. The one owner of acorn.
 */
import { type Node, Parser, type Options } from "acorn";
import { StepvaultError } from "../../protocol/error.ts";
import type { createLocator } from "./locator.ts";
import type { Occurrence } from "./placeholder.ts";
import { referencePositionError } from "./reference-error.ts";

/** Any acorn node, with its fields open to a walk. */
export interface SyntaxNode extends Node {
  readonly [field: string]: unknown;
}

export interface Comment {
  readonly start: number;
  readonly end: number;
}

const asyncScopeFlag = 4;

// acorn parses files: its options allow `await` or `using` and `new.target` at the top, but not all of them. The scope
// of a CommonJS file is a function's, so making that scope async gives the body of an async function.
class StepParser extends Parser {
  constructor(options: Options, input: string) {
    super(options, input);
    const [top] = (this as unknown as { scopeStack: { flags: number }[] }).scopeStack;
    if (top !== undefined) top.flags |= asyncScopeFlag;
  }
}

/** The syntax tree and the comments of code whose references are already substituted. */
export function parseJavaScript(
  source: string,
  occurrences: readonly Occurrence[],
  locate: ReturnType<typeof createLocator>,
): { program: SyntaxNode; comments: Comment[] } {
  const comments: Comment[] = [];
  const options: Options = {
    ecmaVersion: "latest",
    sourceType: "commonjs",
    // Import and export parse, so that a reference in one gets its own error; V8 refuses the statement itself.
    allowImportExportEverywhere: true,
    onComment: (_block, _text, start, end) => comments.push({ start, end }),
  };
  try {
    return { program: StepParser.parse(source, options) as unknown as SyntaxNode, comments };
  } catch (error) {
    if (!(error instanceof SyntaxError) || !("pos" in error)) {
      if (error instanceof RangeError) throw new StepvaultError("ERR_STEP_SYNTAX", tooDeep, { cause: error });
      throw error;
    }
    const offset = Number(error.pos);
    const hit = occurrences.find(({ start, end }) => start <= offset && offset < end);
    // An escape cut short by the reference is a fault of the string, not of where the reference stands.
    const badEscape = /escape/i.test(error.message);
    if (hit !== undefined && !badEscape) throw referencePositionError(hit.name, locate(hit.start));
    throw new StepvaultError("ERR_STEP_SYNTAX", `Cannot parse the step: ${plainMessage(error.message)}`, {
      position: locate(offset),
    });
  }
}

const tooDeep = "Cannot parse the step: it is nested too deeply";

/** acorn's message without its position and without anything of the code. */
function plainMessage(message: string): string {
  return message
    .replace(/ \(\d+:\d+\)$/, "")
    .replace(/^Not enough stack space.*/, "it is nested too deeply")
    .replace(/^(Invalid regular expression: )[\s\S]*\/: /, "$1")
    .replace(/^(Unexpected character) '([\s\S]*)'$/, (_all, head: string, character: string) => {
      return `${head} U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}`;
    })
    .replace(
      /^(Identifier|Label|Private field|Export|Duplicate export|Duplicate attribute key) '[\s\S]*'(?=$| [a-z ]+$)/,
      "$1",
    );
}
