/**
 * A sandbox host that a step has taken over: it speaks frames like the real one, and lies in the way that the step's
 * code names. Started in place of the real host, inside the same layers.
 */
import { encodeFrame, FrameDecoder, frameBytesMax } from "../../../runtime/bridge/frame.ts";

let lie = "";
let lastRun = 0;

function send(run: number, message: object): void {
  process.stdout.write(encodeFrame({ run, message }));
}

const print = { type: "print", stream: "stdout", text: "x".repeat(100) };
const request = { method: "GET", url: "http://127.0.0.1:1/", headers: [], redirect: "follow" };
const done = { type: "done", output: '"done"' };

function deep(levels: number): string {
  return `${"[".repeat(levels)}${"]".repeat(levels)}`;
}

/** What the host does instead of running the step. */
const lies: Record<string, (run: number) => void> = {
  honest: (run) => send(run, done),
  silent: () => {},
  "not JSON": () => process.stdout.write(Buffer.from([0, 0, 0, 1, 0x7b])),
  "an oversized frame": () => {
    const head = Buffer.alloc(4);
    head.writeUInt32BE(frameBytesMax + 1);
    process.stdout.write(head);
  },
  "no envelope": () => process.stdout.write(encodeFrame(done)),
  "an unknown message": (run) => send(run, { type: "read", file: "/etc/passwd" }),
  "a message with more fields": (run) => send(run, { ...done, extra: 1 }),
  "a message of the next run": (run) => send(run + 1, done),
  "a message of the last run": (run) => send(run - 1, done),
  "ready in the middle": () => send(0, { type: "ready" }),
  "idle without release": (run) => send(run, { type: "idle" }),
  "references again": (run) => send(run, { type: "references", references: [] }),
  "started twice": (run) => {
    send(run, { type: "started" });
    send(run, { type: "started" });
  },
  "an empty print": (run) => send(run, { ...print, text: "" }),
  "fields too deep to read": (run) =>
    process.stdout.write(
      frameOf(`{"run":${run},"message":{"type":"log","level":"info","message":"m","fields":{"a":${deep(50_000)}}}}`),
    ),
  "prints beyond the limit": (run) => {
    for (let i = 0; i < 1_000; i++) send(run, print);
  },
  "logs beyond the limit": (run) => {
    for (let i = 0; i < 1_000; i++) send(run, { type: "log", level: "info", message: "m" });
  },
  "requests beyond the limit": (run) => {
    for (let id = 0; id < 1_000; id++) send(run, { type: "request", id, request });
  },
  "aborts without end": (run) => {
    for (let id = 0; id < 100_000; id++) send(run, { type: "abort", id });
  },
  "an output beyond the limit": (run) => send(run, { type: "done", output: JSON.stringify("x".repeat(10_000)) }),
  "an output too deep": (run) => send(run, { type: "done", output: deep(1_000) }),
  "done twice": (run) => {
    send(run, done);
    send(run, { type: "done", output: '"again"' });
  },
  "no idle": (run) => send(run, done),
  "late output": (run) => send(run, done),
  "idle at once": (run) => send(run, done),
};

/** What it does when the run is released; the honest thing, if nothing else is named. */
const releases: Record<string, (run: number) => void> = {
  "no idle": () => {},
  "late output": (run) => {
    send(run, print);
    send(run, { type: "log", level: "info", message: "late" });
    send(run, { type: "done", output: '"late"' });
    send(run, { type: "idle" });
    send(0, { type: "ready" });
    // And now into the next run.
    setInterval(() => send(run, print), 1);
  },
  "idle at once": (run) => {
    send(run, { type: "idle" });
    send(0, { type: "ready" });
    send(0, { type: "ready" });
  },
};

function frameOf(text: string): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt32BE(text.length);
  return Buffer.concat([head, Buffer.from(text)]);
}

const decoder = new FrameDecoder();
process.stdin.on("data", (chunk: Buffer) => {
  for (const frame of decoder.push(chunk)) answer(frame as { run: number; message: { type: string; code?: string } });
});

function answer({ run, message }: { run: number; message: { type: string; code?: string } }): void {
  switch (message.type) {
    case "boot":
      return send(0, { type: "ready" });
    case "prepare":
      lie = message.code ?? "";
      lastRun = run;
      return send(run, { type: "references", references: [] });
    case "execute":
      return lies[lie]?.(run);
    case "release": {
      const release = releases[lie];
      if (release !== undefined) return release(lastRun);
      send(run, { type: "idle" });
      return send(0, { type: "ready" });
    }
  }
}
