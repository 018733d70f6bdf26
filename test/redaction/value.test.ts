/** Structured values: everything that holds text is masked, nothing hostile gets through, the input stays as it is. */
import { describe, expect, test } from "vitest";
import { createRedactor } from "../../redaction/redactor.ts";

const SECRET = "sk_live_TESTsecret123";
const redactor = createRedactor([
  { name: "key", value: SECRET },
  { name: "pin", value: "48151623" },
  { name: "other", value: "secret-two-0815" },
]);
const MASK = "[REDACTED:key]";

test("value() masks strings, keys, Map, Set and nested values, and does not change its input", () => {
  const input = {
    list: [`a ${SECRET}`, { [SECRET]: new Map([[SECRET, new Set([SECRET])]]) }],
    date: new Date(5),
    n: null,
  };
  const before = structuredClone(input);
  expect(redactor.value(input)).toEqual({
    list: [`a ${MASK}`, { [MASK]: new Map([[MASK, new Set([MASK])]]) }],
    date: new Date(5),
    n: null,
  });
  expect(input).toEqual(before);
});

test("value() masks a numeric secret as a number and inside one, and keeps other numbers", () => {
  expect(redactor.value([48_151_623, 1, 48_151_623n, Number.NaN, -0])).toEqual([
    "[REDACTED:pin]",
    1,
    "[REDACTED:pin]",
    Number.NaN,
    -0,
  ]);
});

test("value() keeps masked keys apart from each other and from keys that are there", () => {
  const value = { [MASK]: 0, [`${MASK}#2`]: 1, [SECRET]: 2, [SECRET.toUpperCase()]: 3 };
  expect(redactor.value(value)).toEqual({ [MASK]: 0, [`${MASK}#2`]: 1, [`${MASK}#3`]: 2, [`${MASK}#4`]: 3 });
});

test("value() masks bytes, typed arrays, buffers and lists of character codes", () => {
  const bytes = Buffer.from(`a ${SECRET}`);
  expect(redactor.value(bytes)).toEqual(Buffer.from(`a ${MASK}`));
  expect(redactor.value(new Uint8Array(bytes))).toEqual(new Uint8Array(Buffer.from(`a ${MASK}`)));
  expect(redactor.value(new DataView(new Uint8Array(bytes).buffer))).toBe(`a ${MASK}`);
  expect(redactor.value([...Buffer.from(SECRET)])).toBe(MASK);
  expect(redactor.value(new Float64Array([1, 2]))).toEqual(new Float64Array([1, 2]));
});

test("value() masks message, stack, cause, errors and fields of an error", () => {
  const error = new AggregateError([new Error(SECRET)], SECRET, { cause: { at: SECRET } });
  Object.assign(error, { code: SECRET });
  const copy = redactor.value(error) as AggregateError & { code: string };
  expect(copy).toBeInstanceOf(Error);
  expect(copy.message).toBe(MASK);
  expect(copy.stack).not.toContain(SECRET);
  expect(copy.cause).toEqual({ at: MASK });
  expect((copy.errors[0] as Error).message).toBe(MASK);
  expect(copy.code).toBe(MASK);
});

describe("hostile values", () => {
  test("getters and proxies that throw become unreadable, the rest is kept", () => {
    const hostile = {
      get bad(): string {
        throw new Error(SECRET);
      },
      good: SECRET,
      proxy: new Proxy(
        {},
        {
          ownKeys: () => {
            throw new Error(SECRET);
          },
        },
      ),
    };
    expect(redactor.value(hostile)).toEqual({ bad: "[unreadable]", good: MASK, proxy: "[unreadable]" });
  });

  test("cycles and shared references stay what they are", () => {
    const cyclic: Record<string, unknown> = { text: SECRET };
    cyclic["self"] = cyclic;
    const copy = redactor.value(cyclic) as Record<string, unknown>;
    expect(copy["self"]).toBe(copy);
    expect(copy["text"]).toBe(MASK);
  });

  test("what lies too deep is withheld", () => {
    let deep: unknown = SECRET;
    for (let i = 0; i < 5000; i++) deep = [deep];
    expect(JSON.stringify(redactor.value(deep))).toContain("[too deep]");
    expect(JSON.stringify(redactor.value(deep))).not.toContain(SECRET);
  });

  test("a key named __proto__ stays a key", () => {
    const copy = redactor.value(JSON.parse(`{"__proto__": {"x": "${SECRET}"}}`)) as object;
    expect(Object.getPrototypeOf(copy)).toBe(Object.prototype);
    expect(JSON.stringify(copy)).toBe(`{"__proto__":{"x":"${MASK}"}}`);
  });

  test("functions, symbols, regular expressions and URLs do not carry a value", () => {
    const url = new URL(`https://user:${SECRET}@host/`);
    const copy = redactor.value([() => SECRET, Symbol(SECRET), new RegExp(SECRET), url, Object(SECRET)]);
    expect(copy).toEqual(["[function]", `Symbol(${MASK})`, `/${MASK}/`, `https://user:${MASK}@host/`, MASK]);
  });
});

describe("a value split over fields", () => {
  test("halves in array elements are masked", () => {
    expect(redactor.value([SECRET.slice(0, 9), SECRET.slice(9), "and more"])).toEqual([MASK, MASK, "and more"]);
  });

  test("halves in fields with a number between are masked, text around them is kept", () => {
    expect(redactor.value({ a: `x: ${SECRET.slice(0, 9)}`, n: 1, b: `${SECRET.slice(9)} y` })).toEqual({
      a: `x: ${MASK}`,
      n: 1,
      b: `${MASK} y`,
    });
  });

  test("single characters are masked", () => {
    expect(new Set(redactor.value(Array.from(SECRET)) as string[])).toEqual(new Set([MASK]));
  });

  test("a last string that begins like a value is kept as text() keeps it", () => {
    expect(redactor.value(["a", "b"])).toEqual(["a", "b"]);
  });
});
