/** What the redactor does for those who use it: texts, streams, transforms, live adding, the report. */
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { Subject } from "./checks.ts";
import { createRedactor, exposureOf } from "../../redaction/redactor.ts";

const SECRET = "sk_live_TESTsecret123";
const one = (value: string, name = "key"): ReturnType<typeof createRedactor> => createRedactor([{ name, value }]);

describe("text", () => {
  test("text() puts the placeholder in the place of a value and keeps the rest", () => {
    expect(one(SECRET).text(`a ${SECRET} b`)).toBe("a [REDACTED:key] b");
  });

  test("text() keeps lone surrogates and gives back an unchanged text as it is", () => {
    const text = "a\ud800b \udc00";
    expect(one(SECRET).text(text)).toBe(text);
    expect(one(SECRET).text(`${text}${SECRET}\ud83d`)).toBe(`${text}[REDACTED:key]\ud83d`);
  });

  test("text() masks the union of overlapping values once, named for the first", () => {
    const redactor = createRedactor([
      { name: "a", value: "abcd-efgh-1" },
      { name: "b", value: "efgh-1-ijkl" },
    ]);
    expect(redactor.text("<abcd-efgh-1-ijkl>")).toBe("<[REDACTED:a]>");
  });

  test("text() names the longer of two values that begin at the same place", () => {
    const redactor = createRedactor([
      { name: "short", value: "passwd-12345" },
      { name: "long", value: "passwd-12345-extended" },
    ]);
    expect(redactor.text("passwd-12345-extended passwd-12345")).toBe("[REDACTED:long] [REDACTED:short]");
  });

  test("bytes() passes invalid UTF-8 outside of the masks", () => {
    const bytes = Buffer.concat([Buffer.from([0xff, 0xc3]), Buffer.from(SECRET), Buffer.from([0x80, 0xfe])]);
    expect(Buffer.from(one(SECRET).bytes(bytes)).toString("latin1")).toBe("\u00ff\u00c3[REDACTED:key]\u0080\u00fe");
  });

  test("bytes() masks the part of gzip data that a value was compressed to", () => {
    const data = gzipSync(`{"user":"me","key":"${SECRET}","x":1}`);
    expect(Buffer.from(one(SECRET).bytes(data)).toString("latin1")).toContain("[REDACTED:key]");
  });

  test("a secret of bytes that are no text is masked as it is, in hexadecimal and in base64", () => {
    const value = Uint8Array.from({ length: 24 }, (_, i) => 200 + i);
    const redactor = createRedactor([{ name: "raw", value }]);
    expect(Buffer.from(redactor.bytes(value)).toString()).toBe("[REDACTED:raw]");
    expect(redactor.text(Buffer.from(value).toString("hex"))).toBe("[REDACTED:raw]");
    expect(redactor.text(Buffer.from(value).toString("base64"))).toBe("[REDACTED:raw]");
  });
});

describe("encoded runs", () => {
  const inner = `${"the quick brown fox ".repeat(400)}key=${SECRET} and more`;
  const twice = Buffer.from(Buffer.from(inner).toString("base64")).toString("base64");

  test("a value deep within a long text that is encoded twice is masked, and nothing else", () => {
    const out = one(SECRET).text(twice);
    expect(out).toMatch(/^[A-Za-z0-9+/]+\[REDACTED:key\][A-Za-z0-9+/]+=*$/);
    // Six characters in three for each layer, and the ends of two groups.
    expect(twice.length - out.length + "[REDACTED:key]".length).toBeLessThan((SECRET.length * 16) / 9 + 12);
  });

  test("a long run is looked into however it is cut, and is not collected", () => {
    const redactor = one(SECRET);
    const stream = redactor.stream();
    let out = "";
    for (let i = 0; i < twice.length; i += 7) {
      out += stream.write(twice.slice(i, i + 7));
      expect(stream.heldBytes).toBeLessThanOrEqual(redactor.holdMax);
    }
    expect(out + stream.end()).toBe(redactor.text(twice));
  });

  test("without looking into runs, base64 is masked but for what a neighbour has a part in", () => {
    const redactor = createRedactor([{ name: "key", value: SECRET }], { decode: false });
    for (const [before, shown] of [
      ["", "<"],
      ["a", "<YX"],
      ["ab", "<YWJ"],
      ["abc", "<YWJj"],
    ] as const) {
      const encoded = Buffer.from(`${before}${SECRET}`).toString("base64");
      expect(redactor.text(`<${encoded}>`)).toBe(`${shown}[REDACTED:key]>`);
    }
  });
});

describe("short and common values", () => {
  test.each([
    ["abc", "never"],
    ["  ab ", "never"],
    ["1234", "token"],
    ["hunter2", "token"],
    ["password", "token"],
    ["localhost", "token"],
    ["{}[]", "token"],
    ["abcdefgh", "anywhere"],
    ["correct horse battery", "anywhere"],
    [SECRET, "anywhere"],
  ])("exposureOf(%j) is %s", (value, exposure) => {
    expect(exposureOf(value)).toBe(exposure);
  });

  test("a short value is masked as a token, and behind an assignment or a quote", () => {
    const redactor = one("hunter2");
    expect(redactor.text('hunter2 xhunter2 hunter2x =hunter2x "hunter2y')).toBe(
      '[REDACTED:key] xhunter2 hunter2x =[REDACTED:key]x "[REDACTED:key]y',
    );
  });

  test("lines of braces and key headers are not masked by themselves", () => {
    const redactor = one(`-----BEGIN KEY-----\n{\nMIIBVQIBADANBgkqhkiG9w0BAQEFAASC\n}\n-----END KEY-----`);
    expect(redactor.text("-----BEGIN KEY-----\n{ }\n> MIIBVQIBADANBgkqhkiG9w0BAQEFAASC\nzzz")).toBe(
      "-----BEGIN KEY-----\n{ }\n> [REDACTED:key]\nzzz",
    );
  });
});

test("a run of digits that are not all hexadecimal is read alike however it is cut", () => {
  const redactor = createRedactor([{ name: "s", value: "\\" }], { shortValues: "everywhere" });
  const text = "31m363625753625755C753675-";
  const stream = redactor.stream();
  let out = "";
  for (const character of text) out += stream.write(character);
  expect(out + stream.end()).toBe(redactor.text(text));
});

test("streams that are written in turns do not disturb each other", () => {
  const redactor = one(SECRET);
  const escaped = Array.from(SECRET, (c) => `\\u00${c.charCodeAt(0).toString(16)}`).join("");
  const texts = [`a ${escaped} b`, `${"x".repeat(300)}%41${SECRET}\\`, Buffer.from(`<${SECRET}>`).toString("base64")];
  const streams = texts.map(() => redactor.stream());
  const out = texts.map(() => "");
  for (let at = 0; at < 400; at++) {
    for (const [i, text] of texts.entries()) if (at < text.length) out[i] += streams[i]!.write(text[at]!);
  }
  expect(texts.map((_, i) => out[i] + streams[i]!.end())).toEqual(texts.map((text) => one(SECRET).text(text)));
  expect(out.join("")).not.toContain(SECRET);
});

describe("placeholder", () => {
  test("a placeholder never holds or completes a secret", () => {
    const redactor = createRedactor([
      { name: "s", value: "secret-number-1" },
      { name: "made", value: "prefix-[REDACTED:s]-suffix" },
      { name: "hunter2-correct", value: "hunter2-correct" },
    ]);
    const out = redactor.text("prefix-secret-number-1-suffix hunter2-correct");
    expect(out).not.toContain("prefix-[REDACTED:s]-suffix");
    expect(out).not.toContain("hunter2-correct");
    expect(redactor.text(out)).toBe(out);
  });

  test("a placeholder never holds what a short value is encoded as", () => {
    // In base64 the Q may stand as an R alone.
    const options = { canonical: false, shortValues: "everywhere" } as const;
    const redactor = createRedactor([{ name: "s", value: "Q" }], options);
    const out = redactor.text("a Q b");
    expect(out).not.toContain("R");
    expect(redactor.text(out)).toBe(out);
  });

  test.each([
    ["what is left of an escape before a mask", ["00ab", "abcu"], "abc\\u00ab"],
    ["what is left of an escape behind a mask", ["ua\\%", "aa\\%%"], "ua\\%\\&#x61;&#x61;&#x5c;&#x25;&#x25;"],
    ["an escape within another one", ["b", "other-value-1"], "%b\\u0062"],
    ["a notation that a mask has cut", ["+", "other-value-1"], "U+2b -+2b"],
    ["a notation in hexadecimal that a mask has cut", [":", "other-value-1"], "U+3a6231310a61620a"],
    ["what a short value's mask left of an escape", ["%6%u", "a\\\\\\u\\6"], ":%6%uabc\\x61\\x75\\x5c\\x36"],
    ["an escape at the end of an encoded run that a mask has cut", ["\\\\", "\\66"], "dXNlcjpcOnh1c2VyOlw6"],
    [
      "an escape within an encoded run that a mask has cut",
      ["%6aa%\\6%u", "a%", "\\\\6aa\\\\u\\ua\\a%%6a\\%aa6a\\uu"],
      "YSUlNmFcJWE6ZXI6dVx1",
    ],
    [
      "an escape within compressed data that a mask has cut",
      ["\\%\\%uu%666%%", "\\\\\\66"],
      "%q1bKVrJSilEtLVU1MzNTVVWqBQA==",
    ],
    [
      "an encoded run that a mask has cut",
      ["b\na", "\nb\n\nb\na\n"],
      "]YXoxaENnb0tZV0lLQ2dvS0NtRUtZUW9LWWdwaVlXRUtZV0ppWVFwaVltRUtDanM9U+",
    ],
  ])("masking twice is masking once: %s makes no new text", (_, values, text) => {
    const secrets = values.map((value) => ({ name: "s", value }));
    const redactor = createRedactor(secrets, { shortValues: "everywhere" });
    const once = redactor.text(text);
    expect(once).toContain("[REDACTED");
    expect(redactor.text(once)).toBe(once);
  });

  test.each([
    [
      "in a line that a mask makes shorter",
      ["bba\n\nbbb"],
      "4dXNlcjpiYmEKCmJiYjp4dXNlcjpiYmEKCmJiYjp4abc6262610A0A626262\n62",
    ],
    [
      "at the end of a line in base64",
      ["a\nab\n\n", "baba\nab\nbaba\naa\n\na\naa\n\nbb\n\n\nbaabbabb\n\n\nb"],
      "YQoKYQphYQoKYmIKCgpiYWE6eHVzZXI6YQphYgpiYWJhCmFhCgphCmFhCgpi\nYo",
    ],
  ])("masking twice is masking once: a short value %s of encoded text", (_, values, text) => {
    const redactor = createRedactor(values.map((value) => ({ name: "s", value })));
    const once = redactor.text(text);
    expect(once).toContain("[REDACTED");
    expect(redactor.text(once)).toBe(once);
  });

  test("text in a run of digits begins with its first byte, also within a group, wherever the run is cut", () => {
    const run = "488494c8c89298d51c84ead0400171fbdf40f000000uU+5c61615c5c755cdVw6eHVzZXI6XFhX";
    const subject = new Subject(["\\aa\\\\u\\", "u"], { shortValues: "everywhere" });
    for (let cut = 1; cut < run.length; cut++) expect(subject.brokenRule(run, [cut], false)).toBeUndefined();
  });

  test("an ampersand hides nothing before a placeholder, whatever was found before it", () => {
    const text = `${SECRET}"&${SECRET.toUpperCase()}[REDACTED]`;
    expect(one(SECRET).text(text)).toBe('[REDACTED:key]"&[REDACTED:key][REDACTED]');
    const short = "c1caa1ba10b0b";
    expect(one(short).text(`${short}"&${short.toUpperCase()}[REDACTED]`)).not.toContain(short.toUpperCase());
  });

  test("a value right behind a placeholder is masked", () => {
    expect(one(SECRET).text(`[REDACTED:other]${SECRET}`)).toBe("[REDACTED:other][REDACTED:key]");
    const hex = Buffer.from(SECRET).toString("hex");
    expect(one(SECRET).text(`[REDACTED:other]${hex}`)).toBe("[REDACTED:other][REDACTED:key]");
    for (const written of [Array.from(SECRET).reverse().join(""), Array.from(SECRET).join("-"), SECRET.toUpperCase()])
      expect(one(SECRET).text(`[REDACTED:other]${written}`)).toBe("[REDACTED:other][REDACTED:key]");
  });

  test("a placeholder tells nothing of the length, not even by padding", () => {
    for (const value of ["abcdefghijklmn-1", "abcdefghijklmn-12", "abcdefghijklmn-123"]) {
      expect(one(value).text(`<${Buffer.from(value).toString("base64")}>`)).toBe("<[REDACTED:key]>");
    }
  });
});

describe("streams", () => {
  test("stream() takes strings and gives strings, also cut within a character", () => {
    const redactor = one("p\u{1f511}sswort-lang-1");
    const stream = redactor.stream();
    const text = "x p\u{1f511}sswort-lang-1 \u{1f511} y";
    let out = "";
    for (let i = 0; i < text.length; i++) out += stream.write(text[i]!);
    expect(out + stream.end()).toBe("x [REDACTED:key] \u{1f511} y");
  });

  test("stream() refuses to mix strings and bytes, and anything after the end", () => {
    const stream = one(SECRET).stream();
    stream.write("a");
    expect(() => stream.write(Buffer.from("a"))).toThrow(TypeError);
    stream.end();
    expect(() => stream.write("a")).toThrow("it has ended");
  });

  test("stream().end() masks a dangling prefix of six characters and shows one of five", () => {
    for (const [length, end] of [
      [6, "[REDACTED:key]"],
      [5, "tok-A"],
    ] as const) {
      const stream = one("tok-ABCDEFGHIJKLMNOP").stream();
      expect(stream.write(`auth ${"tok-ABCDEFGH".slice(0, length)}`) + stream.end()).toBe(`auth ${end}`);
    }
  });

  test("stream().release() passes on what tells nothing and goes on masking the rest", () => {
    const stream = one(SECRET).stream();
    expect(stream.write("x sk_l")).toBe("x ");
    expect(stream.release()).toBe("sk_l");
    expect(stream.write(SECRET.slice(4)) + stream.end()).toBe("[REDACTED:key]");
    const telling = one(SECRET).stream();
    telling.write(SECRET.slice(0, 12));
    expect(telling.release()).toBe("");
    expect(telling.heldBytes).toBe(12);
  });

  test("add() masks in streams that are open", () => {
    const redactor = createRedactor([]);
    const stream = redactor.stream();
    expect(stream.write(`${SECRET} `)).toBe(`${SECRET} `);
    redactor.add({ name: "late", value: SECRET });
    expect(stream.write(`${SECRET} `) + stream.end()).toBe("[REDACTED:late] ");
  });

  test("transform() is a stage of a pipe over bytes", async () => {
    const input = Readable.from([Buffer.from("a sk_live_TEST"), Buffer.from("secret123 b")]);
    expect((await buffer(input.pipe(one(SECRET).transform()))).toString()).toBe("a [REDACTED:key] b");
  });

  test("transform() passes on what tells nothing when the input pauses", async () => {
    const transform = createRedactor([{ name: "key", value: SECRET }], { idleMs: 5 }).transform();
    const first = new Promise<string>((resolve) => {
      let seen = "";
      transform.on("data", (chunk: Buffer) => {
        seen += chunk.toString();
        if (seen === "prompt s") resolve(seen);
      });
    });
    transform.write(Buffer.from("prompt s"));
    expect(await first).toBe("prompt s");
    transform.destroy();
  });

  test("pieces() gives what write() gives, and its pieces are parts of the chunk", () => {
    const text = `${"some text ".repeat(100)}${SECRET}${" more text".repeat(100)}`;
    const chunk = Uint8Array.from(Buffer.from(text));
    const stream = one(SECRET).stream("bytes");
    const pieces = stream.pieces(chunk);
    expect(pieces.filter((piece) => piece.buffer === chunk.buffer)).toHaveLength(2);
    expect(Buffer.concat([...pieces, stream.end()]).toString()).toBe(one(SECRET).text(text));
    const stringStream = one(SECRET).stream();
    stringStream.write("text");
    expect(() => stringStream.pieces(chunk)).toThrow("it carries string");
  });

  test("webTransform() is a web stream over bytes", async () => {
    const input = new Blob([`a ${SECRET} b`]).stream().pipeThrough(one(SECRET).webTransform());
    expect(await new Response(input).text()).toBe("a [REDACTED:key] b");
  });
});

describe("fragments", () => {
  test("a fragment is masked only with the option, from the given length on", () => {
    const half = SECRET.slice(3, 15);
    expect(one(SECRET).text(`<${half}>`)).toBe(`<${half}>`);
    const redactor = createRedactor([{ name: "key", value: SECRET }], { fragments: true });
    expect(redactor.text(`<${half}> <${half.slice(1)}> end`)).toBe(`<[REDACTED:key]> <${half.slice(1)}> end`);
  });
});

describe("a fragment is masked in the forms of a value:", () => {
  const half = SECRET.slice(3, 15);
  const redactor = createRedactor([{ name: "key", value: SECRET }], { fragments: true });
  test.each([
    ["base64", Buffer.from(half).toString("base64")],
    ["base64 with a neighbour", Buffer.from(`user:${half}:x`).toString("base64")],
    ["hexadecimal", Buffer.from(half).toString("hex")],
    ["escapes", Array.from(half, (c) => `\\u00${c.charCodeAt(0).toString(16)}`).join("")],
    ["another case", half.toUpperCase()],
    ["gzip", gzipSync(`{"k":"${half}"}`).toString("base64")],
  ])("%s", (_, text) => {
    const masked = redactor.text(`<${text}>`);
    expect(masked).toContain("[REDACTED:key]");
    expect(masked).not.toContain(text);
  });
});

test("report() counts masks by secret and form", () => {
  const redactor = createRedactor([
    { name: "a", value: SECRET },
    { name: "b", value: "another-secret-4711" },
  ]);
  redactor.text(`${SECRET} ${SECRET} another-secret-4711 ${Buffer.from(`x${SECRET}`).toString("base64")}`);
  expect(redactor.report()).toEqual([
    { secret: "a", count: 3, forms: { plain: 2, base64: 1 } },
    { secret: "b", count: 1, forms: { plain: 1 } },
  ]);
});
