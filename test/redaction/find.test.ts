/** Naming the secrets that a text holds, without masking it: for whoever decides whether it may leave. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createRedactor } from "../../redaction/redactor.ts";

const SECRET = "sk_live_TESTsecret123";
const one = (value: string): ReturnType<typeof createRedactor> => createRedactor([{ name: "key", value }]);

describe("find", () => {
  test("find() names the secrets that bytes hold in any form, in their order, and counts nothing", () => {
    const redactor = createRedactor([
      { name: "a", value: SECRET },
      { name: "b", value: "another-Zk93Lm2Qp7" },
      { name: "c", value: "absent-Xr5Wt1Vb8Nc" },
    ]);
    const text = `x=${Buffer.from("another-Zk93Lm2Qp7").toString("base64")}&y=${SECRET}`;
    expect(redactor.find(Buffer.from(text))).toEqual(["a", "b"]);
    expect(redactor.find(Buffer.from("nothing"))).toEqual([]);
    expect(redactor.report()).toEqual([]);
  });
  test("find() takes what only begins like a value at the end for none", () => {
    expect(one(SECRET).find(Buffer.from(SECRET.slice(0, -1)))).toEqual([]);
    expect(one(SECRET).text(SECRET.slice(0, -1))).not.toContain(SECRET.slice(0, -1));
  });
  test("find() gives the names that text() masks by, for any text of values and their forms", () => {
    const values = ["Zk93Lm2Qp7Xr", "Wt1Vb8Nc4Hs6", "Jd6Nf4Vb0Qa2"];
    const redactors = (): ReturnType<typeof createRedactor> =>
      createRedactor(values.map((value, i) => ({ name: `n${i}`, value })));
    const forms = values.flatMap((value) => [value, Buffer.from(value).toString("base64"), encodeURIComponent(value)]);
    const texts = fc.array(fc.constantFrom(...forms, " and ", "&", "0", "\n"), { maxLength: 12 });
    fc.assert(
      fc.property(texts, (parts) => {
        const text = `${parts.join(" ")} .`;
        const redactor = redactors();
        redactor.text(text);
        const named = redactor.report().map(({ secret }) => secret);
        expect(redactors().find(Buffer.from(text))).toEqual([...named].sort());
      }),
    );
  });
});
