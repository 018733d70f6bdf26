/** pino itself, writing through a redactor: every line is masked and stays JSON, in all the ways that pino writes. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { pino } from "pino";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createRedactor } from "../../redaction/redactor.ts";

const SECRET = "sk_live_TESTsecret123";
const MASK = "[REDACTED:key]";
const redactor = createRedactor([
  { name: "key", value: SECRET },
  { name: "pin", value: "48151623" },
]);

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), "stepvault-log-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

function collected(): { lines: string[]; logger: ReturnType<typeof pino> } {
  const lines: string[] = [];
  const target = { write: (line: string): number => lines.push(line) };
  return { lines, logger: pino({ base: null, timestamp: false }, redactor.logDestination(target)) };
}

test("messages, fields and child loggers' fields are masked, and lines stay JSON", () => {
  const { lines, logger } = collected();
  logger.child({ token: SECRET }).info({ [SECRET]: `"${SECRET}\n` }, `a ${SECRET}`);
  expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
    { level: 30, token: MASK, [MASK]: `"${MASK}\n`, msg: `a ${MASK}` },
  ]);
});

test("errors are masked with message, stack and cause", () => {
  const { lines, logger } = collected();
  logger.error(new Error(`no ${SECRET}`, { cause: new Error(`because ${SECRET}`) }));
  expect(lines[0]).toContain(`no ${MASK}`);
  expect(lines[0]).toContain(`because ${MASK}`);
  expect(lines[0]).not.toContain(SECRET);
});

test("a number that is a value is masked without breaking the line", () => {
  const { lines, logger } = collected();
  logger.info({ pin: 48_151_623, other: 1 }, "hello");
  expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
    { level: 30, pin: "[REDACTED:pin]", other: 1, msg: "hello" },
  ]);
});

test("lines that are no JSON are masked as text", () => {
  const lines: string[] = [];
  redactor.logDestination({ write: (line) => lines.push(line) }).write(`pin=48151623 ${SECRET}\n`);
  expect(lines).toEqual([`pin=[REDACTED:pin] ${MASK}\n`]);
});

test("a line that cannot be masked is withheld", () => {
  const broken = createRedactor([{ name: "key", value: SECRET }]);
  Object.defineProperty(broken, "text", {
    value: () => {
      throw new Error(SECRET);
    },
  });
  const lines: string[] = [];
  broken.logDestination({ write: (line) => lines.push(line) }).write(`{"msg":"${SECRET}"}\n`);
  expect(JSON.parse(lines[0]!)).toEqual({ level: 50, msg: expect.stringContaining("withheld") as string });
});

test("flush() and end() reach a file that pino writes with a buffer", async () => {
  const file = path.join(folder, "log");
  const target = pino.destination({ dest: file, minLength: 4096, sync: false });
  const logger = pino(redactor.logDestination(target));
  logger.info(`first ${SECRET}`);
  await new Promise<void>((resolve) => {
    logger.flush(() => resolve());
  });
  expect(readFileSync(file, "utf8")).toContain(`first ${MASK}`);
  logger.info(`second ${SECRET}`);
  await new Promise<void>((resolve) => {
    target.on("close", () => resolve());
    redactor.logDestination(target).end();
  });
  expect(readFileSync(file, "utf8")).toContain(`second ${MASK}`);
});

test("a transport in another thread gets masked lines only", async () => {
  const file = path.join(folder, "log");
  const target = pino.transport({ target: "pino/file", options: { destination: file } }) as {
    write(line: string): boolean;
    end(): void;
    on(event: string, listener: () => void): void;
  };
  const destination = redactor.logDestination(target);
  await new Promise<void>((resolve) => {
    target.on("ready", resolve);
  });
  pino(destination).info(`in a thread: ${SECRET}`);
  await new Promise<void>((resolve) => {
    target.on("close", resolve);
    destination.end();
  });
  expect(readFileSync(file, "utf8")).toContain(`in a thread: ${MASK}`);
});
