/**
 * Goal: a sealed blob opens with its own key and context and with nothing else, whichever byte is changed or cut.
 */
import { randomBytes } from "node:crypto";
import { array, assert, property, string, uint8Array } from "fast-check";
import { expect, test } from "vitest";
import { closestName } from "../../../vault/secrets/closest-name.ts";
import { deriveKey, open, seal, SealBrokenError, withKey } from "../../../vault/encryption/crypto.ts";

const key = randomBytes(32);

test("open() gives back what seal() took, for any bytes and any context", () => {
  assert(
    property(uint8Array({ maxLength: 200 }), array(string({ unit: "binary" })), (bytes, context) => {
      expect(open(key, context, seal(key, context, Buffer.from(bytes)))).toEqual(Buffer.from(bytes));
    }),
    { seed: 1 },
  );
});

test("open() refuses every other list of parts, also one that reads the same when joined", () => {
  const blob = seal(key, ["a", "bc"], Buffer.from("value"));
  for (const context of [["ab", "c"], ["abc"], ["a", "bc", ""], ["", "a", "bc"], ["bc", "a"], []]) {
    expect(() => open(key, context, blob)).toThrow(SealBrokenError);
  }
});

test("open() refuses a blob with any one byte changed, and one cut at any place or made longer", () => {
  const blob = seal(key, ["context"], Buffer.from("value"));
  for (let index = 0; index < blob.length; index += 1) {
    const changed = Buffer.from(blob);
    changed[index] = changed[index]! ^ 1;
    expect(() => open(key, ["context"], changed)).toThrow(SealBrokenError);
    expect(() => open(key, ["context"], blob.subarray(0, index))).toThrow(SealBrokenError);
  }
  expect(() => open(key, ["context"], Buffer.concat([blob, Buffer.alloc(1)]))).toThrow(SealBrokenError);
  expect(() => open(randomBytes(32), ["context"], blob)).toThrow(SealBrokenError);
});

test("seal() never repeats a nonce, so equal values look different", () => {
  const blobs = Array.from({ length: 1_000 }, () => seal(key, [], Buffer.from("same")).subarray(1, 13).toString("hex"));
  expect(new Set(blobs).size).toBe(1_000);
});

test("withKey() leaves the key zeroed, also when its work throws", () => {
  const used = randomBytes(32);
  expect(() =>
    withKey(used, () => {
      throw new Error("work failed");
    }),
  ).toThrow("work failed");
  expect(used).toEqual(Buffer.alloc(32));
});

test("deriveKey() gives each purpose its own key", () => {
  expect(deriveKey(key, "wrap")).toEqual(deriveKey(key, "wrap"));
  expect(deriveKey(key, "wrap")).not.toEqual(deriveKey(key, "check"));
});

test.each([
  ["API_KEY", ["API_KEYS", "API_TOKEN"], "API_KEYS"],
  ["APIKEY", ["API_KEY", "OTHER"], "API_KEY"],
  ["api_key", ["API_KEY"], "API_KEY"],
  ["AIP_KEY", ["APP_KEY_OLD", "API_KEY"], "API_KEY"],
  ["A", ["B", "LONGER"], "B"],
  ["DATABASE_PASSWORD", ["STRIPE_KEY"], undefined],
  ["ANY", [], undefined],
])("closestName(%s) among %j is %s", (name, names, closest) => {
  expect(closestName(name, names)).toBe(closest);
});
