/** A loopback server that counts what steps do: each says which request it is of, and a step may say so only as often as allowed. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";

export class Effects {
  readonly port: number;
  readonly counts = new Map<string, number>();
  #server: Server;

  private constructor(server: Server) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
    server.on("request", (request, response) => {
      let text = "";
      request.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
      request.on("end", () => {
        this.counts.set(text, (this.counts.get(text) ?? 0) + 1);
        // A connection that is kept may end while its worker is frozen; the step's next request on it would be reset.
        response.setHeader("connection", "close").end("counted");
      });
    });
  }

  static async start(): Promise<Effects> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new Effects(server);
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}
