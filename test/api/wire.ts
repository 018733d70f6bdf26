/** Bytes over a socket and what came back, for requests that no client library would send. */
import { connect } from "node:net";

export interface WireAnswer {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body: string;
  readonly text: string;
}

/** Sends bytes and reads until the server closes, or `waitMs` after the last byte. */
export async function sendBytes(port: number, bytes: Uint8Array | string, waitMs = 300): Promise<WireAnswer> {
  const text = await new Promise<string>((resolve) => {
    const socket = connect(port, "127.0.0.1");
    let received = "";
    let timer: NodeJS.Timeout;
    const done = (): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(received);
    };
    const wait = (ms: number): void => {
      clearTimeout(timer);
      timer = setTimeout(done, ms);
    };
    wait(waitMs * 5);
    socket.on("data", (chunk) => {
      received += chunk.toString("latin1");
      wait(waitMs);
    });
    socket.on("close", done);
    socket.on("error", done);
    socket.write(bytes);
  });
  const [head = "", body = ""] = splitOnce(text, "\r\n\r\n");
  const [first = "", ...lines] = head.split("\r\n");
  const headers = Object.fromEntries(
    lines.map((line) => splitOnce(line, ":")).map(([name = "", value = ""]) => [name.toLowerCase(), value.trim()]),
  );
  return { status: Number(first.split(" ")[1] ?? 0), headers, body, text };
}

function splitOnce(text: string, at: string): string[] {
  const index = text.indexOf(at);
  return index === -1 ? [text] : [text.slice(0, index), text.slice(index + at.length)];
}
