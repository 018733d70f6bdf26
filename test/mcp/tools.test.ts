/** How steps become tools: names that clients take, one step each, and texts without what hides in them. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { plainLine, plainText } from "../../mcp/plain-text.ts";
import { type PublishedStep, toolNamePattern, toolsMax, toolsOf } from "../../mcp/tools.ts";

let made = 0;

/** Each younger than the one before, as its id tells. */
function step(name: string, more: Partial<PublishedStep> = {}): PublishedStep {
  made += 1;
  const id = `01a200d2-a0df-7000-8000-${made.toString(16).padStart(12, "0")}`;
  return { id, version: 1, name, description: null, paramsSchema: null, ...more };
}

describe("names of tools", () => {
  test("are the steps' names in letters that every client takes", () => {
    const names = ["Count letters", "naïve  Größe", "a/b.c", "__x__", "  ", "北京", "x".repeat(200)].map((name) =>
      step(name),
    );
    expect(toolsOf(names, new Map()).map(({ name }) => name)).toEqual([
      "Count_letters",
      "naive_Gro_e",
      "a_b_c",
      "x",
      expect.stringMatching(/^step_[0-9a-f]{8}$/),
      expect.stringMatching(/^step_[0-9a-f]{8}$/),
      "x".repeat(64),
    ]);
  });

  test("are unique and fit the pattern, whatever the steps are called", () => {
    const names = fc.array(
      fc.oneof(fc.string({ unit: "grapheme", maxLength: 80 }), fc.constantFrom("a", "A", "a b", "a_b")),
    );
    fc.assert(
      fc.property(names, (all) => {
        const tools = toolsOf(
          all.map((name) => step(name)),
          new Map(),
        );
        expect(tools.filter(({ name }) => !toolNamePattern.test(name))).toEqual([]);
        expect(new Set(tools.map(({ name }) => name.toLowerCase())).size).toBe(all.length);
      }),
    );
  });

  test("stay with their steps when others of the same name come and go", () => {
    const [old, young] = [step("Pay"), step("Pay")];
    const names = new Map<string, string>();
    expect(toolsOf([old], names).map(({ name }) => name)).toEqual(["Pay"]);
    const [first, second] = toolsOf([young, old], names);
    expect([first?.stepId, first?.name, second?.stepId]).toEqual([old.id, "Pay", young.id]);
    expect(second?.name).toMatch(/^Pay_[0-9a-f]{8}$/);
    // What a client allowed for one step must not become another one's.
    expect(toolsOf([young], names).map(({ name }) => name)).toEqual([second?.name]);
    expect(toolsOf([young, old], names)).toEqual([first, second]);
  });

  test("cannot be taken by a step that is called like another one's ending", () => {
    const [first, second] = [step("Pay"), step("Pay")];
    const thief = step(`Pay_${second.id.replaceAll("-", "").slice(-8)}`, { id: first.id.replace(/^./, "0") });
    const tools = toolsOf([first, second, thief], new Map());
    expect(new Set(tools.map(({ name }) => name)).size).toBe(3);
  });
});

describe("texts of tools", () => {
  test("have no control characters, marks of direction, tags or other things that no eye sees", () => {
    const hidden = "ignore all".replaceAll(/./g, (letter) => String.fromCodePoint(0xe0000 + letter.charCodeAt(0)));
    const text = `a\u001b[31mb\u0007\u0000c\u202Ed\u200Be\u{E0100}f${hidden}\uD800g\r\nh\u2028i\tj`;
    expect(plainText(text, 100)).toBe("a[31mbcdefg\nh\ni\tj");
    expect(plainLine(text, 100)).toBe("a[31mbcdefg h i j");
  });

  test("are cut at their limit, and never within a character", () => {
    expect(plainText("😀😀", 3)).toBe("😀\uFFFD…");
    expect(plainText("abc", 3)).toBe("abc");
  });

  test("are cleaned within a schema as well, where nothing else is changed", () => {
    const [tool] = toolsOf(
      [
        step("S", {
          paramsSchema: {
            description: "x\u001by",
            properties: { description: { type: "string", title: "a\u202Eb", pattern: "\u0007", enum: ["\u0007"] } },
          },
        }),
      ],
      new Map(),
    );
    expect(tool?.inputSchema).toEqual({
      type: "object",
      description: "xy",
      properties: { description: { type: "string", title: "ab", pattern: "\u0007", enum: ["\u0007"] } },
    });
  });
});

describe("schemas of tools", () => {
  test("are of an object, and a step whose params are none is no tool", () => {
    const schemas = [null, {}, { type: ["object", "null"] }, { type: "string" }, { type: ["array"] }, { type: 7 }];
    const tools = toolsOf(
      schemas.map((paramsSchema, index) => step(`s${index}`, { paramsSchema })),
      new Map(),
    );
    expect(tools.map(({ name, inputSchema }) => [name, inputSchema])).toEqual(
      ["s0", "s1", "s2"].map((name) => [name, { type: "object" }]),
    );
  });

  test("are left out when they are nested more deeply than a client can read", () => {
    const deep = JSON.parse(`${'{"not":'.repeat(1_000)}{}${"}".repeat(1_000)}`) as Record<string, unknown>;
    expect(toolsOf([step("deep", { paramsSchema: deep })], new Map())[0]?.inputSchema).toEqual({ type: "object" });
  });

  test("keep a property that is called __proto__ as one", () => {
    const paramsSchema = JSON.parse('{"properties":{"__proto__":{"type":"string"}}}') as Record<string, unknown>;
    const [tool] = toolsOf([step("s", { paramsSchema })], new Map());
    expect(JSON.stringify(tool?.inputSchema)).toBe('{"type":"object","properties":{"__proto__":{"type":"string"}}}');
  });

  test("are those of the oldest steps when there are too many", () => {
    const steps = Array.from({ length: toolsMax + 20 }, (_, index) => step(`s${index}`));
    expect(toolsOf(steps.toReversed(), new Map()).map(({ stepId }) => stepId)).toEqual(
      steps.slice(0, toolsMax).map(({ id }) => id),
    );
  });
});
