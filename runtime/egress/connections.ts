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
/** After a run's own limit, whose timer is exact and says so: this one frees what the run has given up waiting for. */
const connectTimeMsMore = 1_000;
const keepAliveMs = 4_000;
const headerBytesMax = 65_536;

export interface Target {
  readonly projectId: string;
  readonly origin: string;
  readonly pinned: PinnedAddress;
  /** The run's limit. Runs with another one have connections of their own, as connecting takes as long as it may. */
  readonly connectTimeMsMax: number;
}

export class Connections {
  /** By project, origin, address and limit; the longest unused first. */
  #pools = new Map<string, Pool>();
  #certificates: string[] | undefined;
  #ended = false;

  /** `caFile` holds certificate authorities to trust besides the public ones. Throws ERR_CONFIG_INVALID. */
  constructor(caFile?: string) {
    if (caFile === undefined) return;
    this.#certificates = [...getCACertificates("default"), readCertificates(caFile)];
  }

  /** Connections to one server for one project. */
  to(target: Target): Pool {
    const { projectId, origin, pinned, connectTimeMsMax } = target;
    const key = `${projectId} ${origin} ${pinned.address} ${connectTimeMsMax}`;
    const known = this.#pools.get(key);
    const pool = known ?? this.#open(target);
    this.#pools.delete(key);
    this.#pools.set(key, pool);
    if (known === undefined) this.#makeRoom(key, `${projectId} `);
    return pool;
  }

  /** Ends every connection, also those in use. */
  async close(): Promise<void> {
    this.#ended = true;
    const pools = [...this.#pools.values()];
    this.#pools.clear();
    await Promise.all(pools.map(async (pool) => await pool.destroy()));
  }

  #open({ origin, pinned, connectTimeMsMax }: Target): Pool {
    if (this.#ended) throw new StepvaultError("ERR_EGRESS_FAILED", "Cannot connect: the sandbox is closing");
    return new Pool(origin, {
      connections: connectionsPerServerMax,
      // The broker's own timer is exact; this would be a second answer to the same question.
      headersTimeout: 0,
      keepAliveTimeout: keepAliveMs,
      maxHeaderSize: headerBytesMax,
      allowH2: false,
      connect: {
        timeout: connectTimeMsMax + connectTimeMsMore,
        lookup: (_hostname, options, callback) => {
          if (options.all) callback(null, [pinned]);
          else callback(null, pinned.address, pinned.family);
        },
        ...(this.#certificates === undefined ? {} : { ca: this.#certificates }),
      },
    });
  }

  #makeRoom(inHand: string, project: string): void {
    if (this.#pools.size > poolsMax) this.#endOldest(inHand, "");
    const count = [...this.#pools.keys()].filter((each) => each.startsWith(project)).length;
    if (count > poolsPerProjectMax) this.#endOldest(inHand, project);
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
