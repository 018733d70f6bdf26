/**
 * A way to a server of ours that can be made slow, silent or dead: bytes over loopback TCP, in both directions. What has
 * been taken is delivered in its order or the connection ends; nothing is changed on the way.
 */
import { createConnection, createServer, type Server, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/**
 * `open` passes on, after `delayMs`. `dead`: connections are cut and refused. `silent`: they stay, and nothing passes.
 * `forgotten`: those that were there pass nothing ever again, new ones are well, as behind a firewall that was restarted.
 */
type Way = "open" | "dead" | "silent";

export class Proxy {
  readonly port: number;
  delayMs = 0;
  #server: Server;
  #target: () => number;
  #pairs = new Set<Pair>();
  #way: Way = "open";

  private constructor(server: Server, target: () => number) {
    this.#server = server;
    this.#target = target;
    this.port = (server.address() as { port: number }).port;
    server.on("connection", (client) => this.#connect(client));
  }

  /** Listens on a free port; `target` is asked for each connection. */
  static async start(target: () => number): Promise<Proxy> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new Proxy(server, target);
  }

  set way(way: Way) {
    this.#way = way;
    if (way === "dead") for (const pair of this.#pairs) pair.end();
    for (const pair of this.#pairs) pair.pass(way === "open");
  }

  /** The connections that are there now pass nothing any more, and are not told. */
  forget(): void {
    for (const pair of this.#pairs) pair.forget();
    this.#pairs.clear();
  }

  async close(): Promise<void> {
    this.way = "dead";
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #connect(client: Socket): void {
    if (this.#way === "dead") {
      client.resetAndDestroy();
      return;
    }
    const pair = new Pair(client, createConnection(this.#target(), "127.0.0.1"), () => this.delayMs);
    this.#pairs.add(pair);
    pair.pass(this.#way === "open");
    void pair.ended.then(() => this.#pairs.delete(pair));
  }
}

class Pair {
  readonly ended: Promise<void>;
  #sockets: readonly [Socket, Socket];
  #forgotten = false;
  #opened = Promise.withResolvers<void>();

  constructor(client: Socket, server: Socket, delayMs: () => number) {
    this.#sockets = [client, server];
    this.ended = new Promise((resolve) => {
      for (const socket of this.#sockets) {
        socket.setNoDelay(true);
        socket.on("error", () => {}); // `close` follows.
        socket.once("close", () => {
          // A forgotten connection's other end learns nothing of it.
          if (!this.#forgotten) this.end();
          resolve();
        });
      }
    });
    void this.#carry(client, server, delayMs);
    void this.#carry(server, client, delayMs);
  }

  pass(passes: boolean): void {
    if (passes) this.#opened.resolve();
    else this.#opened = Promise.withResolvers();
  }

  forget(): void {
    this.#forgotten = true;
    this.pass(false);
    // The server is told, as it would find out by itself; who asks it is not.
    this.#sockets[1].destroy();
  }

  end(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  async #carry(from: Socket, to: Socket, delayMs: () => number): Promise<void> {
    try {
      for await (const chunk of from as AsyncIterable<Buffer>) {
        await this.#opened.promise;
        if (delayMs() > 0) await sleep(delayMs());
        await this.#opened.promise;
        to.write(chunk);
      }
      if (!this.#forgotten) to.end();
    } catch {
      // Cut; `close` has been told.
    }
  }
}
