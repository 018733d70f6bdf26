/** A hop under way and the record that it leaves: once, when it is over, however that came. */
import type { RequestRecord } from "../../protocol/job.ts";
import type { Hop } from "./hop.ts";

export class OpenHop {
  readonly record: RequestRecord;
  #startedAt = performance.now();
  #tell: ((record: RequestRecord) => void) | undefined;

  constructor({ method, url }: Hop, tell: (record: RequestRecord) => void) {
    this.#tell = tell;
    this.record = {
      method,
      host: url.host,
      path: url.pathname + url.search,
      rule: null,
      status: null,
      bytesSent: 0,
      bytes: 0,
      headersMs: null,
      ms: 0,
      secrets: [],
    };
  }

  /** Names of secrets that it holds. */
  carries(names: Iterable<string>): void {
    this.record.secrets = [...new Set([...this.record.secrets, ...names])];
  }

  began(status: number): void {
    this.record.status = status;
    this.record.headersMs = Math.round(performance.now() - this.#startedAt);
  }

  end(): void {
    this.record.ms = Math.round(performance.now() - this.#startedAt);
    this.#tell?.(this.record);
    this.#tell = undefined;
  }
}
