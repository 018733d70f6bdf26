/**
 * The server of bench/egress.ts, in a process of its own so that it does not share the event loop with what is measured.
 * Prints its port. `/` answers little, `/log` sends 100 MB of a log's lines.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

const logBytes = 100 * 1024 * 1024;
const lines = Array.from({ length: 2_000 }, (_, i) => {
  const id = ((i * 2_654_435_761) >>> 0).toString(36);
  return `2026-11-21T10:${String(i % 60).padStart(2, "0")}:07.${i % 1_000}Z info request id=${id} user=u${i} path=/v1/items/${i}?page=2 status=200 ms=${i % 97}\n`;
});
const chunk = Buffer.from(lines.join(""));

const server = createServer((request, response) => {
  if (request.url !== "/log") {
    response.end('{"ok":true}');
    return;
  }
  let left = logBytes;
  const go = (): void => {
    while (left > 0) {
      const part = left < chunk.length ? chunk.subarray(0, left) : chunk;
      left -= part.length;
      if (response.write(part)) continue;
      response.once("drain", go);
      return;
    }
    response.end();
  };
  response.writeHead(200, { "content-length": logBytes });
  go();
});
server.listen(0, "127.0.0.1", () => console.log((server.address() as AddressInfo).port));
