/** Goal: inputs render references and nothing else. Method: examples, and Mustache itself as an oracle. */
import * as fc from "fast-check";
import mustache from "mustache";
import { describe, expect, it } from "vitest";
import type { Json } from "../../../protocol/job.ts";
import { inputReferences, renderInputs } from "../../../runtime/binding/inputs.ts";
import { hostileValues } from "./hostile-values.ts";

const render = (text: string, values: Readonly<Record<string, string>>): Json | undefined =>
  renderInputs({ text }, new Map(Object.entries(values)))["text"];

describe("inputReferences()", () => {
  it("lists every reference with the path of its string", () => {
    const inputs = {
      url: "https://x/<<secrets.a>>?{{ secrets.b }}",
      list: [1, { "x-key": "<<secrets.a>>" }],
      on: true,
    };
    expect(inputReferences(inputs)).toEqual([
      { name: "a", path: "inputs.url" },
      { name: "b", path: "inputs.url" },
      { name: "a", path: `inputs.list[1]["x-key"]` },
    ]);
  });

  it("does not look at keys", () => {
    expect(inputReferences({ "<<secrets.a>>": "x", "<<#secrets.a>>": 1 })).toEqual([]);
  });

  it("refuses more references than one step may hold, over all strings", () => {
    const many = (count: number) => ({ a: "<<secrets.k>>".repeat(500), b: "<<secrets.k>>".repeat(count - 500) });
    expect(inputReferences(many(1_000))).toHaveLength(1_000);
    expect(() => inputReferences(many(1_001))).toThrow(expect.objectContaining({ code: "ERR_REFERENCE_COUNT" }));
  });

  it("refuses inputs nested too deeply instead of running out of stack", () => {
    const deep = JSON.parse(`${"[".repeat(100_000)}${"]".repeat(100_000)}`) as Json;
    expect(() => inputReferences({ deep })).toThrow(expect.objectContaining({ code: "ERR_INPUTS_TEMPLATE" }));
  });

  for (const tag of [
    "<<#secrets.x>>",
    "<</secrets.x>>",
    "<<^secrets.x>>",
    "<<>secrets.x>>",
    "<<& secrets.x >>",
    "<<!secrets.x>>",
    "<<{secrets.x}>>",
    "<<=<% %>=>>",
    "{{#secrets.x}}",
    "{{/secrets.x}}",
    "{{&secrets.x}}",
    "{{=<< >>=}}",
  ]) {
    it(`refuses the tag ${tag} and says where it is`, () => {
      expect(() => inputReferences({ a: { b: `text ${tag}` } })).toThrow(
        expect.objectContaining({
          code: "ERR_INPUTS_TEMPLATE",
          message: "Cannot render inputs.a.b: it uses a tag, at character 6, that is no reference",
        }),
      );
    });
  }
});

describe("renderInputs()", () => {
  for (const [name, value] of Object.entries(hostileValues)) {
    it(`puts ${name} in unchanged and does not render it again`, () => {
      expect(render("<<secrets.k>>", { k: value, other: "OTHER" })).toBe(value);
      expect(render("a{{secrets.k}}b<<secrets.k>>", { k: value, other: "OTHER" })).toBe(`a${value}b${value}`);
    });
  }

  for (const text of [
    "cat <<EOF\n>>x\nEOF",
    "1 << 2 >> 1",
    "<<other.name>> <<name>> << >>",
    "<<secrets.bad-name>> <<secrets>> <<secrets.>> <<secrets.9>>",
    "{{name}} {{#list}} {{> partial}}",
    "<<#list>> <<=x",
    "<< secrets\n.k >>",
  ]) {
    it(`leaves ${JSON.stringify(text)} as it is`, () => {
      expect(render(text, { k: "v", secrets: "v" })).toBe(text);
    });
  }

  it("keeps keys that name parts of a prototype as data", () => {
    const inputs = JSON.parse(`{"__proto__": {"a": "<<secrets.k>>"}, "constructor": "<<secrets.k>>"}`) as Record<
      string,
      Json
    >;
    const rendered = renderInputs(inputs, new Map([["k", "v"]]));
    expect(JSON.stringify(rendered)).toBe(`{"__proto__":{"a":"v"},"constructor":"v"}`);
    expect(({} as Record<string, unknown>)["a"]).toBeUndefined();
  });

  it("does not find values under the names of a prototype's members", () => {
    expect(() => render("<<secrets.constructor>>", {})).toThrow(
      expect.objectContaining({ code: "ERR_SECRET_UNKNOWN" }),
    );
  });

  it("changes neither the inputs nor what is no string", () => {
    const inputs = Object.freeze({ a: 1, b: [null, true, "<<secrets.k>>"], c: {} });
    expect(renderInputs(inputs, new Map([["k", "v"]]))).toEqual({ a: 1, b: [null, true, "v"], c: {} });
    expect(inputs.b[2]).toBe("<<secrets.k>>");
  });

  it("agrees with Mustache on text and references", () => {
    const part = fc.constantFrom(
      "<<secrets.a>>",
      "<< secrets.b >>",
      "<<\tsecrets.a\t>>",
      "text",
      "{",
      "\n",
      " ",
      "&",
      '"',
    );
    const value = fc.string({ unit: "binary", minLength: 1 });
    fc.assert(
      fc.property(fc.array(part), value, value, (parts, a, b) => {
        const text = parts.join("");
        const options = { tags: ["<<", ">>"] as [string, string], escape: String };
        expect(render(text, { a, b })).toBe(mustache.render(text, { secrets: { a, b } }, {}, options));
      }),
      { numRuns: 500 },
    );
  });
});
