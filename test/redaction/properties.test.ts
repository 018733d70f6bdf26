/**
 * What must hold for any secrets, text and cuts, found out by random cases (generators.ts) with a fixed seed, and for
 * a few seconds with a seed of the day. The long run is bench/redaction-fuzz.ts.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createRedactor, type RedactorOptions } from "../../redaction/redactor.ts";
import { OracleSubject, Subject } from "./checks.ts";
import { cutAt, randomCuts, randomOf } from "./cuts.ts";
import { encodings, randomCase } from "./generators.ts";

const cases = fc.integer({ min: 0, max: 2 ** 30 }).map((seed) => randomCase(randomOf(seed)));
const FIXED = { seed: 20_261_121, numRuns: 400 };
const TIMED = { interruptAfterTimeLimit: 4000, numRuns: 1_000_000, markInterruptAsFailure: false };

const optionSets: Record<string, RedactorOptions> = {
  "all views": {},
  "all views, short values everywhere": { shortValues: "everywhere" },
  "enumerated forms only": { canonical: false },
  fragments: { fragments: true },
};

describe("redaction does not depend on cuts, stays within its hold, masks once, keeps other bytes", () => {
  for (const [title, options] of Object.entries(optionSets)) {
    test(`with ${title}`, () => {
      fc.assert(
        fc.property(cases, (each) => {
          expect(new Subject(each.secrets, options).brokenRule(each.text, each.cuts)).toBeUndefined();
        }),
        FIXED,
      );
    });
  }

  test("for some seconds, with another seed each time", () => {
    fc.assert(
      fc.property(cases, (each) => {
        expect(new Subject(each.secrets).brokenRule(each.text, each.cuts)).toBeUndefined();
      }),
      TIMED,
    );
  });
});

describe("long runs of digits, over many blocks, between binary data and text", () => {
  const SECRET = "sk_live_TESTsecret123";
  const data = fc.oneof(
    fc.uint8Array({ maxLength: 9000, size: "max" }),
    fc.nat(9000).map((length) => new Uint8Array(length)),
    fc.nat(9000).map((length) => Buffer.from("the quick brown fox ".repeat(500)).subarray(0, length)),
  );
  const wrapped = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64").replaceAll(/.{76}/g, "$&\n");
  const written: Record<string, (bytes: Uint8Array) => string> = {
    base64: (bytes) => Buffer.from(bytes).toString("base64"),
    "base64 in lines": wrapped,
    hexadecimal: (bytes) => Buffer.from(bytes).toString("hex"),
    "base64 of base64": (bytes) => Buffer.from(wrapped(bytes)).toString("base64"),
  };

  test.each(Object.entries(written))("%s: each value in it is masked, however it is cut", (_, write) => {
    fc.assert(
      fc.property(fc.array(data, { minLength: 1, maxLength: 6 }), fc.nat(), (parts, seed) => {
        // Blanks, so that what stands between two values is not read as a part of one.
        const joined = Buffer.from(
          parts.map((part) => Buffer.from(part).toString("latin1")).join(` ${SECRET} `),
          "latin1",
        );
        const text = write(joined);
        const redactor = createRedactor([{ name: "key", value: SECRET }]);
        const whole = redactor.text(text);
        expect(whole.split("[REDACTED:key]")).toHaveLength(parts.length);
        const stream = redactor.stream();
        const cut = cutAt(text, randomCuts(text.length, seed)).map((piece) => stream.write(piece));
        expect(cut.join("") + stream.end()).toBe(whole);
      }),
      { seed: 20_261_121, numRuns: 60 },
    );
  });
});

describe("redaction gives what the naive redactor gives", () => {
  for (const canonical of [true, false]) {
    test(`canonical views: ${String(canonical)}`, () => {
      fc.assert(
        fc.property(cases, (each) => {
          expect(new OracleSubject(each.secrets, canonical).differs(each.text)).toBeUndefined();
        }),
        { ...FIXED, numRuns: 150 },
      );
    });
  }
});

test("a text that repeats itself gives what the naive redactor gives", () => {
  const letters = fc.string({ unit: fc.constantFrom("a", "b", "-"), minLength: 1, maxLength: 5 });
  const gap = fc.constantFrom("", "", "", "-".repeat(600));
  fc.assert(
    fc.property(
      letters,
      gap,
      fc.integer({ min: 60, max: 130 }),
      letters,
      fc.nat(6),
      (unit, between, count, rest, shift) => {
        const text = unit.repeat(count) + between + unit.repeat(count) + rest;
        const plain = unit.repeat(20).slice(shift);
        const secrets = [plain.slice(0, 14), plain.slice(1, 17), `${plain.slice(0, 13)}${rest}`];
        const subject = new OracleSubject(secrets, true);
        expect(subject.brokenRule(text, [shift, count]) ?? subject.differs(text)).toBeUndefined();
      },
    ),
    FIXED,
  );
});

describe("no encoding of a long value survives, with anything around it", () => {
  const value = fc
    .string({ unit: "grapheme-ascii", minLength: 16, maxLength: 48 })
    .filter((each) => !/^\W*$|[\\%&[]|U\+/.test(each) && (each.match(/[a-z0-9]/gi)?.length ?? 0) >= 12);
  const around = fc.string({
    unit: fc.constantFrom("{", "}", "<", ">", "(", ")", ",", ";", "|", "~", "!", "?", " ", "\n"),
    maxLength: 6,
  });
  for (const [name, encode] of Object.entries(encodings)) {
    test(`${name} is masked`, () => {
      fc.assert(
        fc.property(value, around, around, (secret, before, after) => {
          const encoded = encode(secret);
          const masked = createRedactor([{ name: "s", value: secret }]).text(before + encoded + after);
          expect(masked).toContain("[REDACTED:s]");
          expect(masked).not.toContain(encoded);
        }),
        { seed: 7, numRuns: 60 },
      );
    });
  }
});

test("the time for a text grows with its length only, whatever text and needles look like", () => {
  const hostile: Record<string, [string[], string]> = {
    "self-similar needle": [[`${"a".repeat(4096)}b`], "a"],
    "chain of overlaps": [["abababababab", "babababababa"], "ab"],
    escapes: [["sk_live_TESTsecret123"], "\\u0073\\u006b"],
    backslashes: [["sk_live_TESTsecret123"], "\\"],
    blanks: [["sk_live_TESTsecret123"], "s "],
    base64: [["sk_live_TESTsecret123"], "c2tfbGl2ZV9U"],
    "lines of a value that repeats itself": [[`${"a: 1\n".repeat(500)}b: 2`], "x| a: 1\n"],
    ampersands: [["sk_live_TESTsecret123"], "&amp"],
  };
  const slow: string[] = [];
  for (const [name, [secrets, unit]] of Object.entries(hostile)) {
    const redactor = createRedactor(secrets.map((value) => ({ name: "s", value })));
    // The time of this thread alone, as others may be busy; it is counted in steps of some milliseconds.
    const timeOf = (length: number): number => {
      const text = unit.repeat(Math.ceil(length / unit.length));
      const started = process.threadCpuUsage();
      let rounds = 0;
      let used = 0;
      for (; used < 60_000; rounds++) {
        redactor.text(text);
        used = process.threadCpuUsage(started).user;
      }
      return used / rounds;
    };
    timeOf(40_000);
    // Sixteen times the text, both several blocks long; quadratic work would take 256 times as long.
    if (timeOf(640_000) / timeOf(40_000) > 64) slow.push(name);
  }
  expect(slow).toEqual([]);
});
