/**
 * Connections of steps to servers, kept open for the project's next request and for no other project's: what a server
 * remembers of a connection is then remembered of one project. Each is pinned to an address that was checked. Bounded in
 * number; a kept one that is not used ends after some seconds.
 */
import { readFileSync } from "node:fs";
import { getCACertificates } from "node:tls";
import { Pool } from "undici";
import { StepvaultError } from "../../protocol/error.ts";
import type { PinnedAddress } from "./address.ts";

/** Answers that nobody reads hold theirs, so there are more than a run may have under way. */
const connectionsPerServerMax = 256;
const poolsMax = 512;
const poolsPerProjectMax = 64;
/** Above every limit of a run: this one frees what runs have given up waiting for. */
const connectTimeMsMax = 60_000;
const keepAliveMs = 4_000;
const headerBytesMax = 65_536;

export interface Target {
  readonly projectId: string;
  readonly origin: string;
  readonly pinned: PinnedAddress;
}

export class Connections {
  /** By project, origin and address; the longest unused first. */
  #pools = new Map<string, Pool>();
  #certificates: string[] | undefined;
  #ended = false;

  /** `caFile` holds certificate authorities to trust besides the public ones. Throws ERR_CONFIG_INVALID. */
  constructor(caFile?: string) {
    if (caFile === undefined) return;
    this.#certificates = [...getCACertificates("default"), readCertificates(caFile)];
  }

  /** Connections to one server for one project. */
  to({ projectId, origin, pinned }: Target): Pool {
    const key = `${projectId} ${origin} ${pinned.address}`;
    const pool = this.#pools.get(key) ?? this.#open(origin, pinned);
    this.#pools.delete(key);
    this.#pools.set(key, pool);
    if (this.#pools.size > poolsMax) this.#endOldest(key, "");
    const mine = [...this.#pools.keys()].filter((each) => each.startsWith(`${projectId} `));
    if (mine.length > poolsPerProjectMax) this.#endOldest(key, `${projectId} `);
    return pool;
  }

  /** Ends every connection, also those in use. */
  async close(): Promise<void> {
    this.#ended = true;
    const pools = [...this.#pools.values()];
    this.#pools.clear();
    await Promise.all(pools.map(async (pool) => await pool.destroy()));
  }

  #open(origin: string, pinned: PinnedAddress): Pool {
    if (this.#ended) throw new StepvaultError("ERR_EGRESS_FAILED", "Cannot connect: the sandbox is closing");
    return new Pool(origin, {
      connections: connectionsPerServerMax,
      // The broker's own timer is exact; this would be a second answer to the same question.
      headersTimeout: 0,
      keepAliveTimeout: keepAliveMs,
      maxHeaderSize: headerBytesMax,
      allowH2: false,
      connect: {
        timeout: connectTimeMsMax,
        lookup: (_hostname, options, callback) => {
          if (options.all) callback(null, [pinned]);
          else callback(null, pinned.address, pinned.family);
        },
        ...(this.#certificates === undefined ? {} : { ca: this.#certificates }),
      },
    });
  }

  /** Ends the longest unused of those that begin so, one without requests if there is one; never the one in hand. */
  #endOldest(inHand: string, beginning: string): void {
    const others = [...this.#pools].filter(([key]) => key !== inHand && key.startsWith(beginning));
    const [key, pool] = others.find(([, { stats }]) => stats.running === 0 && stats.pending === 0) ?? others[0]!;
    this.#pools.delete(key);
    void pool.destroy().catch(() => {});
  }
}

function readCertificates(file: string): string {
  try {
    const text = readFileSync(file, "utf8");
    if (text.includes("-----BEGIN CERTIFICATE-----")) return text;
  } catch {
    // Told below: what cannot be read holds no certificate either.
  }
  throw new StepvaultError(
    "ERR_CONFIG_INVALID",
    "Cannot start: STEPVAULT_EGRESS_CA_FILE names no file of PEM certificates",
  );
}
