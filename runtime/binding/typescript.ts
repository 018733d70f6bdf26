/**
 * Turns TypeScript into JavaScript by blanking its types, so that every line and column stays. Node's own stripper does
 * it: the one that also runs this code, so there is no second compiler to keep. Trades: syntax that would have to be
 * rewritten (enum, namespace, parameter properties) is an error, and no types are checked.
 */
import { stripTypeScriptTypes } from "node:module";
import { type Position, StepvaultError } from "../../protocol/error.ts";

/** The stripper reads files; inside a function `return` and `await` are what they are in a step. */
const opening = "async function step() {\n";
const closing = "\n}";

/** The source without types, of the same length. Throws ERR_STEP_SYNTAX or ERR_STEP_TYPESCRIPT with the place. */
export function stripTypes(source: string): string {
  const stripped = strip(source).slice(opening.length, -closing.length);
  if (stripped.length !== source.length) {
    throw new StepvaultError("ERR_INTERNAL", "Cannot read the step: its length differs without types");
  }
  return stripped;
}

function strip(source: string): string {
  try {
    return stripTypeScriptTypes(opening + source + closing, { mode: "strip" });
  } catch (error) {
    const { code, message, stack = "" } = error as Error & { code?: string };
    const position = placeOf(stack, source);
    if (code === "ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX") {
      throw new StepvaultError("ERR_STEP_TYPESCRIPT", `Cannot run the step: ${message.replace(/\.$/, "")}`, {
        position,
      });
    }
    throw new StepvaultError("ERR_STEP_SYNTAX", `Cannot parse the step: ${withoutCode(message)}`, { position });
  }
}

/** The stripper tells the place as text: ":line", the line's code, and carets under it. */
function placeOf(stack: string, source: string): Position | undefined {
  const [, lineText, carets] = /^[^\n]*?:(\d+)\n[\s\S]*?\n( *)\^+(?:\n|$)/.exec(stack) ?? [];
  const line = Number(lineText) - 1;
  const text = source.split(/\r\n|[\n\r\u2028\u2029]/)[line - 1];
  if (text === undefined) return undefined;
  return { line, column: offsetAt(text, (carets ?? "").length) + 1 };
}

/** The offset in a line that a caret at this width points at: carets are set as on a screen. */
function offsetAt(text: string, width: number): number {
  let offset = 0;
  let passed = 0;
  for (const character of text) {
    if (passed >= width) break;
    passed += character === "\t" ? 4 : wide.test(character) ? 2 : combining.test(character) ? 0 : 1;
    offset += character.length;
  }
  return offset;
}

const wide =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}/u;
const combining = /\p{M}/u;

/** Words in quotes may be the step's. */
function withoutCode(message: string): string {
  const [problem = ""] = message.split(". Expected", 1);
  return problem.replaceAll(/`[^`]*`|'[^']*'|"[^"]*"/g, (quoted) =>
    /[\p{L}\p{N}_$]/u.test(quoted) ? "a word" : quoted,
  );
}
