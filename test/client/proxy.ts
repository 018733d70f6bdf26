/**
 * A proxy on loopback between a client and the API, that can cut what goes through it: all connections at once, each after so
 * many bytes of an answer, or one answer that then nobody gets. And can be pointed at another API, as after a restart.
 */
import { connect, createServer, type Socket } from "node:net";
import type { AddressInfo } from "node:net";

export interface Proxy {
  readonly url: string;
  /** How many connections there were. */
  readonly count: () => number;
  point(address: string | undefined): void;
  /** Of each connection's answers, from now on. */
  cutAfter(bytes: number): void;
  cut(): void;
  close(): Promise<void>;
}

export async function startProxy(address: string): Promise<Proxy> {
  let target: string | undefined = address;
  let bytesMax = Infinity;
  let count = 0;
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    count += 1;
    if (target === undefined) return void client.destroy();
    const { hostname, port } = new URL(target);
    const upstream = connect(Number(port), hostname);
    let bytes = 0;
    const cut = (): void => {
      client.destroy();
      upstream.destroy();
      sockets.delete(client);
    };
    sockets.add(client);
    for (const socket of [client, upstream]) socket.on("error", cut).on("close", cut);
    client.pipe(upstream);
    upstream.on("data", (chunk: Buffer) => {
      const left = bytesMax - bytes;
      bytes += chunk.length;
      if (left > 0) client.write(chunk.subarray(0, left));
      if (bytes >= bytesMax) setImmediate(cut);
    });
    return undefined;
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const cutAll = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    count: () => count,
    point: (to) => void (target = to),
    cutAfter: (bytes) => void (bytesMax = bytes),
    cut: cutAll,
    async close() {
      cutAll();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
